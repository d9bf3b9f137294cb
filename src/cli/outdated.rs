//! `alloy outdated`.

mod registries;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args as ClapArgs;
use serde::Serialize;
use serde_json::json;

use super::context::{self, Global, RegistryArgs};
use super::error::CommandError;
use super::interrupt::{self, CtrlC};
use super::lock::lock_of;
use super::ssh::SshArgs;
use super::ui::{self, Format};
use crate::blueprint;
use crate::catalog::{Catalog, CatalogError};
use crate::context::Context;
use crate::debian::component;
use crate::event::Event;
use crate::image::BaseRef;
use crate::lock::{BasePin, Lock};
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

/// One pin that something newer is there for.
#[derive(Debug, Serialize)]
struct Outdated {
    kind: &'static str,
    platform: Option<String>,
    name: String,
    locked: String,
    latest: String,
    /// The part of the archive that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    security: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    let blueprint = blueprint::load(&args.directory)?;
    if blueprint.lock.is_none() {
        let message = format!("{} has no lockfile", blueprint.directory.display());
        return Err(CommandError::usage(message).hint("make one: alloy lock"));
    }
    let lock = lock_of(&blueprint)?;
    let mut context = context::open(global, Some(&args.registry))?;
    context.ssh = args.ssh.open(context.stall())?;
    interrupt::obey(&context.runtime, CtrlC::Ours)?;
    let catalog = args.catalog.clone().unwrap_or_else(|| context.store.root().join("catalog"));
    let mut found = toolchains(&context, &lock, &catalog);
    found.extend(bases(args, &context, &lock)?);
    let looked = packages(args, &context, &lock)?;
    let mut all = looked.is_some();
    found.extend(looked.unwrap_or_default());
    let fetcher = request(args, &context, parsed(&lock.host)?).fetcher.clone();
    for (more, whole) in [registries::commits(&context, &lock), registries::packages(&context, &fetcher, &lock)] {
        found.extend(more);
        all &= whole;
    }
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

/// Toolchains that the catalog has another version of. What it does not have at all is only worth a warning.
fn toolchains(context: &Context, lock: &Lock, catalog: &Path) -> Vec<Outdated> {
    let mut found = Vec::new();
    let pins = lock.toolchains.iter().flat_map(|(platform, pins)| pins.iter().map(move |pin| (platform, pin)));
    let pins: Vec<_> = pins.collect();
    if pins.is_empty() {
        return found;
    }
    let warn = |error: &CatalogError| context.reporter().event(Event::Warning(error.to_string()));
    let catalog = match Catalog::open(catalog) {
        Ok(catalog) => catalog,
        Err(error) => {
            warn(&error);
            return found;
        }
    };
    for (platform, (reference, pin)) in pins {
        let latest = match catalog.resolve(reference, platform) {
            Ok(latest) => latest,
            Err(error) => {
                warn(&error);
                continue;
            }
        };
        let other = match pin.sha256() {
            Some(sha256) => latest.sha256() != Some(sha256),
            None => Some(latest.pinned_version()) != pin.version.as_deref(),
        };
        if other {
            let digest = pin.sha256().map(|sha256| sha256.hex()[..12].to_owned());
            found.push(Outdated {
                kind: "toolchain",
                platform: Some(platform.clone()),
                name: reference.clone(),
                locked: pin.version.clone().or(digest).unwrap_or_default(),
                latest: latest.version,
                from: None,
                security: false,
            });
        }
    }
    found
}

fn request(args: &Args, context: &Context, platform: Platform) -> Request {
    let mut request = Request::new(context, platform);
    request.archive.mirror.clone_from(&args.mirror);
    request.archive.keyring.clone_from(&args.keyring);
    let logins = [request.archive.logins(), Lent::logins(|name| std::env::var(name).ok())].concat();
    request.fetcher = request.fetcher.with_logins(logins);
    request
}

/// Bases that are others today.
fn bases(args: &Args, context: &Context, lock: &Lock) -> Result<Vec<Outdated>, CommandError> {
    let mut found = Vec::new();
    for (reference, pin) in &lock.base {
        let platforms = match pin {
            BasePin::Image(_) => vec![lock.host.clone()],
            BasePin::Archive(platforms) => platforms.keys().cloned().collect(),
        };
        for platform in platforms {
            let request = request(args, context, parsed(&platform)?);
            let now = request.resolver(context).pin_base(reference, Some(pin))?;
            let base = |platform, locked: String, latest: String, from, security| Outdated {
                kind: "base",
                platform,
                name: reference.clone(),
                locked,
                latest,
                from,
                security,
            };
            match (pin, now) {
                (BasePin::Image(locked), Some(BasePin::Image(latest))) if *locked != latest => {
                    found.push(base(None, locked.to_string(), latest.to_string(), None, false));
                }
                (BasePin::Archive(locked), Some(BasePin::Archive(latest))) => {
                    let (Some(locked), Some(latest)) = (locked.get(&platform), latest.get(&platform)) else { continue };
                    for (old, new) in locked.pockets.iter().filter_map(|old| {
                        let new = latest.pockets.iter().find(|new| new.suite == old.suite)?;
                        (new.sha256 != old.sha256).then_some((old, new))
                    }) {
                        let security = new.suite.ends_with("-security");
                        let from = Some(new.suite.clone());
                        found.push(base(Some(platform.clone()), old.date.clone(), new.date.clone(), from, security));
                    }
                }
                _ => {}
            }
        }
    }
    Ok(found)
}

/// Packages that the archive has newer versions of; `None` where nobody knows of which suite they are.
fn packages(args: &Args, context: &Context, lock: &Lock) -> Result<Option<Vec<Outdated>>, CommandError> {
    let mut by_platform: BTreeMap<&String, BTreeSet<(String, String)>> = BTreeMap::new();
    let mut components = BTreeSet::from(["main".to_owned()]);
    for (platform, tasks) in &lock.apt {
        for deb in tasks.values().flat_map(|pin| &pin.debs) {
            by_platform.entry(platform).or_default().insert((deb.package.clone(), deb.version.clone()));
            components.extend(component(&deb.filename).map(str::to_owned));
        }
    }
    let of_base = || {
        lock.base.keys().find_map(|base| match base.parse() {
            Ok(BaseRef::Deb { suite, .. }) => Some(suite),
            _ => None,
        })
    };
    let of_tasks = || lock.apt.values().flat_map(|tasks| tasks.values()).find_map(|pin| pin.suite.clone());
    let Some(suite) = args.suite.clone().or_else(of_base).or_else(of_tasks) else {
        if by_platform.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let warning = "packages are not looked at: name the suite that they come from with --suite";
        context.reporter().event(Event::Warning(warning.into()));
        return Ok(None);
    };
    let mut found = Vec::new();
    for (platform, debs) in by_platform {
        let request = request(args, context, parsed(platform)?);
        let resolver = request.resolver(context);
        let looked =
            context.runtime.block_on(resolver.releases(&suite)?.newer(resolver.fetcher(), &components, &debs))?;
        if !looked.unknown.is_empty() {
            let names = looked.unknown.into_iter().collect::<Vec<_>>().join(", ");
            context.reporter().event(Event::Note(format!("not in {suite} for {platform}: {names}")));
        }
        found.extend(looked.newer.into_iter().map(|newer| Outdated {
            kind: "package",
            platform: Some(platform.clone()),
            name: newer.package,
            locked: newer.locked,
            latest: newer.latest,
            from: Some(newer.pocket),
            security: newer.security,
        }));
    }
    Ok(Some(found))
}

fn parsed(platform: &str) -> Result<Platform, CommandError> {
    platform
        .parse()
        .map_err(|error: crate::plan::PlatformError| CommandError::usage(format!("alloy.lock.yml: {error}")))
}
