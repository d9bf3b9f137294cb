# Functions for the scripts beside this one, which begin with them. `$0` is the repository, `$1` the revision that was
# named, `$2` the commit that it is pinned to, or nothing, `$3` how many commits are wanted, 0 for all, and `$4` where. What
# is wrong is said as apt says it, so that the field is found that is meant.
#
# Where a commit is pinned, what a repository holds in the end follows from these alone: the server has other branches
# and tags tomorrow, and packs its objects another way. All of it works with the git of Debian 11.
line='
'
tab=$(printf '\t')

fetch() { git fetch --quiet --no-tags "$@"; }

listed() { case "$refs$line" in *"$tab$1$line"*) ;; *) return 1 ;; esac; }

fail() {
    echo "ERROR: $1"
    exit 1
}

there() { git cat-file -e "$1^{commit}" 2>/dev/null; }

# Looks the revision up at the server: its whole name becomes `ref`, its name as a tag or branch `tag` or `branch`. What
# comes first counts (gitrevisions(7)).
look_up() {
    refs=$(git ls-remote --symref -- "$0" HEAD "$1" "$1^{}") || fail "git cannot ask $0"
    tag= branch=
    for ref in "$1" "refs/$1" "refs/tags/$1" "refs/heads/$1" ''; do
        if test -z "$ref" || listed "$ref"; then break; fi
    done
    if test "$ref" = HEAD; then
        branch=$(printf '%s\n' "$refs" | sed -n "s,^ref: refs/heads/\\(.*\\)${tab}HEAD\$,\\1,p")
        test -z "$branch" || ref=refs/heads/$branch
    fi
    case ${ref:-$1} in
        refs/tags/*) tag=${ref:-$1} tag=${tag#refs/tags/} ;;
        refs/heads/*) branch=${ref:-$1} branch=${branch#refs/heads/} ;;
    esac
}

# Makes an empty repository of the kind that the server has; further words are options.
start() {
    kind=
    if test "${#commit}" = 64 || printf '%s\n' "$refs" | grep -qE '^[0-9a-f]{64}'; then kind=sha256; fi
    git init --quiet ${kind:+--object-format=$kind} "$@" . && git remote add origin "$0" || exit
}

# Gets the commit. A server need not hand it out by itself, and it may be on no branch any more.
get() {
    if test "$3" -gt 0 && fetch --depth "$3" origin "$2" 2>/dev/null; then return; fi
    fetch origin "$2" 2>/dev/null
    there "$2" || test -z "$ref" || fetch origin "$ref"
    there "$2" || fetch origin '+refs/heads/*:refs/alloy/heads/*' '+refs/tags/*:refs/alloy/tags/*'
    there "$2" || test "$1" != "$2" || fail "the repository has no commit $2"
    there "$2" || fail "the repository has no commit $2, which \`$1\` is pinned to; \`alloy lock --update=$0\` pins what it is now"
    cut_to "$2" "$3"
}

# Cuts the history before the commit `$1` to `$2` commits, where the server cannot do that.
cut_to() {
    if test "$2" -eq 0 || test -f "$(git rev-parse --git-path shallow)"; then return; fi
    git update-ref refs/alloy/wanted "$1" && fetch --depth "$2" "$PWD" refs/alloy/wanted || exit
}

# Makes the tag `$1` of the commit `$2`. The server's own may be another one tomorrow.
tag_commit() {
    date=$(git rev-list -1 --format=%cI "$2" | tail -n 1)
    GIT_COMMITTER_NAME=alloy GIT_COMMITTER_EMAIL=alloy GIT_COMMITTER_DATE=$date \
        git -c tag.gpgSign=false -c tag.forceSignAnnotated=false tag -a -m "$1, as it is pinned" "$1" "$2" || exit
}
