# Has repo make a workspace in the working directory: `$0` is the repository of the manifest, `$1` its commit, branch or
# tag, or `HEAD`, `$2` the manifest's file, `$3` the groups, or nothing, `$4` how many commits are wanted, 0 for all.
export PYTHONDONTWRITEBYTECODE=1 REPO_SKIP_SELF_UPDATE=1 REPO_TRACE=0
# Without a program of its own for git, repo opens connections to servers by itself, which know nothing of what git is told.
export GIT_SSH="${GIT_SSH:-ssh}"
repo() { python3 .repo/repo/repo "$@"; }
if ! command -v python3 >/dev/null; then
    echo "\`python3\` is not on the PATH of $USER ($PATH): an earlier task has to install it"
    exit 127
fi
# repo takes a bare name for a branch's.
look_up "$@"
name=$ref
test -z "$branch" || name=$branch
if test -z "$ref"; then
    printf '%s\n' "$1" | grep -qiE '^([0-9a-f]{40}|[0-9a-f]{64})$' ||
        fail "the repository has no branch or tag \`$1\`; what describes a commit otherwise, \`alloy lock\` finds"
    name=$1
fi
# repo looks once a day whether there is a newer one of itself.
touch .repo/repo/.git/FETCH_HEAD
repo init --quiet --current-branch --no-tags --no-clone-bundle --no-repo-verify -u "$0" -m "$2" -b "$name" \
    ${3:+-g "$3"} $(test "$4" -eq 0 || echo "--depth=$4") < /dev/null || fail "repo cannot use $2 of $0"
repo sync --quiet --current-branch --no-tags --no-clone-bundle --no-repo-verify --fail-fast < /dev/null ||
    fail "repo cannot get what $2 of $0 names"
