//! `alloy check`.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args as ClapArgs, ValueEnum};

use super::error::CommandError;
use super::{report, ui};
use crate::blueprint::{self, Blueprint, Given, Problems};
use crate::image::{BaseRef, BaseRefError};
use crate::op::{Archive, Op, Source, Step};
use crate::plan::{self, Lowered, Platform, Settings};
use crate::resolve::{self, Member};
use crate::target::LocalDeb;
use crate::yaml::{Diagnostic, MAX_PROBLEMS, Node, Span, UNKNOWN};

mod gitlab;
mod passwords;

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

/// Warnings of toolchains that nothing pins, and how their labels begin.
const NOT_PINNED: &str = "unpinned";
const FOR: &str = "not pinned for ";

/// Everything that is wrong with the blueprint in `directory`; and what its lockfile does not cover, and what of the
/// environment here its commands will not see.
fn check(directory: &Path, strict: bool) -> Result<(Problems, Vec<String>), CommandError> {
    let (read, problems) = blueprint::read(directory)?;
    let Some(read) = read else { return Ok((problems, Vec::new())) };
    let Looked { mut problems, lowered } = look(&read, problems, strict);
    let mut seen: HashSet<(Span, String)> =
        problems.diagnostics.iter().map(|known| (known.span, known.message.clone())).collect();
    let told: HashSet<Span> =
        problems.diagnostics.iter().filter(|known| known.code == NOT_PINNED).map(|known| known.span).collect();
    for found in lowered.iter().flat_map(|(platform, lowered)| unpinned(&read, platform, lowered)) {
        // A toolchain was told of when it was looked at.
        if told.contains(&found.span) {
            continue;
        }
        if problems.diagnostics.len() < MAX_PROBLEMS && seen.insert((found.span, found.message.clone())) {
            problems.diagnostics.push(found.leniently().strictly(strict));
        }
    }
    problems.diagnostics.sort_by_key(|diagnostic| diagnostic.span);
    let uncovered = lowered.iter().flat_map(|(_, lowered)| plan::uncovered(lowered)).collect();
    let given = Given { process: blueprint::process(), ..Given::default() };
    let unheard = plan::unheard(&read, &given, &docker()).into_iter().map(|found| {
        let help = found.help.map_or(String::new(), |help| format!("; {help}"));
        format!("{}: {}{help}", read.sources.place(found.span), found.message)
    });
    let notes = unheard.chain(read.lock.as_ref().and_then(|_| plan::uncovered_note(&uncovered))).collect();
    Ok((problems, notes))
}

/// What nothing pins of what the tasks of `lowered` fetch, as others who build the blueprint could be given something
/// else: `alloy publish` refuses it. Of what depends on a variable, nobody can say yet what it is.
pub(super) fn unpinned(blueprint: &Blueprint, platform: &Platform, lowered: &Lowered) -> Vec<Diagnostic> {
    let mut lowered = lowered.clone();
    for layer in &mut lowered.layers {
        layer.steps.retain(|step| !step.sources().any(is_unknown));
        for step in &mut layer.steps {
            step.checkouts
                .retain(|checkout| ![&checkout.url, &checkout.revision].iter().any(|it| it.contains(UNKNOWN)));
        }
    }
    plan::not_pinned(blueprint, &lowered, platform)
}

/// True for what depends on a variable that is not known yet.
fn is_unknown(source: &Source) -> bool {
    let (Source::Url { url: text, .. } | Source::Local { path: text } | Source::Tree { path: text, .. }) = source;
    text.contains(UNKNOWN)
}

/// A blueprint that was looked at, on every platform it supports.
pub(super) struct Looked {
    /// All that is wrong with it.
    pub(super) problems: Problems,
    /// What it is on platforms on which nothing is.
    pub(super) lowered: Vec<(Platform, Lowered)>,
}

/// The tag that is on in every image.
fn docker() -> BTreeSet<String> {
    BTreeSet::from(["docker".to_owned()])
}

