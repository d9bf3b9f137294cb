use proptest::prelude::*;

use super::super::lost::lost;
use super::super::passed::passed_over;
use super::super::unended::unended;
use super::*;

fn options(strict: bool) -> Options {
    if strict { Options::STRICT } else { Options::default() }
}

fn texts(script: &str, strict: bool) -> Vec<String> {
    masked(script, options(strict)).into_iter().map(|one| one.text).collect()
}

#[test]
fn a_value_that_cannot_be_had_is_no_failure() {
    for (script, text, instead) in [
        ("export Y=$(false)", "export Y=$(false)", "`Y=$(…)` on a line of its own, then `export Y`"),
        (
            "a\nexport A=1 Y=\"$(curl x)\" B\nb",
            "export A=1 Y=\"$(curl x)\" B",
            "`Y=$(…)` on a line of its own, then `export Y`",
        ),
        ("f() { local x=`make`; }", "local x=`make`", "`local x` on a line before, then `x=$(…)` on a line of its own"),
        ("f() { local -r x=$(a); }", "local -r x=$(a)", "`local x`, `x=$(…)` and `readonly x`, on lines of their own"),
        ("readonly X=$(a; b)", "readonly X=$(a; b)", "`X=$(…)` on a line of its own, then `readonly X`"),
        ("declare -rx X=$(a)", "declare -rx X=$(a)", "`X=$(…)` on a line of its own, then `declare -rx X`"),
        (
            "declare -x X=\"`a`\"",
            "declare -x X=\"`a`\"",
            "`declare -x X` on a line before, then `X=$(…)` on a line of its own",
        ),
        ("typeset X+=$(a)", "typeset X+=$(a)", "`typeset X` on a line before, then `X+=$(…)` on a line of its own"),
        ("export X=$(a) && make", "export X=$(a)", "`X=$(…)` on a line of its own, then `export X`"),
        ("if x; then export X=$(a); fi", "export X=$(a)", "`X=$(…)` on a line of its own, then `export X`"),
        ("export X=$(a | sort)", "export X=$(a | sort)", "`X=$(…)` on a line of its own, then `export X`"),
        ("(export X=$(a); b)", "export X=$(a)", "`X=$(…)` on a line of its own, then `export X`"),
    ] {
        let found = masked(script, Options::STRICT);
        assert_eq!(found.len(), 1, "{script}");
        assert_eq!((found[0].text.as_str(), found[0].instead.as_str()), (text, instead), "{script}");
    }
    for script in [
        "set -e\nexport X=$(a)",
        "set -euo pipefail; export X=$(a)",
        "bash -ec 'export X=$(a)'",
        "set -o errexit\nexport X=$(a)",
    ] {
        assert_eq!(texts(script, false), ["export X=$(a)"], "{script}");
    }
    for script in [
        "export X=${Y:-$(a)}",
        "export X=\"${Y:=`a`}\"",
        "declare -a X=(b $(a))",
        "export X=$(<missing)",
        "export X=${Y:-${Z:-$(a)}}",
        "trap 'export X=$(a)' EXIT",
    ] {
        assert_eq!(texts(script, true).len(), 1, "{script}");
    }
    assert_eq!(masked(&"export X=$(a)\n".repeat(99), Options::STRICT).len(), MOST);
    let again = masked("# export X=$(a)\nexport X=$(a)\nexport X=$(a)\n", Options::STRICT);
    assert_eq!(again.iter().map(|one| one.place.1).collect::<Vec<_>>(), [1, 2], "which one it is");
}

/// What stands behind `||`, `&&` and `if` believes that it can fail, whatever else the script does.
#[test]
fn nothing_is_done_about_a_failure_that_never_comes() {
    let or = "`X=$(…) || …` on a line of its own, then `export X`";
    let condition = "`X=$(…)` as the condition, then `export X`";
    for (script, wanted, instead) in [
        ("export X=$(a) || exit 1", Wanted::Or, or),
        ("export X=$(a) || { echo no; exit 1; }", Wanted::Or, or),
        ("command export X=$(a) || return", Wanted::Or, or),
        ("builtin export X=$(a) || exit", Wanted::Or, or),
        ("if export X=$(a); then b; fi", Wanted::Condition, condition),
        ("if ! export X=$(a); then b; fi", Wanted::Condition, condition),
        ("if a; then b; elif b; export X=$(a); then b; fi", Wanted::Condition, condition),
        ("while export X=$(a); do b; done", Wanted::Condition, condition),
        (
            "until declare X=$(a); do b; done",
            Wanted::Condition,
            "`declare X` on a line before, then `X=$(…)` as the condition",
        ),
        (
            "f() { local X=$(a) || return 1; }",
            Wanted::Or,
            "`local X` on a line before, then `X=$(…) || …` on a line of its own",
        ),
    ] {
        for strict in [true, false] {
            let found = masked(script, options(strict));
            assert_eq!(found.len(), 1, "{script}");
            assert_eq!((found[0].wanted, found[0].instead.as_str()), (wanted, instead), "{script}");
        }
    }
    for (script, instead) in [
        ("export X=$(a) && make", "`X=$(…) && export X && …`"),
        ("f() { local X=$(a) && make; }", "`local X` on a line before, then `X=$(…) && …`"),
    ] {
        let found = masked(script, Options::default());
        assert_eq!(found.len(), 1, "{script}");
        assert_eq!((found[0].wanted, found[0].instead.as_str()), (Wanted::And, instead), "{script}");
    }
}

