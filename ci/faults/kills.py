"""Kills at random moments: of alloy, of one of its processes, of all of them, and signals that ask it to end.

Nothing goes on, nothing stays mounted; what is named is whole; the same command once more comes to what it would have.
"""

import random
import signal
import time

from cases import CASES, Archive, Cold, Install, Run, chosen, measured, settled
from lib import Fault, Outcome, kill
from servers import Files, Registry, need

HOWS = ["alloy", "one", "all", "SIGTERM", "SIGINT", "SIGHUP"]
SHORT = [Cold, Archive, Install]


def strike(process, group, how, rng):
    pids = group.pids()
    if how.startswith("SIG"):
        kill(process.pid, getattr(signal, how))
    elif how == "alloy":
        kill(process.pid, signal.SIGKILL)
    elif how == "one" and pids:
        kill(rng.choice(pids), signal.SIGKILL)
    else:
        for pid in pids:
            kill(pid, signal.SIGKILL)


def attempt(case, how, moment, seed):
    """`moment` is in seconds from the start."""
    work, rng = case.work, random.Random(seed)
    process, group = work.start(case.arguments(), case.store)
    time.sleep(moment)
    hit = process.poll() is None
    strike(process, group, how, rng)
    ended = work.finish(process, group)
    if ended.code is None or ended.left:
        outcome = work.judge(ended)
    elif not hit:
        outcome = work.judge(ended, work.reference if case.digest else None)
        outcome.kind = "came too late"
    elif ended.code == -signal.SIGKILL and how in ("alloy", "one", "all"):
        outcome = Outcome("killed")
    elif ended.code == 128 + signal.SIGKILL and isinstance(case, Run):
        # It ends as its command does.
        outcome = Outcome("ended as the command")
    elif ended.code < 0:
        # A signal may come before alloy knows what to do with it.
        outcome = Outcome("ended by the signal")
    else:
        outcome = work.judge(ended, work.reference if case.digest and ended.code == 0 else None)
    return settled(case, outcome)


def faults(work, stack):
    need("docker-registry")
    options = work.options
    files = stack.enter_context(Files(work.files))
    registry = stack.enter_context(Registry(work.scratch() / "registry"))
    rng = random.Random(options.seed)
    for kind in chosen(options, SHORT if options.short else CASES):
        takes = measured(kind(work, files, registry))
        for number in range(1 if options.short else options.times * 12):
            how, moment = rng.choice(HOWS[:3] if number % 2 else HOWS), rng.random() * 0.9 * takes
            # The case is made when it is tried.
            yield Fault(f"{kind.__name__}, {how} after {moment:.3f} of {takes:.3f} s",
                        lambda kind=kind, how=how, moment=moment, seed=rng.random():
                        attempt(kind(work, files, registry), how, moment, seed))
