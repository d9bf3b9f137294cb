//! A directory that holds a task's own earlier clone, when the task is to clone into it anew. A clone that is as it was
//! recorded makes room for the new one, and stays beside it; one that is to be put right gets back what differs, file by
//! file. One that somebody has changed is named, and nothing is touched.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use layers::root::{FileKind, Root};
use layers::store::Store;

use super::InstallError;
use super::clones::{self, GIT};
use super::former::dest;
use super::ledger::{Files, files, runs_commands};
use super::prepared::Prepared;
use super::seen::{Seen, What};
use super::state::{Ending, Left, Record};
use super::vanished::names_path;
use crate::event::listed;
use crate::target::host::{How, Renew, Verdict, kept_beside, name_to_keep};
use crate::target::{commit_of, in_root};

/// The action whose clones are exchanged: nothing in them says where they were made.
const EXCHANGED: &str = "git_clone";
/// Paths that are named.
const SHOWN: usize = 3;
/// In the place of a commit that there is not.
const UNFINISHED: &str = "unfinished";
const AWAY: &str = "Move it away, or put that elsewhere, and install again";

/// What becomes of a task's own earlier clone.
pub enum Renewal {
    /// A new one takes its place, or gives it back what differs.
    Anew(Renew),
    /// It stays, and this is why.
    Refused(String),
}

