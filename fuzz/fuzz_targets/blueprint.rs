//! The reader, from bytes to lowered steps: no input may make it panic, hang, or point at a place that does not exist.
//!
//! The files of the blueprint are divided by the byte 0xFF, which no text in UTF-8 has.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};

use alloy::blueprint::{Given, read_texts};
use alloy::plan::{Platform, Settings, lower};
use alloy::yaml::render;
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 4] = ["tasks.yml", "manifest.yml", "variables.yml", "alloy.lock.yml"];

fuzz_target!(|data: &[u8]| {
    let mut files =
        BTreeMap::from([("manifest.yml".to_owned(), b"name: x\nversion: 1\nrun_order: [tasks.yml]\n".to_vec())]);
    let given = NAMES.iter().zip(data.split(|byte| *byte == 0xff));
    files.extend(given.map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())));
    let (blueprint, mut problems) = read_texts(&files);
    if let Some(blueprint) = blueprint {
        let settings = Settings {
            platform: Platform { os: "linux".into(), architecture: "amd64".into(), variant: None },
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
        let (span, text) = (diagnostic.span, problems.sources.text(diagnostic.span.file));
        assert!(text.get(span.start..span.end).is_some(), "{diagnostic:?}");
    }
    render(&problems.diagnostics, &problems.sources, false);
});
