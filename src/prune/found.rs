//! What is in the store, and what of it no image needs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use layers::digest::Digest;
use layers::store::{Store, StoreError};

use super::needed::{Needed, Unknown};
use super::wanted::{StoreKind, Wanted};
use crate::cache;
use crate::image::{self, Local, Strange};

/// How long an unfinished download that nobody goes on with may wait for who does, while others are at work. Who is
/// alone in the store deletes all downloads.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// One thing that can go.
pub struct Item {
    /// What it is.
    pub kind: StoreKind,
    pub(super) what: What,
    used: SystemTime,
    /// Bytes on the disk.
    pub bytes: u64,
}

impl Item {
    /// True for what an interrupted download has left.
    pub fn is_half(&self) -> bool {
        matches!(&self.what, What::Path(path) if is_half(path))
    }
}

pub(super) enum What {
    Blob(Digest),
    Tree(String),
    Path(PathBuf),
}

/// What can go.
pub struct Found {
    needed: Needed,
    /// Keys of records of layers that no image needs, and the layers.
    pub(super) records: Vec<(String, Option<Digest>)>,
    /// What can go.
    pub items: Vec<Item>,
    /// Unfinished downloads that are old, and the keys of their locks.
    pub(super) unfinished: Vec<(PathBuf, String)>,
    /// What killed builds left, in bytes.
    left: u64,
    /// What stays, in bytes, where that is more than was wanted.
    over: Option<u64>,
}

impl Found {
    /// Looks for all that the images `kept` do not need, and for `logs`, which no image needs. What those need that are
    /// `strange` is not known.
    pub fn look(store: &Store, kept: &[Local], strange: &[Strange], logs: Vec<PathBuf>) -> Result<Self, StoreError> {
        let mut needed = Needed::by(store, kept)?;
        needed.unknown.extend(strange.iter().map(Unknown::strange));
        let all = cache::all(store)?;
        let mut used: BTreeMap<Digest, SystemTime> = BTreeMap::new();
        let mut records = Vec::new();
        for (key, record) in all {
            let layer = record.layer.map(|layer| layer.descriptor.digest);
            if let Some(layer) = layer {
                let at = cache::last_used(store, &key);
                used.entry(layer).and_modify(|used| *used = at.max(*used)).or_insert(at);
            }
            if layer.is_none_or(|layer| !needed.blobs.contains(&layer)) {
                records.push((key, layer));
            }
        }
        let mut items = Vec::new();
        for digest in store.blobs()?.into_iter().filter(|digest| !needed.blobs.contains(digest)) {
            let path = store.blob_path(&digest);
            let at = store.last_used(&path).max(used.get(&digest).copied().unwrap_or(SystemTime::UNIX_EPOCH));
            let kind = if image::is_json(&path) { StoreKind::Images } else { StoreKind::Layers };
            items.push(Item { kind, what: What::Blob(digest), used: at, bytes: size(&path) });
        }
        let busy = store.used_trees()?;
        for name in store.trees()?.into_iter().filter(|name| !needed.trees.contains(name) && !busy.contains(name)) {
            let place = store.tree_place(&name);
            let (used, bytes) = (store.last_used(&place), size(&place));
            items.push(Item { kind: StoreKind::Trees, what: What::Tree(name), used, bytes });
        }
        let downloads = children(&store.downloads());
        let unfinished: Vec<(PathBuf, String)> = downloads.iter().filter_map(|path| unfinished(path)).collect();
        let finished = downloads.into_iter().filter(|path| !unfinished.iter().any(|(other, _)| other == path));
        // A container may run on a tree that was found damaged since.
        let runs_on = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.strip_prefix("trees-").is_some_and(|tree| busy.iter().any(|busy| tree.starts_with(busy.as_str())))
        };
        let mut aside = store.aside()?;
        aside.retain(|path| !runs_on(path));
        // Lists of apt, each for other sources.
        let caches = children(&store.root().join("cache"));
        let caches = caches.into_iter().flat_map(|path| match children(&path) {
            below if below.is_empty() => vec![path],
            below => below,
        });
        let paths = finished
            .map(|path| (StoreKind::Downloads, path))
            .chain(caches.map(|path| (StoreKind::Caches, path)))
            .chain(logs.into_iter().map(|path| (StoreKind::Logs, path)))
            .chain(aside.into_iter().map(|path| (StoreKind::Damaged, path)));
        items.extend(paths.map(|(kind, path)| {
            let (used, bytes) = (store.last_used(&path), size(&path));
            Item { kind, what: What::Path(path), used, bytes }
        }));
        let left =
            store.look_for_stale()?.iter().map(|path| size(path)).sum::<u64>() + store.sweep_temporaries(true)?;
        Ok(Self { needed, records, items, unfinished, left, over: None })
    }

    /// Leaves only what is `wanted`, which of `gone` images is what they alone needed. `total` is all that the store
    /// has, in bytes.
    pub fn choose(&mut self, wanted: &Wanted, gone: Option<&Needed>, total: u64) {
        let now = SystemTime::now();
        self.items.retain(|item| {
            let old = wanted.older_than.is_none_or(|age| now.duration_since(item.used).is_ok_and(|it| it >= age));
            let theirs = gone.is_none_or(|gone| match &item.what {
                What::Blob(digest) => gone.blobs.contains(digest),
                What::Tree(name) => gone.trees.contains(name),
                What::Path(_) => false,
            });
            old && theirs && wanted.covers(item.kind)
        });
        if let Some(keep) = wanted.keep {
            self.items.sort_by_key(|item| item.used);
            let mut left = total.saturating_sub(self.sizes(false).iter().map(|(_, bytes)| bytes).sum());
            self.items.retain(|item| {
                let goes = left > keep;
                left = left.saturating_sub(if goes { item.bytes } else { 0 });
                goes
            });
            self.over = Some(left).filter(|left| *left > keep);
        }
        if !wanted.is_everything() {
            let blobs: BTreeSet<Digest> = self.items.iter().filter_map(Item::blob).collect();
            self.records.retain(|(_, layer)| layer.is_some_and(|layer| blobs.contains(&layer)));
        }
    }

    /// Bytes of what stays, if that is more than the store was to keep.
    pub fn over(&self) -> Option<u64> {
        self.over
    }

    /// Bytes of what images need, and of trees that containers run on.
    pub fn in_use(&self, store: &Store) -> u64 {
        let blobs = self.needed.blobs.iter().map(|digest| store.blob_path(digest));
        let busy = store.used_trees().unwrap_or_default();
        let trees: BTreeSet<&String> = self.needed.trees.iter().chain(&busy).collect();
        blobs.chain(trees.into_iter().map(|name| store.tree_place(name))).map(|path| size(&path)).sum()
    }

    /// Images of which it is not known what they need.
    pub fn unknown(&self) -> &[Unknown] {
        &self.needed.unknown
    }

    /// True if it is not known of some image what it needs.
    pub fn is_unknown(&self, store: &Store) -> Result<bool, StoreError> {
        let damaged = store.damage().iter().any(image::is_name);
        Ok(damaged || !self.needed.unknown.is_empty() || !image::lost(store)?.is_empty())
    }

    /// True if an image needs the blob.
    pub(super) fn needs(&self, digest: &Digest) -> bool {
        self.needed.blobs.contains(digest)
    }

    /// What images need.
    pub fn needed(&self) -> &Needed {
        &self.needed
    }

    /// What goes, in bytes: all of it, or what nobody can need who is at work.
    pub fn sizes(&self, all: bool) -> Vec<(&'static str, u64)> {
        let mut sizes: Vec<(&'static str, u64)> = Vec::new();
        for kind in StoreKind::ALL.into_iter().filter(|_| all) {
            let mut of_kind = self.items.iter().filter(|item| item.kind == kind).map(|item| item.bytes).peekable();
            if kind.is_always_told() || of_kind.peek().is_some() {
                sizes.push((kind.told(), of_kind.sum()));
            }
        }
        sizes.push(("unfinished downloads", self.unfinished.iter().map(|(path, _)| size(path)).sum()));
        sizes.push(("left by killed builds", self.left));
        sizes
    }

    /// Bytes of what somebody may need who is at work.
    pub fn unneeded_bytes(&self) -> u64 {
        self.items.iter().map(|item| item.bytes).sum()
    }
}

