//! What is wrong with a blueprint, without building it: on every platform that it supports, without privileges, network
//! or variables.

mod files;
mod passwords;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::blueprint::{Blueprint, Given, Problems};
use crate::image::{BaseRef, BaseRefError};
use crate::op::{Secrets, Source};
use crate::plan::{self, Lowered, Platform, Settings};
use crate::yaml::{Diagnostic, MAX_PROBLEMS, Span, UNKNOWN};

/// Warnings of toolchains that nothing pins, and how their labels begin.
const NOT_PINNED: &str = "unpinned";
const FOR: &str = "not pinned for ";

/// A blueprint that was checked.
pub struct Checked {
    /// All that is wrong with it.
    pub problems: Problems,
    /// What is worth a line each, and is no problem.
    pub notes: Vec<String>,
    /// Secrets that stand in its texts: nobody is to show them.
    pub secrets: Secrets,
}

/// A blueprint that was looked at, on every platform it supports.
pub struct Looked {
    /// All that is wrong with it.
    pub problems: Problems,
    /// What it is on platforms on which nothing is.
    pub lowered: Vec<(Platform, Lowered)>,
    /// Secrets that stand in its texts: nobody is to show them.
    pub secrets: Secrets,
}

/// Everything that is wrong with `read`, of which `problems` are known. Notes say what its lockfile does not cover, and
/// what of `environment`, that of whoever looks, its commands will not see.
pub fn check(read: &Blueprint, problems: Problems, strict: bool, environment: BTreeMap<String, String>) -> Checked {
    let Looked { mut problems, lowered, secrets } = look(read, problems, strict);
    let mut seen: HashSet<(Span, String)> =
        problems.diagnostics.iter().map(|known| (known.span, known.message.clone())).collect();
    let told: HashSet<Span> =
        problems.diagnostics.iter().filter(|known| known.code == NOT_PINNED).map(|known| known.span).collect();
    for found in lowered.iter().flat_map(|(platform, lowered)| unpinned(read, platform, lowered)) {
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
    let given = Given { process: environment, ..Given::default() };
    let unheard = plan::unheard(read, &given, &docker()).into_iter().map(|found| {
        let help = found.help.map_or(String::new(), |help| format!("; {help}"));
        format!("{}: {}{help}", read.sources.place(found.span), found.message)
    });
    let notes = unheard.chain(read.lock.as_ref().and_then(|_| plan::uncovered_note(&uncovered))).collect();
    Checked { problems, notes, secrets }
}

/// What nothing pins of what the tasks of `lowered` fetch, as others who build the blueprint could be given something
/// else: `alloy publish` refuses it. Of what depends on a variable, nobody can say yet what it is.
pub fn unpinned(blueprint: &Blueprint, platform: &Platform, lowered: &Lowered) -> Vec<Diagnostic> {
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

/// The tag that is on in every image.
fn docker() -> BTreeSet<String> {
    BTreeSet::from(["docker".to_owned()])
}

/// Looks at `read`, of which `problems` are known.
pub fn look(read: &Blueprint, mut problems: Problems, strict: bool) -> Looked {
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
                files::missing(read, &lowered).into_iter().map(|found| found.strictly(strict)).for_each(&mut add);
                lowered.warnings.iter().cloned().for_each(&mut add);
                all.push((platform, lowered));
            }
            Err(found) => found.diagnostics.into_iter().for_each(&mut add),
        }
    }
    problems.diagnostics.sort_by_key(|diagnostic| diagnostic.span);
    Looked { problems, lowered: all, secrets: passwords::secrets(read) }
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
