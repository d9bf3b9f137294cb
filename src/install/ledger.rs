//! What a task put on the host: what it says that it writes, the packages that came with it, and what its commands made
//! of files that earlier tasks had put there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use layers::digest::Digest;
use layers::root::{FileKind, Metadata, Root};
use layers::store::Store;

use super::InstallError;
use super::clones::GIT;
use super::owned::Owned;
use super::seen::Seen;
use super::state::{Ending, Record, Wrote};
use super::text;
use super::vanished::PASSING;
use crate::op::{Op, Secrets, Source, Step};
use crate::target::LocalDeb;
use crate::target::host::Packages;

/// More paths than this are no longer for people: they go to a record of the store.
const MOST: usize = 200;
const LISTINGS: &str = "listings";

/// Paths, and what was there.
pub type Files = BTreeMap<String, Seen>;

/// Keeps account of what tasks put on one host.
pub struct Ledger<'a> {
    store: &'a Store,
    secrets: &'a Secrets,
    native: String,
    packages: Packages,
    /// What was recorded so far, and what its files are like; read when the first command is about to run.
    known: Option<BTreeMap<PathBuf, Option<Metadata>>>,
    /// Files of packages that tasks have installed: what a command makes of one is lost when the package is installed again.
    owned: Option<Owned>,
}

/// What was there before a task.
pub struct Before {
    packages: Option<BTreeMap<String, String>>,
    /// What was no longer as it was recorded.
    other: Vec<PathBuf>,
}

impl Before {
    /// What is at `paths` after the task counts as what it did, too.
    pub fn count(&mut self, paths: Vec<PathBuf>) {
        self.other.extend(paths);
    }

    /// The same of absolute paths.
    pub fn count_all(&mut self, paths: &[String]) {
        self.count(paths.iter().map(|path| relative(path)).collect());
    }
}

/// What is known of the work of a step without looking.
pub struct Known<'k> {
    /// Paths that are of its making.
    pub written: Vec<PathBuf>,
    /// What it was to put right, as it was and as it is. What it has left as it is counts as it was.
    pub wrong: &'k BTreeMap<String, (Seen, Seen)>,
    /// The packages that it names by their files.
    pub debs: &'k [String],
}

impl<'k> Known<'k> {
    /// Nothing is known; `none` is an empty map.
    pub fn nothing(none: &'k BTreeMap<String, (Seen, Seen)>) -> Self {
        Self { written: Vec::new(), wrong: none, debs: &[] }
    }
}

impl<'a> Ledger<'a> {
    /// An account that begins now; `native` is dpkg's name of the host's architecture.
    pub fn new(store: &'a Store, native: &str, secrets: &'a Secrets) -> Self {
        Self { store, secrets, native: native.to_owned(), packages: Packages::default(), known: None, owned: None }
    }

