//! `--locked`: what a build needs and the lockfile does not pin, and what the lockfile pins and nothing uses.

use super::{AptTask, LanguageTask, Lowered, Platform, fixed};
use crate::action::{REPO_REVISION, REPO_URL};
use crate::blueprint::{Blueprint, Task};
use crate::lock::{ClosurePin, Keys, Lock, Lockfile, same};
use crate::op::{DEFAULT_REVISION, Pinned, Secrets, Source, Step, without_logins, without_tokens};
use crate::yaml::{Diagnostic, Mapping, Node, Span, Value};

/// Fields that name a git repository, and those that name a revision of it.
const REPOSITORIES: [&str; 3] = ["url", "external_tree", "repo_url"];
const REVISIONS: [&str; 4] = ["revision", "version", "commit_hash", "repo_rev"];

/// All that keeps the build of `lowered`, made from `blueprint`, from being the one that was locked.
pub fn not_locked(blueprint: &Blueprint, lowered: &Lowered, platform: &Platform) -> Vec<Diagnostic> {
    found(blueprint, lowered, platform, true)
}

/// The same without base and packages: those are for whoever builds, and may be others there.
pub fn not_pinned(blueprint: &Blueprint, lowered: &Lowered, platform: &Platform) -> Vec<Diagnostic> {
    found(blueprint, lowered, platform, false)
}

fn found(blueprint: &Blueprint, lowered: &Lowered, platform: &Platform, whole: bool) -> Vec<Diagnostic> {
    let lock = blueprint.pins();
    let platform = platform.to_string();
    let mut found = Vec::new();
    for toolchain in &blueprint.manifest.toolchains {
        if lock.toolchain(&platform, &toolchain.reference).is_none() {
            let message = format!("alloy.lock.yml does not pin `{}` for {platform}", toolchain.reference);
            let other = lock.other_version(&platform, &toolchain.reference);
            let label = other.unwrap_or_else(|| "not pinned".to_owned());
            found.push(Diagnostic::error("lock", toolchain.span, message).label(label).help("pin it: alloy lock"));
        }
    }
    if whole && !fixed(lock, &lowered.base, &platform) {
        let written = blueprint.manifest.base().and_then(|(_, span)| span);
        let span = written.unwrap_or_else(|| fallback(blueprint));
        let message = format!("alloy.lock.yml does not pin the base `{}` for {platform}", lowered.base);
        found.push(Diagnostic::error("lock", span, message).label("not pinned").help("pin it: alloy lock"));
    }
    for step in lowered.layers.iter().flat_map(|layer| &layer.steps) {
        let unpinned = step.sources().filter_map(|source| match source {
            Source::Url { url, sha256: None } => Some(url),
            _ => None,
        });
        for url in unpinned {
            found.push(free_download(blueprint, step, url));
        }
    }
    for step in lowered.layers.iter().flat_map(|layer| &layer.steps) {
        for checkout in step.checkouts.iter().filter(|checkout| checkout.commit.is_none()) {
            let message = format!("nothing pins `{}` of {}", checkout.revision, checkout.key());
            let error = Diagnostic::error("lock", span(blueprint, step, "url"), message).label("no commit");
            found.push(error.help("name a commit, or pin the one that it is: alloy lock"));
        }
    }
    let tasks = AptTask::of(&lowered.layers, &blueprint.directory);
    for task in tasks.iter().filter(|task| whole && !task.locked) {
        let step = &lowered.layers[task.layer].steps[task.step];
        let pin = lock.apt.get(&platform).and_then(|tasks| tasks.get(&task.key));
        let (message, at, label) = match pin {
            Some(pin) if !task.fits(pin) => {
                let message = "the packages of this task are not those that alloy.lock.yml was made for";
                let (new, label) = changed(task, pin);
                (message, new.and_then(|new| span_of_package(blueprint, step, &new)), label)
            }
            _ => ("nothing pins the packages of this task", None, "not pinned".to_owned()),
        };
        let at = at.unwrap_or_else(|| span(blueprint, step, "packages"));
        let error = Diagnostic::error("lock", at, format!("{message} ({platform})"));
        found.push(error.label(label).help("pin them: alloy lock"));
    }
    let languages = LanguageTask::of(&lowered.layers);
    for task in languages.iter().filter(|task| whole && task.locked == Pinned::No) {
        let step = &lowered.layers[task.layer].steps[task.step];
        let message = match lock.packages.get(task.language, &platform, &task.key) {
            // It is for another base: that is told elsewhere.
            Some(pin) if task.fits(pin) => continue,
            Some(_) => "what this task installs is not what alloy.lock.yml was made for",
            None => "nothing pins what this task installs",
        };
        let error = Diagnostic::error("lock", span(blueprint, step, "package"), format!("{message} ({platform})"));
        found.push(error.label("not pinned").help("pin it and all that comes with it: alloy lock"));
    }
    found.extend(blueprint.lock.iter().flat_map(|lockfile| stale(blueprint, &lockfile.node)));
    if let Some(Lockfile { node, .. }) = &blueprint.lock {
        let keys = Keys::of(node);
        let base = lowered.base.split('@').next().unwrap_or_default();
        let bases = keys.bases.into_iter().filter(|key| key.text != base);
        found.extend(bases.map(|key| unused("base", key.span)));
        let apt = keys.apt.into_iter().filter(|(of, key)| *of == platform && tasks.iter().all(|t| t.key != key.text));
        found.extend(apt.map(|(_, key)| unused("task", key.span)));
        let used = |language, key: &str| languages.iter().any(|task| task.language == language && task.key == key);
        let packages = keys.packages.into_iter().filter(|(of, on, key)| *on == platform && !used(*of, &key.text));
        found.extend(packages.map(|(_, _, key)| unused("task", key.span)));
    }
    found
}

