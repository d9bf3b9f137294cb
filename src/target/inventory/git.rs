//! Git repositories: what each has checked out, and where that is from, as its own files have it
//! (gitrepository-layout(5)). Those of submodules lie in the repository above, those of repo in its `.repo`.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use layers::root::Root;

use super::{GitRepository, head, in_root, plain};
use crate::op::{is_commit, without_logins, without_tokens};

/// The file that says what is checked out.
const RECORD: &str = "HEAD";
const SMALL: u64 = 4 << 10;
const CONFIG: u64 = 64 << 10;
const PACKED: u64 = 16 << 20;

/// True for a file that may say what a repository has checked out.
pub(super) fn is_record(path: &Path, name: &OsStr) -> bool {
    let Some(place) = path.parent().filter(|_| name == RECORD) else { return false };
    let names: Vec<&OsStr> = place.components().map(Component::as_os_str).collect();
    names.last().is_some_and(|name| *name == ".git")
        || names.windows(2).any(|pair| pair == [".git", "modules"])
        || of_repo(place).is_some()
}

/// The working tree of a repository that repo keeps in its own directory: `.repo/projects/PATH.git` is that of `PATH`, what
/// is in the `modules` or `subprojects` of this are those of its submodules, and `.repo/manifests.git` is that of the
/// manifest.
fn of_repo(place: &Path) -> Option<PathBuf> {
    let above = place.ancestors().find(|above| above.file_name().is_some_and(|name| name == ".repo"))?;
    let within = place.strip_prefix(above).ok()?.to_str()?;
    let Some(mut rest) = within.strip_prefix("projects/") else {
        return (within == "manifests.git").then(|| above.join("manifests"));
    };
    let mut work = above.parent()?.to_owned();
    while let Some((project, within)) = rest.split_once(".git/") {
        work.push(project);
        if let Some(module) = within.strip_prefix("modules/") {
            return Some(work.join(module.replace("/modules/", "/")));
        }
        rest = within.strip_prefix("subprojects/")?;
    }
    Some(work.join(rest.strip_suffix(".git")?))
}

/// The repository that is recorded at `path`, if it has a commit checked out and says where it is from.
pub(super) fn repository(root: &Root, path: &Path) -> Option<GitRepository> {
    let place = path.parent()?;
    let config = head(root, &place.join("config"), CONFIG)?;
    let work = setting(&config, |section| section == "core", "worktree");
    let above = || of_repo(place).or_else(|| place.parent().map(Path::to_owned));
    let work = work.map_or_else(above, |work| Some(in_root(&place.join(work))))?;
    let url = setting(&config, |section| section == "remote \"origin\"", "url")
        .or_else(|| setting(&config, |section| section.starts_with("remote "), "url"))?;
    let url = without_tokens(&without_logins(url));
    let commit = commit(root, place)?;
    Some(GitRepository { path: plain(&format!("/{}", work.to_str()?))?, url: plain(&url)?, commit })
}

/// The commit that the repository at `place`, which is git's own directory, has checked out.
pub fn commit(root: &Root, place: &Path) -> Option<String> {
    let text = head(root, &place.join(RECORD), SMALL)?;
    let text = text.trim();
    let Some(name) = text.strip_prefix("ref: ").map(str::trim) else {
        return is_commit(text).then(|| text.to_owned());
    };
    if !Path::new(name).components().all(|part| matches!(part, Component::Normal(_))) {
        return None;
    }
    let loose = head(root, &place.join(name), SMALL).map(|text| text.trim().to_owned());
    let packed = || {
        let packed = head(root, &place.join("packed-refs"), PACKED)?;
        let found = packed.lines().filter_map(|line| line.split_once(' ')).find(|(_, of)| *of == name);
        found.map(|(commit, _)| commit.to_owned())
    };
    loose.or_else(packed).filter(|commit| is_commit(commit))
}

/// The first value of a setting (git-config(1), "Syntax", as git writes it).
fn setting<'c>(config: &'c str, fits: impl Fn(&str) -> bool, name: &str) -> Option<&'c str> {
    let mut within = false;
    config.lines().map(str::trim).find_map(|line| {
        if let Some(section) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            within = fits(section);
        }
        let (key, value) = line.split_once('=').filter(|_| within)?;
        (key.trim() == name).then(|| value.trim().trim_matches('"'))
    })
}
