//! A report of Code Quality: what GitLab reads of the Code Climate format. It looks for files from the top of the
//! repository, and takes a problem for the same as before by its fingerprint.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use layers::digest::Digest;
use serde_json::{Value, json};

use crate::blueprint::Problems;

/// A git work tree has it at its top: a directory, or a file where it is one of several of a repository.
const GIT: &str = ".git";

/// The problems of blueprints, each with its directory as it was named. Two have the same fingerprint only if nothing
/// tells them apart but their lines, which move; those are counted.
pub(super) fn report(all: &[(PathBuf, Problems)]) -> Value {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut report = Vec::new();
    for (directory, problems) in all {
        let place = in_repository(directory);
        for diagnostic in &problems.diagnostics {
            let name = Path::new(problems.sources.name(diagnostic.span.file));
            let inside = if directory == Path::new(".") { name } else { name.strip_prefix(directory).unwrap_or(name) };
            let path = plain(&place.join(inside));
            let help = diagnostic.help.as_ref().map_or(String::new(), |help| format!("; {help}"));
            let what = format!("{}\n{}\n{}", diagnostic.code, path.display(), diagnostic.message);
            let count = seen.entry(what.clone()).and_modify(|count| *count += 1).or_insert(1);
            report.push(json!({
                "description": format!("{}{help}", diagnostic.message),
                "check_name": diagnostic.code,
                "fingerprint": Digest::of(format!("{what}\n{count}")).hex(),
                "severity": if diagnostic.is_error() { "major" } else { "minor" },
                "location": {"path": path.to_string_lossy(), "lines": {"begin": diagnostic.span.line}},
            }));
        }
    }
    Value::Array(report)
}

/// Where the repository has the directory: below the top of its work tree, or else below where alloy was called.
fn in_repository(directory: &Path) -> PathBuf {
    let Ok(real) = directory.canonicalize() else { return directory.to_owned() };
    let top = real.ancestors().find(|above| above.join(GIT).symlink_metadata().is_ok()).map(Path::to_owned);
    let here = || std::env::current_dir().and_then(|here| here.canonicalize()).ok();
    let inside = top.or_else(here).and_then(|top| real.strip_prefix(top).ok().map(Path::to_owned));
    inside.unwrap_or(real)
}

/// Without `.` and `..`. No link is in the way: those of a blueprint's directory were followed.
fn plain(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut plain, part| {
        match part {
            Component::CurDir => {}
            Component::ParentDir => _ = plain.pop(),
            part => plain.push(part),
        }
        plain
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_begin_at_the_top_of_the_repository() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        std::fs::create_dir_all(at("repository/boards/one")).unwrap();
        std::fs::create_dir_all(at("repository/boards/two/env")).unwrap();
        std::fs::create_dir(at("repository/.git")).unwrap();
        // Another work tree of its own.
        std::fs::write(at("repository/boards/two/.git"), "gitdir: elsewhere\n").unwrap();
        std::os::unix::fs::symlink("boards/one", at("repository/link")).unwrap();
        for (named, path) in [
            ("repository/boards/one", "boards/one"),
            ("repository/boards/../boards/./one/", "boards/one"),
            ("repository/link", "boards/one"),
            ("repository", ""),
            ("repository/boards/two/env", "env"),
        ] {
            assert_eq!(in_repository(&at(named)), Path::new(path), "{named}");
        }
        assert_eq!(in_repository(Path::new("none")), Path::new("none"));
        assert_eq!(plain(Path::new("a/./b/../c//d")), Path::new("a/c/d"));
    }

    #[test]
    fn a_fingerprint_stays_however_the_blueprint_is_named_and_whatever_stands_above() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("bp");
        std::fs::create_dir_all(place.path().join(".git")).unwrap();
        std::fs::create_dir(&directory).unwrap();
        let write = |above: &str| {
            let text = format!("name: x\nversion: 1.0.0\nrun_order: []\n{above}nonsense: true\n");
            std::fs::write(directory.join("manifest.yml"), text).unwrap();
        };
        let reported = |named: PathBuf| {
            let problems = crate::blueprint::read(&named).unwrap().1;
            let all = report(&[(named, problems)]);
            assert_eq!(all[0]["location"]["path"], "bp/manifest.yml", "{all:#}");
            (all[0]["fingerprint"].clone(), all[0]["location"]["lines"]["begin"].clone())
        };
        write("");
        let before = reported(directory.clone());
        assert_eq!(reported(directory.join("../bp/.")), before);
        assert_eq!(reported(PathBuf::from(format!("{}/", directory.display()))), before);
        write("# one more line\n");
        let after = reported(directory.clone());
        assert_eq!(after.0, before.0);
        assert_ne!(after.1, before.1);
    }
}
