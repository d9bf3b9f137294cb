//! What pip found: files that it fetched, and in its log where each of them is.

use std::collections::{BTreeMap, BTreeSet};

use crate::op::{Language, file_of, without_logins};
use crate::resolve::Asked;
use crate::target::request::FileSeen;

/// How a wheel's name ends; all else is built first.
const WHEEL: &str = ".whl";
/// Endings of source distributions.
const SOURCES: [&str; 5] = [".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip"];

/// The files that are installed, and those that build them; `Err` says why they cannot be pinned.
pub(super) fn found(seen: &[FileSeen]) -> Result<Vec<Asked>, String> {
    let text = |name: &str| seen.iter().find(|file| file.name == name).and_then(|file| file.text.as_deref());
    let (log, installed) = (text("log").unwrap_or_default(), text("installed").unwrap_or_default());
    let (urls, installed) = (urls(log), distributions(installed));
    let mut all = Vec::new();
    for file in seen {
        let Some(name) = file.name.strip_prefix("files/") else { continue };
        let (package, version) = parts(name).ok_or_else(|| format!("pip fetched `{name}`, which is no package"))?;
        let url = urls.get(name).ok_or_else(|| format!("pip does not say where {name} is"))?;
        let build = !installed.contains(&(package.clone(), version.clone()));
        let (url, sha256) = (url.clone(), Some(file.sha256));
        all.push(Asked { name: package, version, url, sha256, integrity: None, path: None, build });
    }
    // What is installed does not always say its version as its file does.
    let files = |name: &str| all.iter().filter(|asked| asked.name == name).count();
    let alone = installed.iter().map(|(name, _)| name.clone()).filter(|name| files(name) == 1);
    let alone: BTreeSet<String> = alone.collect();
    all.iter_mut().filter(|asked| alone.contains(&asked.name)).for_each(|asked| asked.build = false);
    let built = all.iter().any(Asked::is_built);
    // What the root has is not installed, and is of no use where nothing is built.
    all.retain(|asked| built || !asked.build);
    if let Some(own) = all.iter().find(|asked| !asked.url.starts_with("http")) {
        return Err(format!(
            "{} {} is in a directory of this machine (`find-links` of pip), where nobody else has it: put it on an index",
            own.name, own.version
        ));
    }
    all.sort_by(|a, b| (a.build, &a.name, &a.version).cmp(&(b.build, &b.name, &b.version)));
    Ok(all)
}

/// Name of a file to its URL, of all that pip found in indexes.
fn urls(log: &str) -> BTreeMap<String, String> {
    let mut urls: BTreeMap<String, String> = BTreeMap::new();
    for line in log.lines() {
        let Some((_, rest)) = line.split_once("Found link ") else { continue };
        let url = rest.split_whitespace().next().unwrap_or_default();
        let url = without_logins(url.split('#').next().unwrap_or_default());
        let name = file_of(&url);
        // What others can have wins.
        if url.starts_with("http") || !urls.contains_key(&name) {
            urls.insert(name, url);
        }
    }
    urls
}

/// Names and versions of the directories and files that say what is installed.
fn distributions(listed: &str) -> BTreeSet<(String, String)> {
    let bare = |line: &str| {
        let name = line.rsplit('/').next()?;
        let name = name.strip_suffix(".dist-info").or_else(|| name.strip_suffix(".egg-info"))?;
        let (name, rest) = name.split_once('-')?;
        Some((normal(name), rest.split('-').next().unwrap_or_default().to_owned()))
    };
    listed.lines().filter_map(bare).collect()
}

/// Name and version of a file (PEP 427, PEP 625).
fn parts(file: &str) -> Option<(String, String)> {
    if let Some(wheel) = file.strip_suffix(WHEEL) {
        let mut parts = wheel.split('-');
        return Some((normal(parts.next()?), parts.next()?.to_owned()));
    }
    let bare = SOURCES.iter().find_map(|ending| file.strip_suffix(ending))?;
    let (name, version) = bare.rsplit_once('-')?;
    Some((normal(name), version.to_owned()))
}

fn normal(name: &str) -> String {
    Language::Python.normal(name)
}

#[cfg(test)]
mod tests {
    use layers::digest::Digest;

    use super::*;

    fn file(name: &str, text: Option<&str>) -> FileSeen {
        FileSeen { name: name.into(), sha256: Digest::of(name), size: 1, text: text.map(str::to_owned) }
    }

    const LOG: &str = "2026-01-01T00:00:00,000   Found link https://ann:****@a.example/p/Py_YAML-6.0-cp311-linux.whl#sha256=ab \
                       (from https://a.example/simple/pyyaml/) (requires-python:>=3.8), version: 6.0\n\
                       x Found link file:///run/alloy/wheels-1/six-1.16.0-py2.py3-none-any.whl, version: 1.16.0\n\
                       x Found link https://a.example/p/six-1.16.0-py2.py3-none-any.whl#a (from x), version: 1.16.0\n\
                       x Found link https://a.example/p/old-1.0.tar.gz (from x), version: 1.0\n\
                       x Found link https://a.example/p/setuptools-70.0-py3-none-any.whl (from x), version: 70.0\n\
                       x Found link file:///run/alloy/wheels-1/own-1-py3-none-any.whl (from x), version: 1\n";

    #[test]
    fn what_pip_fetched_is_found_by_name() {
        let wheels = [
            file("log", Some(LOG)),
            file("installed", Some("probe/lib/python3.11/site-packages/Py_YAML-6.0.dist-info\n")),
            file("files/Py_YAML-6.0-cp311-linux.whl", None),
            file("files/six-1.16.0-py2.py3-none-any.whl", None),
        ];
        let all = found(&wheels).unwrap();
        let names: Vec<_> = all.iter().map(|one| (one.name.as_str(), one.version.as_str(), one.build)).collect();
        assert_eq!(names, [("py-yaml", "6.0", false)], "what the root has already is left out");
        assert_eq!(all[0].url, "https://a.example/p/Py_YAML-6.0-cp311-linux.whl");
        assert_eq!(all[0].sha256, Some(Digest::of("files/Py_YAML-6.0-cp311-linux.whl")));
    }

    #[test]
    fn what_builds_a_package_is_kept_with_it() {
        let seen = [
            file("log", Some(LOG)),
            file("installed", Some("probe/x/old-1.0-py3.11.egg-info\nprobe/x/six-1.16.0.dist-info\n")),
            file("files/old-1.0.tar.gz", None),
            file("files/six-1.16.0-py2.py3-none-any.whl", None),
            file("files/setuptools-70.0-py3-none-any.whl", None),
        ];
        let all = found(&seen).unwrap();
        let names: Vec<_> = all.iter().map(|one| (one.name.as_str(), one.build, one.is_built())).collect();
        assert_eq!(names, [("old", false, true), ("six", false, false), ("setuptools", true, false)]);
        assert!(all[1].url.starts_with("https://"));
    }

    #[test]
    fn a_file_of_this_machine_alone_is_told() {
        let own = [
            file("log", Some(LOG)),
            file("installed", Some("probe/own-1.dist-info\n")),
            file("files/own-1-py3-none-any.whl", None),
        ];
        assert!(found(&own).unwrap_err().contains("directory of this machine"));
        assert!(found(&[file("files/gone-1-py3-none-any.whl", None)]).unwrap_err().contains("where"));
    }
}
