"""Commands side by side on one store: builds, runs, pushes, exports, lists and prunes, in any order.

Each is right, or was refused because of another with a word for it.
"""

import random

from lib import Fault, Outcome
from servers import Files, Registry, need

# Commands at a time.
JOBS = 6
VARIANTS = 4


class Mix:
    def __init__(self, work, files, registry):
        self.work, self.registry, self.address = work, registry, files.address
        self.place = work.scratch()
        self.store = self.place / "store"
        self.blueprints = [work.blueprint(self.place / f"blueprint{number}", files.address, f"echo {number} > /srv/hello")
                           for number in range(VARIANTS)]
        self.digests = []
        for number in range(VARIANTS):
            other = work.scratch() / "store"
            self.digests.append(work.run(self.build(number), other).digest)
        # There is always something to run and to push.
        work.run(self.build(0), self.store)

    def build(self, number, *more):
        return ["build", self.blueprints[number], "-t", f"v{number}", "--base", f"rootfs:{self.work.root}", *more]

    def command(self, rng):
        number = rng.randrange(VARIANTS)
        named = f"{self.registry.address}/mix/v{number}:1"
        push = ["build", self.blueprints[number], "-t", named, "--base", f"rootfs:{self.work.root}", "--push"]
        out = self.work.scratch() / "x.tar"
        return rng.choice([
            ("build", self.build(number), self.digests[number]),
            ("build anew", self.build(number, "--no-cache"), self.digests[number]),
            ("build --push", push, self.digests[number]),
            ("build -o", self.build(number, "-o", f"type=oci-archive,dest={out}"), self.digests[number]),
            ("run", ["run", "v0", "/bin/sh", "-c", "read -r line < /srv/hello; echo $line"], None),
            ("push", ["push", "v0", f"{self.registry.address}/mix/pushed:1"], None),
            ("images", ["images"], None),
            ("inspect", ["inspect", "v0"], None),
            ("prune", ["prune"], None),
            ("prune --dry-run", ["prune", "--dry-run"], None),
        ])

    def attempt(self, name, arguments, digest):
        ended = self.work.run(arguments, self.store)
        outcome = self.work.judge(ended, digest)
        if outcome.wrong or ended.code == 0:
            outcome.kind = f"{name}: {outcome.kind}"
            if name == "run" and not outcome.wrong and ended.out != "0\n":
                outcome.wrong, outcome.said = f"it printed {ended.out!r}", ended.said()
            return outcome
        if name.startswith("prune") and "another alloy" in ended.err:
            return Outcome("prune: refused")
        return Outcome(outcome.kind, f"{name}: exit code {ended.code}", ended.said())


def faults(work, stack):
    need("docker-registry")
    options = work.options
    files = stack.enter_context(Files(work.files))
    registry = stack.enter_context(Registry(work.scratch() / "registry"))
    mix = Mix(work, files, registry)
    rng = random.Random(options.seed)
    for _ in range(20 if options.short else options.times * 300):
        name, arguments, digest = mix.command(rng)
        yield Fault(f"{name} beside others",
                    lambda name=name, arguments=arguments, digest=digest: mix.attempt(name, arguments, digest))
    faults.last = lambda: work.after(mix.place, mix.address, Outcome("afterwards"))
