//! `alloy install`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args as ClapArgs;

use super::context::{self, Global, Verbose};
use super::error::CommandError;
use super::inputs::{self, Prepared};
use super::interrupt::{self, CtrlC};
use super::place::{Place, PlaceArgs};
use super::ssh::SshArgs;
use super::ui;
use crate::install::{self, Decision, Forecast, Options};
use crate::plan::{Platform, Settings};
use crate::resolve::Request;
use crate::target::Lent;

/// Installs a blueprint on this machine
///
/// It performs the tasks of a blueprint on a Debian or Ubuntu machine, as root. A task that is done already is not done
/// again: alloy.state.yml records each task that ran, and a task runs again only if it has changed. A task that fails
/// ends the run, and the next run begins with it. A published blueprint is downloaded first.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  sudo alloy install registry.example/community/arm/cortex-m:1.2.0
  sudo alloy install --blueprint-dir examples/cortex-m
  alloy install --blueprint-dir . --dry-run
  sudo alloy install --root /mnt/card --state card.state.yml --var DEV_USERNAME=pi")]
pub(super) struct Args {
    #[command(flatten)]
    place: PlaceArgs,
    /// What the blueprint is installed for, os/arch[/variant] [default: this machine]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// Read variables from a file of NAME=value lines
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Set a variable of the blueprint
    #[arg(long, value_name = "NAME=VALUE")]
    var: Vec<String>,
    /// Switch on the tag `docker` of `exclude`: this is a container
    #[arg(long)]
    docker: bool,
    /// Switch on the tag `wsl2` of `exclude`
    #[arg(long)]
    wsl2: bool,
    /// Fail if a download or a toolchain is not pinned, or if the lockfile pins something that nothing uses
    #[arg(long)]
    locked: bool,
    /// Treat warnings as errors
    #[arg(long)]
    strict: bool,
    /// Allow file: URLs
    #[arg(long)]
    allow_file_urls: bool,
    /// Install for a platform that the blueprint does not list
    #[arg(long)]
    ignore_supported_hosts: bool,
    #[command(flatten)]
    ssh: SshArgs,
    #[command(flatten)]
    verbose: Verbose,
    /// Ignore the state file and run all tasks; each does what is missing
    #[arg(long)]
    forget: bool,
    /// Run only the tasks whose work has been changed since; `alloy drift` lists them
    #[arg(long, conflicts_with = "forget")]
    repair: bool,
    /// Show what would be done, and why, without privileges
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    fn platform(&self) -> Platform {
        self.platform.clone().unwrap_or_else(Platform::of_this_machine)
    }

    fn prepare(&self, directory: &Path, env_file: BTreeMap<String, String>) -> Result<Prepared, CommandError> {
        let given = inputs::given(&self.var, env_file)?;
        let on = |name: &str| given.is_on(name);
        let mut tags = BTreeSet::new();
        tags.extend((self.docker || on("ALLOY_ENV_DOCKER")).then(|| "docker".to_owned()));
        tags.extend((self.wsl2 || on("ALLOY_ENV_WSL2")).then(|| "wsl2".to_owned()));
        let settings = Settings {
            platform: self.platform(),
            given,
            tags,
            strict: self.strict,
            ignore_supported_hosts: self.ignore_supported_hosts,
            base: None,
            host: true,
            offline: false,
        };
        inputs::prepare(directory, &settings, self.locked)
    }
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    let env_file = inputs::of_files(&args.env_file)?;
    let place = &args.place.with(env_file.clone());
    // Before anything is fetched.
    install::allowed(&place.root, args.dry_run)?;
    let looks = args.dry_run && !place.is_published();
    let global = &args.verbose.of(global);
    let registries = &place.registries()?;
    let mut context = match looks {
        true => context::read_only(global, Some(registries))?,
        false => context::open(global, Some(registries))?,
    };
    // A look lends nothing.
    context.ssh = if args.dry_run { None } else { args.ssh.open(context.stall())? };
    if !args.dry_run {
        context::keep_log(&mut context, &format!("install to {}", place.root.display()));
    }
    interrupt::obey(&context.runtime, CtrlC::Asked)?;
    let Place { directory, state } = place.find(&context, args.platform(), args.dry_run)?;
    let prepared = args.prepare(&directory, env_file)?;
    Prepared::warn(std::slice::from_ref(&prepared), &context);
    let mut request = Request::new(&context, prepared.platform.clone());
    // Packages that are pinned are fetched as builds fetch them.
    let logins = Lent::logins(|name| std::env::var(name).ok());
    request.fetcher = request
        .fetcher
        .with_secrets(prepared.lowered.secrets.clone())
        .with_file_urls(args.allow_file_urls)
        .with_logins(logins);
    request.mirror.clone_from(&prepared.lowered.mirror);
    request.locked = args.locked;
    let resolver = request.resolver(&context);
    let options = Options { root: &place.root, state: &state, forget: args.forget, repair: args.repair };
    let (blueprint, lowered) = (&prepared.blueprint, &prepared.lowered);
    if args.dry_run {
        foresee(&install::forecast(&resolver, blueprint, lowered, &options)?);
        return Ok(ExitCode::SUCCESS);
    }
    let summary = install::install(&resolver, blueprint, lowered, &options)?;
    let (counts, took) = (summary.counts(), ui::duration(summary.took));
    drop(request);
    // Ends the view before the result is told.
    drop(context);
    if !global.quiet {
        outln!("{counts} in {took}");
    }
    summary.failure.map_or(Ok(ExitCode::SUCCESS), |failure| Err(failure.into()))
}

fn foresee(Forecast { tasks, stays }: &Forecast) {
    let (bold, dim, plain) = if ui::color_out() { ("\x1b[1m", "\x1b[2m", "\x1b[0m") } else { ("", "", "") };
    let mut file = None;
    for task in tasks {
        if file != Some(&task.file) {
            outln!("{bold}{}{plain}", task.file);
            file = Some(&task.file);
        }
        let unless = if task.guarded { ", unless its `skip_if` holds" } else { "" };
        let line = match &task.decision {
            Decision::Skip(skipped) => format!("{dim}skip  {}: {}{plain}", task.name, skipped.reason()),
            Decision::Run(Some(why)) => format!("run   {}: {why}{unless}", task.name),
            Decision::Run(None) => format!("run   {}: not done here yet{unless}", task.name),
        };
        outln!("    {line}");
    }
    for what in stays {
        outln!("stays {what}");
    }
    let run = tasks.iter().filter(|task| matches!(task.decision, Decision::Run(_))).count();
    outln!("{run} to run, {} to skip", tasks.len() - run);
}
