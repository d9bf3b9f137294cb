//! `alloy lock`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args as ClapArgs;
use jiff::Timestamp;
use layers::digest::Digest;
use layers::regular;

use super::context::{self, Global};
use super::error::{CommandError, Kind};
use super::inputs::InputArgs;
use super::interrupt::{self, CtrlC};
use super::ssh::SshArgs;
use super::ui;
use crate::blueprint::LOCK_FILE;
use crate::context::now;
use crate::event::Event;
use crate::lock::{Lock, difference};
use crate::locker::{self, Asked, Kept, Locker, Update};
use crate::op::Language;
use crate::plan::uncovered_note;
use crate::registry::Reference;
use crate::sink::Sink;

mod asker;

use asker::Reader;

/// Pins everything that a blueprint names, in alloy.lock.yml
///
/// It pins toolchains of the catalog, the base, downloads without a digest, tags and branches of git repositories, and,
/// for each task that installs packages, exactly the packages that apt, pip, npm and cargo choose, with their
/// dependencies. Pins that exist stay as they are, and pins that nothing uses are dropped. Commit the file: builds use
/// it, and with --locked they use nothing else.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  alloy lock .
  alloy lock . --check
  alloy lock . --update
  alloy lock . --update=base,jq
  alloy lock . --toolchains-only
  alloy lock . --mirror-to registry.example/team/debs:arm-env

Exit codes of --check: 0 the lockfile is current; 1 it is not")]
pub(super) struct Args {
    /// Check whether the lockfile is current, and write nothing
    #[arg(long)]
    check: bool,
    /// Look up and show what would be pinned, and write nothing
    #[arg(long, conflicts_with_all = ["check", "mirror_to"])]
    dry_run: bool,
    /// Renew pins: all of them, or those of these references, URLs and packages, or of `base`, `commits`, `apt`,
    /// `python`, `npm` or `rust`
    #[arg(long, value_name = "NAME", num_args = 0.., require_equals = true, value_delimiter = ',')]
    update: Option<Vec<String>>,
    /// Pin only the manifest's toolchains, from the local catalog, without network access
    #[arg(long, conflicts_with = "mirror_to")]
    toolchains_only: bool,
    /// The catalog to take toolchains from [default: `catalog` in the store]
    #[arg(long, value_name = "DIR", env = "ALLOY_CATALOG", hide_env_values = true)]
    catalog: Option<PathBuf>,
    /// Keep copies of all pinned packages (apt's, the languages' and those of a deb: base) in a registry, for when
    /// their servers no longer have them
    #[arg(long, value_name = "REF", conflicts_with = "check")]
    mirror_to: Option<Reference>,
    #[command(flatten)]
    ssh: SshArgs,
    #[command(flatten)]
    inputs: InputArgs,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    if args.inputs.locked {
        return Err(CommandError::usage("--locked is for builds: `alloy lock` makes what they are locked to"));
    }
    args.mirror_to.as_ref().map_or(Ok(()), check_mirror)?;
    let blueprint = Arc::new(args.inputs.load()?);
    let old = blueprint.readable_pins()?.clone();
    let path = blueprint.directory.join(LOCK_FILE);
    // Before anybody is asked.
    let sink = if args.check || args.dry_run { None } else { Some(Sink::at(&path)?.durable()) };
    let update = Update::of(args.update.as_deref());
    let mut context = context::open(global, Some(&args.inputs.registry))?;
    context.ssh = args.ssh.open(context.stall())?;
    interrupt::obey(&context.runtime, CtrlC::Ours)?;
    let catalog = args.catalog.clone().unwrap_or_else(|| context.store.root().join("catalog"));
    let reader = Reader::new(&context, &args.inputs, &blueprint)?;
    let asked = Asked {
        platforms: &args.inputs.platform,
        update: &update,
        catalog: &catalog,
        ask: !args.check || update.any(),
        toolchains_only: args.toolchains_only,
        options: reader.options(),
        may_mean_another_base: args.inputs.may_mean_another_base(&blueprint),
    };
    let mut locker = Locker::new(&context, &blueprint, &old, &asked, &reader);
    let done = locker.run();
    let Locker { lock: mut new, missing, uncovered, .. } = locker;
    if let Err(error) = done.map_err(CommandError::from) {
        // What is pinned need not be asked for again. Nothing is taken away, and what would be pinned anew waits for
        // the whole: packages fit the base that they were found on. Toolchains need nothing else.
        let mut partial = if args.toolchains_only { new } else { new.added_to(&old) };
        let kept = match &sink {
            Some(sink) if (args.toolchains_only || !update.any()) && !difference(&old, &partial).is_empty() => {
                partial.resolved_at = Some(resolved_at());
                write(sink, &path, &partial.to_yaml())?
            }
            _ => false,
        };
        let hint = format!("what was found until then is in {LOCK_FILE}; `alloy lock` goes on from there");
        return Err(if kept { error.hint(hint) } else { error });
    }
    // What is pinned is pinned, whatever becomes of those who are to keep it.
    let mut kept = Ok(());
    if let Some(reference) = &args.mirror_to {
        match locker::keep(&context, &reader, &new, reference) {
            Ok(Kept { repository, of_base }) => {
                context.reporter().event(Event::Note(keeps(reference, &new, of_base)));
                new.mirror = Some(repository);
            }
            Err(error) => {
                let mut error = CommandError::from(error);
                error.message.insert_str(0, &format!("--mirror-to {reference}: "));
                kept = Err(error);
            }
        }
    }
    let moved = difference(&old, &new);
    moved.iter().chain(&missing).for_each(|line| context.reporter().event(Event::Note(line.clone())));
    uncovered_note(&uncovered).into_iter().for_each(|line| context.reporter().event(Event::Note(line)));
    let current = moved.is_empty() && missing.is_empty() && new.pins_as(&old) && blueprint.lock.is_some();
    drop(reader);
    if args.check {
        // What is shown live has to be gone before the last word.
        drop(context);
        if current {
            return Ok(ExitCode::SUCCESS);
        }
        let message = format!("{LOCK_FILE} is not current");
        return Err(CommandError::new(Kind::Failed, message).hint("make it so, and commit it: alloy lock"));
    }
    new.resolved_at = old.resolved_at.clone().filter(|_| current);
    if new.resolved_at.is_none() {
        new.resolved_at = Some(resolved_at());
    }
    let changed = sink.map_or(Ok(false), |sink| write(&sink, &path, &new.to_yaml()))?;
    let said = match (changed, args.dry_run && !current) {
        (true, _) => "written",
        (false, true) => "not written",
        (false, false) => "current",
    };
    context.reporter().event(Event::Note(format!("{LOCK_FILE} is {said}: {}", summary(&new))));
    kept.map_err(|error| {
        error.hint(format!("{LOCK_FILE} is {said} nevertheless; the same command goes on from there"))
    })?;
    Ok(ExitCode::SUCCESS)
}