    /// Looks at the host before `step` is performed; `records` are those so far. If it is tried `again`, what differs
    /// from them by now counts as what it did.
    pub fn before<'r>(
        &mut self,
        root: &Root,
        step: &Step,
        records: impl Iterator<Item = &'r Record> + Clone,
        again: bool,
    ) -> Result<Before, InstallError> {
        if !runs_commands(step) {
            return Ok(Before { packages: None, other: Vec::new() });
        }
        let other = if again { differing(self.store, root, records.clone())? } else { Vec::new() };
        let other = other.iter().map(|path| relative(path)).collect();
        if self.known.is_none() {
            let mut known = BTreeMap::new();
            for record in records.clone() {
                known.extend(files(self.store, &record.wrote)?.into_keys().map(|path| (relative(&path), None)));
            }
            self.known = Some(known);
        }
        for (path, metadata) in self.known.iter_mut().flatten() {
            *metadata = root.metadata(path).ok();
        }
        match self.owned.take() {
            // Packages come and go.
            _ if installs(step) => {}
            owned => {
                let mut owned = owned.unwrap_or_default();
                let asked: BTreeSet<&String> = records.flat_map(|record| record.wrote.packages.keys()).collect();
                owned.follow(root, &self.native, self.packages.read(root, &self.native), asked.into_iter());
                self.owned = Some(owned);
            }
        }
        Ok(Before { packages: Some(self.packages.read(root, &self.native).clone()), other })
    }

    /// Paths that a task `wrote`, and that are now as one of the `earlier` tasks has left them: it is to be recorded what
    /// the task makes of them when it is done again, also if that is nothing.
    pub fn undone<'r>(
        &self,
        root: &Root,
        wrote: &Wrote,
        earlier: impl Iterator<Item = &'r Record>,
    ) -> Result<Vec<PathBuf>, InstallError> {
        let mut expected = Files::new();
        for record in earlier.filter(|record| record.outcome != Ending::Failed) {
            expected.extend(files(self.store, &record.wrote)?);
        }
        let mut found = Vec::new();
        for path in files(self.store, wrote)?.into_keys() {
            let Some(seen) = expected.get(&path) else { continue };
            let path = relative(&path);
            if seen.differences(&seen.now(root, &path)?).is_empty() {
                found.push(path);
            }
        }
        Ok(found)
    }

    /// What `step` did, of which something is known already.
    pub fn after(
        &mut self,
        root: &Root,
        step: &Step,
        before: Before,
        Known { mut written, wrong, debs }: Known<'_>,
    ) -> Result<Wrote, InstallError> {
        written.extend(step.guards.creates.iter().map(|path| relative(path)));
        if before.packages.is_some() {
            let changed = self.known.iter().flatten();
            let changed =
                changed.filter(|(path, was)| was.is_some_and(|was| !is_same(path, root.metadata(path).ok(), was)));
            written.extend(changed.map(|(path, _)| path.clone()));
        }
        if let Some(owned) = &mut self.owned {
            // What a task says that it writes is no news either.
            let changed = owned.changed(root, self.packages.read(root, &self.native));
            written.extend(changed.into_iter().filter(|_| before.packages.is_some()));
        }
        written.extend(before.other);
        written.retain(|path| !path.as_os_str().is_empty() && !PASSING.iter().any(|place| path.starts_with(place)));
        let mut files = Files::new();
        for path in &written {
            // A name that is no text cannot stand in the state file.
            let Some(name) = path.to_str() else { continue };
            let seen = Seen::at(root, path)?;
            // What is written and gone at once was never put there; what was known is news.
            let known = self.known.as_ref().is_some_and(|known| known.contains_key(path));
            let known = known || self.owned.as_ref().is_some_and(|owned| owned.has(path));
            if seen != Seen::ABSENT || known {
                files.insert(format!("/{name}"), seen);
            }
        }
        if let Some(known) = &mut self.known {
            known.extend(written.into_iter().map(|path| (path, None)));
        }
        let packages = before.packages.map_or_else(BTreeMap::new, |before| self.added(root, step, &before, debs));
        if files.len() <= MOST {
            for (path, seen) in &files {
                text::keep(self.store, self.secrets, root, &relative(path), seen)?;
            }
        }
        for (path, (was, wrong)) in wrong {
            if let Some(seen) = files.get_mut(path) {
                *seen = seen.put_right(was, wrong);
            }
        }
        self.wrote(files, packages)
    }

    /// What was written `before`, and over it what was written `later`.
    pub fn both(&self, before: &Wrote, later: Wrote) -> Result<Wrote, InstallError> {
        let mut packages = before.packages.clone();
        packages.extend(later.packages.clone());
        let mut all = files(self.store, before)?;
        all.extend(files(self.store, &later)?);
        if before.listing.is_some() && later.listing.is_none() && files(self.store, before)?.len() == before.files.len()
        {
            // Of a list that is gone from the store, it is still to be told that it is.
            return Ok(Wrote { files: all, listing: before.listing, packages });
        }
        self.wrote(all, packages)
    }

    fn wrote(&self, files: Files, packages: BTreeMap<String, String>) -> Result<Wrote, InstallError> {
        if files.len() <= MOST {
            return Ok(Wrote { files, listing: None, packages });
        }
        let text: String = files.iter().map(|(path, seen)| format!("{seen}\0{path}\0")).collect();
        let listing = Digest::of(&text);
        self.store.put_record(LISTINGS, &listing.hex(), text.as_bytes())?;
        Ok(Wrote { files: Files::new(), listing: Some(listing), packages })
    }

    /// Packages that `step` names by their files, which are here.
    pub fn debs(&self, step: &Step, files: &BTreeMap<Source, PathBuf>) -> Vec<String> {
        let debs = step.ops.iter().flat_map(|op| match op {
            Op::AptInstall { debs, .. } => debs.as_slice(),
            _ => &[],
        });
        let read = debs.filter_map(|source| LocalDeb::read(source, files.get(source)?).ok());
        read.map(|deb| deb.recorded_as(&self.native)).collect()
    }

    /// Packages that are installed now, and their versions.
    pub fn installed(&mut self, root: &Root) -> &BTreeMap<String, String> {
        self.packages.read(root, &self.native)
    }

    /// Packages that `step` asks for, and all that came with them.
    fn added(
        &mut self,
        root: &Root,
        step: &Step,
        before: &BTreeMap<String, String>,
        debs: &[String],
    ) -> BTreeMap<String, String> {
        let now = self.packages.read(root, &self.native);
        let asked = step.ops.iter().flat_map(|op| match op {
            Op::AptInstall { packages, .. } => packages.as_slice(),
            _ => &[],
        });
        let asked = asked.filter_map(|package| package.split('=').next());
        // One that is there again in its version was asked for, too.
        let asked: Vec<&str> = asked.chain(debs.iter().map(String::as_str)).collect();
        let counts =
            |(name, version): &(&String, &String)| before.get(*name) != Some(version) || asked.contains(&name.as_str());
        now.iter().filter(counts).map(|(name, version)| (name.clone(), version.clone())).collect()
    }
}

