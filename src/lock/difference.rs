//! What moved between two lockfiles, to be read by people.

use std::collections::{BTreeMap, BTreeSet};

use layers::digest::Digest;

use super::Lock;
use super::pin::{BasePin, ClosurePin, DebPin, PackagePin, PackagesPin, ToolchainPin};

/// One line for each pin that was added (`+`), moved (`~`) or removed (`-`).
pub fn difference(old: &Lock, new: &Lock) -> Vec<String> {
    let mut lines = Vec::new();
    if old.host != new.host {
        lines.push(format!("~ host: {} -> {}", old.host, new.host));
    }
    for platform in both(&old.toolchains, &new.toolchains) {
        let none = BTreeMap::new();
        let (old, new) = (old.toolchains.get(platform).unwrap_or(&none), new.toolchains.get(platform).unwrap_or(&none));
        compare(&mut lines, &format!("{platform} toolchain "), old, new, toolchain);
    }
    compare(&mut lines, "base ", &old.base, &new.base, base);
    compare(&mut lines, "download ", &old.downloads, &new.downloads, |pin| short(&pin.sha256));
    compare(&mut lines, "git ", &by_revision(old), &by_revision(new), |commit| commit[..12].to_owned());
    for (url, tags) in &new.tags {
        // Of another commit it is told already.
        let same = |revision: &&String| old.commit(url, revision) == new.commit(url, revision);
        let moved = tags.keys().filter(same).filter(|revision| old.tag(url, revision) != new.tag(url, revision));
        lines
            .extend(moved.map(|revision| format!("~ git {url} {revision}: the tag is another one of the same commit")));
    }
    if old.mirror != new.mirror {
        let shown = |mirror: &Option<String>| mirror.clone().unwrap_or_else(|| "none".into());
        lines.push(format!("~ mirror: {} -> {}", shown(&old.mirror), shown(&new.mirror)));
    }
    for platform in both(&old.apt, &new.apt) {
        let none = BTreeMap::new();
        let (old, new) = (old.apt.get(platform).unwrap_or(&none), new.apt.get(platform).unwrap_or(&none));
        closures(&mut lines, platform, old, new);
    }
    packages(&mut lines, &of_tasks(old), &of_tasks(new));
    lines
}

/// What tasks install from the registries of languages, by the name that a line has for each.
fn of_tasks(lock: &Lock) -> BTreeMap<String, PackagesPin> {
    let named = |(language, platform, task, pin): (crate::op::Language, &String, &String, &PackagesPin)| {
        (format!("{} {platform} {task}", language.name()), pin.clone())
    };
    lock.packages.all().map(named).collect()
}

fn packages(lines: &mut Vec<String>, old: &BTreeMap<String, PackagesPin>, new: &BTreeMap<String, PackagesPin>) {
    let count = |pin: &PackagesPin| match pin.files.len() {
        1 => "1 package".to_owned(),
        count => format!("{count} packages"),
    };
    let versions = |pin: &PackagesPin| {
        let place = |file: &PackagePin| file.path.clone().unwrap_or_else(|| file.name.clone());
        let one = |file: &PackagePin| {
            let (name, build) = (place(file), if file.build { " (to build)" } else { "" });
            // A crate may be built of several versions of another.
            let several =
                pin.files.iter().filter(|other| place(other) == name && other.build == file.build).count() > 1;
            let which = if several { format!(" {}", file.version) } else { String::new() };
            (format!("{name}{which}{build}"), file.clone())
        };
        pin.files.iter().map(one).collect::<BTreeMap<_, _>>()
    };
    for task in both(old, new) {
        match (old.get(task), new.get(task)) {
            (None, Some(new)) => lines.push(format!("+ {task}: {}", count(new))),
            (Some(old), None) => lines.push(format!("- {task}: {}", count(old))),
            (Some(old), Some(new)) if old != new => {
                let before = lines.len();
                compare(lines, &format!("{task}: "), &versions(old), &versions(new), |file| file.version.clone());
                if lines.len() == before {
                    lines.push(format!("~ {task}: {}, asked for differently", count(new)));
                }
            }
            _ => {}
        }
    }
}

fn compare<T: PartialEq>(
    lines: &mut Vec<String>,
    what: &str,
    old: &BTreeMap<String, T>,
    new: &BTreeMap<String, T>,
    show: impl Fn(&T) -> String,
) {
    for name in both(old, new) {
        lines.extend(match (old.get(name), new.get(name)) {
            (Some(old), Some(new)) if old != new => Some(format!("~ {what}{name}: {} -> {}", show(old), show(new))),
            (None, Some(new)) => Some(format!("+ {what}{name}: {}", show(new))),
            (Some(old), None) => Some(format!("- {what}{name}: {}", show(old))),
            _ => None,
        });
    }
}

fn closures(
    lines: &mut Vec<String>,
    platform: &str,
    old: &BTreeMap<String, ClosurePin>,
    new: &BTreeMap<String, ClosurePin>,
) {
    for task in both(old, new) {
        let count = |pin: &ClosurePin| match pin.debs.len() {
            1 => "1 package".to_owned(),
            count => format!("{count} packages"),
        };
        match (old.get(task), new.get(task)) {
            (None, Some(new)) => lines.push(format!("+ {platform} {task}: {}", count(new))),
            (Some(old), None) => lines.push(format!("- {platform} {task}: {}", count(old))),
            (Some(old), Some(new)) if old != new => {
                let before = lines.len();
                let what = format!("{platform} {task}: ");
                compare(lines, &what, &by_name(old), &by_name(new), |deb| deb.version.clone());
                if lines.len() == before {
                    lines.push(format!("~ {what}{}, asked for differently", count(new)));
                }
            }
            _ => {}
        }
    }
}

