use proptest::prelude::*;

use super::*;

fn found(script: &str) -> Option<String> {
    passed_over(script, Options::default(), false).map(|found| found.what)
}

#[test]
fn what_a_shell_passes_over() {
    for (script, what) in [
        ("cd /opt/sdk\nmake install\necho ok", "`cd /opt/sdk`"),
        ("cd /opt/sdk; make install; echo ok > /etc/done", "`cd /opt/sdk`"),
        ("false\n\n# a comment\ntrue", "`false`"),
        ("# set -e\nfalse\necho x", "`false`"),
        ("echo set -e\nfalse\necho x", "`false`"),
        ("echo 'set -e'\nfalse\necho x", "`false`"),
        ("false\nset -e\necho", "`false`"),
        ("set -e\nset +e\nfalse\necho", "`false`"),
        ("(set -e; true)\nfalse\necho", "`false`"),
        ("grep -q 'bash -e' f\nfalse\ntrue", "`grep -q 'bash -e' f`"),
        ("#!/bin/bash -e\nfalse\necho", "`false`"),
        ("(false; true)", "`false`"),
        ("{ false\ntrue\n}", "`false`"),
        ("if true\nthen false; true; fi", "`false`"),
        ("if x; then\n  a\n  b\nfi", "`a`"),
        ("case x in\nx) false\ntrue;;\nesac", "`false`"),
        ("case x in (x|y) a;; esac; b", "`a`"),
        ("for x in a b; do\n  make $x\n  rm $x\ndone", "`make $x`"),
        ("for x in a b; do\n  make $x\ndone", "`make $x`"),
        ("for ((i = 0; i < 3; i++)); do make; done", "`make`"),
        ("while read x; do make $x; done < list", "`make $x`"),
        ("f() { false; true; }\nf", "`false`"),
        ("x=$(false)\necho $x", "`x=$(false)`"),
        ("echo x > /none/y\ntrue", "`echo x > /none/y`"),
        ("a && b\nc", "`a`"),
        ("[ -f x ] && make\nc", "`make`"),
        ("a || b\nc", "`b`"),
        ("make \\\n  install\ntrue", "`make install`"),
        ("set -u\na\nb", "`a`"),
    ] {
        assert_eq!(found(script), Some(format!("it goes on where {what} fails")), "{script}");
    }
    for (script, what) in [
        ("curl -sSf https://x.invalid | sh", "curl"),
        ("a || b | c", "`b`"),
        ("set -e\na | b", "`a`"),
        ("set -eo pipefail; set +o pipefail; a | b", "`a`"),
        ("bash -ec 'a | b'", "`a`"),
    ] {
        let said = found(script).unwrap_or_default();
        assert!(said.contains("of a pipe, only the last") && said.contains(what), "{script}: {said}");
    }
    for script in ["bash -c '\nfalse\necho x\n'", "su dev -c 'false; true'", "sudo -u x sh -c \"false; true\""] {
        assert_eq!(found(script).as_deref(), Some("it goes on where `false` fails"), "{script}");
    }
    assert!(found("bash <<'END'\nfalse\ntrue\nEND").is_some());
    assert_eq!(found("false & echo hi").as_deref(), Some("nobody waits for `false`"));
    assert_eq!(found("set -e\na & b\nwait $!"), None);
}