impl Item {
    /// The blob, if it is one.
    pub(super) fn blob(&self) -> Option<Digest> {
        if let What::Blob(digest) = &self.what { Some(*digest) } else { None }
    }
}

/// An unfinished download, or what the server said of it, that is old, and its key.
fn is_half(path: &Path) -> bool {
    ["part", "validator"].iter().any(|end| path.extension().is_some_and(|found| found == *end))
}

fn unfinished(path: &Path) -> Option<(PathBuf, String)> {
    if !is_half(path) {
        return None;
    }
    let changed = path.symlink_metadata().ok()?.modified().ok()?;
    let key = path.file_stem()?.to_str()?.to_owned();
    changed.elapsed().is_ok_and(|age| age > PATIENCE).then(|| (path.to_owned(), key))
}

/// What is in `directory`; nothing, if it cannot be read.
pub fn children(directory: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Bytes on disk below `path`, as far as they can be seen; files with several names count once.
pub fn size(path: &Path) -> u64 {
    fn walk(path: &Path, seen: &mut BTreeSet<(u64, u64)>) -> u64 {
        use std::os::unix::fs::MetadataExt;
        let Ok(metadata) = path.symlink_metadata() else { return 0 };
        if !seen.insert((metadata.dev(), metadata.ino())) {
            return 0;
        }
        let own = metadata.blocks() * 512;
        if metadata.is_dir() { children(path).iter().fold(own, |sum, child| sum + walk(child, seen)) } else { own }
    }
    walk(path, &mut BTreeSet::new())
}
