use super::*;

fn found(script: &str, options: Options) -> Vec<(String, &'static str, Option<String>)> {
    unended(script, options).into_iter().map(|one| (one.text, one.asked, one.function)).collect()
}

/// Each of them ends with 0 and "reached": `bash -O inherit_errexit -e -o pipefail -c`.
#[test]
fn nothing_ends_what_somebody_asks_about() {
    for (script, text, asked, function) in [
        (
            "build() { cd /nope; echo reached; }\nbuild || { echo failed; exit 1; }",
            "cd /nope",
            "before `||`",
            Some("build"),
        ),
        ("(cd /nope; echo reached) || exit 1", "cd /nope", "before `||`", None),
        ("if ! { cd /nope; echo reached; }; then echo failed; exit 1; fi", "cd /nope", "in a condition", None),
        ("{ ./configure; make; } || { cat config.log; exit 1; }", "./configure", "before `||`", None),
        ("for p in a b; do make $p; echo $p; done || exit 1", "make $p", "before `||`", None),
        ("{ cd /nope; make; } && echo reached", "cd /nope", "before `&&`", None),
        ("build() { cd /nope; echo reached; }\nbuild && echo ok", "cd /nope", "before `&&`", Some("build")),
        ("build() { cd /nope; echo reached; }\n! build", "cd /nope", "behind `!`", Some("build")),
        ("! (cd /nope; echo reached)", "cd /nope", "behind `!`", None),
        ("while cd /nope; echo reached; do break; done", "cd /nope", "in a condition", None),
        ("until { cd /nope; echo reached; }; do sleep 1; done", "cd /nope", "in a condition", None),
        (
            "f() { cd /nope; echo reached; }\ng() { f; }\nif g; then echo ok; fi",
            "cd /nope",
            "in a condition",
            Some("f"),
        ),
        ("{ cd /nope; echo reached; } | cat || exit 1", "cd /nope", "before `||`", None),
        ("if a; then f() { make; echo x; }; fi\nf || exit 1", "make", "before `||`", Some("f")),
        ("{ x=1; if a; then cp b c; fi; echo reached; } || exit 1", "cp b c", "before `||`", None),
        ("{ cp b c || mv b c; echo reached; } || exit 1", "mv b c", "before `||`", None),
    ] {
        let wanted = vec![(text.to_owned(), asked, function.map(str::to_owned))];
        assert_eq!(found(script, Options::STRICT), wanted, "{script}");
        assert_eq!(found(&format!("set -e\n{script}"), Options::default()), wanted, "{script}");
        assert_eq!(found(script, Options::default()), [], "{script}");
    }
    let again = unended("# cd a\n{ cd a; make; } || exit 1\n", Options::STRICT);
    assert_eq!(again[0].place, ("cd a".to_owned(), 1));
    assert_eq!(unended(&"{ cd a; make; } || exit 1\n".repeat(99), Options::STRICT).len(), MOST);
}

#[test]
fn what_ends_where_it_should_is_nothing_to_tell() {
    for script in [
        "",
        "cd /opt\nmake",
        "build() { cd /x; make; }\nbuild",
        "build() { cd /x && make; }\nbuild || exit 1",
        "build() { cd /x || return 1; make; }\nbuild || exit 1",
        "(cd /x && make) || exit 1",
        "(cd /x || exit 1; make) || exit 1",
        "{ cd /x; make; } || true",
        "{ cd /x; make; } || :",
        "{ echo failed; make; } || exit 1",
        "{ [ -f x ]; make; } || exit 1",
        "make || { cat log; exit 1; }",
        "a && b || { cat log; exit 1; }",
        "if a; then cd /x; make; fi",
        "if make; then a; b; else c; d; fi",
        "while read -r x; do cd $x; make; done < list",
        "log() { echo \"$1\"; echo; }\n{ log a; make; } || exit 1",
        "die() { echo \"$1\"; exit 1; }\n{ [ -d x ] || die no; make; } || exit 1",
        "{ a; b; } | tee log",
        "x=$(a; b)",
        "set +e\n{ cd /x; make; } || exit 1",
        "echo '{ cd /x; make; } || exit 1'",
        "cat <<'END' > f\n{ cd /x; make; } || exit 1\nEND",
        "f() { f; cd x; }",
    ] {
        assert_eq!(found(script, Options::STRICT), [], "{script}");
    }
    // Functions that call each other.
    assert_eq!(found("f() { g; a; }\ng() { f; b; }\nf || exit 1", Options::STRICT).len(), 1);
}