#[test]
fn what_fails_where_it_should_is_nothing_to_tell() {
    for script in [
        "",
        "make",
        "make \\\n  install",
        "cd /opt/sdk &&\n  make ||\n  exit 1\n",
        "cd /opt/sdk && make && make install",
        "cd /opt/sdk || exit 1\nmake",
        "a || true\nb",
        "a || b",
        "export A=1; make",
        "A=1\nmake",
        "echo a\necho b 2>&1 >/dev/null\nmake",
        "if ! grep -q x /f; then\n  echo x >> /f\nfi",
        "if a | grep -q x; then b; fi",
        "if x; then\n  a\nelse\n  b\nfi",
        "case $x in\n  a) one;;\n  b) two;;\nesac",
        "[[ $a == b && -f c ]] && make",
        "echo 'a\nb | c'",
        "echo \"$(a | b)\"",
        "grep -E 'a|b' /x",
        "cat > /etc/x <<EOF\na | b\nc\nEOF",
        "cat > /etc/x <<-'END X'\n\ta | b\n\tEND X",
        "# what it does\nmake # and | why\n",
        "echo >| /x",
        "echo y | ./install.sh",
        "yes | ./install.sh",
        "set -e\ncd /opt\nmake",
        "set -euo pipefail\na | b\nc",
        "set -o errexit -o pipefail\na | b\nc",
        "set -eu; set -o pipefail\nfor x in a b; do a | b; c; done",
        "bash -eo pipefail -c 'a | b; c'\n",
        "bash -c 'make'",
        "(cd x && make)",
        "! a\nmake",
    ] {
        assert_eq!(found(script), None, "{script}");
    }
}

proptest! {
    #[test]
    fn no_script_is_too_odd(words in prop::collection::vec(
        prop::sample::select(vec![
            "a", "if", "then", "fi", "else", "case", "in", "esac", "for", "do", "done", "{", "}", "(", ")", "((", "))",
            "\n", ";", ";;", "&", "&&", "|", "||", "<<E", "E", "'", "\"", "`", "$(", "${", "\\", "#", "[[", "]]", "!",
            "set -e", "bash -c", "su -c", "function", "ü", ">", "2>", "<(", "-", "x=$(", "=",
        ]), 0..40)) {
        let _ = found(&words.join(" "));
        let _ = found(&words.concat());
    }
}

#[test]
fn deep_ones_end() {
    for (open, close) in [("(", ")"), ("{ ", "; }"), ("if ", ""), ("$(", ")"), ("f() ", "")] {
        let _ = found(&format!("{}a{}", open.repeat(20_000), close.repeat(20_000)));
    }
}

#[test]
fn parts_of_pipes_are_more_than_commands() {
    for (script, what) in [
        ("(cd /nope && make) 2>&1 | tee build.log", "`(cd /nope && make)`"),
        ("{ make -C /nope; } 2>&1 | tee log", "`{ make -C /nope; }`"),
        ("for p in a b; do false $p; done | tee log", "`for p in a b; do false $p; done`"),
        ("if true; then make -C /nope; fi 2>&1 | tee log", "`if true; then make -C /nope; fi`"),
        ("while read -r u; do wget \"$u\"; done < list | tee log", "`while read -r u; do wget \"$u\"; done`"),
        ("case a in a) make;; esac | tee log", "`case a in a) make;; esac`"),
        ("{ cd /nope || exit 1; echo x; } | tee log", "`{ cd /nope || exit 1; echo x; }`"),
    ] {
        let told = format!("of a pipe, only the last command decides, not {what}");
        assert_eq!(found(script), Some(told), "{script}");
    }
    for script in [
        "{ echo a; echo b; } | tee log",
        "(echo a; sleep 1; echo b) | ./install.sh",
        "if { make; } | grep -q x; then a; fi",
        "set -eo pipefail\n(cd x && make) 2>&1 | tee log\nb",
    ] {
        assert_eq!(found(script), None, "{script}");
    }
    assert_eq!(found("set -o pipefail\nmake | tee log\nb").as_deref(), Some("it goes on where `make` fails"));
}

#[test]
fn an_exit_ends_the_shell_that_it_stands_in() {
    for (script, what) in [
        ("false || (echo failed; exit 1)\necho reached", "`exit 1` ends its `( … )` alone"),
        ("(cd /nope || exit 1)\necho reached", "`exit 1` ends its `( … )` alone"),
        ("(exit 3)\necho reached", "`exit 3` ends its `( … )` alone"),
        ("(cd /nope || exit; make)\necho reached", "`exit` ends its `( … )` alone"),
        (
            "printf 'a\\nb\\n' | while read -r x; do false \"$x\" || exit 1; done\necho reached",
            "`exit 1` ends its part of the pipe alone",
        ),
        ("die() { echo \"$1\"; exit 1; }\n(cd /x || die no)\necho", "`die no` ends its `( … )` alone"),
    ] {
        assert_eq!(found(script).as_deref(), Some(what), "{script}");
    }
    for script in [
        "(cd /nope || exit 1; make)",
        "(cd /nope || exit 1; make) || exit 1\necho",
        "if (cd /nope || exit 1); then a; fi",
        "set -e\n(cd /nope || exit 1)\necho",
        "(exit 0)\necho",
        "echo x | while read -r x; do [ -n \"$x\" ] || exit 1; done",
        "cd /x || exit\nmake",
    ] {
        assert_eq!(found(script), None, "{script}");
    }
}