#[test]
fn what_fails_where_it_should_is_nothing_to_tell() {
    for script in [
        "",
        "Y=$(false)\nexport Y",
        "export Y=1 Z=$HOME W=${X:-y}",
        "export Y='$(false)'",
        "export Y=\\$(false)",
        "export Y=$((1 + 2))",
        "export Y=$(a || true)",
        "export Y=$(a || echo none)",
        "export Y=$(pwd) D=$(dirname \"$0\") N=$(nproc) T=$(date +%s)",
        "export Y=$(echo a)",
        "export Y=$(echo a | echo b)",
        "export Y=$(a) || true",
        "export Y=$(a) || :",
        "if export Y=$(a); b; then c; fi",
        "if export Y=$(a) | b; then c; fi",
        "! export Y=$(a)",
        "# export Y=$(false)",
        "make # export Y=$(false)",
        "echo export Y=$(false)",
        "echo 'export Y=$(false)' > x",
        "cat > x <<EOF\nexport Y=$(false)\nEOF",
        "cat > x <<'EOF'\nset -e\nexport Y=$(false)\nEOF",
        "env Y=$(false) make",
        "Y=$(false) make",
        "export Y=<(false)",
        "local x y; x=$(a)",
        "export -f f; export -p",
        "set +e\nexport Y=$(a)",
        "bash -c 'export Y=$(a)'",
        "{ export Y=$(a); } || true",
        "for x in a b; do export Y=$(a); done || true",
        "if x; then export Y=$(a); fi || exit 1",
        "'export' Y=$(a)",
    ] {
        assert_eq!(texts(script, true), Vec::<String>::new(), "{script}");
    }
    for script in [
        "export Y=$(a)",
        "a && export Y=$(a)",
        "a || export Y=$(a)",
        "(set -e; b)\nexport Y=$(a)",
        "export Y=$(a)\nset -e",
        "set -e\nexport Y=$(a | sort | echo)",
    ] {
        assert_eq!(texts(script, false), Vec::<String>::new(), "{script}");
    }
}

proptest! {
    #[test]
    fn no_script_is_too_odd(words in prop::collection::vec(
        prop::sample::select(vec![
            "a", "if", "then", "fi", "export", "X=$(a)", "local", "x=`", "(", ")", "\n", ";", "&", "&&", "|", "||",
            "<<E", "E", "'", "\"", "`", "$(", "${", "\\", "#", "set -e", "bash -ec", "ü", "x=$(", "=",
        ]), 0..40)) {
        let _ = masked(&words.join(" "), Options::STRICT);
        let _ = masked(&words.concat(), Options::STRICT);
        let _ = (lost(&words.join(" "), Options::STRICT), lost(&words.concat(), Options::STRICT));
        let _ = (unended(&words.join(" "), Options::STRICT), unended(&words.concat(), Options::STRICT));
    }
}

#[test]
fn deep_ones_end() {
    for (open, close) in [("export X=$(", ")"), ("X=$(", ")"), ("(", ")"), ("export X=\"`", "`\"")] {
        let deep = format!("{}a{}", open.repeat(5_000), close.repeat(5_000));
        let _ = (lost(&deep, Options::STRICT), unended(&format!("{deep} || x"), Options::STRICT));
        let _ = (masked(&deep, Options::STRICT), masked(&format!("export X=$({deep})"), Options::STRICT));
    }
}

#[test]
fn what_decides_in_a_substitution() {
    // Without `inherit_errexit`, the last command alone; "reached" is what `set -e` says of these.
    for script in
        ["set -e\nexport X=$(false; echo a)", "set -e\nexport X=$(test -f x; echo $?)", "set -e\nexport X=$(a; :)"]
    {
        assert_eq!(texts(script, false), Vec::<String>::new(), "{script}");
        assert_eq!(texts(script, true).len(), 1, "{script}");
    }
    for script in [
        "set -e\nexport X=$(echo a; false)",
        "set -e\nexport X=$(a || exit 1; echo)",
        "set -e\nexport X=$(set -e; false; echo a)",
        "set -e\nshopt -s inherit_errexit\nexport X=$(false; echo a)",
        "sh -ec 'export X=$(false; echo a)'",
    ] {
        assert_eq!(texts(script, false).len(), 1, "{script}");
    }
    assert_eq!(texts("export X=$(case a in a) cat /nope;; esac)", true), ["export X=$(case a in a) cat /nope;; esac)"]);
    for script in ["export X=$(cat <<EOF\na\nEOF\n)", "export X=$(cat <<< a)", "export X=$([ -f x ] && echo y)"] {
        assert_eq!(texts(script, true), Vec::<String>::new(), "{script}");
    }
    let broken = masked("# export A=1 \\\nexport A=1 \\\n  B=$(cat /nope)", Options::STRICT);
    assert_eq!(broken[0].place, ("export A=1 \\".to_owned(), 1));
}

/// A bracket that closes nothing, and an end that is not there.
#[test]
fn odd_substitutions_end() {
    for odd in [
        "$(case a) ",
        "$(cat <<E) ",
        "${x:-$(case a)} ",
        "\"$(case a)\" ",
        "$('",
        "`$(case ",
        "$(case a in $(case b in ",
    ] {
        let script = odd.repeat(5_000);
        let _ = (masked(&script, Options::STRICT), lost(&script, Options::STRICT));
        let _ = (unended(&script, Options::STRICT), passed_over(&script, Options::STRICT, true));
    }
}
