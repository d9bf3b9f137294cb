#!/usr/bin/env python3
"""Runs a command under a filter of system calls, as containers and jobs have one: `under_filter.py CALL ERROR COMMAND…`.

Each time that anything in it makes the call, on whatever thread, it fails with the error (seccomp(2),
SECCOMP_RET_ERRNO). As root: no privilege is given up, so that programs with set-id bits work as ever.
"""

import ctypes
import errno
import os
import pathlib
import re
import struct
import sys

PR_SET_SECCOMP, MODE_FILTER = 22, 2
LOAD, EQUAL, END = 0x20, 0x15, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
# linux/audit.h
ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# Where the kernel's headers have the numbers of calls.
HEADERS = {"x86_64": "x86_64-linux-gnu/asm/unistd_64.h", "aarch64": "asm-generic/unistd.h"}
NUMBER = r"^#define __NR(?:3264)?_{}\s+(\d+)$"


def number(call):
    header = pathlib.Path("/usr/include") / HEADERS[os.uname().machine]
    found = re.search(NUMBER.format(call), header.read_text(), re.MULTILINE)
    return int(found.group(1))


def refuse(call, error):
    """From now on `call` fails with `error`."""
    steps = [
        (LOAD, 0, 0, 4),
        (EQUAL, 0, 3, ARCHITECTURE[os.uname().machine]),
        (LOAD, 0, 0, 0),
        (EQUAL, 0, 1, number(call)),
        (END, 0, 0, ERRNO | error),
        (END, 0, 0, ALLOW),
    ]
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    length_and_place = struct.pack("@HP", len(steps), ctypes.addressof(program))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_SECCOMP, MODE_FILTER, ctypes.c_char_p(length_and_place), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    call, error, *command = sys.argv[1:]
    refuse(call, getattr(errno, error))
    try:
        os.execvp(command[0], command)
    except OSError as failed:
        sys.exit(f"{command[0]} never began: {failed}")
