//! Toolchains of the manifest, as the lockfile pins them: the variables that they give, and what actions ask of them.

use super::Settings;
use crate::action::{Lookup, NoArchive};
use crate::blueprint::{Blueprint, Environment, Toolchain};
use crate::lock::{Lock, ToolchainSource, same};
use crate::op::Source;
use crate::yaml::{Diagnostic, Span, UNKNOWN};

/// Gives `env` the variables of all toolchains. Of a blueprint that is only looked at, what nothing pins is a warning.
pub(super) fn inject(
    blueprint: &Blueprint,
    settings: &Settings,
    lock: Option<&Lock>,
    env: &mut Environment,
    problems: &mut Vec<Diagnostic>,
) {
    let platform = settings.platform.to_string();
    for toolchain in &blueprint.manifest.toolchains {
        let pin = lock.and_then(|lock| lock.toolchain(&platform, &toolchain.reference));
        if pin.is_none() && lock.is_some() && settings.given.placeholders {
            let other = lock.and_then(|lock| lock.other_version(&platform, &toolchain.reference));
            problems.push(unpinned(&toolchain.reference, &platform, other, toolchain.span).strictly(settings.strict));
        }
        let Some(alias) = &toolchain.alias else { continue };
        let Some(pin) = pin else {
            // Of a lockfile that cannot be read, it is the lockfile that is wrong, not what uses it.
            if lock.is_none() || settings.given.placeholders {
                for ending in ["URL", "SHA", "VERSION"] {
                    env.inject(format!("{alias}_{ending}"), UNKNOWN.to_owned());
                }
            }
            env.miss(alias, &toolchain.reference, &platform);
            continue;
        };
        let said = [
            ("URL", "URL", pin.url().map(str::to_owned)),
            ("SHA", "digest", pin.sha256().map(|sha256| sha256.hex())),
            ("VERSION", "version", pin.version.clone()),
        ];
        let method = pin.method.as_deref().unwrap_or("archive");
        for (ending, what, value) in said {
            match value {
                Some(value) => env.inject(format!("{alias}_{ending}"), value),
                None => {
                    let why =
                        format!("alloy.lock.yml has no {what} of `{}`, which is had by {method}", toolchain.reference);
                    env.without(format!("{alias}_{ending}"), why);
                }
            }
        }
    }
}

/// A warning for a toolchain that nothing pins, in a blueprint that is only looked at: who builds it pins it first.
fn unpinned(reference: &str, platform: &str, other: Option<String>, span: Span) -> Diagnostic {
    Diagnostic::warning("unpinned", span, format!("alloy.lock.yml does not pin `{reference}`"))
        .label(other.unwrap_or_else(|| format!("not pinned for {platform}")))
        .help("pin it: alloy lock")
}

/// What actions may ask of the blueprint around a task.
pub(super) struct Around<'a> {
    pub(super) lock: Option<&'a Lock>,
    pub(super) platform: &'a str,
    /// Of a blueprint that is only looked at, the manifest's toolchains: it was told of them that nothing pins them.
    pub(super) told: Option<&'a [Toolchain]>,
    pub(super) sysroot: Option<String>,
}

impl Lookup for Around<'_> {
    fn platform(&self) -> &str {
        self.platform
    }

    fn toolchain(&self, reference: &str) -> Option<Result<Source, NoArchive>> {
        // It is the lock that is wrong then, not what uses it.
        let Some(lock) = self.lock else {
            return Some(Ok(Source::Url { url: UNKNOWN.to_owned(), sha256: None }));
        };
        let Some(pin) = lock.toolchain(self.platform, reference) else {
            // It was told of the manifest already.
            let told = self.told.is_some_and(|told| told.iter().any(|told| same(&told.reference, reference)));
            return told.then(|| Ok(Source::Url { url: UNKNOWN.to_owned(), sha256: None }));
        };
        Some(match &pin.source {
            ToolchainSource::Archive { url, sha256 } => Ok(Source::Url { url: url.clone(), sha256: Some(*sha256) }),
            ToolchainSource::Package { package } => Err(NoArchive::Package(package.clone())),
            ToolchainSource::Repository { url, .. } => Err(NoArchive::Repository(url.clone())),
        })
    }

    fn looks_only(&self) -> bool {
        self.told.is_some()
    }

    fn commit(&self, url: &str, revision: &str) -> Option<String> {
        self.lock?.commit(url, revision).map(str::to_owned)
    }

    fn tag(&self, url: &str, revision: &str) -> Option<String> {
        self.lock?.tag(url, revision).map(str::to_owned)
    }

    fn sysroot(&self) -> Option<String> {
        self.sysroot.clone()
    }
}
