"""Servers and networks that do what they should not: single requests of a build, and a registry behind a proxy.

Whatever arrives, arrives whole or not at all: a tag never stands for something that cannot be pulled, and whatever is
tried once more without a fault is right.
"""

import hashlib
import json

from lib import Fault, Outcome
from servers import Files, Proxy, Registry, need

HOWS = ["reset", "silence", 403, 404, 429, 500, 503, "cut", "wrong"]


def one(work, how, at):
    """One request of the build's downloads is answered badly, or all of them."""
    place = work.scratch()
    with Files(work.files, how, at) as server:
        outcome = work.judge(work.build(place / "store", server.address), work.reference)
    with Files(work.files) as server:
        return work.after(place, server.address, outcome)


def downloads(work, share, seed):
    """The build's downloads come through the proxy."""
    place = work.scratch()
    with Files(work.files) as server:
        with Proxy(server.address, share, seed) as proxy:
            outcome = work.judge(work.build(place / "store", proxy.address), work.reference)
            met(outcome, proxy)
        return work.after(place, server.address, outcome)


def met(outcome, proxy):
    if proxy.faults == 0 and not outcome.wrong:
        outcome.kind += ", met no fault"


def complete(registry, name, tag):
    """What a tag lacks; `None` if all of it is there as it is named, or if there is no such tag."""
    status, manifest = registry.get(f"{name}/manifests/{tag}")
    if status == 404:
        return None
    if status != 200:
        return f"the tag {tag}: status {status}"
    manifest = json.loads(manifest)
    for blob in [manifest["config"], *manifest["layers"]]:
        status, content = registry.get(f"{name}/blobs/{blob['digest']}")
        if status != 200 or f"sha256:{hashlib.sha256(content).hexdigest()}" != blob["digest"]:
            return f"the tag {tag} stands for {blob['digest']}: status {status}"
    return None


class Registered:
    """A registry, and a store whose image is to go there."""

    def __init__(self, work, registry, address):
        self.work, self.registry, self.address = work, registry, address
        pushed = work.run(["push", "x", f"{registry.address}/base/x:1"], self.stored() / "store")
        if pushed.code != 0:
            raise SystemExit(f"the push without a fault failed:\n{pushed.said()}")

    def tried(self, arguments, share, seed, place, digest=None):
        """A command against the registry behind the proxy; what came of it, and of the same without faults."""
        with Proxy(self.registry.address, share, seed) as proxy:
            ended = self.work.run(arguments(proxy.address), place / "store")
            outcome = self.work.judge(ended, digest)
            met(outcome, proxy)
        return outcome

    def again(self, outcome, arguments, place, digest=None):
        if outcome.wrong:
            return outcome
        ended = self.work.run(arguments(self.registry.address), place / "store")
        if ended.code != 0 or (digest and ended.digest != digest):
            return Outcome(outcome.kind, f"the next one: exit code {ended.code}, digest {ended.digest}", ended.said())
        return outcome

    def stored(self):
        place = self.work.scratch()
        ended = self.work.build(place / "store", self.address)
        if ended.code != 0:
            raise SystemExit(f"the build without a fault failed:\n{ended.said()}")
        return place

    def push(self, share, seed):
        """`push`: no tag without all of it, whatever alloy said, and all of it if it said so."""
        place, name = self.stored(), f"push{seed}/x"
        arguments = lambda address: ["push", "x", f"{address}/{name}:1"]
        outcome = self.tried(arguments, share, seed, place)
        outcome.wrong = outcome.wrong or complete(self.registry, name, "1")
        outcome = self.again(outcome, arguments, place)
        outcome.wrong = outcome.wrong or complete(self.registry, name, "1")
        return outcome

    def build_push(self, share, seed):
        place, name = self.work.scratch(), f"build{seed}/x"
        blueprint = self.work.blueprint(place / "blueprint", self.address)
        arguments = lambda address: ["build", blueprint, "-t", f"{address}/{name}:1", "--base",
                                     f"rootfs:{self.work.root}", "--push"]
        outcome = self.tried(arguments, share, seed, place, self.work.reference)
        outcome.wrong = outcome.wrong or complete(self.registry, name, "1")
        outcome = self.again(outcome, arguments, place, self.work.reference)
        outcome.wrong = outcome.wrong or complete(self.registry, name, "1")
        return outcome

    def pull(self, share, seed):
        """An image of the registry as a base on which a command runs."""
        place = self.work.scratch()
        (place / "blueprint").mkdir()
        (place / "blueprint/manifest.yml").write_text(
            "name: Pulled\nversion: 1.0.0\nrun_order: [a.yml]\nimage: {env_from_profile: false}\n")
        (place / "blueprint/a.yml").write_text(
            "- {name: run, action: run_command, reason: test, command: 'read -r line < /srv/hello; echo $line > /srv/copy'}\n")
        arguments = lambda address: ["build", place / "blueprint", "-t", "y", "--base", f"{address}/base/x:1"]
        outcome = self.tried(arguments, share, seed, place)
        return self.again(outcome, arguments, place)

    def cached(self, share, seed):
        """A build whose cache is the registry, then another from that cache."""
        place, name = self.work.scratch(), f"cache{seed}/x"
        blueprint = self.work.blueprint(place / "blueprint", self.address)
        build = self.work.arguments(blueprint)
        to = lambda address: [*build, "--cache-to", f"{address}/{name}"]
        outcome = self.tried(to, share, seed, place, self.work.reference)
        outcome = self.again(outcome, to, place, self.work.reference)
        if outcome.wrong:
            return outcome
        other = self.work.scratch()
        back = lambda address: [*build, "--cache-from", f"{address}/{name}"]
        outcome = self.tried(back, share, seed + 1, other, self.work.reference)
        return self.again(outcome, back, other, self.work.reference)


def faults(work, stack):
    need("docker-registry")
    options = work.options
    for how in ["reset", "wrong"] if options.short else HOWS:
        for at in [1, 3] if options.short else range(len(work.files) + 1):
            which = f"request {at}" if at else "every request"
            yield Fault(f"{which}: {how}", lambda how=how, at=at: one(work, how, at))
    files = stack.enter_context(Files(work.files))
    registered = Registered(work, stack.enter_context(Registry(work.scratch() / "registry")), files.address)
    kinds = {"downloads": lambda *how: downloads(work, *how), "push": registered.push, "build --push": registered.build_push,
             "pull": registered.pull, "cache": registered.cached}
    for number in range(1 if options.short else options.times * 10):
        for share in [0.3] if options.short else [0.05, 0.15, 0.3]:
            for name, kind in kinds.items():
                seed = options.seed + number * 1000 + int(share * 100)
                yield Fault(f"{name}: {share:.0%} of all requests, seed {seed}",
                            lambda kind=kind, share=share, seed=seed: kind(share, seed))
