"""System calls that fail (the n-th of its name, in every thread, by strace), and limits of the process.

After each, the build gave the reference digest, or ended with a documented exit code and said what failed; and the same
build without a fault gives the reference digest then.
"""

import collections
import itertools
import re

from cases import CASES, chosen, measured, settled
from lib import Fault, Group, Outcome
from servers import Files, Registry, need

# What a call fails with; the others fail with EIO.
ERRORS = {
    "openat": ["EMFILE", "EACCES"], "openat2": ["EMFILE"], "open": ["EMFILE"], "write": ["ENOSPC"], "pwrite64": ["ENOSPC"],
    "writev": ["ENOSPC"], "mkdir": ["ENOSPC"], "mkdirat": ["ENOSPC"], "clone": ["EAGAIN"], "clone3": ["EAGAIN"],
    "vfork": ["EAGAIN"], "fork": ["EAGAIN"], "execve": ["EACCES"], "pipe2": ["EMFILE"], "socket": ["EMFILE"],
    "socketpair": ["EMFILE"], "memfd_create": ["EMFILE"], "dup": ["EMFILE"], "flock": ["ENOLCK"], "mount": ["EPERM"],
    "umount2": ["EBUSY"], "unshare": ["EPERM", "ENOSPC"], "connect": ["ECONNREFUSED"], "recvfrom": ["ECONNRESET"],
    "sendto": ["EPIPE", "EIO"], "recvmsg": ["ECONNRESET"], "sendmsg": ["EPIPE"], "getrandom": ["ENOSYS"],
    "move_mount": ["EPERM"], "open_tree": ["EPERM"], "mount_setattr": ["EPERM"], "pivot_root": ["EPERM"],
    "setxattr": ["ENOSPC"], "copy_file_range": ["ENOSPC"], "rename": ["EACCES"], "renameat2": ["EACCES"],
}
# These cannot fail when they are called as they are, or have no caller that could tell: memory, signals, locks within a
# process, clocks, its own ids, its end, and waiting for events and for children (epoll_wait(2), poll(2), wait4(2)).
NEVER = set(
    "exit exit_group rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack futex brk mmap munmap mprotect mremap madvise "
    "set_robust_list set_tid_address rseq arch_prctl gettid getpid getppid getpgrp getuid geteuid getgid getegid getpgid "
    "clock_gettime clock_nanosleep nanosleep sched_yield sched_getaffinity restart_syscall epoll_wait epoll_pwait wait4 "
    "waitid poll getcwd umask uname sysinfo times getrusage close close_range".split()
)
# Neither can these, by what they are called on: the counter of an eventfd(2), which is not full, and a pair of sockets
# within alloy whose other end sends one message or closes (the standard library waits on one for a child to be executed).
# Libraries count on it, and strace would have them fail all the same.
IMPOSSIBLE = re.compile(r"write\(\d+<anon_inode:\[eventfd\]>|recvfrom\(\d+<UNIX:.*, 8, 0, ")
COUNTED_ON = ["failed to wake I/O driver", "the CLOEXEC pipe failed"]
SHORT = [
    ("clone3", "EAGAIN", 1), ("clone3", "EAGAIN", 2), ("clone3", "EAGAIN", 3), ("clone3", "EAGAIN", 5), ("umount2", "EBUSY", 1),
    ("sendto", "EIO", 1), ("recvfrom", "ECONNRESET", 2), ("sendmsg", "EPIPE", 1), ("recvmsg", "ECONNRESET", 1),
    ("write", "ENOSPC", 9), ("mkdirat", "ENOSPC", 1), ("mount", "EPERM", 1), ("rename", "EACCES", 2), ("renameat2", "EACCES", 1), ("flock", "ENOLCK", 2),
]
# Standard input, output and errors that are closed, or full.
STREAMS = ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full"]


def injected(call, error, number, trace):
    return ["strace", "-f", "--seccomp-bpf", "-qq", "-yy", "-o", trace, "-e", f"trace={call}", "-e",
            f"inject={call}:error={error}:when={number}"]


def counted(case):
    """How often each call is made by the thread that makes it most often."""
    trace = case.place / "trace"
    ended = case.work.run(case.arguments(), case.store, before=["strace", "-f", "-qq", "-o", trace])
    if ended.code != 0:
        raise SystemExit(f"{type(case).__name__} under strace failed:\n{ended.said()}")
    counts = collections.Counter()
    for line in trace.read_text(errors="replace").splitlines():
        if found := re.match(r"(\d+) +(\w+)\(", line):
            counts[found.groups()] += 1
    most = collections.Counter()
    for (_, call), count in counts.items():
        most[call] = max(most[call], count)
    return {call: count for call, count in most.items() if call not in NEVER}


