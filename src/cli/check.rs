//! `alloy check`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args as ClapArgs, ValueEnum};
use serde_json::{Value, json};

use super::error::CommandError;
use super::ui;
use crate::blueprint::{self, Given, Problems};
use crate::plan::{self, Platform, Settings};
use crate::yaml::{self, Diagnostic, Sources};

/// Says everything that is wrong with blueprints
///
/// Needs no privileges, no network and no variables; nothing is changed. Every platform of `supported_hosts` is looked
/// at.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Exit codes: 0 nothing is wrong; 1 something is; 2 a directory is no blueprint")]
pub(super) struct Args {
    /// Blueprints
    #[arg(value_name = "DIR", default_value = ".")]
    directories: Vec<PathBuf>,
    /// Take warnings for errors
    #[arg(long)]
    strict: bool,
    /// How to say it
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// With the source underlined
    #[default]
    Human,
    /// An array of problems
    Json,
    /// SARIF 2.1.0, for code review tools
    Sarif,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, CommandError> {
    let mut all = Vec::new();
    for directory in &args.directories {
        all.push(check(directory, args.strict)?);
    }
    let errors: usize = all.iter().flat_map(|problems| &problems.diagnostics).filter(|d| d.is_error()).count();
    match args.format {
        Format::Human => {
            for problems in all.iter().filter(|problems| !problems.diagnostics.is_empty()) {
                print!("{}", yaml::render(&problems.diagnostics, &problems.sources, ui::color_out()));
                println!();
            }
            let warnings: usize = all.iter().map(|problems| problems.diagnostics.len()).sum::<usize>() - errors;
            println!(
                "{} checked: {}, {}",
                ui::count(all.len(), "blueprint"),
                ui::count(errors, "error"),
                ui::count(warnings, "warning")
            );
        }
        Format::Json => println!("{}", Value::Array(each(&all, as_json).collect())),
        Format::Sarif => println!("{}", sarif(each(&all, as_result).collect())),
    }
    Ok(ExitCode::from(u8::from(errors > 0)))
}

/// Everything that is wrong with the blueprint in `directory`.
fn check(directory: &Path, strict: bool) -> Result<Problems, CommandError> {
    let (read, mut problems) = blueprint::read(directory)?;
    let Some(read) = read else { return Ok(problems) };
    let hosts = read.manifest.supported_hosts.iter().filter_map(|host| host.parse::<Platform>().ok());
    let mut platforms: BTreeSet<Platform> = hosts.collect();
    if platforms.is_empty() {
        platforms.insert(Platform::of_this_machine());
    }
    for platform in platforms {
        let given = Given { process: BTreeMap::new(), placeholders: true, ..Given::default() };
        let settings = Settings {
            platform,
            given,
            tags: BTreeSet::from(["docker".to_owned()]),
            strict,
            ignore_supported_hosts: false,
            base: None,
        };
        let found = match plan::lower(&read, &settings) {
            Ok(lowered) => lowered.warnings,
            Err(found) => found.diagnostics,
        };
        for diagnostic in found {
            if !problems.diagnostics.contains(&diagnostic) {
                problems.diagnostics.push(diagnostic);
            }
        }
    }
    problems.diagnostics.sort_by_key(|diagnostic| diagnostic.span);
    Ok(problems)
}

fn each<'a>(
    all: &'a [Problems],
    form: impl Fn(&Diagnostic, &Sources) -> Value + Copy + 'a,
) -> impl Iterator<Item = Value> + 'a {
    all.iter().flat_map(move |problems| problems.diagnostics.iter().map(move |d| form(d, &problems.sources)))
}

fn severity(diagnostic: &Diagnostic) -> &'static str {
    if diagnostic.is_error() { "error" } else { "warning" }
}

fn as_json(diagnostic: &Diagnostic, sources: &Sources) -> Value {
    json!({
        "code": diagnostic.code,
        "severity": severity(diagnostic),
        "message": diagnostic.message,
        "file": sources.name(diagnostic.span.file),
        "line": diagnostic.span.line,
        "column": diagnostic.span.column,
        "help": diagnostic.help,
    })
}

fn as_result(diagnostic: &Diagnostic, sources: &Sources) -> Value {
    let help = diagnostic.help.as_ref().map_or(String::new(), |help| format!("\n{help}"));
    json!({
        "ruleId": diagnostic.code,
        "level": severity(diagnostic),
        "message": {"text": format!("{}{help}", diagnostic.message)},
        "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": sources.name(diagnostic.span.file)},
            "region": {"startLine": diagnostic.span.line, "startColumn": diagnostic.span.column},
        }}],
    })
}

fn sarif(results: Vec<Value>) -> Value {
    let rules: BTreeSet<String> = results.iter().filter_map(|r| r["ruleId"].as_str().map(str::to_owned)).collect();
    let rules: Vec<Value> = rules.into_iter().map(|id| json!({"id": id})).collect();
    let driver = json!({"name": "alloy", "version": env!("CARGO_PKG_VERSION"), "rules": rules});
    json!({
        "version": "2.1.0",
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    })
}
