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

need_cargo_deny() {
    cargo deny --version >/dev/null 2>&1 || cargo install --locked --quiet cargo-deny
}

# Tools that Debian does not have, in a virtual environment that is made once.
need_python_tools() {
    [ -x target/python/bin/pyspdxtools ] && return 0
    echo "== installing tools from PyPI into target/python"
    python3 -m venv target/python
    target/python/bin/pip install --quiet --disable-pip-version-check spdx-tools==0.8.5
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
