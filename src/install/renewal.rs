//! A directory that holds a task's own earlier clone, when the task is to clone into it anew: it is exchanged if it is as
//! it was recorded, and refused by name if somebody has worked in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use layers::root::Root;
use layers::store::Store;

use super::InstallError;
use super::clones::{self, GIT};
use super::ledger::{Files, files};
use super::prepared::Prepared;
use super::seen::{Seen, What};
use super::state::{Left, Record};
use crate::target::host::Renew;
use crate::target::{head, in_root};

/// The action whose clones are exchanged: nothing in them says where they were made.
const EXCHANGED: &str = "git_clone";
/// Bytes of git's own files that are read.
const LIMIT: u64 = 16 << 20;
/// Paths that are named.
const SHOWN: usize = 3;

/// What becomes of a task's own earlier clone.
pub enum Renewal {
    /// A new one takes its place. What the task's record had there.
    Anew(Renew, Vec<String>),
    /// It stays, and this is why.
    Refused(String),
}

impl Prepared<'_> {
    /// What becomes of the clone that the task at `at` has made before in the directory that it clones into; `None` where
    /// there is none.
    pub fn renewal(&self, store: &Store, root: &Root, at: usize) -> Result<Option<Renewal>, InstallError> {
        for place in clones::places(self.steps[at]) {
            let full =
                root.directory(&place).and_then(|directory| directory.names()).is_ok_and(|names| !names.is_empty());
            if let (true, Some((record, files))) = (full, self.cloned(store, at, &place)?) {
                return self.renewal_of(store, root, at, &place, record, &files).map(Some);
            }
        }
        Ok(None)
    }

    /// The record by which the task, or one that the blueprint no longer has, has made `place`.
    fn cloned(&self, store: &Store, at: usize, place: &Path) -> Result<Option<(&Record, Files)>, InstallError> {
        let Some(name) = place.to_str() else { return Ok(None) };
        for record in self.records[at].iter().chain(self.left.iter().rev()) {
            let files = files(store, &record.wrote)?;
            if record.action == self.steps[at].action && files.contains_key(name) {
                return Ok(Some((record, files)));
            }
        }
        Ok(None)
    }

    fn renewal_of(
        &self,
        store: &Store,
        root: &Root,
        at: usize,
        place: &Path,
        record: &Record,
        files: &Files,
    ) -> Result<Renewal, InstallError> {
        let own = self.records[at].as_ref() == Some(record);
        let shown = place.display();
        let of = ["revision", "version"].iter().find_map(|field| record.fields[*field].as_str());
        let is = format!("{shown} is this task's clone{}", of.map(|of| format!(" of {of}")).unwrap_or_default());
        let mut known = clones::within(files, place);
        known.retain(|path, seen| Path::new(path.as_str()) != place && seen.what != What::Absent);
        if known.is_empty() {
            let message = format!("{is}, and what was in it was not recorded: move it away, and install again");
            return Ok(Renewal::Refused(message));
        }
        if record.action != EXCHANGED {
            let action = &record.action;
            let message =
                format!("{is}, and {action} does not exchange what it has made: move it away, and install again");
            return Ok(Renewal::Refused(message));
        }
        let worked = worked_on(root, &known)?;
        if !worked.is_empty() {
            let message = format!(
                "{is}, and somebody has worked in it since: {}. Move it away, or put that elsewhere, and install again",
                listed(&worked)
            );
            return Ok(Renewal::Refused(message));
        }
        let repaired = own && (self.only.is_some() || record.left() == Some(Left::Undone));
        let changed = if repaired { Vec::new() } else { self.changed(store, root, at, place, &known)? };
        if !changed.is_empty() {
            let message = format!(
                "{is} and was changed since: {}; move it away, or put it back as it was (`git status` in it tells more)",
                listed(&changed)
            );
            return Ok(Renewal::Refused(message));
        }
        let added = clones::added(root, place, &known);
        let paths = if own { known.into_keys().cloned().collect() } else { Vec::new() };
        Ok(Renewal::Anew(Renew { place: place.to_owned(), added }, paths))
    }

    /// What of `known` is neither as it was recorded nor as a later task has made it.
    fn changed(
        &self,
        store: &Store,
        root: &Root,
        at: usize,
        place: &Path,
        known: &BTreeMap<&String, &Seen>,
    ) -> Result<Vec<String>, InstallError> {
        let mut later = Files::new();
        for record in self.records[at + 1..].iter().flatten() {
            later.extend(files(store, &record.wrote)?.into_iter().filter(|(path, _)| known.contains_key(path)));
        }
        let mut changed = Vec::new();
        for (path, was) in known {
            let was = later.get(*path).unwrap_or(was);
            let now = was.now(root, Path::new(path.as_str()))?;
            if !was.differences(&now).is_empty() {
                let inside = Path::new(path.as_str()).strip_prefix(place).unwrap_or(Path::new(""));
                changed.push(inside.display().to_string());
            }
        }
        Ok(changed)
    }
}

/// Commits and branches that the repositories among `known` have by now, and did not have when they were cloned.
fn worked_on(root: &Root, known: &BTreeMap<&String, &Seen>) -> Result<Vec<String>, InstallError> {
    let mut found = Vec::new();
    for (path, was) in known {
        let (What::Repository(commit), path) = (&was.what, Path::new(path.as_str())) else { continue };
        if let What::Repository(now) = &Seen::at(root, path)?.what
            && now != commit
        {
            found.push(format!("the commit {now}"));
        }
        found.extend(branches(root, &in_root(path)).into_iter().map(|name| format!("the branch {name}")));
        if root.exists(&path.join("refs/stash"))? {
            found.push("what `git stash` keeps".to_owned());
        }
    }
    Ok(found)
}

/// Branches of a repository, the one apart that is checked out.
fn branches(root: &Root, place: &Path) -> Vec<String> {
    const HEADS: &str = "refs/heads/";
    let packed = head(root, &place.join("packed-refs"), LIMIT).unwrap_or_default();
    let names = packed.lines().filter_map(|line| line.split_once(' ')?.1.strip_prefix(HEADS));
    let mut found: Vec<String> = names.map(str::to_owned).collect();
    let mut open = vec![PathBuf::new()];
    while let Some(at) = open.pop() {
        let Ok(directory) = root.directory(&place.join(HEADS).join(&at)) else { continue };
        for name in directory.names().unwrap_or_default() {
            let path = at.join(&name);
            match directory.directory(&name) {
                Ok(_) => open.push(path),
                Err(_) => found.push(path.display().to_string()),
            }
        }
    }
    let current = head(root, &place.join("HEAD"), LIMIT).unwrap_or_default();
    let current = current.trim().strip_prefix("ref: refs/heads/").unwrap_or_default().to_owned();
    found.retain(|name| *name != current);
    found.sort_unstable();
    found.dedup();
    found
}

fn listed(all: &[String]) -> String {
    let shown: Vec<&str> = all.iter().take(SHOWN).map(|one| if one == GIT { "its commit" } else { one }).collect();
    let more = all.len().saturating_sub(SHOWN);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{more}", shown.join(", "))
}