/// How what `task` asks for differs from what `pin` was made for, and the first that is new.
fn changed(task: &AptTask, pin: &ClosurePin) -> (Option<String>, String) {
    let wanted = task.wanted();
    let new: Vec<&str> = wanted.iter().filter(|name| !pin.packages.contains(name)).map(String::as_str).collect();
    let gone: Vec<&str> = pin.packages.iter().filter(|name| !wanted.contains(name)).map(String::as_str).collect();
    let mut parts = Vec::new();
    for (what, names) in [("new", &new), ("gone", &gone)] {
        parts.extend((!names.is_empty()).then(|| format!("{what}: {}", names.join(", "))));
    }
    if task.recommends != pin.recommends {
        let with = if task.recommends { "with" } else { "without" };
        parts.push(format!("now {with} recommended packages"));
    }
    if parts.is_empty() {
        parts.push("in another order".to_owned());
    }
    (new.first().map(|name| (*name).to_owned()), parts.join("; "))
}

/// Where `package` stands in a list of the step, if it is written there as it is.
fn span_of_package(blueprint: &Blueprint, step: &Step, package: &str) -> Option<Span> {
    let names = |node: &Node| match &node.value {
        Value::Scalar { text, .. } => text.split_whitespace().any(|word| word == package),
        _ => false,
    };
    task_of(blueprint, step)?.fields.entries.iter().find_map(|(_, node)| match &node.value {
        Value::Sequence(items) => items.iter().find(|item| names(item)).map(|item| item.span),
        _ => None,
    })
}

pub(super) fn task_of<'b>(blueprint: &'b Blueprint, step: &Step) -> Option<&'b Task> {
    let file = blueprint.files.iter().find(|file| file.path == step.file)?;
    file.tasks.iter().find(|task| task.span.line == step.line)
}

/// Where a field of a step was written; the step itself where it has no such field.
pub(super) fn span(blueprint: &Blueprint, step: &Step, field: &str) -> Span {
    let field = task_of(blueprint, step).map(|task| task.fields.get(field).map_or(task.span, |node| node.span));
    field.unwrap_or_else(|| fallback(blueprint))
}

/// That nothing pins the download of `url`, and what can be written where to change that.
fn free_download(blueprint: &Blueprint, step: &Step, url: &str) -> Diagnostic {
    let url = Secrets::as_written(url);
    let message = format!("nothing pins the download of {url}");
    let entry = task_of(blueprint, step).and_then(|task| entry_of(&task.fields, &url));
    let at = entry.map_or_else(|| span(blueprint, step, "url"), |(span, _)| span);
    let write = match entry {
        Some((_, true)) => "write `{url: …, sha256: …}` in its place",
        Some((_, false)) => "add `sha256:` beside its `url`",
        None => "add `sha256:` to the task",
    };
    let help = format!("{write}, or the URL to `downloads` of alloy.lock.yml: alloy lock");
    Diagnostic::error("lock", at, message).label("no `sha256`").help(help)
}

