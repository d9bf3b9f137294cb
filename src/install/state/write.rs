//! A state as text: YAML that people read, in an order of its own.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};

use serde_json::Value;

use super::read::{END, HEAD, VERSION};
use super::{Record, State, Wrote};
use crate::yaml::{quoted, scalar};

/// The text of the file.
pub(super) fn text(state: &State) -> String {
    let mut out = String::from(HEAD);
    line(&mut out, 0, "version", VERSION);
    line(&mut out, 0, "blueprint", scalar(&state.blueprint));
    line(&mut out, 0, "platform", scalar(&state.platform));
    line(&mut out, 0, "host", scalar(&state.host));
    if state.tasks.is_empty() {
        line(&mut out, 0, "tasks", "[]");
    } else {
        out.push_str("tasks:\n");
        state.tasks.iter().for_each(|record| task(&mut out, record));
    }
    out + END
}

fn task(out: &mut String, record: &Record) {
    let _ = writeln!(out, "  - name: {}", scalar(&record.name));
    line(out, 2, "place", scalar(&record.place));
    line(out, 2, "action", scalar(&record.action));
    line(out, 2, "fingerprint", record.fingerprint.0);
    line(out, 2, "outcome", record.outcome.word());
    if !record.why.is_empty() {
        line(out, 2, "why", scalar(&record.why));
    }
    line(out, 2, "at", scalar(&record.at));
    if let Some(other) = record.instead_of {
        line(out, 2, "instead_of", other.0);
    }
    if record.wrote != Wrote::default() {
        out.push_str("    wrote:\n");
        mapping(out, 3, "files", &record.wrote.files);
        if let Some(listing) = &record.wrote.listing {
            line(out, 3, "listing", listing);
        }
        mapping(out, 3, "packages", &record.wrote.packages);
    }
    mapping(out, 2, "sources", &record.sources);
    mapping(out, 2, "variables", &record.variables);
    if !record.fields.is_null() {
        line(out, 2, "fields", flow(&record.fields));
    }
}

fn line(out: &mut String, depth: usize, key: &str, value: impl Display) {
    let _ = writeln!(out, "{}{key}: {value}", "  ".repeat(depth));
}

fn mapping(out: &mut String, depth: usize, key: &str, values: &BTreeMap<String, impl Display>) {
    if values.is_empty() {
        return;
    }
    let _ = writeln!(out, "{}{key}:", "  ".repeat(depth));
    for (name, value) in values {
        line(out, depth + 1, &scalar(name), scalar(&value.to_string()));
    }
}

/// A value on one line.
fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("{}: {}", quoted(name), flow(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        other => quoted(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use layers::digest::Digest;
    use serde_json::json;

    use super::super::Ending;
    use super::super::read::{Problem, read};
    use super::*;
    use crate::op::Fingerprint;

    fn state() -> State {
        let odd = "a: \"b\" #c\\\n\tü\u{1f600}\u{7f}\u{2028}\u{feff} - {x}";
        let record = Record {
            name: odd.into(),
            place: "10-a.yml:3".into(),
            action: "run_command".into(),
            fingerprint: Fingerprint(Digest::of("x")),
            outcome: Ending::Failed,
            why: "true".into(),
            at: "2026-11-21T12:00:00Z".into(),
            instead_of: Some(Fingerprint(Digest::of("before"))),
            wrote: Wrote {
                files: BTreeMap::from([("/a b".into(), "link 0777 0:0 ../x y".parse().unwrap())]),
                listing: Some(Digest::of("l")),
                packages: BTreeMap::from([("git".into(), "1:2.39.5-0+deb12u2".into())]),
            },
            sources: BTreeMap::from([(odd.into(), Digest::of("s"))]),
            variables: BTreeMap::from([("A".into(), String::new())]),
            fields: json!({"name": odd, "packages": ["1.0", "null", ""], "deep": {"a": {"b": []}}}),
        };
        let bare = Record { wrote: Wrote::default(), why: String::new(), fields: Value::Null, ..record.clone() };
        let tasks = vec![record, Record { sources: BTreeMap::new(), variables: BTreeMap::new(), ..bare }];
        State { blueprint: "1.0".into(), platform: "linux/amd64".into(), host: "h".into(), tasks }
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(read(&text(&state())).unwrap(), state());
        let empty = State::default();
        assert_eq!(read(&text(&empty)).unwrap(), empty);
    }

    #[test]
    fn a_cut_is_noticed_wherever_it_is() {
        let whole = text(&state());
        for end in (0..whole.len()).filter(|end| whole.is_char_boundary(*end)) {
            assert!(read(&whole[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn other_files_are_told_apart() {
        assert_eq!(read("version: 2\nanything: x\n"), Err(Problem::Newer("2".into())));
        assert_eq!(read("completed:\n  - abc\n"), Err(Problem::Foreign));
        assert_eq!(read(""), Err(Problem::Foreign));
        for foreign in [
            "version: 1\ncompleted:\n  - abc\n",
            "version: 1\nblueprint: x\n",
            "version: 1\nblueprint: x\nsteps: []\n...\n",
        ] {
            assert_eq!(read(foreign), Err(Problem::Foreign), "{foreign}");
        }
        assert!(matches!(read("version: 1\n  x: ["), Err(Problem::Damaged(Some((2, _)), _))));
        let odd = text(&state()).replace("outcome: failed", "outcome: perhaps");
        assert!(matches!(read(&odd), Err(Problem::Damaged(None, message)) if message.contains("perhaps")));
    }
}