fn by_revision(lock: &Lock) -> BTreeMap<String, String> {
    let of = |(url, commits): (&String, &BTreeMap<String, String>)| {
        commits.iter().map(|(revision, commit)| (format!("{url} {revision}"), commit.clone())).collect::<Vec<_>>()
    };
    lock.git.iter().flat_map(of).collect()
}

fn by_name(pin: &ClosurePin) -> BTreeMap<String, DebPin> {
    pin.debs.iter().map(|deb| (deb.full_name(), deb.clone())).collect()
}

fn both<'a, T>(old: &'a BTreeMap<String, T>, new: &'a BTreeMap<String, T>) -> BTreeSet<&'a String> {
    old.keys().chain(new.keys()).collect()
}

fn toolchain(pin: &ToolchainPin) -> String {
    let what = pin.sha256().map(|sha256| short(&sha256));
    pin.version.clone().or(what).unwrap_or_default()
}

fn base(pin: &BasePin) -> String {
    let platforms = match pin {
        BasePin::Image(digest) => return short(digest),
        BasePin::Archive(platforms) => platforms,
    };
    let pockets = |(platform, pin): (&String, &super::ArchivePin)| {
        let pockets: Vec<String> =
            pin.pockets.iter().map(|pocket| format!("{} {}", pocket.suite, short(&pocket.sha256))).collect();
        format!("{platform} ({})", pockets.join(", "))
    };
    platforms.iter().map(pockets).collect::<Vec<_>>().join(", ")
}

fn short(digest: &Digest) -> String {
    digest.hex()[..12].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(version: &str, digest: &str) -> Lock {
        let deb = |package: &str, version: &str| DebPin {
            package: package.into(),
            version: version.into(),
            arch: "amd64".into(),
            archive: "http://a.example".into(),
            filename: "x".into(),
            sha256: Digest::of(version),
            size: 1,
        };
        let debs = vec![deb("jq", version), deb("libjq1", "1.6")];
        let closure = ClosurePin { packages: vec!["jq".into()], recommends: false, suite: None, debs };
        Lock {
            base: BTreeMap::from([("debian:12".to_owned(), BasePin::Image(Digest::of(digest)))]),
            apt: BTreeMap::from([("linux/amd64".into(), BTreeMap::from([("a.yml: b".to_owned(), closure)]))]),
            ..Lock::default()
        }
    }

    #[test]
    fn what_moved_is_named() {
        let (old, new) = (lock("1.6", "a"), lock("1.7", "b"));
        assert!(difference(&old, &old).is_empty());
        let git = |commit: &str| Lock {
            git: BTreeMap::from([("https://a.example/x".into(), BTreeMap::from([("v1".into(), commit.repeat(20))]))]),
            ..Lock::default()
        };
        let moved = "~ git https://a.example/x v1: 0a0a0a0a0a0a -> 0b0b0b0b0b0b";
        assert_eq!(difference(&git("0a"), &git("0b")), [moved]);
        let (a, b) = (short(&Digest::of("a")), short(&Digest::of("b")));
        assert_eq!(
            difference(&old, &new),
            [format!("~ base debian:12: {a} -> {b}"), "~ linux/amd64 a.yml: b: jq:amd64: 1.6 -> 1.7".into()]
        );
        assert_eq!(
            difference(&Lock::default(), &new),
            [format!("+ base debian:12: {b}"), "+ linux/amd64 a.yml: b: 2 packages".into()]
        );
    }

    #[test]
    fn packages_of_languages_are_named_one_by_one() {
        let file = |name: &str, version: &str, build: bool| PackagePin {
            name: name.into(),
            version: version.into(),
            url: format!("https://a.example/{name}-{version}"),
            sha256: Digest::of(version),
            integrity: None,
            size: 1,
            path: None,
            build,
        };
        let lock = |asked: &str, files: Vec<PackagePin>| {
            let mut lock = Lock::default();
            let pin = PackagesPin { packages: vec![asked.into()], network: false, files };
            lock.packages.insert(crate::op::Language::Rust, "linux/amd64", "a.yml: b".into(), pin);
            lock
        };
        let old = lock("x", vec![file("x", "1", false), file("syn", "1", false), file("syn", "2", false)]);
        let new = lock("x", vec![file("x", "2", false), file("syn", "2", false), file("make", "1", true)]);
        let lines = [
            "+ rust linux/amd64 a.yml: b: make (to build): 1",
            "+ rust linux/amd64 a.yml: b: syn: 2",
            "- rust linux/amd64 a.yml: b: syn 1: 1",
            "- rust linux/amd64 a.yml: b: syn 2: 2",
            "~ rust linux/amd64 a.yml: b: x: 1 -> 2",
        ];
        let mut found = difference(&old, &new);
        found.sort();
        assert_eq!(found, lines);
        assert_eq!(difference(&Lock::default(), &old), ["+ rust linux/amd64 a.yml: b: 3 packages"]);
        let other = lock("y", vec![file("x", "1", false), file("syn", "1", false), file("syn", "2", false)]);
        assert_eq!(difference(&old, &other), ["~ rust linux/amd64 a.yml: b: 3 packages, asked for differently"]);
    }
}