/// Where `url` stands that is not the task's own, and whether it stands there by itself.
fn entry_of(fields: &Mapping, url: &str) -> Option<(Span, bool)> {
    let beside = |mapping: &Mapping| {
        let node = mapping.get("url")?;
        node.text("url").is_ok_and(|text| covers(text.trim(), url)).then_some((node.span, false))
    };
    fields.entries.iter().find_map(|(_, node)| match &node.value {
        Value::Mapping(mapping) => beside(mapping),
        Value::Sequence(items) => items.iter().find_map(|item| match &item.value {
            Value::Mapping(mapping) => beside(mapping),
            Value::Scalar { text, .. } => covers(text.trim(), url).then_some((item.span, true)),
            Value::Sequence(_) => None,
        }),
        Value::Scalar { .. } => None,
    })
}

fn fallback(blueprint: &Blueprint) -> Span {
    let first = blueprint.manifest.run_order.first().map(|(_, span)| *span);
    first.unwrap_or_else(|| Span::start_of(crate::yaml::FileId(0)))
}

fn unused(what: &str, span: Span) -> Diagnostic {
    Diagnostic::error("lock", span, format!("nothing uses this {what} of the lockfile"))
        .label("not used")
        .help("remove it: the blueprint has changed since it was locked")
}

/// What a blueprint can ask a lockfile for: tasks of other architectures and tags count.
struct Uses<'a> {
    references: Vec<&'a str>,
    urls: Vec<&'a str>,
    repositories: Vec<&'a str>,
    revisions: Vec<&'a str>,
}

impl<'a> Uses<'a> {
    fn of(blueprint: &'a Blueprint) -> Self {
        let mut references: Vec<&str> = blueprint.manifest.toolchains.iter().map(|t| t.reference.as_str()).collect();
        let (mut urls, mut repositories, mut revisions) = (Vec::new(), Vec::new(), vec![DEFAULT_REVISION]);
        for task in blueprint.files.iter().flat_map(|file| &file.tasks) {
            collect(&task.fields, "ref", &mut references);
            collect(&task.fields, "url", &mut urls);
            REPOSITORIES.iter().for_each(|name| collect(&task.fields, name, &mut repositories));
            REVISIONS.iter().for_each(|name| collect(&task.fields, name, &mut revisions));
            // A task of repo's that does not say which repo.
            if task.fields.get("tool").is_some() {
                repositories.push(REPO_URL);
                revisions.push(REPO_REVISION);
            }
        }
        Self { references, urls, repositories, revisions }
    }

    fn toolchain(&self, key: &str) -> bool {
        self.references.iter().any(|reference| same(key, reference) || covers(reference, key))
    }

    fn download(&self, key: &str) -> bool {
        any_covers(&self.urls, key)
    }

    fn git(&self, url: &str, revision: &str) -> bool {
        any_covers(&self.repositories, url) && self.revisions.iter().any(|template| covers(template, revision))
    }
}

fn any_covers(urls: &[&str], key: &str) -> bool {
    // A key does not say who asks, unless that is a secret with a name.
    let key = without_tokens(&without_logins(key));
    urls.iter().any(|url| covers(url, &key) || covers(&without_tokens(&anonymous(url)), &key))
}

/// Entries of the lockfile that neither the manifest nor a task uses.
fn stale(blueprint: &Blueprint, lock: &Node) -> Vec<Diagnostic> {
    let (keys, uses) = (Keys::of(lock), Uses::of(blueprint));
    let toolchains = keys.toolchains.into_iter().filter(|key| !uses.toolchain(&key.text));
    let downloads = keys.downloads.into_iter().filter(|key| !uses.download(&key.text));
    let git = keys.git.into_iter().filter(|(url, revision)| !uses.git(url, &revision.text));
    let toolchains = toolchains.map(|key| unused("toolchain", key.span));
    let git = git.map(|(_, key)| unused("revision", key.span));
    toolchains.chain(downloads.map(|key| unused("download", key.span))).chain(git).collect()
}

