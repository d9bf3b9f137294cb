//! `alloy outdated`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args as ClapArgs;
use serde_json::json;

use super::context::{self, Global, RegistryArgs};
use super::error::CommandError;
use super::interrupt::{self, CtrlC};
use super::ssh::SshArgs;
use super::ui::{self, Format};
use crate::blueprint;
use crate::context::Context;
use crate::outdated::{Found, Look, Outdated, outdated};
use crate::plan::Platform;
use crate::resolve::Request;
use crate::target::Lent;

/// Shows what is newer than the lockfile
///
/// It compares apt packages with the archive, and tells security updates apart; toolchains with the catalog; the base
/// and git revisions with what their names stand for today; and the Python, npm and Rust packages that tasks ask for
/// with their registries. Nothing is built or written; `alloy lock --update` renews the pins.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// The blueprint: a directory with a manifest.yml
    #[arg(default_value = ".", value_name = "DIR")]
    directory: PathBuf,
    /// How to print the result
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    format: Format,
    /// Exit with 1 if anything is newer
    #[arg(long)]
    exit_code: bool,
    /// The suite to look for packages in [default: the suite of the base in the lockfile]
    #[arg(long, value_name = "SUITE")]
    suite: Option<String>,
    /// The catalog to take toolchains from [default: `catalog` in the store]
    #[arg(long, value_name = "DIR", env = "ALLOY_CATALOG", hide_env_values = true)]
    catalog: Option<PathBuf>,
    /// The mirror of the archive, http://HOST/debian or http://HOST/ubuntu [default: this machine's apt sources, else
    /// the mirror that the package python-apt-common or debootstrap names]
    #[arg(long, value_name = "URL", env = "ALLOY_MIRROR", hide_env_values = true)]
    mirror: Option<String>,
    /// The keys that sign the archive [default: this machine's, else those of Debian and Ubuntu that come with alloy]
    #[arg(long, value_name = "FILE")]
    keyring: Option<PathBuf>,
    #[command(flatten)]
    ssh: SshArgs,
    #[command(flatten)]
    registry: RegistryArgs,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    let blueprint = blueprint::load(&args.directory)?;
    if blueprint.lock.is_none() {
        let message = format!("{} has no lockfile", blueprint.directory.display());
        return Err(CommandError::usage(message).hint("make one: alloy lock"));
    }
    let lock = blueprint.readable_pins()?.clone();
    let mut context = context::open(global, Some(&args.registry))?;
    context.ssh = args.ssh.open(context.stall())?;
    interrupt::obey(&context.runtime, CtrlC::Ours)?;
    let catalog = args.catalog.clone().unwrap_or_else(|| context.store.root().join("catalog"));
    let lent = Lent::by_this_machine(|name| std::env::var(name).ok());
    let request = |platform| request(args, &context, platform);
    let look = Look { suite: args.suite.clone(), catalog, lent, request: &request };
    let Found { outdated: found, all } = outdated(&context, &lock, &look)?;
    // What is shown live has to be gone before the result.
    drop(context);
    match args.format {
        Format::Json => ui::json(json!({ "outdated": found })),
        Format::Human if found.is_empty() && all => ui::out("all that is pinned is the newest there is\n"),
        Format::Human if found.is_empty() => ui::out("of all else that is pinned, there is nothing newer\n"),
        Format::Human => human(&found),
    }
    Ok(ExitCode::from(u8::from(args.exit_code && !found.is_empty())))
}

fn human(found: &[Outdated]) {
    let head = ["WHAT", "LOCKED", "LATEST", "FROM", "PLATFORM", ""].map(str::to_owned);
    let row = |one: &Outdated| {
        let name = if one.kind == "package" { one.name.clone() } else { format!("{} {}", one.kind, one.name) };
        let (from, platform) = (one.from.clone().unwrap_or_default(), one.platform.clone().unwrap_or_default());
        let security = if one.security { "security" } else { "" }.to_owned();
        [name, one.locked.clone(), one.latest.clone(), from, platform, security]
    };
    let rows: Vec<_> = std::iter::once(head).chain(found.iter().map(row)).collect();
    ui::table(&rows);
}

/// The request for a platform, as the options say.
fn request(args: &Args, context: &Context, platform: Platform) -> Request {
    let mut request = Request::new(context, platform);
    request.archive.mirror.clone_from(&args.mirror);
    request.archive.keyring.clone_from(&args.keyring);
    let logins = [request.archive.logins(), Lent::logins(|name| std::env::var(name).ok())].concat();
    request.fetcher = request.fetcher.with_logins(logins);
    request
}
