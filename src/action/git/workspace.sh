
# Makes a workspace of west of the commit, as if the revision still were that commit. west asks for branches and tags by
# their names, and for nothing else: it gets a repository in which they are what they were. What west says then is about
# the real one.
if ! command -v west >/dev/null; then
    echo "\`west\` is not on the PATH of $USER ($PATH): an earlier task has to install it"
    exit 127
fi
commit=$2 pinned=$PWD/.alloy-pinned.git
mkdir "$pinned" && cd "$pinned" || exit
look_up "$@"
start --bare
get "$@"
if test "$1" = "$2"; then name=pinned; else name=${tag:-${branch:-$1}}; fi
if test -n "$branch"; then
    git update-ref "refs/heads/$branch" "$2" || exit
else
    tag_commit "$name" "$2"
fi
cd "$OLDPWD" && west init -m "$pinned" --mr "$name" . && rm -rf "$pinned" || exit
cd "$(west config manifest.path)" && git remote set-url origin "$0" && test "$(git rev-parse HEAD)" = "$2" || exit
test "$1" = "$2" || echo "refs/tags/$name" > "$(git rev-parse --git-dir)/alloy-keep"
