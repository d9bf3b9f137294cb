use super::*;

fn found(script: &str) -> Vec<(String, String)> {
    lost(script, Options::STRICT).into_iter().map(|one| (one.text, one.reader)).collect()
}

/// Each of them goes on: `bash -O inherit_errexit -e -o pipefail -c`.
#[test]
fn what_cannot_be_read_is_no_failure() {
    for (script, text, reader) in [
        (
            "for p in $(cat /nope/list); do make $p; done",
            "for p in $(cat /nope/list); do make $p; done",
            "cat /nope/list",
        ),
        ("while read -r p; do a; done < <(cat /nope)", "while read -r p; do a; done", "cat /nope"),
        ("mapfile -t A < <(curl -sSf x | sort)", "mapfile -t A < <(curl -sSf x | sort)", "curl -sSf x | sort"),
        ("source <(cat /nope)", "source <(cat /nope)", "cat /nope"),
        ("echo \"v=$(cat /nope/VERSION)\" > f", "echo \"v=$(cat /nope/VERSION)\" > f", "cat /nope/VERSION"),
        ("make V=$(cat /nope)", "make V=$(cat /nope)", "cat /nope"),
        ("make V=$(<nope)", "make V=$(<nope)", "<nope"),
        ("export $(cat /nope)", "export $(cat /nope)", "cat /nope"),
        ("git checkout \"$(git rev-parse x)\"", "git checkout \"$(git rev-parse x)\"", "git rev-parse x"),
        ("X=$(date -d \"@$(cat /nope)\")", "date -d \"@$(cat /nope)\"", "cat /nope"),
        ("X=$(basename \"$(cat /nope)\")", "basename \"$(cat /nope)\"", "cat /nope"),
        ("X=$(echo \"$(cat /nope)\" | tr a b)", "echo \"$(cat /nope)\"", "cat /nope"),
        ("export X=$(printf '%s' \"$(cat /nope)\")", "printf '%s' \"$(cat /nope)\"", "cat /nope"),
        ("f() { make V=$(cat /nope); }", "make V=$(cat /nope)", "cat /nope"),
    ] {
        assert_eq!(found(script), [(text.to_owned(), reader.to_owned())], "{script}");
        assert_eq!(lost(&format!("set -e\n{script}"), Options::default()).len(), 1, "{script}");
        assert!(lost(script, Options::default()).is_empty(), "{script}");
    }
}

#[test]
fn what_may_be_nothing_is_nothing_to_tell() {
    for script in [
        "",
        "V=$(cat /nope)\nmake V=$V",
        "make -j$(nproc)",
        "make V=$(cat /nope 2> /dev/null)",
        "make V=$(cat /nope || echo 1)",
        "make V=$(cat /nope) || exit 1",
        "if [ -n \"$(cat /nope)\" ]; then a; fi",
        "[ \"$(cat /nope)\" = x ]",
        "echo \"$(cat /nope)\"",
        "for x in $(seq 3) a; do b; done",
        "for x in $(echo a | cut -c1); do b; done",
        "make '$(cat /nope)'",
        "make \\$(cat /nope)",
        "cat <<'END' > f\n$(cat /nope)\nEND",
        "kill $(cat pid)",
        "set +e\nmake V=$(cat /nope)",
    ] {
        assert_eq!(found(script), [], "{script}");
    }
}
