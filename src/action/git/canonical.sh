# Makes all repositories below what their commits say, and nothing else. They lose references that nobody asked for,
# logs of references, which hold the time of day, and what no commit needs. Objects are packed anew, by one thread, as
# packs of servers, and those of several threads, are other ones every time. Indexes are written without times and inode
# numbers: those of the machine that clones are no use where the image runs, and git there looks at the files themselves.
line='
'
find . -name .git -prune | sort | while read -r found; do (
    cd "${found%/.git}" || exit
    git rev-parse --quiet --verify HEAD >/dev/null 2>&1 || exit 0
    work=$PWD
    dir=$(git rev-parse --absolute-git-dir) || exit
    cd "$dir" || exit

    # A branch is one of the server's that is at the same commit. west looks for manifest-rev.
    branch=$(git symbolic-ref --quiet HEAD)
    own=refs/remotes/origin/${branch#refs/heads/}
    if git show-ref --quiet --verify "$own"; then git update-ref --no-deref "$own" HEAD || exit; fi
    keep="$line$branch$line$own${line}refs/heads/manifest-rev$line$(cat alloy-keep 2>/dev/null)$line"
    git for-each-ref --format='%(refname)' | while read -r ref; do
        case $keep in *"$line$ref$line"*) ;; *) echo "delete $ref" ;; esac
    done | git update-ref --no-deref --stdin || exit
    git pack-refs --all || exit
    # Which directories there are for references depends on how the commit was asked for; two are in every repository.
    find refs -mindepth 1 -depth -type d ! -path refs/heads ! -path refs/tags -exec rmdir {} + 2>/dev/null
    # What a branch that is not here followed is what the server's default branch was called that day.
    git config --get-regexp '^branch\..*\.(remote|merge)$' | sed -E 's/^branch\.(.*)\.(remote|merge) .*/\1/' | sort -u |
        while read -r name; do
            git show-ref --quiet --verify "refs/heads/$name" || git config --remove-section "branch.$name"
        done
    rm -rf logs FETCH_HEAD ORIG_HEAD alloy-keep info/refs gc.log

    # Of a history as long as a kernel's, packing anew takes longer than anybody waits: it stays as the server packed it.
    count=$(git count-objects -v | sed -n 's/^in-pack: //p')
    if test "${count:-0}" -gt 1000000; then
        echo "$work has $count objects, which are not packed anew: another build may have other bytes; \`depth\` or a smaller clone avoids that"
    # What is not here is still at the server, or in another repository.
    elif test -d objects && test ! -d worktrees && test -z "$(git config --get extensions.partialClone)"; then
        test ! -f shallow || sort -o shallow shallow || exit
        rm -rf repacked && mkdir -p repacked/info repacked/pack || exit
        { git rev-parse HEAD && git for-each-ref --format='%(objectname)'; } | git pack-objects --quiet --revs \
            --no-reuse-object --threads=1 --delta-base-offset repacked/pack/pack >/dev/null || exit
        rm -rf objects && mv repacked objects || exit
    fi
    rm -f index sharedindex.* && git -C "$work" read-tree HEAD
) || exit; done
