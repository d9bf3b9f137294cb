# Functions of the scripts in this directory.

need_root() {
    if [ "$(id -u)" != 0 ]; then
        echo "$0: run it as root: it installs packages and makes users to test with" >&2
        exit 1
    fi
}

# Installs the packages that are missing; asks the archive only if there are any.
need_packages() {
    missing=
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed$' || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    echo "== installing$missing"
    apt-get update -q
    # shellcheck disable=SC2086 # a list of words
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
}

# Lets the kernel start programs of an architecture, by qemu's name of it, where it may be told to. Where it may not, the
# tests check that alloy says so.
need_emulator() {
    place=/proc/sys/fs/binfmt_misc
    [ -e "$place/status" ] || mount -t binfmt_misc binfmt_misc "$place" 2>/dev/null || true
    [ -e "$place/qemu-$1" ] || cat "/usr/lib/binfmt.d/qemu-$1.conf" 2>/dev/null >"$place/register" || true
}

# What makes the book a web site, compiled once, and as quickly as it can be.
need_mdbook() {
    [ -x target/mdbook/bin/mdbook ] && return 0
    echo "== compiling mdbook into target/mdbook"
    CARGO_PROFILE_DEV_DEBUG=false cargo install --locked --debug --quiet --no-default-features --root target/mdbook \
        --version 0.5.4 mdbook
}

# Tools that Debian does not have, in a virtual environment that is made once.
need_python_tools() {
    [ -x target/python/bin/pyspdxtools ] && return 0
    echo "== installing tools from PyPI into target/python"
    python3 -m venv target/python
    target/python/bin/pip install --quiet --disable-pip-version-check spdx-tools==0.8.5
}

# A directory in memory for what the tests make and delete, which are hundreds of thousands of files: there they take two
# thirds of the time that they take on a disk. Sets TMPDIR, where the machine has the memory and may mount it, and
# its kernel gives such files attributes; it is gone when the script ends.
scratch_in_memory() {
    gibibytes=$(awk '/^MemAvailable:/ { print int($2 / 1048576) }' /proc/meminfo)
    [ "${gibibytes:-0}" -ge 16 ] || return 0
    scratch=$(mktemp -d /tmp/alloy.XXXX)
    if ! mount -t tmpfs -o mode=1777,size=75%,nr_inodes=0 alloy-tests "$scratch" 2>/dev/null; then
        rmdir "$scratch"
        return 0
    fi
    trap 'umount -l "$scratch"; rmdir "$scratch"' EXIT
    trap 'exit 130' INT TERM
    if python3 -c 'import os, sys; os.setxattr(sys.argv[1], "user.alloy", b"1")' "$scratch" 2>/dev/null; then
        export TMPDIR="$scratch"
    fi
}

# A name and a command; says how long it took.
step() {
    name=$1
    shift
    echo "== $name"
    start=$(date +%s)
    "$@"
    echo "== $name: done in $(($(date +%s) - start)) s"
}