#[test]
fn a_wait_for_all_asks_for_none() {
    for (script, what) in [
        ("make & wait", "`wait` alone ends well also where `make` failed"),
        ("make a & make b & wait\necho x", "`wait` alone ends well also where `make a` failed"),
        ("make & echo", "nobody waits for `make`"),
    ] {
        for options in [Options::default(), Options::STRICT] {
            let wanted = Passed { what: what.to_owned(), by: By::Background };
            assert_eq!(passed_over(script, options, false), Some(wanted), "{script}");
        }
    }
    let of = |options| passed_over("{ cd a; make; } &\nwait", options, false).unwrap().what;
    assert!(of(Options::default()).contains("`make`") && of(Options::STRICT).contains("`cd a`"));
    for script in
        ["make & wait $!", "a & p=$!\nwait \"$p\"", "a & wait -n", "a & b; kill %1", "echo a & wait", "sleep 9 & wait"]
    {
        for options in [Options::default(), Options::STRICT] {
            let found = passed_over(script, options, false).filter(|found| found.by == By::Background);
            assert_eq!(found, None, "{script}");
        }
    }
}

#[test]
fn who_looks_at_a_failure_is_no_false_alarm() {
    for script in [
        "die() { echo \"$*\" >&2; exit 1; }\ncd src || die \"no src\"\nmake",
        "function die { echo \"$*\" >&2; exit 1; }\ncd src || die\nmake",
        "warn() { echo \"$*\"; }\ndie() { warn \"$@\"; exit 1; }\nfail() { die \"$@\"; }\ncd src || fail x\nmake",
        "usage() { if a; then exit 1; else echo; exit 2; fi; }\ncd src || usage\nmake",
        "log() { echo \"$*\"; }\nlog a\nmake",
        "false; rc=$?\nexit $rc",
        "make\nif [ $? -ne 0 ]; then exit 1; fi\necho ok",
        "make\n[ $? -eq 0 ] || exit 1\necho ok",
        "make\ncase $? in 0) ;; *) exit 1;; esac\necho ok",
        "make | tee log\nexit ${PIPESTATUS[0]}",
        "trap 'echo failed; exit 1' ERR\nmake\nmake install",
        "die() { echo no; exit 1; }\ntrap die ERR\nmake\nmake install",
        "set -E\ntrap 'exit 1' ERR\nf() { a; b; }\nf\n(a; b)\nc",
        "A[$i]=x\nmake",
        "declare -A P\nP[libc-dev]=1\nP[$x]+=y\nmake",
        "cat <<EOF\na\nEOF\nmake",
        "i=0\n((i++))\n((i = 3))\nlet i++\nshift\nmake",
        "f() { a; b; }\nset -e\nf\nc",
        "set -e\nf() { a; b; }\nf\nset +e",
        "x=$(echo a)\nmake",
        "x=$(basename $0)\nmake",
        "printf $'it\\'s\\n'\nmake",
        "x=$(case a in a) echo b;; esac)\nmake",
    ] {
        assert_eq!(found(script), None, "{script}");
    }
    for (script, what) in [
        ("warn() { echo \"$*\" | mail x; }\ncd src || warn no\nmake", "`warn no`"),
        ("false\necho $?\nexit 0", "`false`"),
        ("trap 'echo failed' ERR\nmake\nmake install", "`make`"),
        ("trap 'exit 1' ERR\n(a; b)\nc", "`a`"),
        ("a\ntrap 'exit 1' ERR\nb", "`a`"),
        ("set -- -e x\nfalse\ntrue", "`false`"),
        ("printf $'it\\'s\\n'\ncd /nope\nmake", "`cd /nope`"),
        ("[[ -f /nope ]]\nmake", "`[[ -f /nope ]]`"),
        ("((0))\nmake", "`((0))`"),
        ("(( i == 2 ))\nmake", "`(( i == 2 ))`"),
        ("> /nope/y\nmake", "`> /nope/y`"),
        ("A=$(a)\nmake", "`A=$(a)`"),
        ("x=$(case a in a) cat /nope;; esac)\nmake", "`x=$(case a in a) cat /nope;; esac)`"),
        ("x=$(cat <<'E'\nit's )\nE\n)\ncd /nope\nmake", "`cd /nope`"),
        ("cd \\\n  /nope\nmake", "`cd /nope`"),
    ] {
        assert_eq!(found(script), Some(format!("it goes on where {what} fails")), "{script}");
    }
}