/// Paths that are not as `records` have them.
pub fn differing<'r>(
    store: &Store,
    root: &Root,
    records: impl Iterator<Item = &'r Record>,
) -> Result<Vec<String>, InstallError> {
    let mut expected = Files::new();
    for record in records.filter(|record| record.outcome != Ending::Failed) {
        expected.extend(files(store, &record.wrote)?);
    }
    let mut found = Vec::new();
    for (path, seen) in expected {
        if !seen.differences(&seen.now(root, &relative(&path))?).is_empty() {
            found.push(path);
        }
    }
    Ok(found)
}

/// True if `path` is `now` as it `was`. The time of a directory says only that something was put into it; of git's own one,
/// that this may be another commit.
fn is_same(path: &Path, now: Option<Metadata>, was: Metadata) -> bool {
    let directory = was.kind == FileKind::Directory && !path.ends_with(GIT);
    now.is_some_and(|now| match directory && now.kind == FileKind::Directory {
        true => (now.mode, now.uid, now.gid) == (was.mode, was.uid, was.gid),
        false => now == was,
    })
}

fn installs(step: &Step) -> bool {
    step.ops.iter().any(|op| matches!(op, Op::AptInstall { .. }))
}

/// True if it is not known beforehand what `step` writes.
pub fn runs_commands(step: &Step) -> bool {
    step.ops
        .iter()
        .any(|op| matches!(op, Op::Run { .. } | Op::AptInstall { .. } | Op::EnsureUser { .. } | Op::EnsureGroup { .. }))
}

pub(super) fn relative(path: &str) -> PathBuf {
    let path = Path::new(path);
    path.strip_prefix("/").unwrap_or(path).to_owned()
}

/// All that a task wrote, its listing included. A listing that is gone from the store is as one that never was.
pub fn files(store: &Store, wrote: &Wrote) -> Result<Files, InstallError> {
    let mut files = wrote.files.clone();
    let listing = match &wrote.listing {
        Some(digest) => store.record(LISTINGS, &digest.hex())?.filter(|bytes| Digest::of(bytes) == *digest),
        None => None,
    };
    let text = String::from_utf8(listing.unwrap_or_default()).unwrap_or_default();
    let mut parts = text.split_terminator('\0');
    while let (Some(seen), Some(path)) = (parts.next(), parts.next()) {
        files.extend(seen.parse().ok().map(|seen| (path.to_owned(), seen)));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_and_what_comes_later_are_one() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().join("store")).unwrap();
        let secrets = Secrets::default();
        let ledger = Ledger::new(&store, "amd64", &secrets);
        let seen = |mode: &str| format!("directory {mode} 0:0").parse::<Seen>().unwrap();
        let many: Files = (0..300).map(|number| (format!("/opt/{number}"), seen("0755"))).collect();
        let few = Files::from([("/opt/7".to_owned(), seen("0700")), ("/opt/x".to_owned(), seen("0700"))]);
        let wrote = |files: &Files| ledger.wrote(files.clone(), BTreeMap::new()).unwrap();
        assert!(wrote(&many).listing.is_some() && wrote(&few).listing.is_none());
        let all = files(&store, &ledger.both(&wrote(&many), wrote(&few)).unwrap()).unwrap();
        assert_eq!((all.len(), &all["/opt/7"], &all["/opt/8"]), (301, &seen("0700"), &seen("0755")));
        let all = files(&store, &ledger.both(&wrote(&few), wrote(&many)).unwrap()).unwrap();
        assert_eq!((all.len(), &all["/opt/7"], &all["/opt/x"]), (301, &seen("0755"), &seen("0700")));
        // Of a list that is gone, that it is gone is still known.
        let gone = Wrote { listing: Some(Digest::of("gone")), ..Wrote::default() };
        let both = ledger.both(&gone, wrote(&few)).unwrap();
        assert_eq!((both.listing, both.files), (gone.listing, few));
    }
}