/// Looks at `read`, of which `problems` are known.
pub(super) fn look(read: &Blueprint, mut problems: Problems, strict: bool) -> Looked {
    let mut all = Vec::new();
    let mut seen: HashSet<Diagnostic> = problems.diagnostics.iter().cloned().collect();
    let mut add = |diagnostic: Diagnostic| {
        // What nothing pins is told once, with all platforms.
        if let Some(platform) = diagnostic.label.strip_prefix(FOR).filter(|_| !seen.contains(&diagnostic)) {
            let same = |known: &&mut Diagnostic| {
                (known.span, &known.message) == (diagnostic.span, &diagnostic.message) && known.label.starts_with(FOR)
            };
            if let Some(known) = problems.diagnostics.iter_mut().find(same) {
                known.label += &format!(", {platform}");
                seen.insert(diagnostic);
                return;
            }
        }
        if problems.diagnostics.len() < MAX_PROBLEMS && seen.insert(diagnostic.clone()) {
            problems.diagnostics.push(diagnostic);
        }
    };
    let own = passwords::written(read).into_iter().chain(base(read).or_else(|| plan::base_leads_out(read)));
    passwords::hide(read);
    own.map(|diagnostic| diagnostic.strictly(strict)).for_each(&mut add);
    let hosts = read.manifest.hosts().iter().filter_map(|host| host.parse::<Platform>().ok());
    let mut platforms: BTreeSet<Platform> = hosts.collect();
    if platforms.is_empty() {
        platforms.insert(Platform::of_this_machine());
    }
    for platform in platforms {
        let given = Given { process: BTreeMap::new(), placeholders: true, ..Given::default() };
        let settings = Settings {
            platform: platform.clone(),
            given,
            tags: docker(),
            strict,
            ignore_supported_hosts: false,
            base: None,
            host: false,
            offline: false,
        };
        match plan::lower(read, &settings) {
            Ok(lowered) => {
                missing_files(read, &lowered).into_iter().map(|found| found.strictly(strict)).for_each(&mut add);
                lowered.warnings.iter().cloned().for_each(&mut add);
                all.push((platform, lowered));
            }
            Err(found) => found.diagnostics.into_iter().for_each(&mut add),
        }
    }
    problems.diagnostics.sort_by_key(|diagnostic| diagnostic.span);
    Looked { problems, lowered: all }
}

/// What is wrong with `image.base`.
fn base(blueprint: &Blueprint) -> Option<Diagnostic> {
    let (text, span) = blueprint.manifest.base()?;
    let error = match text.parse::<BaseRef>() {
        Ok(BaseRef::Local(_)) => {
            let message = format!("`{text}` is an image of whoever builds: others have another one, or none");
            let help = "push it, and name its registry; `--base` takes it on the command line";
            return Some(Diagnostic::warning("base", span?, message).label("nobody else's").help(help));
        }
        Ok(_) => return None,
        Err(error) => error,
    };
    // Of files, lowering says it.
    if matches!(error, BaseRefError::Incomplete { what: "a path", .. }) {
        return None;
    }
    let help = "a base is deb:SUITE, scratch, an image of the store or of a registry, or oci:, oci-archive:, docker-archive:, rootfs: and a path";
    Some(Diagnostic::error("base", span?, error.to_string()).help(help))
}

