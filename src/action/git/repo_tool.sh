# Makes the checkout of repo's own repository `$0`, in which this runs, what repo's launcher makes of one: a branch `default`
# that follows the branch or tag that was asked for, or the commit. The tag of a release comes along: repo says by it
# which version it is.
tab=$(printf '\t')
commit=$(git rev-parse HEAD) || exit
ref=$(sed -n 's,^refs/remotes/origin/,refs/heads/,p; /^refs\/tags\//p' .git/alloy-keep | head -n 1)
git update-ref --no-deref refs/heads/default "$commit" && git symbolic-ref HEAD refs/heads/default &&
    git config branch.default.remote origin && git config branch.default.merge "${ref:-$commit}" || exit
case $ref in refs/tags/*) exit ;; esac
tag=$(git ls-remote --tags -- "$0" | sed -n "s,^$commit${tab}refs/tags/\\(v.*\\)^{}\$,\\1,p" | sort | head -n 1)
if test -n "$tag"; then
    git fetch --quiet --no-tags origin "+refs/tags/$tag:refs/tags/$tag" && echo "refs/tags/$tag" >> .git/alloy-keep || exit
fi
