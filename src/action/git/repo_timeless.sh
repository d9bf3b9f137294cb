# Makes a workspace of repo the same whenever and wherever it was made, as the script beside this one has it for other
# repositories. Those of repo share their objects by links, which have to stay as they are.
line='
'
list=$PWD/.repo/alloy-packed
# When what was fetched and how long that took, what was done, and copies of settings.
rm -rf .repo/.repo_fetchtimes.json .repo/.repo_localsyncstate.json .repo/TRACE_FILE* .repo/repo/__pycache__
rm -f ~/.repo_.gitconfig.json
config=.repo/manifests.git/config
git config --file $config --name-only --get-regexp '^repo\.syncstate\.' | sed 's/\.[^.]*$//' | sort -u |
    while read -r section; do git config --file $config --remove-section "$section" || exit; done || exit

# One repository after the other, those of submodules too. `objects` is its own, or a link to those that it shares.
{
    echo .repo/manifests.git/objects
    test ! -d .repo/projects || find .repo/projects -name objects
} | sed 's,/objects$,,' | sort | while read -r at; do (
    cd "$at" && git rev-parse --resolve-git-dir . >/dev/null 2>&1 || exit 0
    git rev-parse --quiet --verify HEAD >/dev/null 2>&1 || exit 0
    # The branch `default`, what the manifest calls the revision, and the server's branch that this stands for.
    branch=$(git symbolic-ref --quiet HEAD)
    keep=$line$branch$line
    for ref in $(git for-each-ref --format='%(refname)' refs/remotes/m/); do
        keep=$keep$ref$line$(git symbolic-ref --quiet "$ref")$line
    done
    git for-each-ref --format='%(refname)' | while read -r ref; do
        case $keep in *"$line$ref$line"*) ;; *) echo "delete $ref" ;; esac
    done | git update-ref --no-deref --stdin || exit
    git pack-refs --all || exit
    find refs -mindepth 1 -depth -type d ! -path refs/heads ! -path refs/tags -exec rmdir {} + 2>/dev/null
    rm -rf logs FETCH_HEAD ORIG_HEAD info/refs gc.log clone.bundle .repo_config.json .repopickle_*
    chmod go+rx . || exit

    count=$(git count-objects -v | sed -n 's/^in-pack: //p')
    if test "${count:-0}" -gt 1000000; then
        echo "$at has $count objects, which are not packed anew: another build may have other bytes; \`depth\` avoids that"
    elif test -z "$(git config --get extensions.partialClone)"; then
        test ! -f shallow || sort -o shallow shallow || exit
        objects=$(readlink -f objects) && packed=$objects.alloy && mkdir -p "$packed/info" "$packed/pack" || exit
        echo "$objects" >> "$list" || exit
        { git rev-parse HEAD && git for-each-ref --format='%(objectname)'; } | git pack-objects --quiet --revs \
            --no-reuse-object --threads=1 --delta-base-offset "$packed/pack/pack" >/dev/null || exit
    fi
    rm -f index sharedindex.* && GIT_DIR=. git read-tree HEAD
) || exit; done || exit
sort -u "$list" | while read -r objects; do
    rm -rf "$objects" && mv "$objects.alloy" "$objects" || exit
done || exit
rm -f "$list"