/// An error for a reference that packages cannot be sent to.
fn check_mirror(reference: &Reference) -> Result<(), CommandError> {
    if reference.names_registry() && reference.digest.is_none() {
        return Ok(());
    }
    let message = format!("--mirror-to {reference}: name a registry, a repository and a tag");
    Err(CommandError::usage(message).hint("for instance: --mirror-to REGISTRY/team/debs:arm-env"))
}

/// What `reference` keeps: the packages of `lock`, and so many files of the base.
fn keeps(reference: &Reference, lock: &Lock, of_base: usize) -> String {
    let mut said = format!("{reference} keeps {}", packages_of(lock).join(", "));
    if of_base > 0 {
        said += &format!(" and {} of the base", ui::count(of_base, "file"));
    }
    said
}

fn resolved_at() -> String {
    Timestamp::from_second(now()).unwrap_or_default().to_string()
}

fn summary(lock: &Lock) -> String {
    let toolchains = lock.toolchains.values().map(|pins| pins.len()).sum();
    let commits = lock.git.values().map(|commits| commits.len()).sum();
    let parts =
        [(lock.base.len(), "base"), (toolchains, "toolchain"), (lock.downloads.len(), "download"), (commits, "commit")];
    let parts = parts.map(|(count, what)| ui::count(count, what));
    [parts.to_vec(), packages_of(lock)].concat().join(", ")
}

/// How many packages tasks install, of each kind, and how many they are built with; what several tasks install counts once.
fn packages_of(lock: &Lock) -> Vec<String> {
    let debs = lock.apt.values().flat_map(|tasks| tasks.values()).flat_map(|pin| &pin.debs);
    let debs: BTreeSet<Digest> = debs.map(|deb| deb.sha256).collect();
    let mut parts = vec![ui::count(debs.len(), "package")];
    for (language, what) in
        [(Language::Python, "Python package"), (Language::Npm, "npm package"), (Language::Rust, "crate")]
    {
        let files = || lock.packages.of(language).flat_map(|(_, tasks)| tasks.values()).flat_map(|pin| &pin.files);
        let installed: BTreeSet<Digest> = files().filter(|file| !file.build).map(|file| file.sha256).collect();
        let built: BTreeSet<Digest> =
            files().map(|file| file.sha256).filter(|file| !installed.contains(file)).collect();
        parts.extend((!installed.is_empty()).then(|| ui::count(installed.len(), what)));
        parts.extend((!built.is_empty()).then(|| format!("{} to build with", ui::count(built.len(), what))));
    }
    parts
}

/// Writes the file whole, unless it is the same. True if it was not.
fn write(sink: &Sink, path: &Path, text: &str) -> Result<bool, CommandError> {
    if regular::read(path, text.len() as u64).is_ok_and(|has| has == text.as_bytes()) {
        return Ok(false);
    }
    sink.write_all(text.as_bytes())?;
    Ok(true)
}
