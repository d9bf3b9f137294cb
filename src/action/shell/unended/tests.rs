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

/// Each of them is reached: `bash -O inherit_errexit -e -o pipefail -c`.
#[test]
fn of_what_is_joined_only_the_last_one_ends_anything() {
    for (script, text) in [
        ("cd /nope && make\necho reached", "cd /nope"),
        ("make && make install\nrm -r build", "make"),
        ("cd b && make && make install\nldconfig", "cd b"),
        ("[ -d x ] && cd x && make\necho reached", "cd x"),
        ("{ cd /nope && make; }\necho reached", "cd /nope"),
        ("if [ -d x ]; then cd x && make; fi\necho reached", "cd x"),
        ("case x in x) cd x && make ;; esac\necho reached", "cd x"),
        ("for d in a b; do cd $d && make; done", "cd $d"),
        ("find . | while read -r f; do cd $f && make; done\necho reached", "cd $f"),
        ("f() { cd x && make; echo reached; }\nf", "cd x"),
        ("curl -f https://x.example | tar x && make\necho reached", "curl -f https://x.example | tar x"),
        ("a || tar xf b && make\necho reached", "tar xf b"),
        ("make && echo ok\necho reached", "make"),
        ("trap 'echo $?' ERR\n(cd x && make && true; echo reached)", "cd x"),
    ] {
        let wanted = vec![(text.to_owned(), "before `&&`", None)];
        let first = text.split(" | ").next().unwrap().to_owned();
        let found = found(script, Options::STRICT);
        assert!(found == wanted || found == [(first, "before `&&`", None)], "{script}: {found:?}");
        let set = format!("set -e\n{script}");
        assert_eq!(unended(&set, Options::default()).iter().filter(|one| one.joined).count(), 1, "{script}");
        assert!(unended(script, Options::default()).is_empty(), "{script}");
    }
    for script in [
        "cd /nope && make",
        "(cd /nope && make)\necho",
        "f() { cd /nope && make; }\nf\necho",
        "for d in a b; do (cd $d && make); done\necho",
        "if [ -d x ]; then cd x && make; fi",
        "cd /nope && make || exit 1\necho",
        "cd /nope && make\nrc=$?\nexit $rc",
        "[ -f x ] && rm x\necho",
        "test -f x && rm x\necho",
        "[[ -f x ]] && rm x\necho",
        "command -v x > /dev/null && x\necho",
        "grep -q x f && sed -i s/x/y/ f\necho",
        "dpkg -s x && y\necho",
        "make x 2> /dev/null && y\necho",
        "make && found=1\necho",
        "make && exit 0\necho",
        "is_arm && x\necho",
        "$verbose && x\necho",
        "echo a && make\necho",
        "cd /nope && make &\nwait $!",
        "x=$(which a) && b\necho",
    ] {
        assert_eq!(found(script, Options::STRICT), [], "{script}");
    }
}
