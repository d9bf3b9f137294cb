# Makes the tag as the server had it when it was pinned, in place of the one that the lockfile does not have: `$5` is the
# tag's object, whose name follows from its bytes, or `lightweight`. The server then has nothing that would be another.
object=$5
tag_commit() {
    made=$2
    test "$object" = lightweight || made=$(printf '%s' "$object" | git hash-object -t tag -w --stdin) || exit
    git update-ref "refs/tags/$1" "$made" || exit
}
