//! Whatever stands in the files of a blueprint, it is read, or something is said about a place that exists.

use std::collections::{BTreeMap, BTreeSet};

use alloy::blueprint::{Given, read_texts};
use alloy::plan::{Platform, Settings, lower};
use alloy::yaml::{Diagnostic, Sources, Span, render};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::repository;

type Files = BTreeMap<String, Vec<u8>>;

/// Reads and lowers; gives what is said, when all of it has a place.
fn survives(files: &Files) -> Result<Vec<Diagnostic>, TestCaseError> {
    let (blueprint, mut problems) = read_texts(files);
    if let Some(blueprint) = blueprint {
        let settings = Settings {
            platform: "linux/amd64".parse::<Platform>().unwrap(),
            given: Given { placeholders: true, ..Given::default() },
            tags: BTreeSet::from(["docker".to_owned()]),
            strict: true,
            ignore_supported_hosts: true,
            base: None,
            host: false,
            offline: false,
        };
        let found =
            lower(&blueprint, &settings).map_or_else(|problems| problems.diagnostics, |lowered| lowered.warnings);
        problems.diagnostics.extend(found);
    }
    for diagnostic in &problems.diagnostics {
        in_place(diagnostic, &problems.sources)?;
    }
    render(&problems.diagnostics, &problems.sources, true);
    Ok(problems.diagnostics)
}

fn in_place(diagnostic: &Diagnostic, sources: &Sources) -> Result<(), TestCaseError> {
    let (span, text) = (diagnostic.span, sources.text(diagnostic.span.file));
    prop_assert!(text.get(span.start..span.end).is_some(), "{:?} of {} bytes", diagnostic, text.len());
    let counted = Span::of(span.file, &text, span.start, span.end);
    prop_assert_eq!(span, counted, "{:?} in {:?}", diagnostic, text);
    let said = [&diagnostic.message, &diagnostic.label].into_iter().chain(&diagnostic.help);
    prop_assert!(said.into_iter().all(|text| !text.contains(char::is_control)), "{:?}", diagnostic);
    Ok(())
}

/// The files of the good blueprint that shows everything.
fn everything() -> Files {
    let entries = std::fs::read_dir(repository("testdata/blueprints/ok/everything")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    paths.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap())).collect()
}

/// Pieces that YAML and templates are made of.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let pieces = [
        "",
        "\n",
        "\r\n",
        "\r",
        " ",
        "  ",
        "\t",
        "- ",
        ": ",
        "[",
        "]",
        "{",
        "}",
        "{{",
        "}}",
        "{{.Vars.X}}",
        "$X",
        "${",
        "$$",
        "\"",
        "'",
        "|",
        ">",
        "|-\n",
        "&a ",
        "*a",
        "<<: ",
        "#",
        "---\n",
        "...\n",
        "!!str ",
        "!x ",
        "? ",
        "null",
        "~",
        "true",
        "0755",
        "..",
        "/",
        "\u{feff}",
        "ö",
        "字",
        "\u{2028}",
        "\u{85}",
        "\0",
        "\\0",
        "\u{1b}",
        "amd64",
        "%",
    ];
    prop_oneof![
        8 => proptest::sample::select(pieces.map(|piece| piece.as_bytes().to_vec()).to_vec()),
        1 => vec(any::<u8>(), 0..4),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes in vec(piece(), 0..60), file in 0..4_usize) {
        let mut files = Files::from([
            ("manifest.yml".into(), b"name: x\nversion: 1\nrun_order: [tasks.yml]\n".to_vec()),
            ("tasks.yml".into(), b"[]\n".to_vec()),
        ]);
        let name = ["manifest.yml", "tasks.yml", "variables.yml", "alloy.lock.yml"][file];
        files.insert(name.into(), bytes.concat());
        survives(&files)?;
    }

    #[test]
    fn a_good_blueprint_with_faults(
        file in any::<proptest::sample::Index>(),
        faults in vec((any::<proptest::sample::Index>(), 0..20_usize, piece()), 1..4),
    ) {
        let mut files = everything();
        let name = file.get(&files.keys().cloned().collect::<Vec<_>>()).clone();
        let bytes = files.get_mut(&name).unwrap();
        for (at, cut, piece) in faults {
            let at = at.index(bytes.len() + 1);
            let end = (at + cut).min(bytes.len());
            bytes.splice(at..end, piece);
        }
        survives(&files)?;
    }

    #[test]
    fn any_text_in_a_task(text in "([ -~öß字\\n]{0,8}|\\{\\{-?|\\}\\}| ?\\.Vars\\.(NAME|NOPE) ?|\\$\\{?NAME|\\}){0,8}", kind in 0..3_usize) {
        let scalar = match kind {
            0 => serde_json::to_string(&text).unwrap(),
            1 => format!("'{}'", text.replace('\'', "''").replace('\n', "\n\n    ")),
            _ => format!("|2-\n    {}", text.replace('\n', "\n    ")),
        };
        let files = Files::from([
            ("manifest.yml".into(), b"name: x\nversion: 1\nrun_order: [tasks.yml]\nvariables: {NAME: value}\n".to_vec()),
            ("tasks.yml".into(), format!("- name: x\n  action: udev_rules\n  rule_file: x\n  content:\n   {scalar}\n").into_bytes()),
        ]);
        let said = survives(&files)?;
        if !text.contains(['{', '$']) {
            prop_assert!(said.is_empty(), "{:?}", said);
        }
    }
}

#[test]
fn the_whole_one_is_good() {
    assert_eq!(survives(&everything()).unwrap(), []);
}