/// Files of the blueprint that a task wants and that are not there.
fn missing_files(blueprint: &Blueprint, lowered: &Lowered) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for step in lowered.layers.iter().flat_map(|layer| &layer.steps) {
        for op in &step.ops {
            if let Op::Copy { source: Source::Tree { path, excludes }, .. } = op {
                match resolve::members(&blueprint.directory, path, excludes) {
                    Ok(members) if members.get(Path::new("")) == Some(&Member::File) && !excludes.is_empty() => {
                        let span = place_of(blueprint, step, "excludes");
                        let message = format!("`excludes` means nothing here: `{path}` is a file");
                        found.extend(span.map(|span| Diagnostic::warning("glob", span, message)));
                    }
                    Ok(_) => {
                        let span = place_of(blueprint, step, "excludes");
                        for pattern in resolve::unused(&blueprint.directory, path, excludes) {
                            let message = format!("`{pattern}` in `excludes` leaves nothing out");
                            let help = "a pattern is for paths inside of `source`: `*.o`, `build`, `src/*.o`";
                            found.extend(span.map(|span| Diagnostic::warning("glob", span, message).help(help)));
                        }
                    }
                    Err(error) => {
                        let span = source_of(blueprint, step);
                        found.extend(span.map(|span| not_copied(path, &error, span)));
                    }
                }
                continue;
            }
            let (sources, field) = match op {
                Op::Unpack { archive: Archive::Source(source), .. } => (std::slice::from_ref(source), "source"),
                Op::AptInstall { debs, .. } => (debs.as_slice(), "debs"),
                _ => continue,
            };
            if let Op::AptInstall { debs, .. } = op {
                found.extend(same_package(blueprint, step, debs));
            }
            let local = |source: &Source| match source {
                Source::Local { path } => missing_file(blueprint, step, path, field),
                _ => None,
            };
            found.extend(sources.iter().filter_map(local));
        }
    }
    found
}

/// What is wrong with a file of the blueprint that a task's `field` names.
fn missing_file(blueprint: &Blueprint, step: &Step, path: &str, field: &'static str) -> Option<Diagnostic> {
    let message = match blueprint.directory.join(path).canonicalize() {
        Ok(real) if !real.starts_with(&blueprint.directory) => {
            format!("`{path}` leads out of the blueprint, through a link")
        }
        Ok(real) if real.is_file() => return None,
        Ok(_) => format!("`{path}` is not a file"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            format!("there is no file `{path}` in the blueprint")
        }
        Err(error) => format!("cannot read `{path}`: {error}"),
    };
    let help = match field {
        "source" => "name a file inside the blueprint's directory, or an absolute path in the image",
        _ => "name a file inside the blueprint's directory, or a URL",
    };
    Some(Diagnostic::error("source", place_of(blueprint, step, field)?, message).help(help))
}

/// An error where files of the blueprint are packages of one name, of which only one can be installed.
fn same_package(blueprint: &Blueprint, step: &Step, debs: &[Source]) -> Option<Diagnostic> {
    let mut named: Vec<LocalDeb> = Vec::new();
    for (at, source) in debs.iter().enumerate() {
        let Source::Local { path } = source else { continue };
        let place = blueprint.directory.join(path).canonicalize().ok();
        let place = place.filter(|place| place.starts_with(&blueprint.directory) && place.is_file());
        // What is no package, the build tells.
        let deb = place.and_then(|place| LocalDeb::read(source, &place).ok());
        let Some(deb) = deb.filter(|_| !debs[..at].contains(source)) else { continue };
        if let Err(error) = named.iter().try_for_each(|other| deb.beside(other)) {
            return Some(Diagnostic::error("package", place_of(blueprint, step, "debs")?, error.to_string()));
        }
        named.push(deb);
    }
    None
}

/// What is wrong with what a task copies.
fn not_copied(path: &str, error: &std::io::Error, span: Span) -> Diagnostic {
    if error.kind() == std::io::ErrorKind::NotFound {
        return Diagnostic::error("source", span, format!("there is no `{path}` in the blueprint"))
            .help("name a file or directory inside the blueprint's directory, relative to it");
    }
    Diagnostic::error("source", span, format!("cannot copy `{path}`: {error}"))
        .help("what is copied is the same wherever the blueprint is: files, directories, and links from one to another")
}

fn source_of(blueprint: &Blueprint, step: &Step) -> Option<Span> {
    place_of(blueprint, step, "source")
}

/// The place of a step's `field`, or of the step.
fn place_of(blueprint: &Blueprint, step: &Step, field: &str) -> Option<Span> {
    let file = blueprint.files.iter().find(|file| file.path == step.file)?;
    let task = file.tasks.iter().find(|task| task.span.line == step.line)?;
    Some(task.fields.get(field).map_or(task.span, |node: &Node| node.span))
}
