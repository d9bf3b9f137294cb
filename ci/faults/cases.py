"""Commands of alloy, each in a place of its own, and how one tells that it has done its work, or nothing."""

import hashlib
import json
import os
import shutil
import tarfile
import time

from lib import Outcome
from transfers import complete


class Case:
    """One command, in a place of its own."""

    # What `prepare` needs in the store.
    built = False
    # It says the digest of the image.
    digest = True
    # Its blueprint is the one that all builds have.
    rebuilt = True

    def __init__(self, work, files, registry):
        self.work, self.registry, self.address = work, registry, files.address
        self.place = work.scratch()
        self.store = self.place / "store"
        self.blueprint = work.blueprint(self.place / "blueprint", files.address)
        if self.built and work.run(work.arguments(self.blueprint), self.store).code != 0:
            raise SystemExit("the build without a fault failed")

    def arguments(self):
        return self.work.arguments(self.blueprint)

    def look(self):
        """What is wrong right after the kill."""

    def done(self):
        """What is wrong once the command has done its work."""


class Cold(Case):
    pass


class Run(Case):
    """A command in the image that was built."""

    built, digest = True, False

    def arguments(self):
        return ["run", "x", "/bin/sh", "-c", "read -r line < /srv/hello; echo $line"]


class Warm(Case):
    built = True

    def arguments(self):
        # The last layer is made anew.
        return [*super().arguments(), "--no-cache=b.yml"]


class Push(Case):
    built, digest = True, False

    def __init__(self, *given):
        super().__init__(*given)
        self.name = f"kill{self.place.name}/x"

    def arguments(self):
        return ["push", "x", f"{self.registry.address}/{self.name}:1"]

    def look(self):
        return complete(self.registry, self.name, "1")

    def done(self):
        status, _ = self.registry.get(f"{self.name}/manifests/1")
        return self.look() if status == 200 else f"the registry says {status}"


class BuildPush(Push):
    built, digest = False, True

    def arguments(self):
        reference = f"{self.registry.address}/{self.name}:1"
        return ["build", self.blueprint, "-t", reference, "--base", f"rootfs:{self.work.root}", "--push"]


class CacheTo(Case):
    def arguments(self):
        return [*super().arguments(), "--cache-to", f"type=local,dest={self.place}/cache"]

    def done(self):
        other = self.work.scratch()
        ended = self.work.run([*Case.arguments(self), "--cache-from", f"type=local,src={self.place}/cache"], other / "store")
        return None if ended.digest == self.work.reference else f"from the cache: {ended.said()}"


class Export(Case):
    built, digest = True, False

    def arguments(self):
        return ["cache", "export", f"type=local,dest={self.place}/cache"]

    def done(self):
        return CacheTo.done(self)


class Import(Case):
    digest = False

    def __init__(self, *given):
        super().__init__(*given)
        other = self.work.scratch()
        self.work.run([*super().arguments(), "--cache-to", f"type=local,dest={self.place}/cache"], other / "store")

    def arguments(self):
        return ["cache", "import", f"type=local,src={self.place}/cache"]


class Archive(Case):
    """An archive under a name: the old one, or the new one, and nothing beside it."""

    built = True
    old = b"what was there before"

    def __init__(self, *given):
        super().__init__(*given)
        (self.place / "out").mkdir()
        self.file = self.place / "out/x.tar"
        self.file.write_bytes(self.old)

    def arguments(self):
        return [*super().arguments(), "--no-cache=b.yml", "-o", f"type=oci-archive,dest={self.file}"]

    def look(self):
        return None if self.file.exists() and (self.file.read_bytes() == self.old or not broken(self.file)) else "the archive is cut"

    def done(self):
        beside = sorted(set(os.listdir(self.place / "out")) - {"x.tar"})
        return f"left beside it: {beside}" if beside else broken(self.file)