#[test]
fn a_condition_asks_what_was_printed() {
    let of = |script: &str, options: Options| passed_over(script, options, true).map(|found| found.by);
    for script in ["cd /opt/nope\nls *.bin | wc -l", "false\ntrue", "ls /x | wc -l"] {
        assert_eq!(of(script, Options::default()), Some(By::Script), "{script}");
        assert_eq!(of(script, Options::STRICT), None, "{script}");
    }
    for script in ["dpkg -s x | grep -q installed", "test -e /x", "test -e /x && grep -q y /x", "id x | read -r y"] {
        assert_eq!(of(script, Options::default()), None, "{script}");
    }
    for script in ["dpkg -l | grep -q x", "dpkg -l | grep -Eq x", "dpkg -l | head -n1"] {
        assert_eq!(of(script, Options::STRICT), Some(By::Reader), "{script}");
    }
    for script in ["dpkg -l | grep x", "echo a | grep -q a", "! dpkg -l | grep -q x", "grep -q x y"] {
        assert_eq!(of(script, Options::STRICT), None, "{script}");
    }
}

/// What another shell is given has its own options.
#[test]
fn a_strict_shell_starts_another_that_is_not() {
    for script in ["bash -c 'a; b'", "su dev -c 'a; b'", "bash <<'E'\na\nb\nE", "bash <<< $'a\\nb'", "sh -c 'a | b'"] {
        let found = passed_over(script, Options::STRICT, false).map(|found| found.by);
        assert_eq!(found, Some(By::Given), "{script}");
    }
    for script in ["bash -ec 'a; b'", "bash -c 'a && b'", "a; b", "a | b", "(a; b)", "x=$(a; b)"] {
        assert_eq!(passed_over(script, Options::STRICT, false), None, "{script}");
    }
}

/// Each of them is reached: `bash -c`.
#[test]
fn a_strict_shell_of_brackets_ends_alone() {
    for (script, what) in [
        ("(set -e; make; make install)\necho reached", "`make` ends its `( … )` alone"),
        ("( set -e\n make && make install\n rm x\n)\necho reached", "`make install` ends its `( … )` alone"),
        ("for d in a b; do (set -e; cd $d; make); done", "`cd $d` ends its `( … )` alone"),
        ("a | { set -e; read -r x; make $x; }\necho reached", "of a pipe, only the last command decides, not `a`"),
        ("echo a | { set -e; make; x; }\necho reached", "`make` ends its part of the pipe alone"),
    ] {
        assert_eq!(found(script).as_deref(), Some(what), "{script}");
    }
    for script in [
        "(set -e; make; make install)",
        "(set -e; make; make install) || exit 1\necho",
        "(set -e; make; make install)\nrc=$?\nexit $rc",
        "set -e\n(set -e; make; make install)\necho",
        "(set -e; echo a; echo b)\necho",
    ] {
        assert_eq!(found(script), None, "{script}");
    }
}

#[test]
fn a_pattern_is_no_pipe() {
    for script in ["shopt -s extglob && rm !(a|b)", "set -e\nls *.@(c|h) +(x|y)z a?(b|c)\nmake", "rm -r \"$d\"/!(a|b)"]
    {
        assert_eq!(found(script), None, "{script}");
    }
    assert!(found("if !(a | b); then c; d; fi").is_some_and(|what| what.contains("`c`")));
}

