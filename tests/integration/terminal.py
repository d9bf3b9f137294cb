"""Drives `alloy run IMAGE` on a terminal, as somebody at a keyboard would; fails where something is not as it should be.

    terminal.py ALLOY IMAGE"""

import fcntl
import os
import pty
import select
import stat
import struct
import sys
import termios
import time

ALLOY, IMAGE = sys.argv[1:]
SHELL = ["bash", "--norc", "--noprofile", "-i"]


class Terminal:
    def __init__(self, *command):
        master, slave = pty.openpty()
        self.fd, self.name, self.seen = master, os.ttyname(slave), b""
        self.resize(33, 111)
        os.chmod(self.name, 0o620)
        self.pid = os.fork()
        if self.pid == 0:
            os.close(master)
            login(slave)
            os.environ["PS1"] = "%> "
            os.execvp(command[0], command)
        os.close(slave)

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, wait):
        if not select.select([self.fd], [], [], wait)[0]:
            return None
        try:
            return os.read(self.fd, 65536)
        except OSError:
            return b""

    def expect(self, what, seconds=60):
        end = time.time() + seconds
        while what not in self.seen:
            more = self.read(max(0, end - time.time()))
            assert more, f"no {what} in {self.seen[-500:]}"
            self.seen += more
        before, self.seen = self.seen.split(what, 1)
        return before

    def type(self, keys):
        # Somebody at a keyboard is slower than a shell that is about to start something.
        time.sleep(0.5)
        os.write(self.fd, keys)

    def end(self):
        while more := self.read(60):
            self.seen += more
        assert more is not None, f"no end after {self.seen[-500:]}"
        return self.seen, os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def is_plain(self):
        return bool(termios.tcgetattr(self.fd)[3] & termios.ICANON)


def login(slave):
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in range(3):
        os.dup2(slave, fd)


def run(script):
    return Terminal(ALLOY, "run", IMAGE, "sh", "-c", script)


# A terminal of its own, of the same size, which opens by all its names.
terminal = run("tty; stty size; read typed; echo got $typed; echo err > /dev/stderr; echo tty > /dev/tty; exit 5")
terminal.expect(b"/dev/pts/0\r\n33 111\r\n")
assert not terminal.is_plain()
terminal.type(b"abx\x7fc\r")
terminal.expect(b"got abc\r\nerr\r\ntty\r\n")
assert terminal.end()[1] == 5
assert terminal.is_plain()

# What is changed of it, and who is sent signals by it, is inside.
terminal = Terminal(
    "sh", "-c",
    'for n in 0 1 2; do "$0" run "$1" chmod 666 /proc/self/fd/$n /dev/tty; done; '
    '"$0" run "$1" chmod 666 /proc/self/fd/0 /proc/self/fd/2 | cat; "$0" run "$1" sh -c "kill -9 0"; echo survived $?',
    ALLOY, IMAGE,
)
terminal.expect(b"survived 137")
mode = stat.S_IMODE(os.stat(terminal.name).st_mode)
terminal.end()
assert mode == 0o620, oct(mode)

# Ctrl-C, and jobs of a shell inside.
terminal = run("echo ready; sleep 60")
terminal.expect(b"ready")
terminal.type(b"\x03")
assert terminal.end()[1] == 130
terminal = Terminal(ALLOY, "run", "-e", "PS1=%> ", IMAGE, *SHELL)
terminal.expect(b"%> ")
terminal.type(b"sleep 60\r")
terminal.type(b"\x1a")
terminal.expect(b"Stopped")
terminal.resize(40, 90)
terminal.type(b"stty size\r")
terminal.expect(b"40 90\r")
terminal.type(b"fg\r")
terminal.type(b"\x03")
terminal.type(b"exit 7\r")
assert terminal.end()[1] == 7

# Jobs of a shell outside, which gets its terminal back whatever happens.
terminal = Terminal(*SHELL)
terminal.expect(b"%> ")
inner = f"{ALLOY} run {IMAGE}"
terminal.type(f"{inner} sh -c 'echo g''o; sleep 2; echo wok''e'\r".encode())
terminal.expect(b"go\r")
terminal.type(b"\x1a")
terminal.expect(b"Stopped")
terminal.type(b"echo he''re\r")
terminal.expect(b"here\r")
terminal.type(b"fg\r")
terminal.expect(b"woke\r")
terminal.expect(b"%> ")
terminal.type(f"{inner} sh -c 'exit 4' &\r".encode())
time.sleep(3)
terminal.type(b"\r")
terminal.expect(b"Exit 4")
terminal.type(f"timeout --foreground -s TERM 3 {inner} sleep 60; stty -a | grep -o '[-]icanon'; echo do''ne\r".encode())
assert b"\n-icanon" not in terminal.expect(b"done\r")
terminal.type(b"exit\r")
assert terminal.end()[1] == 0

# All of it arrives, and Ctrl-C where only the input is a terminal.
seen, code = run("head -c 2000000 /dev/zero | tr '\\0' a; echo; echo END").end()
assert (seen.count(b"a"), seen[-5:], code) == (2000000, b"END\r\n", 0), (len(seen), seen[-9:], code)
terminal = Terminal(
    "sh", "-c",
    """trap : INT; "$0" run "$1" sh -c 'trap "echo interrupted; exit 9" INT; echo ready; while :; do sleep .1; done' |
    (trap "" INT; cat); echo after""",
    ALLOY, IMAGE,
)
terminal.expect(b"ready")
terminal.type(b"\x03")
terminal.expect(b"interrupted")
terminal.expect(b"after")
print("as it should be")
