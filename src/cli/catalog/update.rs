//! `alloy catalog update`: a new clone takes the place of the old one in a single step, or not at all.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args as ClapArgs;
use serde_json::json;

use super::super::context::{Global, open_store};
use super::super::error::{CommandError, Kind};
use super::super::ui::{self, Format};
use super::{CatalogArg, git_config, known};
use crate::catalog::Catalog;
use crate::cli::context::git_programs;
use crate::event::Event;
use crate::git::Git;
use crate::sink::{Staged, Theirs};

/// What tells a clone that alloy made, and may replace, from everybody else's. It holds nothing.
const MARK: &str = ".git/alloy-catalog";

/// Downloads or updates the catalog with git
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    #[command(flatten)]
    catalog: CatalogArg,
    /// The git repository to take it from [default: the one it last came from]
    #[arg(long, value_name = "URL|DIR", env = "ALLOY_CATALOG_REMOTE", hide_env_values = true)]
    remote: Option<String>,
    /// Discard local changes to the catalog
    #[arg(long)]
    discard: bool,
    /// How to print the result
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    format: Format,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    let directory = args.catalog.directory(global)?;
    let store = open_store(global)?;
    let _lock = store.lock("catalog")?;
    let old = existing(&directory)?;
    let remote = match (&args.remote, &old) {
        (Some(remote), _) if Path::new(remote).is_dir() => fs::canonicalize(remote)
            .map_err(|error| CommandError::usage(format!("cannot read {remote}: {error}")))?
            .to_string_lossy()
            .into_owned(),
        (Some(remote), _) => remote.clone(),
        (None, Some(old)) => old.remote.clone(),
        (None, None) => {
            let hint = "name its repository: `alloy catalog update --remote URL`, or ALLOY_CATALOG_REMOTE";
            return Err(CommandError::usage("there is no catalog yet, nor is it known where to get one").hint(hint));
        }
    };
    if let Some(old) = old.as_ref().filter(|old| !old.own && !same(&old.remote, &remote)) {
        let message = format!(
            "{} is a clone of {}, which alloy has not made, and is left alone",
            directory.display(),
            old.remote
        );
        return Err(CommandError::usage(message).hint("name another directory with --catalog, or move this one away"));
    }
    let git = Git::new(&remote, global.stall_timeout).with_programs(&git_programs());
    let commit = git.newest()?;
    let changed = old.as_ref().is_none_or(|old| old.remote != remote || old.commit != commit);
    if changed {
        if let Some(old) = old.as_ref().filter(|old| !old.own || !args.discard) {
            old.unchanged(&directory)?;
        }
        // The catalog in the home of whoever calls by `sudo -E` is theirs.
        let theirs = Theirs::of(&directory);
        replace(&git, &directory)?;
        theirs.map_or(Ok(()), |theirs| theirs.hand_over()).map_err(|error| {
            CommandError::new(Kind::Failed, format!("cannot hand over {}: {error}", directory.display()))
        })?;
    }
    let known = known::all(&store, &Catalog::open(&directory)?);
    match args.format {
        Format::Human => {
            let tools = ui::count(known.tools.len(), "tool");
            let state = if changed { "updated" } else { "up to date" };
            ui::tell(&format!("{state}: {tools} from {} at {}\n", git.shown(), commit.get(..12).unwrap_or(&commit)));
        }
        Format::Json => {
            let (tools, problems) = (known.tools.len(), &known.problems);
            let (remote, directory) = (git.shown(), directory.display().to_string());
            let value = json!({"directory": directory, "remote": remote, "commit": commit, "changed": changed,
                               "tools": tools, "problems": problems});
            ui::json(value);
        }
    }
    let reporter = ui::reporter(global.progress, global.quiet, global.task_output);
    known.warnings().into_iter().for_each(|text| reporter.event(Event::Warning(text)));
    Ok(ExitCode::SUCCESS)
}

/// True for two names of one repository: with `.git` at the end, or without.
fn same(one: &str, other: &str) -> bool {
    let plain = |text: &str| {
        let text = text.trim_end_matches('/');
        text.strip_suffix(".git").unwrap_or(text).trim_end_matches('/').to_owned()
    };
    plain(one) == plain(other)
}

