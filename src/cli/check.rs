//! `alloy check`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args as ClapArgs, ValueEnum};

use super::context::vars;
use super::error::CommandError;
use super::{report, ui};
use crate::blueprint::{self, Problems};
use crate::lint::{self, Checked};

mod gitlab;

/// Reports everything that is wrong with blueprints
///
/// It needs no privileges, no network and no variables, and changes nothing. It checks every platform that
/// `supported_hosts` or else `targets` lists.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  alloy check
  alloy check boards/* --strict
  alloy check environment --format gitlab > gl-code-quality-report.json

Exit codes: 0 there is no error (with --strict: no warning either); 1 there is one; 2 a directory is no blueprint")]
pub(super) struct Args {
    /// The blueprints to check: directories, each with a manifest.yml
    #[arg(value_name = "DIR", default_value = ".")]
    directories: Vec<PathBuf>,
    /// Treat warnings as errors
    #[arg(long)]
    strict: bool,
    /// How to print problems
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// As text, with the source underlined
    #[default]
    Human,
    /// An array of problems
    Json,
    /// SARIF 2.1.0, for code review tools
    Sarif,
    /// A GitLab Code Quality report; its paths begin at the top of the git work tree
    Gitlab,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, CommandError> {
    let (mut all, mut directories, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    let (mut failed, mut seen) = (None, BTreeSet::new());
    for directory in &args.directories {
        // However it is named, it is looked at once.
        if !seen.insert(directory.canonicalize().unwrap_or_else(|_| directory.clone())) {
            continue;
        }
        match check(directory, args.strict) {
            Ok((problems, of_this_one)) => {
                directories.push(directory.clone());
                all.push(problems);
                notes.extend(of_this_one.iter().map(|note| format!("note: {note}\n")));
            }
            // The others are looked at all the same.
            Err(error) => failed.replace(error).iter().for_each(ui::failure),
        }
    }
    let errors: usize = all.iter().flat_map(|problems| &problems.diagnostics).filter(|d| d.is_error()).count();
    all.iter().for_each(|problems| ui::hide_quoted(&problems.sources));
    match args.format {
        Format::Human => {
            let mut text = String::new();
            for problems in all.iter().filter(|problems| !problems.diagnostics.is_empty()) {
                text += &ui::problems(problems, ui::color_out());
                text.push('\n');
            }
            let warnings: usize = all.iter().map(|problems| problems.diagnostics.len()).sum::<usize>() - errors;
            let (checked, errors) = (ui::count(all.len(), "blueprint"), ui::count(errors, "error"));
            text += &notes.concat();
            // What could not be looked at has no sum.
            let none = all.is_empty() && failed.is_some();
            ui::tell(&if none {
                text
            } else {
                format!("{text}{checked} checked: {errors}, {}\n", ui::count(warnings, "warning"))
            });
        }
        Format::Json => ui::json(report::json(&all)),
        Format::Sarif => ui::json(report::sarif(&all)),
        Format::Gitlab => ui::json(gitlab::report(&directories.into_iter().zip(all).collect::<Vec<_>>())),
    }
    match failed {
        Some(error) => Err(error),
        None => Ok(ExitCode::from(u8::from(errors > 0))),
    }
}

/// Everything that is wrong with the blueprint in `directory`, and what is worth a line.
fn check(directory: &Path, strict: bool) -> Result<(Problems, Vec<String>), CommandError> {
    let (read, problems) = blueprint::read(directory)?;
    let Some(read) = read else { return Ok((problems, Vec::new())) };
    let Checked { problems, notes, secrets } = lint::check(&read, problems, strict, vars().texts());
    ui::hide(&secrets);
    Ok((problems, notes))
}
