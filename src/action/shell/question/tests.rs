use super::*;

fn asks(script: &str) -> bool {
    let list = parse(script);
    !does_something(&list.last().unwrap().first, script, &Known::of(&list))
}

#[test]
fn who_asks_takes_any_answer() {
    for script in [
        "[ -f x ]",
        "test -f x",
        "command -v x",
        "grep -q x f",
        "dpkg -l | grep x",
        "x --probe > /dev/null",
        "x >&-",
        "dpkg -s x",
        "git diff --quiet",
        "systemctl is-active x",
        "gcc --version",
        "is_root",
        "$verbose",
        "x=$(which gcc)",
        "f() { [ -f x ]; }\nf",
        "f() { f; }\nf",
        "! make",
    ] {
        assert!(asks(script), "{script}");
    }
    for script in [
        "cd x",
        "make install",
        "./configure",
        "wget -q https://x.example",
        "tar xf x | cpio",
        "x=$(make)",
        "f() { cd x; make; }\nf",
        "(cd x && make)",
        "git clone x",
        "dpkg -i x.deb",
    ] {
        assert!(!asks(script), "{script}");
    }
}