impl Prepared<'_> {
    /// What becomes of the clone that the task at `at` has made before in the directory that it clones into; `None` where
    /// there is none. `own` is its record, if it has one.
    pub fn renewal(
        &self,
        store: &Store,
        root: &Root,
        at: usize,
        own: Option<&Record>,
    ) -> Result<Option<Renewal>, InstallError> {
        for place in clones::places(self.steps[at]) {
            let full =
                root.directory(&place).and_then(|directory| directory.names()).is_ok_and(|names| !names.is_empty());
            if !full {
                continue;
            }
            if let Some((record, files)) = self.cloned(store, at, own, &place)? {
                return self.renewal_of(store, root, at, &place, (record, own == Some(record)), &files).map(Some);
            }
            // What a first clone that was cut off has left: one that got through has an index.
            let is_git = |found: layers::root::Metadata| found.kind == FileKind::Directory;
            let half = root.metadata(&place.join(GIT)).is_ok_and(is_git)
                && root.metadata(&place.join(GIT).join("index")).is_err();
            if half && self.was_cut_off(at) && self.steps[at].action == EXCHANGED {
                let there = commit_of(root, &in_root(&place.join(GIT))).unwrap_or_else(|| UNFINISHED.to_owned());
                let how = How::Whole { kept: name_to_keep(root, &place, &there)?, mode: None };
                return Ok(Some(Renewal::Anew(Renew { place, how })));
            }
            if self.is_listed_elsewhere(store, at, own, &place)? {
                return Ok(Some(Renewal::Refused(format!(
                    "{} is this task's clone, and the list of what was in it is not in this store (--store): name the one \
                     with which it was installed, or move the clone away, and install again",
                    place.display()
                ))));
            }
        }
        Ok(None)
    }

    /// True if the task, or one that the blueprint no longer has, has made `place`, and the store does not say what was in it.
    fn is_listed_elsewhere(
        &self,
        store: &Store,
        at: usize,
        own: Option<&Record>,
        place: &Path,
    ) -> Result<bool, InstallError> {
        for record in own.into_iter().chain(self.left.iter().map(|former| &former.record)) {
            let is_its = record.action == self.steps[at].action && dest(&record.fields).map(Path::new) == Some(place);
            if is_its
                && record.wrote.listing.is_some()
                && files(store, &record.wrote)?.len() == record.wrote.files.len()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The record by which the task, or one that the blueprint no longer has, has made `place`.
    fn cloned<'r>(
        &'r self,
        store: &Store,
        at: usize,
        own: Option<&'r Record>,
        place: &Path,
    ) -> Result<Option<(&'r Record, Files)>, InstallError> {
        let Some(name) = place.to_str() else { return Ok(None) };
        for record in own.into_iter().chain(self.left.iter().rev().map(|former| &former.record)) {
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
        (record, own): (&Record, bool),
        files: &Files,
    ) -> Result<Renewal, InstallError> {
        let shown = place.display();
        let of = ["revision", "version"].iter().find_map(|field| record.fields[*field].as_str());
        let is = format!("{shown} is this task's clone{}", of.map(|of| format!(" of {of}")).unwrap_or_default());
        let mut known = clones::within(files, place);
        known.retain(|path, seen| Path::new(path.as_str()) != place && seen.what != What::Absent);
        // An earlier alloy has recorded no more of it than git's own directory.
        if !known.values().any(|seen| matches!(seen.what, What::Repository(_))) {
            let message = format!("{is}, and what was in it was not recorded: move it away, and install again");
            return Ok(Renewal::Refused(message));
        }
        if record.action != EXCHANGED {
            let action = &record.action;
            let message =
                format!("{is}, and {action} does not exchange what it has made: move it away, and install again");
            return Ok(Renewal::Refused(message));
        }
        let expected = self.expected(store, at, &known)?;
        let refused = |what: &str, paths: &[String], rest: &str| {
            Ok(Renewal::Refused(format!("{is}, and {what}{}. {rest}", listed(paths, SHOWN))))
        };
        let mut changed = changed(root, place, &expected)?;
        // What the task itself has checked out: a later one may have gone on from there.
        let commit = recorded(files, place).unwrap_or_default();
        let there = commit_of(root, &in_root(&place.join(GIT)));
        let cut_off = self.was_cut_off(at);
        let how = if own && !cut_off && (self.only.is_some() || record.left() == Some(Left::Undone)) {
            let elsewhere = moved(root, &expected)?;
            if !elsewhere.is_empty() {
                return refused("somebody has worked in it since: ", &elsewhere, AWAY);
            }
            match put_back(root, place, &changed, commit) {
                Ok(how) => how,
                Err(blocked) => return refused("something else stands in the place of ", &blocked, AWAY),
            }
        // Of an exchange that was cut off, the new clone may be there already.
        } else if changed.is_empty() || cut_off && there.as_ref().is_some_and(|there| *there != commit) {
            let inner = self.changed_below(store, root, at, place)?;
            if !inner.is_empty() {
                return refused("what another task has cloned in it was changed since: ", &inner, AWAY);
            }
            let mode = files.get(&shown.to_string()).map(|seen| seen.mode);
            let is = root.metadata(place)?.mode;
            // Whoever has changed it since has decided who may look into it.
            let mode = Some(is).filter(|is| mode.is_some_and(|was| was != *is));
            How::Whole { kept: name_to_keep(root, place, &there.unwrap_or(commit))?, mode }
        } else {
            changed.iter_mut().filter(|path| *path == GIT).for_each(|path| *path = "its commit".to_owned());
            let told = changed;
            let rest = "Move it away, or put it back as it was (`git status` in it tells more), and install again";
            return refused("was changed since: ", &told, rest);
        };
        Ok(Renewal::Anew(Renew { place: place.to_owned(), how }))
    }

    /// What is to become of the clone `new` of the task at `at`, which was to take the place of the one in `place`. Gives
    /// the files of both where they are the same.
    pub fn verdict(
        &self,
        store: &Store,
        root: &Root,
        at: usize,
        own: Option<&Record>,
        (place, new): (&Path, &Path),
    ) -> Result<(Verdict, Vec<PathBuf>), InstallError> {
        if let Some(Renewal::Refused(why)) = self.renewal(store, root, at, own)? {
            return Ok((Verdict::Refused(why), Vec::new()));
        }
        let commit = |of: &Path| commit_of(root, &in_root(&of.join(GIT)));
        let (is, fresh, cut_off) = (commit(place), commit(new), self.was_cut_off(at));
        let refused = |why: String| Ok((Verdict::Refused(why), Vec::new()));
        let known = self.cloned(store, at, own, place)?;
        if is.is_none() || is != fresh {
            let recorded = known.and_then(|(_, files)| recorded(&files, place));
            // An exchange that was cut off leaves the recorded one beside: else it is somebody's own commit.
            let was_exchanged = || kept_beside(root, place).iter().any(|kept| commit(kept) == recorded);
            if cut_off && recorded.is_some() && is.is_some() && is != recorded && !was_exchanged() {
                return refused(format!(
                    "{}: its commit is another than this task has cloned. {AWAY}",
                    place.display()
                ));
            }
            return Ok((Verdict::Use, Vec::new()));
        }
        // Of a task that was changed, more than the commit may be another: owners, modes, submodules, how deep it is.
        if own.is_none_or(Record::is_unreached) {
            return Ok((Verdict::Use, Vec::new()));
        }
        let inside: Vec<PathBuf> = clones::files_of(root, new);
        let there = |inside: &PathBuf| in_root(&place.join(inside));
        let mut changed = Vec::new();
        for inside in inside.iter().filter(|_| cut_off) {
            let (one, other) = (Seen::at(root, &in_root(&new.join(inside)))?, Seen::at(root, &there(inside))?);
            if !one.differences(&other).is_empty() {
                changed.push(inside.display().to_string());
            }
        }
        if !changed.is_empty() && known.is_none() {
            // A first clone that was cut off has not all of its files.
            return Ok((Verdict::Use, Vec::new()));
        }
        if !changed.is_empty() {
            let (shown, changed) = (place.display(), listed(&changed, SHOWN));
            return refused(format!("{shown} is what this task clones, and was changed since: {changed}. {AWAY}"));
        }
        Ok((Verdict::Same, inside.iter().map(there).collect()))
    }

    /// What is not as it was of clones that other tasks have made below `place`.
    fn changed_below(&self, store: &Store, root: &Root, at: usize, place: &Path) -> Result<Vec<String>, InstallError> {
        let mut changed = Vec::new();
        for (other, record) in self.records.iter().enumerate() {
            let Some(record) = record.as_ref().filter(|record| other != at && record.left().is_none()) else {
                continue;
            };
            let files = files(store, &record.wrote)?;
            let below = |path: &String| Path::new(path).starts_with(place) && Path::new(path) != place;
            if !clones::has_made_below(&files, place, record) {
                continue;
            }
            let known = files.iter().filter(|(path, _)| below(path)).collect();
            for (path, was) in self.expected(store, other, &known)? {
                if !was.differences(&was.now(root, &in_root(Path::new(&path)))?).is_empty() {
                    changed.push(path);
                }
            }
        }
        Ok(changed)
    }

    /// Later tasks whose commands name `place`, and of which nothing is known that they have put there: with the earlier
    /// clone goes what they have made in it.
    pub fn naming(&self, store: &Store, at: usize, place: &Path) -> Result<Vec<String>, InstallError> {
        let mut found = Vec::new();
        for (step, record) in self.steps.iter().zip(&self.records).skip(at + 1) {
            let Some(record) = record.as_ref().filter(|record| record.outcome == Ending::Done) else { continue };
            let inside = |path: &String| Path::new(path).starts_with(place);
            if runs_commands(step)
                && !step.guards.always_run
                && names_path(&record.fields, &place.display().to_string())
                && !files(store, &record.wrote)?.keys().any(inside)
            {
                found.push(format!("{} ({})", record.name, record.place));
            }
        }
        Ok(found)
    }

    /// `known`, as later tasks have made it.
    fn expected(
        &self,
        store: &Store,
        at: usize,
        known: &BTreeMap<&String, &Seen>,
    ) -> Result<BTreeMap<String, Seen>, InstallError> {
        let mut expected: BTreeMap<String, Seen> =
            known.iter().map(|(path, seen)| ((*path).clone(), (*seen).clone())).collect();
        for record in self.records[at + 1..].iter().flatten() {
            expected.extend(files(store, &record.wrote)?.into_iter().filter(|(path, _)| known.contains_key(path)));
        }
        Ok(expected)
    }
}

/// The commit that was checked out in `place` when it was recorded.
fn recorded(files: &Files, place: &Path) -> Option<String> {
    match &files.get(place.join(GIT).to_str()?)?.what {
        What::Repository(commit) => Some(commit.clone()),
        _ => None,
    }
}

/// What of a clone is not as it is `expected`, relative to where it is.
fn changed(root: &Root, place: &Path, expected: &BTreeMap<String, Seen>) -> Result<Vec<String>, InstallError> {
    let mut changed = Vec::new();
    for (path, was) in expected {
        if !was.differences(&was.now(root, Path::new(path))?).is_empty() {
            let inside = Path::new(path).strip_prefix(place).unwrap_or(Path::new(""));
            changed.push(inside.display().to_string());
        }
    }
    Ok(changed)
}

/// How a clone in `place` of `commit` gets back what has `changed`. An error with those in whose place, or on whose way,
/// something else stands.
fn put_back(root: &Root, place: &Path, changed: &[String], commit: String) -> Result<How, Vec<String>> {
    let is_blocked = |path: &&String| {
        root.metadata(&place.join(path)).is_ok_and(|found| found.kind == FileKind::Directory)
            || on_the_way(root, place, Path::new(path))
    };
    let blocked: Vec<String> = changed.iter().filter(|path| *path != GIT).filter(is_blocked).cloned().collect();
    if !blocked.is_empty() {
        return Err(blocked);
    }
    // One that is there keeps what is in it.
    let gone = root.metadata(&place.join(GIT)).is_err();
    let files = changed.iter().filter(|path| gone || *path != GIT).map(PathBuf::from).collect();
    Ok(How::Files { files, commit })
}

/// True if something on the way from `place` to `path` is no directory.
fn on_the_way(root: &Root, place: &Path, path: &Path) -> bool {
    let up = path.ancestors().skip(1).filter(|up| up.file_name().is_some());
    up.map(|up| root.metadata(&place.join(up))).any(|found| found.is_ok_and(|found| found.kind != FileKind::Directory))
}

/// Other commits than the expected ones that are checked out in a clone, and repositories that git does not read.
fn moved(root: &Root, expected: &BTreeMap<String, Seen>) -> Result<Vec<String>, InstallError> {
    let mut found = Vec::new();
    for (path, was) in expected {
        let What::Repository(was) = &was.what else { continue };
        match Seen::at(root, Path::new(path))?.what {
            What::Repository(is) if is != *was => found.push(format!("the commit {is}")),
            What::Repository(_) | What::Absent => {}
            // It is in what is missing above it.
            What::File(_) if clones::elsewhere(root, &in_root(Path::new(path))).is_some() => {}
            _ => found.push(format!("{path} is no repository that git reads")),
        }
    }
    Ok(found)
}
