//! `alloy install`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args as ClapArgs;

use super::context::{Context, Global, Network, RegistryArgs};
use super::error::CommandError;
use super::inputs::{self, Prepared};
use super::interrupt::{self, CtrlC};
use super::ui;
use crate::install::{self, Decision, Foreseen, Options, state};
use crate::plan::{Platform, Settings};

/// Installs a blueprint on this machine
///
/// The tasks of a blueprint, performed where they are: on a Debian or Ubuntu machine, as root. What is done already is
/// not done again: a task runs unless its guards hold it back, or alloy.state.yml, beside the blueprint, says that it
/// ran as it is now. A task that fails ends the run; the next one begins with it.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  sudo alloy install --blueprint-dir examples/cortex-m
  alloy install --blueprint-dir . --dry-run
  sudo alloy install --root /mnt/card --state card.state.yml --var DEV_USERNAME=pi")]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) place: PlaceArgs,
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
    /// Refuse downloads and toolchains that nothing pins, and a lockfile that pins what nothing uses
    #[arg(long)]
    locked: bool,
    /// Take warnings for errors
    #[arg(long)]
    strict: bool,
    /// Allow file: URLs
    #[arg(long)]
    allow_file_urls: bool,
    /// Install for a platform that the blueprint does not list
    #[arg(long)]
    ignore_supported_hosts: bool,
    /// Begin anew, whatever the state file says: all tasks run, and each does what is missing
    #[arg(long)]
    forget: bool,
    /// Say what would be done, and why; needs no privileges
    #[arg(long)]
    dry_run: bool,
}

/// Which blueprint is on which host
#[derive(Debug, ClapArgs)]
pub(super) struct PlaceArgs {
    /// The blueprint: a directory with a manifest.yml
    #[arg(long, value_name = "DIR", env = "ALLOY_BLUEPRINT_DIR", hide_env_values = true, default_value = ".")]
    pub(super) blueprint_dir: PathBuf,
    /// The root of another system, such as a mounted card; commands run in it with namespaces of their own
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(super) root: PathBuf,
    /// What was done on the host [default: alloy.state.yml beside the blueprint]
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

impl PlaceArgs {
    /// The state file.
    pub(super) fn state(&self) -> PathBuf {
        self.state.clone().unwrap_or_else(|| self.blueprint_dir.join(state::STATE_FILE))
    }
}

impl Args {
    fn prepare(&self) -> Result<Prepared, CommandError> {
        let given = inputs::given(&self.var, &self.env_file)?;
        let on = |name: &str| given.process.get(name).is_some_and(|value| value == "1");
        let mut tags = BTreeSet::new();
        tags.extend((self.docker || on("ALLOY_ENV_DOCKER")).then(|| "docker".to_owned()));
        tags.extend((self.wsl2 || on("ALLOY_ENV_WSL2")).then(|| "wsl2".to_owned()));
        let settings = Settings {
            platform: self.platform.clone().unwrap_or_else(Platform::of_this_machine),
            given,
            tags,
            strict: self.strict,
            ignore_supported_hosts: self.ignore_supported_hosts,
            base: None,
            host: true,
        };
        inputs::prepare(&self.place.blueprint_dir, &settings, self.locked)
    }
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    let prepared = args.prepare()?;
    let context = if args.dry_run { Context::read_only(global)? } else { Context::open(global)? };
    interrupt::obey(&context.runtime, CtrlC::Asked);
    Prepared::warn(std::slice::from_ref(&prepared), &context);
    let registry = RegistryArgs::default();
    let mut network = Network::new(&context, &registry, prepared.platform.clone());
    network.fetcher = context.fetcher(prepared.lowered.secrets.clone(), args.allow_file_urls);
    network.locked = args.locked;
    let resolver = network.resolver();
    let state = args.place.state();
    let options = Options { root: &args.place.root, state: &state, forget: args.forget };
    let (directory, lowered) = (&prepared.blueprint.directory, &prepared.lowered);
    if args.dry_run {
        foresee(&install::forecast(&resolver, directory, lowered, &options)?);
        return Ok(ExitCode::SUCCESS);
    }
    let summary = install::install(&resolver, directory, lowered, &options)?;
    let (counts, took) = (summary.counts(), ui::duration(summary.took));
    drop(network);
    // Ends the view before the result is told.
    drop(context);
    println!("{counts} in {took}");
    summary.failure.map_or(Ok(ExitCode::SUCCESS), |failure| Err(failure.into()))
}

fn foresee(tasks: &[Foreseen]) {
    let (bold, dim, plain) = if ui::color_out() { ("\x1b[1m", "\x1b[2m", "\x1b[0m") } else { ("", "", "") };
    let mut file = None;
    for task in tasks {
        if file != Some(&task.file) {
            println!("{bold}{}{plain}", task.file);
            file = Some(&task.file);
        }
        let unless = if task.guarded { ", unless its `skip_if` holds" } else { "" };
        let line = match &task.decision {
            Decision::Skip(skipped) => format!("{dim}skip  {}: {}{plain}", task.name, skipped.reason()),
            Decision::Run(Some(why)) => format!("run   {}: {why}{unless}", task.name),
            Decision::Run(None) => format!("run   {}: not done here yet{unless}", task.name),
        };
        println!("    {line}");
    }
    let run = tasks.iter().filter(|task| matches!(task.decision, Decision::Run(_))).count();
    println!("{run} to run, {} to skip", tasks.len() - run);
}