/// Each of them is reached: `bash -e -o pipefail -c`.
#[test]
fn a_substitution_has_no_errexit_of_its_own() {
    let of = |script: &str| passed_over(script, Options::default(), false).map(|found| (found.what, found.by));
    for script in ["x=$(cd /nope; make)\necho $x", "echo $(cd /nope; make)", "export x=`cd /nope; make`"] {
        let wanted = ("a `$(…)` goes on where `cd /nope` fails".to_owned(), By::Substituted);
        assert_eq!(of(&format!("set -e\n{script}")), Some(wanted), "{script}");
        for first in ["set -e; shopt -s inherit_errexit", "set -e -o posix"] {
            assert_eq!(of(&format!("{first}\n{script}")), None, "{script}");
        }
        assert_eq!(passed_over(script, Options::STRICT, false), None, "{script}");
    }
    for script in [
        "x=$(cd /nope && make)",
        "x=$(which a; which b)",
        "x=$(make; true)",
        "x=$(make; echo $?)",
        "x=$(echo a; make)",
        "x=$(make)",
        "[ \"$(make; a)\" = x ] || exit 1",
    ] {
        assert_eq!(of(&format!("set -e\n{script}\necho")), None, "{script}");
    }
}

/// Each of them ends with 0: `bash -c`.
#[test]
fn a_trap_may_turn_a_failure_around() {
    let of = |script: &str| passed_over(script, Options::STRICT, false).map(|found| found.by);
    for script in [
        "trap \"exit 0\" EXIT\nmake",
        "trap 'rm -f x; exit 0' EXIT TERM\nmake",
        "trap 'exit 0' 0\nmake",
        "cleanup() { rm -f x; exit 0; }\ntrap cleanup EXIT\nmake",
        "cleanup() {\n  if [ -f x ]; then rm x; fi\n  exit 0\n}\ntrap cleanup EXIT\nmake",
    ] {
        assert_eq!(of(script), Some(By::Trap), "{script}");
    }
    for script in [
        "trap 'rm -f x' EXIT\nmake",
        "trap 'rm -f x; exit' EXIT\nmake",
        "trap 'exit 0' TERM\nmake",
        "trap '[ $? = 0 ] || exit 1; exit 0' EXIT\nmake",
        "trap 'if [ $? != 0 ]; then exit 1; fi; exit 0' EXIT\nmake",
        "trap 'fail || exit 0' EXIT\nmake",
        "trap 'exit 0' EXIT\nmake\ntrap - EXIT\nmake",
        "f() { f; exit 0; }\ntrap 'rm x; false' EXIT",
    ] {
        assert_eq!(of(script), None, "{script}");
    }
}

/// What is odd costs no more than its length.
#[test]
fn long_ones_end() {
    const N: usize = 5_000;
    let call = |at: usize| format!("f{at}() {{ f{}; x; }}\n", at + 1);
    let calls: String = (0..5000).map(call).collect();
    let scripts = [
        "(".repeat(10 * N),
        "((".repeat(4 * N),
        "if make; then ".repeat(N),
        "make || ".repeat(N) + "make",
        "make && ".repeat(N) + "make",
        "make | ".repeat(N) + "make",
        "make; ".repeat(N) + "make",
        "set -e\n".to_owned() + &"export A=$(make) && ".repeat(N) + "make",
        format!("set -e\n{calls}f0 || exit 1"),
        "apt install x\n".repeat(N) + "Assume-Yes",
        "{ make && make; } || x\n".repeat(N),
        "x=$(a; b) ".repeat(N),
        "rm !(a".repeat(N),
        "rm +(".repeat(N),
    ];
    for script in scripts {
        for options in [Options::default(), Options::ERREXIT] {
            let _ = passed_over(&script, options, false);
            let _ = super::super::masked::masked(&script, options);
            let _ = super::super::lost::lost(&script, options);
            let _ = super::super::unended::unended(&script, options);
        }
        let _ = super::super::asks(&script);
    }
}
