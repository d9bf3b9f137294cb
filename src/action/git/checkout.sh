
# Checks the revision out into the working directory, which is empty.
commit=$2 keep=
test -z "$(ls -A)" || fail "$4 already exists and is not an empty directory"
look_up "$@"
start
if test -n "$commit"; then
    get "$@"
    commit=$(git rev-parse "$commit^{commit}") || exit
    case $1 in
        HEAD | "$2") ;;
        refs/*) keep=$tag$branch ;;
        # A tag that the server no longer has still is the name of the commit.
        *) keep=1; test -n "$branch" || tag=$1 ;;
    esac
    test -n "$keep" || tag= branch=
    test -z "$tag" || tag_commit "$tag" "$commit"
    test -z "$branch" || git update-ref "refs/remotes/origin/$branch" "$commit" || exit
elif test -n "$ref"; then
    to=refs/alloy/named
    test -z "$tag" || to=refs/tags/$tag
    test -z "$branch" || to=refs/remotes/origin/$branch
    if test "$3" -eq 0 || ! fetch --depth "$3" origin "+$ref:$to" 2>/dev/null; then
        fetch origin "+$ref:$to" || exit
    fi
    commit=$(git rev-parse "$to^{commit}") || exit
    cut_to "$commit" "$3"
else
    # The beginning of a commit's name, or what stands before a tag.
    fetch origin '+refs/heads/*:refs/remotes/origin/*' '+refs/tags/*:refs/tags/*' || exit
    if ! commit=$(git rev-parse --quiet --verify "$1^{commit}"); then
        fail "the repository has no \`$1\`; its newest tags: $(git tag --sort=-creatordate | head -n 5 | paste -s -d ' ')"
    fi
    cut_to "$commit" "$3"
fi
{
    test -z "$tag" || echo "refs/tags/$tag"
    test -z "$branch" || echo "refs/remotes/origin/$branch"
} > .git/alloy-keep
if test -z "$2" && test -n "$branch"; then
    git checkout --quiet -B "$branch" --track "origin/$branch" || exit
else
    git -c advice.detachedHead=false checkout --quiet --detach "$commit" || exit
fi
test "$(git rev-parse HEAD)" = "$commit" || fail "the repository has something else than the commit $commit"
