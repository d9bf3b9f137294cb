//! What has moved on since a lockfile was written: its pins, compared with what there is today. Nothing is written.

mod registries;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Serialize;

use crate::catalog::{Catalog, CatalogError};
use crate::context::Context;
use crate::debian::{DebianError, component};
use crate::event::Event;
use crate::image::BaseRef;
use crate::lock::{ArchivePin, BasePin, Lock};
use crate::plan::{Platform, PlatformError};
use crate::resolve::{Request, ResolveError};
use crate::target::Lent;

/// One pin that something newer is there for.
#[derive(Debug, Serialize)]
pub struct Outdated {
    /// What is pinned: `package`, `toolchain`, `base`, `git`, or a language.
    pub kind: &'static str,
    /// The platform that it is pinned for, if it is not the same for all.
    pub platform: Option<String>,
    /// What it is called.
    pub name: String,
    /// The version that is pinned.
    pub locked: String,
    /// The version there is today.
    pub latest: String,
    /// The part of the archive that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// True if the newer version mends a fault of security.
    pub security: bool,
}

/// How one looks.
pub struct Look<'a> {
    /// The suite that packages come from; `None` for that of the base, as the lockfile has it.
    pub suite: Option<String>,
    /// The catalog that toolchains come from.
    pub catalog: PathBuf,
    /// What this machine has commands use, such as indexes of languages.
    pub lent: Lent,
    /// The request for a platform.
    pub request: &'a dyn Fn(Platform) -> Request,
}

/// What was found.
#[derive(Debug)]
pub struct Found {
    /// Pins that something newer is there for.
    pub outdated: Vec<Outdated>,
    /// True if all pins were looked at. What was not, a warning has told of.
    pub all: bool,
}

/// Why pins cannot be compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutdatedError {
    /// The lockfile names a platform that there is not.
    #[error("alloy.lock.yml: {0}")]
    Platform(#[from] PlatformError),
    /// A base cannot be asked for.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The archive of packages cannot be read.
    #[error(transparent)]
    Debian(#[from] DebianError),
}

/// Compares the pins of `lock` with what there is today.
pub fn outdated(context: &Context, lock: &Lock, look: &Look<'_>) -> Result<Found, OutdatedError> {
    let mut found = toolchains(context, lock, look);
    found.extend(bases(context, lock, look)?);
    let looked = packages(context, lock, look)?;
    let mut all = looked.is_some();
    found.extend(looked.unwrap_or_default());
    let request = (look.request)(lock.host.parse()?);
    let languages = registries::packages(context, &request.fetcher, lock, &look.lent);
    for (more, whole) in [registries::commits(context, lock), languages] {
        found.extend(more);
        all &= whole;
    }
    Ok(Found { outdated: found, all })
}

/// Toolchains that the catalog has another version of. What it does not have at all is only worth a warning.
fn toolchains(context: &Context, lock: &Lock, look: &Look<'_>) -> Vec<Outdated> {
    let mut found = Vec::new();
    let pins = lock.toolchains.iter().flat_map(|(platform, pins)| pins.iter().map(move |pin| (platform, pin)));
    let pins: Vec<_> = pins.collect();
    if pins.is_empty() {
        return found;
    }
    let warn = |error: &CatalogError| context.reporter().event(Event::Warning(error.to_string()));
    let catalog = match Catalog::open(&look.catalog) {
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

/// Bases that are others today.
fn bases(context: &Context, lock: &Lock, look: &Look<'_>) -> Result<Vec<Outdated>, OutdatedError> {
    let mut found = Vec::new();
    for (reference, pin) in &lock.base {
        let platforms = match pin {
            BasePin::Image(_) => vec![lock.host.clone()],
            BasePin::Archive(platforms) => platforms.keys().cloned().collect(),
        };
        for platform in platforms {
            let request = (look.request)(platform.parse()?);
            let now = request.resolver(context).pin_base(reference, Some(pin))?;
            match (pin, now) {
                (BasePin::Image(locked), Some(BasePin::Image(latest))) if *locked != latest => {
                    let (locked, latest) = (locked.to_string(), latest.to_string());
                    let (kind, name) = ("base", reference.clone());
                    found.push(Outdated { kind, platform: None, name, locked, latest, from: None, security: false });
                }
                (BasePin::Archive(locked), Some(BasePin::Archive(latest))) => {
                    if let (Some(locked), Some(latest)) = (locked.get(&platform), latest.get(&platform)) {
                        found.extend(pockets(reference, &platform, locked, latest));
                    }
                }
                _ => {}
            }
        }
    }
    Ok(found)
}

/// Parts of the archive that a base is made from, and that are others today.
fn pockets<'a>(
    reference: &'a str,
    platform: &'a str,
    locked: &'a ArchivePin,
    latest: &'a ArchivePin,
) -> impl Iterator<Item = Outdated> + 'a {
    locked.pockets.iter().filter_map(|old| {
        let new = latest.pockets.iter().find(|new| new.suite == old.suite)?;
        (new.sha256 != old.sha256).then(|| Outdated {
            kind: "base",
            platform: Some(platform.to_owned()),
            name: reference.to_owned(),
            locked: old.date.clone(),
            latest: new.date.clone(),
            from: Some(new.suite.clone()),
            security: new.suite.ends_with("-security"),
        })
    })
}

/// The suite that the packages of `lock` come from, as far as it says that.
fn suite_of(lock: &Lock) -> Option<String> {
    let of_base = lock.base.keys().find_map(|base| match base.parse() {
        Ok(BaseRef::Deb { suite, .. }) => Some(suite),
        _ => None,
    });
    let of_tasks = || lock.apt.values().flat_map(|tasks| tasks.values()).find_map(|pin| pin.suite.clone());
    of_base.or_else(of_tasks)
}

/// Packages that the archive has newer versions of; `None` where nobody knows of which suite they are.
fn packages(context: &Context, lock: &Lock, look: &Look<'_>) -> Result<Option<Vec<Outdated>>, OutdatedError> {
    let mut by_platform: BTreeMap<&String, BTreeSet<(String, String)>> = BTreeMap::new();
    let mut components = BTreeSet::from(["main".to_owned()]);
    for (platform, tasks) in &lock.apt {
        for deb in tasks.values().flat_map(|pin| &pin.debs) {
            by_platform.entry(platform).or_default().insert((deb.package.clone(), deb.version.clone()));
            components.extend(component(&deb.filename).map(str::to_owned));
        }
    }
    let Some(suite) = look.suite.clone().or_else(|| suite_of(lock)) else {
        if by_platform.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let warning = "packages are not looked at: name the suite that they come from with --suite";
        context.reporter().event(Event::Warning(warning.into()));
        return Ok(None);
    };
    let mut found = Vec::new();
    for (platform, debs) in by_platform {
        let request = (look.request)(platform.parse()?);
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
