"""System calls that a filter always refuses, as those of containers, jobs and sandboxes do, one at a time.

The build gives the reference digest by another call, or ends with a documented exit code and says what was refused;
and the same build without a filter gives the reference digest then.
"""

import collections
import pathlib
import sys

from calls import counted
from cases import CASES, chosen, measured, settled
from lib import Fault, Outcome
from servers import Files, Registry, need

# What filters answer: that there is no such call, that it is not allowed, or, as some sandboxes' kernels do, that it was
# made wrongly.
ERRORS = ["ENOSYS", "EPERM", "EINVAL"]
# Calls that older filters do not know, or that sandboxes do without (gVisor, Docker before 20.10).
SHORT = [
    ("openat2", "ENOSYS"), ("openat2", "EPERM"), ("clone3", "EPERM"), ("clone3", "EINVAL"), ("flock", "EINVAL"), ("fsync", "EINVAL"),
    ("renameat2", "EINVAL"), ("renameat2", "ENOSYS"), ("statx", "EPERM"), ("copy_file_range", "EPERM"), ("mount", "EPERM"),
    ("unshare", "EPERM"), ("pidfd_open", "EPERM"), ("close_range", "EPERM"), ("setxattr", "EPERM"), ("fallocate", "EPERM"),
    ("memfd_create", "ENOSYS"), ("mount_setattr", "ENOSYS"), ("open_tree", "EPERM"), ("pivot_root", "EPERM"), ("prctl", "EINVAL"),
]
# Where it is refused, nobody can say anything.
UNTELLABLE = {"write"}
FILTER = pathlib.Path(__file__).with_name("under_filter.py")


def attempt(case, call, error):
    ended = case.work.run(case.arguments(), case.store, before=[sys.executable, "-B", FILTER, call, error])
    if ended.code == 1 and "never began" in ended.err:
        return Outcome("never began")
    return settled(case, case.work.judge(ended, case.work.reference if case.digest else None))


def faults(work, stack):
    need("strace", "docker-registry")
    options = work.options
    files = stack.enter_context(Files(work.files))
    registry = stack.enter_context(Registry(work.scratch() / "registry"))
    made = collections.defaultdict(list)
    if options.short:
        made[CASES[0]] = SHORT
    for kind in [] if options.short else chosen(options, CASES):
        measured(kind(work, files, registry))
        calls = sorted(counted(kind(work, files, registry)))
        wanted = [call for call in calls if call not in UNTELLABLE and (not options.call or call in options.call)]
        made[kind] = [(call, error) for call in wanted for error in ERRORS]
    for kind, refused in made.items():
        for call, error in refused:
            yield Fault(f"{kind.__name__}, {call} is refused with {error}",
                        lambda kind=kind, call=call, error=error: attempt(kind(work, files, registry), call, error))
