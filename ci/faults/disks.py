"""Disks that are too small, or have too few inodes: the store on a tmpfs, in a mount namespace of its own.

A build that does not fit says so and ends; once there is room, the same store gives the reference digest, with `prune`
on the full disk between them or without.
"""

from lib import LIMIT, Fault, Outcome
from servers import Files

# The store's disk is full, then not. What each said is told apart by the numbers of the files.
SCRIPT = """
mount -t tmpfs -o size=$SIZE,nr_inodes=$INODES tmpfs "$ALLOY_HOME" || exit 99
"$@" > "$AT/1.out" 2> "$AT/1.err"; echo $? > "$AT/1.code"
if [ "$PRUNE" ]; then "$ALLOY" prune > "$AT/2.out" 2> "$AT/2.err"; echo $? > "$AT/2.code"; fi
mount -o remount,size=1g,nr_inodes=1000000 "$ALLOY_HOME" || exit 98
"$@" > "$AT/3.out" 2> "$AT/3.err"; echo $? > "$AT/3.code"
"""
NAMES = {"1": "the build on the full disk", "2": "prune on the full disk", "3": "the build with room"}


def attempt(work, size, inodes, prune):
    place = work.scratch()
    store, at = place / "store", place / "said"
    store.mkdir()
    at.mkdir()
    with Files(work.files) as server:
        blueprint = work.blueprint(place / "blueprint", server.address)
        env = {"SIZE": str(size), "INODES": str(inodes), "AT": str(at), "ALLOY": str(work.alloy), "PRUNE": "1" if prune else ""}
        before = ["unshare", "-m", "--propagation", "private", "timeout", "-k", "1", str(LIMIT - 10), "sh", "-c", SCRIPT, "sh"]
        ended = work.run(work.arguments(blueprint), store, before=before, env=env)
    if ended.code != 0 or ended.left:
        return Outcome("hung" if ended.code in (None, 124) else "left over", f"{ended.left or 'it hangs'}", ended.said())
    kind = None
    for number, name in NAMES.items():
        if number == "2" and not prune:
            continue
        said = type(ended)(int((at / f"{number}.code").read_text()), (at / f"{number}.out").read_text(errors="replace"),
                           (at / f"{number}.err").read_text(errors="replace"))
        outcome = work.judge(said, work.reference if number != "2" else None)
        # What the disk has to do with it is in the words.
        if not outcome.wrong and said.code != 0 and number == "1" and "No space left" not in said.err:
            outcome.wrong, outcome.said = "it does not name the disk", said.said()
        if not outcome.wrong and said.code != 0 and number != "1":
            outcome.wrong, outcome.said = f"exit code {said.code}", said.said()
        if outcome.wrong:
            return Outcome(outcome.kind, f"{name}: {outcome.wrong}", outcome.said)
        kind = kind or outcome.kind
    return Outcome(kind)


def faults(work, stack):
    options = work.options
    kib = [40, 1200, 3200] if options.short else [*range(8, 400, 40), *range(400, 12000, 400)]
    inodes = [60] if options.short else [*range(5, 200, 12)]
    chosen = [(f"{size}k", 1000000) for size in kib] + [("1g", count) for count in inodes]
    for number, (size, count) in enumerate(chosen * (1 if options.short else options.times)):
        prune = number % 2 == 1
        name = f"a disk of {size} and {count} inodes" + (", pruned" if prune else "")
        yield Fault(name, lambda size=size, count=count, prune=prune: attempt(work, size, count, prune))