/// Takes out of `lock` the toolchains, downloads and revisions that nothing in `blueprint` uses.
pub fn drop_unused(blueprint: &Blueprint, lock: &mut Lock) {
    drop_unused_toolchains(blueprint, lock);
    let uses = Uses::of(blueprint);
    lock.downloads.retain(|key, _| uses.download(key));
    lock.git.iter_mut().for_each(|(url, pins)| pins.retain(|revision, _| uses.git(url, revision)));
    lock.git.retain(|_, pins| !pins.is_empty());
    lock.tags.iter_mut().for_each(|(url, pins)| pins.retain(|revision, _| uses.git(url, revision)));
    lock.tags.retain(|_, pins| !pins.is_empty());
}

/// The same of toolchains alone.
pub fn drop_unused_toolchains(blueprint: &Blueprint, lock: &mut Lock) {
    let uses = Uses::of(blueprint);
    lock.toolchains.values_mut().for_each(|pins| pins.retain(|key, _| uses.toolchain(key)));
    lock.toolchains.retain(|_, pins| !pins.is_empty());
}

/// Texts of all fields of that name, however deep.
fn collect<'a>(mapping: &'a Mapping, name: &str, found: &mut Vec<&'a str>) {
    for (key, node) in &mapping.entries {
        match &node.value {
            Value::Scalar { text, .. } if key.text == name => found.push(text.trim()),
            Value::Mapping(inner) => collect(inner, name, found),
            Value::Sequence(items) => {
                for item in items {
                    match &item.value {
                        Value::Mapping(inner) => collect(inner, name, found),
                        // A download without more.
                        Value::Scalar { text, .. } if name == "url" && key.text == "debs" => found.push(text.trim()),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
}

/// A URL without what its author wrote before the host.
fn anonymous(template: &str) -> String {
    let Some((scheme, rest)) = template.split_once("://") else { return template.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = rest[..end].rfind('@').map_or(0, |at| at + 1);
    format!("{scheme}://{}", &rest[host..])
}

/// True if `template` can stand for `text`, whatever its variables hold.
pub fn covers(template: &str, text: &str) -> bool {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find("{{").into_iter().chain(rest.find('$')).min() {
        pieces.push(&rest[..at]);
        let variable = &rest[at..];
        let end = match (variable.find("}}"), variable.starts_with("{{"), variable.find('}')) {
            (Some(end), true, _) => end + 2,
            (_, false, Some(end)) if variable.starts_with("${") => end + 1,
            _ => {
                variable[1..].find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).map_or(variable.len(), |n| n + 1)
            }
        };
        rest = &variable[end..];
    }
    if pieces.is_empty() || template == text {
        return template == text;
    }
    let mut left = match text.strip_prefix(pieces[0]).and_then(|left| left.strip_suffix(rest)) {
        Some(left) => left,
        None => return false,
    };
    for piece in &pieces[1..] {
        let Some((_, after)) = left.split_once(piece) else { return false };
        left = after;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_changed_in_a_list_of_packages_is_told() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let told = |packages: &[&str], recommends: bool| {
            let (key, packages) = (String::new(), names(packages));
            let task = AptTask { key, layer: 0, step: 0, packages, debs: Vec::new(), recommends, locked: false };
            let pin = ClosurePin { packages: names(&["git", "xxd"]), recommends: false, suite: None, debs: Vec::new() };
            let (new, label) = changed(&task, &pin);
            (new, label)
        };
        assert_eq!(told(&["git", "dc"], false), (Some("dc".to_owned()), "new: dc; gone: xxd".to_owned()));
        assert_eq!(told(&["git"], true), (None, "gone: xxd; now with recommended packages".to_owned()));
        assert_eq!(told(&["xxd", "git"], false), (None, "in another order".to_owned()));
    }

    #[test]
    fn a_template_stands_for_what_it_can_become() {
        assert!(covers("https://a.example/x", "https://a.example/x"));
        assert!(covers("https://a.example/{{.Vars.V}}/x-$ARCH.tar", "https://a.example/1.2/x-amd64.tar"));
        assert!(covers("{{.Vars.URL}}", "https://a.example/x") && covers("${HOST}/x", "https://a.example/x"));
        assert!(covers("https://a.example/?t={{.Vars.T}}", "https://a.example/?t={{.Vars.T}}"));
        assert!(!covers("https://a.example/{{.Vars.V}}/x", "https://a.example/1/y"));
        assert!(!covers("https://a.example/x", "https://a.example/y"));
        assert!(!covers("https://a.example/{{.Vars.V}}/b", "https://b.example/1/b"));
    }
}
