"""What all sections share: a small blueprint, runs of alloy that are watched, and the judgement of how one ended."""

import dataclasses
import gzip
import hashlib
import io
import itertools
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import tarfile
import threading
import time

# docs/src/reference/exit-codes.md.
DOCUMENTED = {1, 2, 3, 4, 5, 125, 130}
# Far more than any command here needs: what takes longer hangs.
LIMIT = 120
# How long what alloy started may take to go after it has ended.
LAST = 5
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclasses.dataclass
class Ended:
    """How a run ended: the code is None for a hang, negative for a signal."""

    code: int | None
    out: str
    err: str
    # What is still there of it.
    left: str = ""

    @property
    def digest(self):
        found = DIGEST.search(self.out)
        return found and found.group(0)

    def said(self):
        return f"exit code {self.code}\n{self.out[-500:]}{self.err[-3000:]}"


@dataclasses.dataclass
class Outcome:
    """What came of one fault: its kind, what is wrong with it if anything is, and what was said."""

    kind: str
    wrong: str | None = None
    said: str = ""


@dataclasses.dataclass
class Fault:
    """One fault to try: `attempt` gives its Outcome."""

    name: str
    attempt: object


def archive(members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            tar.addfile(member, io.BytesIO(content))
    return gzip.compress(out.getvalue(), mtime=0)


def root(place):
    """A root file system with a shell, of this machine's."""
    for name in ("etc", "tmp", "run", "dev", "proc", "sys", "root", "srv", "opt", "bin", "usr/sbin"):
        (place / name).mkdir(parents=True)
    (place / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
    (place / "etc/group").write_text("root:x:0:\n")
    (place / "etc/os-release").write_text("ID=debian\nVERSION_ID=12\nVERSION_CODENAME=bookworm\n")
    (place / "bin/sh").symlink_to("bash")
    shell = shutil.which("bash")
    needed = re.findall(r"(/\S+) \(0x", subprocess.run(["ldd", shell], check=True, capture_output=True, text=True).stdout)
    for source, target in [(shell, "/bin/bash")] + [(path, path) for path in needed]:
        (place / target[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(os.path.realpath(source), place / target[1:])
    return place


class Group:
    """All processes of one run, wherever they have their parents: a cgroup of its own."""

    HIERARCHIES = [pathlib.Path("/sys/fs/cgroup/pids"), pathlib.Path("/sys/fs/cgroup")]
    numbers = itertools.count()

    def __init__(self, most=None):
        above = next(place for place in self.HIERARCHIES if (place / "cgroup.procs").exists())
        self.place = above / f"alloy-faults-{os.getpid()}-{next(self.numbers)}"
        self.place.mkdir()
        if most:
            (self.place / "pids.max").write_text(str(most))

    def enter(self):
        (self.place / "cgroup.procs").write_text("0")

    def pids(self):
        return [int(pid) for pid in (self.place / "cgroup.procs").read_text().split()]

    def end(self):
        """Names what is still there after a while, and ends it."""
        until, left = time.monotonic() + LAST, ""
        while self.pids() and time.monotonic() < until:
            time.sleep(0.01)
        while pids := self.pids():
            left = left or ", ".join(map(command_line, pids))
            for pid in pids:
                kill(pid, signal.SIGKILL)
            time.sleep(0.01)
        self.place.rmdir()
        return left


def command_line(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return "a process"


def kill(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


class Work:
    """One blueprint, its files, and what it comes to."""

    def __init__(self, alloy, place, options):
        self.alloy, self.place, self.options = alloy, place, options
        rng = random.Random(options.seed)
        self.files = {
            "one.tar.gz": archive([("one/a", b"a" * 70000), ("one/b", rng.randbytes(200000))]),
            "two.tar.gz": archive([("two/c", rng.randbytes(90000)), ("two/d", b"d")]),
            # A name twice: it is unpacked in place.
            "odd.tar.gz": archive([("odd/e", b"1"), ("odd/e", b"22")]),
            "tool": rng.randbytes(50000),
        }
        self.root = root(place / "root")
        self.reference = None
        self.numbers, self.lock = itertools.count(), threading.Lock()
        # Directories of the attempt that this thread makes.
        self.attempt = threading.local()

    def scratch(self):
        """An empty directory."""
        with self.lock:
            place = self.place / f"{next(self.numbers)}"
        place.mkdir()
        getattr(self.attempt, "made", []).append(place)
        return place

    def blueprint(self, place, address, command="echo hello > /srv/hello"):
        """The blueprint, whose files come from `address`."""
        place.mkdir(parents=True, exist_ok=True)
        pin = lambda name: f"url: 'http://{address}/{name}', sha256: {hashlib.sha256(self.files[name]).hexdigest()}"
        (place / "manifest.yml").write_text(
            "name: Faults\nversion: 1.0.0\nrun_order: [a.yml, b.yml]\nimage: {env_from_profile: false}\n")
        (place / "a.yml").write_text(
            "- {name: env, action: write_env_file, file: /srv/env, content: A=1}\n"
            f"- {{name: one, action: unarchive_from_url, {pin('one.tar.gz')}, dest: /opt/one}}\n"
            f"- {{name: two, action: unarchive_from_url, {pin('two.tar.gz')}, dest: /opt/two}}\n"
            f"- {{name: odd, action: unarchive_from_url, {pin('odd.tar.gz')}, dest: /opt/odd}}\n")
        (place / "b.yml").write_text(
            f"- {{name: tool, action: get_file, {pin('tool')}, dest: /opt/tool}}\n"
            f"- {{name: run, action: run_command, reason: test, command: '{command}'}}\n")
        return place

    def environment(self, store, more=None):
        return {"PATH": os.environ["PATH"], "HOME": str(self.place), "ALLOY_HOME": str(store), **(more or {})}

    def start(self, arguments, store, before=(), shell=None, env=None, group=None):
        """Starts alloy in a group of its own."""
        command = [*before, str(self.alloy), "--progress=plain", "--stall-timeout=3", *map(str, arguments)]
        if shell:
            command = ["sh", "-c", shell + '; exec "$@"', "sh", *command]
        group = group or Group()
        process = subprocess.Popen(command, env=self.environment(store, env), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
                                   start_new_session=True, preexec_fn=group.enter)
        return process, group

    def finish(self, process, group):
        """Waits for the end of what `start` gave."""
        try:
            out, err = process.communicate(timeout=LIMIT)
            code = process.returncode
        except subprocess.TimeoutExpired:
            for pid in group.pids():
                kill(pid, signal.SIGKILL)
            out, err = process.communicate()
            code = None
        return Ended(code, out, err, group.end())

    def run(self, arguments, store, **how):
        return self.finish(*self.start(arguments, store, **how))

    def arguments(self, blueprint):
        return ["build", blueprint, "-t", "x", "--base", f"rootfs:{self.root}"]

    def build(self, store, address, more=(), **how):
        blueprint = self.blueprint(store.parent / "blueprint", address)
        return self.run([*self.arguments(blueprint), *more], store, **how)

    def refer(self, address):
        """Builds without a fault, for the digest that all others are to have."""
        ended = self.build(self.scratch() / "store", address)
        if ended.code != 0:
            raise SystemExit(f"the build without a fault failed:\n{ended.said()}")
        self.reference = ended.digest

    def left_over(self, place):
        """What is still mounted below `place`, if anything is."""
        mounts = [line.split()[1] for line in pathlib.Path("/proc/mounts").read_text().splitlines()]
        mounts = [mount for mount in mounts if mount.startswith(f"{place}/")]
        return f"still mounted: {', '.join(mounts)}" if mounts else None

    def judge(self, ended, digest=None):
        """What is wrong with how a run ended, and its kind. `digest` is the one that it has to have, if it is done."""
        if ended.code is None:
            return Outcome("hung", "it hangs", ended.said())
        if ended.left:
            return Outcome("left over", f"processes are left: {ended.left}", ended.said())
        if ended.code == 0:
            if digest and ended.digest != digest:
                return Outcome("other digest", f"exit code 0, and the digest {ended.digest}", ended.said())
            return Outcome("right")
        if ended.code == 127 and "loading shared libraries" in ended.err:
            return Outcome("never began")
        if "panicked" in ended.err or "itself failed" in ended.err:
            return Outcome("panicked", "it panics", ended.said())
        if ended.code not in DOCUMENTED:
            return Outcome("undocumented", f"exit code {ended.code}", ended.said())
        if not re.search(r"(error|alloy): \S", ended.err) and ended.code != 130:
            return Outcome("silent", f"exit code {ended.code} without a word", ended.said())
        return Outcome(f"told, exit code {ended.code}")

    def after(self, place, address, outcome):
        """The same build once more without a fault, and what it leaves; `place` has its store."""
        if outcome.wrong:
            return outcome
        ended = self.build(place / "store", address)
        again = self.judge(ended, self.reference)
        if again.wrong or ended.code != 0:
            return Outcome(outcome.kind, f"the next build: {again.wrong or again.kind}", ended.said())
        return Outcome(outcome.kind, self.left_over(place) or self.temporary(place))

    def temporary(self, place):
        """What lies in the store's scratch after a build that is done and a `prune`."""
        ended = self.run(["prune"], place / "store")
        if ended.code != 0:
            return f"prune: {ended.said()}"
        left = sorted(path.name for name in ("tmp", "work") for path in (place / "store" / name).glob("*"))
        return f"left in the store after prune: {', '.join(left)}" if left else None