def broken(file):
    """What is wrong with an archive of an image."""
    try:
        with tarfile.open(file) as tar:
            for member in tar.getmembers():
                if member.name.startswith("blobs/sha256/") and member.isfile():
                    content = tar.extractfile(member).read()
                    if hashlib.sha256(content).hexdigest() != member.name.rpartition("/")[2]:
                        return f"{member.name} is something else"
            json.load(tar.extractfile("index.json"))
    except (tarfile.TarError, KeyError, ValueError, EOFError) as error:
        return f"the archive: {error}"
    return None


class Prune(Case):
    built, digest = True, False

    def arguments(self):
        return ["prune", "--all"]


class Lock(Case):
    """The lockfile is the old one or the new one."""

    digest = rebuilt = False

    def __init__(self, *given):
        super().__init__(*given)
        tasks = self.blueprint / "b.yml"
        tasks.write_text("".join(f"- {{name: {name}, action: get_file, url: 'http://{self.address}/{name}', dest: /opt/{name}}}\n"
                                 for name in self.work.files))
        (self.blueprint / "a.yml").write_text("- {name: env, action: write_env_file, file: /srv/env, content: A=1}\n")
        self.file = self.blueprint / "alloy.lock.yml"

    def arguments(self):
        return ["lock", self.blueprint, "--base", f"rootfs:{self.work.root}"]

    def look(self):
        return None if not self.file.exists() or all(name in self.file.read_text() for name in self.work.files) else "half a lockfile"

    def done(self):
        beside = sorted(set(os.listdir(self.blueprint)) - {"manifest.yml", "a.yml", "b.yml", "alloy.lock.yml"})
        return f"left beside it: {beside}" if beside else self.look()


class Install(Case):
    """A root of its own: once more, and it is as if nothing had been killed."""

    digest = False
    whole = None

    def __init__(self, *given):
        super().__init__(*given)
        self.root = self.place / "root"
        shutil.copytree(self.work.root, self.root, symlinks=True)

    def arguments(self):
        return ["install", "--blueprint-dir", self.blueprint, "--root", self.root, "--state", self.place / "state.yml"]

    def names(self):
        return {os.path.relpath(os.path.join(at, name), self.root) for at, directories, files in os.walk(self.root) for name in directories + files}

    def done(self):
        if Install.whole is None:
            return None
        more, fewer = sorted(self.names() - Install.whole), sorted(Install.whole - self.names())
        return f"other names than without a fault: more {more}, fewer {fewer}" if more or fewer else None


CASES = [Cold, Warm, Run, BuildPush, CacheTo, Archive, Push, Prune, Export, Import, Lock, Install]


def chosen(options, kinds):
    return [kind for kind in kinds if not options.case or kind.__name__ in options.case]


def settled(case, outcome):
    """What is wrong after a fault: with what is there, with the same command once more, and with what that leaves."""
    work = case.work
    outcome.wrong = outcome.wrong or work.left_over(case.place) or case.look()
    if outcome.wrong:
        return outcome
    if type(case) in (Run, Push) and any((case.store / "aside").glob("*")):
        # A disk that has failed once has damaged what it was asked for: it is put aside, and a build makes it again.
        work.build(case.store, case.address)
    again = work.run(case.arguments(), case.store)
    judged = work.judge(again, work.reference if case.digest else None)
    if judged.wrong or again.code != 0:
        return Outcome(outcome.kind, f"the same once more: {judged.wrong or judged.kind}", again.said())
    outcome.wrong = case.done()
    if outcome.wrong or not case.rebuilt:
        return outcome
    return work.after(case.place, case.address, outcome)


def measured(case):
    """How long the command takes, without a fault."""
    start = time.monotonic()
    ended = case.work.run(case.arguments(), case.store)
    takes = time.monotonic() - start
    name = type(case).__name__
    if ended.code != 0:
        raise SystemExit(f"{name} without a fault failed:\n{ended.said()}")
    if isinstance(case, Install):
        Install.whole = case.names()
    if wrong := case.done():
        raise SystemExit(f"{name} without a fault: {wrong}")
    return takes