def spread(count, most):
    """Numbers from 1 to `count`, at most `most` of them: the first ones, then fewer and fewer."""
    if count <= most:
        return list(range(1, count + 1))
    return sorted({max(1, round(count ** (step / (most - 1)))) for step in range(most)})


def struck(traced):
    """The calls that strace had fail, also those that others came between: their lines are put together."""
    begun = {}
    for line in traced.splitlines():
        thread, _, said = line.partition(" ")
        said = said.strip()
        if said.endswith("<unfinished ...>"):
            begun[thread] = said
        elif "(INJECTED)" in said:
            yield begun.get(thread, "") + said if said.startswith("<... ") else said


def told(ended, work, digest, call, trace):
    """How a command ended, one call of which failed."""
    outcome, traced = work.judge(ended, digest), trace.read_text(errors="replace")
    if not outcome.wrong and "(INJECTED)" not in traced:
        outcome.kind = "no such call"
    counted_on = any(said in ended.err for said in COUNTED_ON)
    if outcome.kind == "panicked" and counted_on and any(map(IMPOSSIBLE.match, struck(traced))):
        return Outcome("impossible")
    if outcome.kind == "silent" and re.search(r"write\(2<.*\(INJECTED\)", traced):
        return Outcome("told in vain")
    return outcome


def attempt(work, call=None, error=None, number=None, shell=None, most=None, more=()):
    place = work.scratch()
    trace = place / "trace"
    before = injected(call, error, number, trace) if call else []
    with Files(work.files) as server:
        group = Group(most) if most else None
        ended = work.build(place / "store", server.address, more, before=before, shell=shell, group=group)
        if call:
            outcome = told(ended, work, work.reference, call, trace)
        elif shell and ">" in shell and ended.code in (0, 1):
            # What is printed to nowhere has no digest, and what is told there is not read: the exit code has to say it.
            outcome = Outcome("right" if ended.code == 0 else "told, exit code 1")
        else:
            outcome = work.judge(ended, None if more else work.reference)
        return work.after(place, server.address, outcome)


def within(case, call, error, number):
    """The same in any command."""
    trace = case.place / "trace"
    ended = case.work.run(case.arguments(), case.store, before=injected(call, error, number, trace))
    return settled(case, told(ended, case.work, case.work.reference if case.digest else None, call, trace))


def faults(work, stack):
    need("strace", "docker-registry")
    options = work.options
    for call, error, number in SHORT if options.short else []:
        yield Fault(f"call {number} of {call} fails with {error}",
                    lambda call=call, error=error, number=number: attempt(work, call, error, number))
    files = stack.enter_context(Files(work.files))
    registry = stack.enter_context(Registry(work.scratch() / "registry"))
    for kind in [] if options.short else chosen(options, CASES):
        measured(kind(work, files, registry))
        # A build makes the calls of all others; of these, fewer are tried.
        most = options.most if kind is CASES[0] else max(2, options.most // 4)
        counts = counted(kind(work, files, registry))
        for call, count in sorted(counts.items()):
            if options.call and call not in options.call:
                continue
            for error, number in itertools.product(ERRORS.get(call, ["EIO"]), spread(count, most)):
                yield Fault(f"{kind.__name__}, call {number} of {call} fails with {error}",
                            lambda kind=kind, call=call, error=error, number=number:
                            within(kind(work, files, registry), call, error, number))
    if options.call or options.case:
        return
    for limit in [8] if options.short else [*range(3, 24), 32, 48, 64]:
        yield Fault(f"{limit} descriptors", lambda limit=limit: attempt(work, shell=f"ulimit -n {limit}"))
    for limit in [3, 8] if options.short else range(1, 25):
        for compression in ["zstd"] if options.short else ["zstd", "gzip"]:
            more = [] if compression == "zstd" else ["--compression", compression]
            yield Fault(f"{limit} threads and processes, {compression}",
                        lambda limit=limit, more=more: attempt(work, most=limit, more=more))
    for streams in STREAMS[-1:] if options.short else STREAMS:
        yield Fault(f"streams: {streams}", lambda streams=streams: attempt(work, shell=f"exec {streams}"))
    for error in ["ENOSYS"] if options.short else ["ENOSYS", "EIO"]:
        yield Fault(f"no random bytes: {error}", lambda error=error: refused(work, error))


def refused(work, error):
    """Every request for random bytes is refused, of the kernel and of its devices."""
    place = work.scratch()
    before = ["strace", "-f", "--seccomp-bpf", "-qq", "-o", place / "trace", "-e", "trace=getrandom", "-e",
              f"inject=getrandom:error={error}"]
    with Files(work.files) as server:
        ended = work.build(place / "store", server.address, before=before)
        outcome = work.judge(ended, work.reference)
        return work.after(place, server.address, outcome)
