"""The store as a model has it: every file is whole, missing, cut, empty, turned in a bit, longer, or another's; and every
write may have been the last one.

Whatever state a store is in, the next build gives the reference digest, and after it all of the store is sound. What
cannot be made anew is named.
"""

import random
import shutil

from calls import counted, spread
from cases import BuildPush, Cold, Warm, chosen, measured, settled
from lib import Fault, Outcome
from servers import Files, Registry, need

# Calls by which a store is changed.
CHANGES = ["write", "pwrite64", "copy_file_range", "rename", "renameat2", "mkdir", "mkdirat", "unlink", "unlinkat", "rmdir",
           "fchmod", "chmod", "fdatasync", "fsync", "linkat", "symlinkat", "symlink", "ftruncate", "setxattr", "utimensat"]


def flip(data, rng):
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1:]


STATES = {
    "missing": None,
    "cut": lambda data, rng: data[:rng.randrange(len(data))],
    "empty": lambda data, rng: b"",
    "turned in a bit": flip,
    "longer": lambda data, rng: data + rng.randbytes(1 + rng.randrange(9)),
    "zeros": lambda data, rng: bytes(len(data)),
}


class Whole:
    """A store with an image, from which every attempt has a copy."""

    def __init__(self, work, files):
        self.work, self.address, self.store = work, files.address, work.scratch() / "store"
        work.build(self.store, files.address)
        work.run(["run", "x", "/bin/sh", "-c", "true"], self.store)
        work.build(self.store, files.address)
        self.files = sorted(path.relative_to(self.store) for path in self.store.rglob("*")
                            if path.is_file() and not path.is_symlink() and path.stat().st_size
                            and path.relative_to(self.store).parts[0] not in ("locks", "tmp", "work"))

    def copy(self):
        place = self.work.scratch()
        shutil.copytree(self.store, place / "store", symlinks=True)
        return place

    def damaged(self, states, rng):
        """A copy in which files are in these states."""
        place = self.copy()
        for path, state in states:
            file, change = place / "store" / path, STATES[state]
            if change is None:
                file.unlink()
                continue
            times = file.stat()
            file.write_bytes(change(file.read_bytes(), rng))
            if path.parts[0] != "trees":
                # Time says nothing of what is hashed.
                shutil.os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
        return place

    def attempt(self, states, more, seed):
        place = self.damaged(states, random.Random(seed))
        ended = self.work.build(place / "store", self.address, more)
        outcome = self.work.judge(ended, self.work.reference)
        if not outcome.wrong and ended.code == 1 and any(str(path) == "version" for path, _ in states):
            # Another number is another layout, for all that one can know.
            return Outcome("version told")
        if outcome.wrong or ended.code != 0:
            return Outcome(outcome.kind, outcome.wrong or "it is not healed", ended.said())
        healed = self.work.run(["store", "check"], place / "store")
        # What the build had no need of, it has not looked at.
        if healed.code == 1:
            self.work.run(["store", "check", "--repair"], place / "store")
            self.work.build(place / "store", self.address)
            healed = self.work.run(["store", "check"], place / "store")
        if healed.code != 0:
            return Outcome(outcome.kind, "the store is not sound afterwards", healed.said())
        return self.work.after(place, self.address, Outcome("healed" if "damaged" in ended.err else "right"))

    def named(self, states, seed):
        """A command that makes nothing gives what is right, or names what is wrong."""
        place = self.damaged(states, random.Random(seed))
        ended = self.work.run(["run", "x", "/bin/sh", "-c", "read -r line < /srv/hello; echo $line"], place / "store")
        outcome = self.work.judge(ended)
        if not outcome.wrong and ended.code == 0 and ended.out != "hello\n":
            return Outcome("wrong", f"it printed {ended.out!r}", ended.said())
        if not outcome.wrong and any(str(path) == "version" for path, _ in states):
            return outcome
        return self.work.after(place, self.address, outcome)


def crashed(case, call, number):
    """The process that makes the n-th change is killed as it makes it."""
    before = ["strace", "-f", "--seccomp-bpf", "-qq", "-o", case.place / "trace", "-e", f"trace={call}", "-e",
              f"inject={call}:signal=SIGKILL:when={number}"]
    ended = case.work.run(case.arguments(), case.store, before=before)
    if ended.code is None or ended.left:
        return settled(case, case.work.judge(ended))
    if ended.code == 0:
        return settled(case, case.work.judge(ended, case.work.reference if case.digest else None))
    return settled(case, Outcome("killed"))


def faults(work, stack):
    need("strace", "docker-registry")
    options = work.options
    rng = random.Random(options.seed)
    files = stack.enter_context(Files(work.files))
    whole = Whole(work, files)
    names = sorted(STATES)
    # Every file in every state, one at a time; then several at once.
    one = [[(path, state)] for path in whole.files for state in names]
    several = [[(path, rng.choice(names)) for path in rng.sample(whole.files, rng.randint(2, len(whole.files)))]
               for _ in range(6 if options.short else 100 * options.times)]
    for states in several + (rng.sample(one, 12) if options.short else one):
        name = f"{len(states)} files damaged" if len(states) > 1 else f"{states[0][0]} is {states[0][1]}"
        anew = rng.random() < 0.5
        yield Fault(name + (", made anew" if anew else ""),
                    lambda states=states, more=["--no-cache"] * anew, seed=rng.random(): whole.attempt(states, more, seed))
        yield Fault(f"{name}, run", lambda states=states, seed=rng.random(): whole.named(states, seed))
    registry = stack.enter_context(Registry(work.scratch() / "registry"))
    for kind in chosen(options, [Cold] if options.short else [Cold, Warm, BuildPush]):
        measured(kind(work, files, registry))
        counts = counted(kind(work, files, registry))
        points = [(call, number) for call in CHANGES for number in spread(counts.get(call, 0), options.most * 4)]
        for call, number in rng.sample(points, min(len(points), 12)) if options.short else points:
            yield Fault(f"{kind.__name__}, killed at call {number} of {call}",
                        lambda kind=kind, call=call, number=number: crashed(kind(work, files, registry), call, number))