/// A clone of a catalog.
struct Clone {
    remote: String,
    commit: String,
    /// alloy made it: somebody else's has to be as it was cloned.
    own: bool,
}

/// The clone in `directory`, if there is one, also if it was made by hand or by another tool; anything else there is not
/// alloy's to replace.
fn existing(directory: &Path) -> Result<Option<Clone>, CommandError> {
    let empty = fs::read_dir(directory).map_or(true, |mut entries| entries.next().is_none());
    if empty {
        return Ok(None);
    }
    let own = directory.join(MARK).is_file();
    let alone = || {
        let message = format!("{} was not made by `alloy catalog update`, and is left alone", directory.display());
        CommandError::usage(message).hint("name another directory with --catalog, or update this one yourself")
    };
    if !own && !directory.join(".git").is_dir() {
        return Err(alone());
    }
    if let Some(what) = git_config::foreign(directory) {
        let message = format!("git is not run in {}: {what}, which alloy did not put there", directory.display());
        let hint = "take it out, or name another directory with --catalog";
        return Err(CommandError::usage(message).hint(hint));
    }
    let remote = Git::local(directory, &["remote", "get-url", "origin"]);
    let remote = if own { remote? } else { remote.map_err(|_| alone())? };
    Ok(Some(Clone { remote, commit: Git::local(directory, &["rev-parse", "HEAD"])?, own }))
}

impl Clone {
    /// Refuses to lose what somebody has done in the clone.
    fn unchanged(&self, directory: &Path) -> Result<(), CommandError> {
        // Of what is not alloy's, nothing at all is lost.
        let looks: [&[&str]; 3] = match self.own {
            true => [&["status", "--porcelain"], &["log", "--oneline", "HEAD", "--not", "--remotes"], &[]],
            false => [
                &["status", "--porcelain", "--ignored"],
                &["log", "--oneline", "HEAD", "--branches", "--tags", "--not", "--remotes"],
                &["stash", "list"],
            ],
        };
        let mut lines: Vec<String> = Vec::new();
        for look in looks.into_iter().filter(|look| !look.is_empty()) {
            lines.extend(Git::local(directory, look)?.lines().map(str::to_owned));
        }
        if lines.is_empty() {
            return Ok(());
        }
        lines.truncate(10);
        let message = format!("the catalog has changes of its own, which would be lost:\n{}", lines.join("\n"));
        let failure = CommandError::new(Kind::Failed, message);
        Err(failure.hint(match self.own {
            true => "send them to where the catalog comes from, or drop them with --discard",
            false => {
                "it was not made by `alloy catalog update`: send them to where it comes from, move it away, or name \
                      another directory with --catalog"
            }
        }))
    }
}

/// Puts a new clone in the place of `directory`.
fn replace(git: &Git, directory: &Path) -> Result<(), CommandError> {
    let failed = |what: &str, path: &Path, error: std::io::Error| {
        CommandError::new(Kind::Failed, format!("cannot {what} {}: {error}", path.display()))
    };
    let directory = std::path::absolute(directory).map_err(|error| failed("find", directory, error))?;
    let parent = directory.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned);
    fs::create_dir_all(&parent).map_err(|error| failed("make", &parent, error))?;
    let staged = Staged::of(&directory).map_err(|error| failed("write to", &parent, error))?;
    git.clone_into(staged.path())?;
    Catalog::open(staged.path()).map_err(|_| {
        let failure = CommandError::new(Kind::Failed, format!("{} holds no catalog", git.shown()));
        failure.hint("a catalog has directories such as toolchains/<vendor>/<tool>, at its top or in catalog/")
    })?;
    let mark = staged.path().join(MARK);
    fs::write(&mark, "").map_err(|error| failed("write", &mark, error))?;
    let readable = Permissions::from_mode(0o755);
    fs::set_permissions(staged.path(), readable).map_err(|error| failed("open", staged.path(), error))?;
    staged.persist(&directory).map_err(|error| failed("replace", &directory, error))
}
