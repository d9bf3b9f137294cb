//! What is in the store, and what of it no image needs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use layers::digest::{ChainId, Digest};
use layers::store::{Store, StoreError, layer_tree, stack_tree};

use super::super::error::CommandError;
use crate::cache;
use crate::image::{Documents, Image, JSON_LIMIT, Local, Manifest, Strange};

/// How long an unfinished download that nobody goes on with may wait for who does, while others are at work. Who is
/// alone in the store deletes all downloads.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// What images need.
#[derive(Default)]
struct Needed {
    blobs: BTreeSet<Digest>,
    trees: BTreeSet<String>,
    unknown: Vec<Unknown>,
}

/// An image of which it is not known what it needs.
pub(super) struct Unknown {
    pub(super) name: String,
    pub(super) why: String,
    /// What takes its name away.
    pub(super) give_up: String,
}

/// What can go.
pub(super) struct Found {
    needed: Needed,
    /// Keys of records of layers.
    pub(super) layers: Vec<String>,
    pub(super) blobs: Vec<Digest>,
    /// Names of trees.
    pub(super) trees: Vec<String>,
    pub(super) caches: Vec<PathBuf>,
    pub(super) downloads: Vec<PathBuf>,
    /// What was damaged.
    pub(super) aside: Vec<PathBuf>,
    /// Unfinished downloads, and the keys of their locks.
    pub(super) unfinished: Vec<(PathBuf, String)>,
    sizes: [(&'static str, u64); 7],
}

impl Found {
    /// Looks for all that the images `kept` do not need. What those need that are `strange` is not known.
    pub(super) fn look(store: &Store, kept: &[Local], strange: &[Strange]) -> Result<Self, CommandError> {
        let mut needed = Needed::by(store, kept)?;
        needed.unknown.extend(strange.iter().map(|strange| Unknown {
            name: strange.name(),
            why: strange.why.clone(),
            give_up: strange.give_up(),
        }));
        let unneeded = |record: &cache::LayerRecord| {
            record.layer.as_ref().is_none_or(|layer| !needed.blobs.contains(&layer.descriptor.digest))
        };
        let layers =
            cache::all(store)?.into_iter().filter(|(_, record)| unneeded(record)).map(|(key, _)| key).collect();
        let blobs: Vec<Digest> = store.blobs()?.into_iter().filter(|digest| !needed.blobs.contains(digest)).collect();
        let used = store.used_trees()?;
        let trees = store.trees()?.into_iter().filter(|name| !needed.trees.contains(name) && !used.contains(name));
        let trees: Vec<String> = trees.collect();
        let (caches, downloads) = (children(&store.root().join("cache")), children(&store.downloads()));
        let unfinished: Vec<(PathBuf, String)> = downloads.iter().filter_map(|path| unfinished(path)).collect();
        // A container may run on a tree that was found damaged since.
        let runs_on = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.strip_prefix("trees-").is_some_and(|tree| used.iter().any(|used| tree.starts_with(used.as_str())))
        };
        let mut aside = store.aside()?;
        aside.retain(|path| !runs_on(path));
        let mut layer_bytes = 0;
        for digest in &blobs {
            layer_bytes += store.blob_len(digest)?.unwrap_or_default();
        }
        let sum = |paths: &[PathBuf]| paths.iter().map(|path| size(path)).sum::<u64>();
        let tree_bytes = trees.iter().map(|name| size(&store.tree_place(name))).sum();
        let unfinished_bytes = unfinished.iter().map(|(path, _)| size(path)).sum::<u64>();
        let left = sum(&store.look_for_stale()?) + store.sweep_temporaries(true)?;
        let sizes = [
            ("layers", layer_bytes),
            ("trees", tree_bytes),
            ("downloads", sum(&downloads).saturating_sub(unfinished_bytes)),
            ("unfinished downloads", unfinished_bytes),
            ("caches", sum(&caches)),
            ("damaged, put aside", sum(&aside)),
            ("left by killed builds", left),
        ];
        Ok(Self { needed, layers, blobs, trees, caches, downloads, aside, unfinished, sizes })
    }

    /// Images of which it is not known what they need.
    pub(super) fn unknown(&self) -> &[Unknown] {
        &self.needed.unknown
    }

    /// True if an image needs the blob.
    pub(super) fn needs(&self, digest: &Digest) -> bool {
        self.needed.blobs.contains(digest)
    }

    /// What goes, in bytes: all of it, or what nobody can need who is at work.
    pub(super) fn sizes(&self, all: bool) -> Vec<(&'static str, u64)> {
        self.sizes.iter().filter(|(what, _)| all || safe(what)).copied().collect()
    }

    /// Bytes of what somebody may need who is at work.
    pub(super) fn unneeded_bytes(&self) -> u64 {
        self.sizes.iter().filter(|(what, _)| !safe(what)).map(|(_, size)| size).sum()
    }
}

fn safe(what: &str) -> bool {
    matches!(what, "left by killed builds" | "unfinished downloads")
}

/// An unfinished download, or what the server said of it, that is old, and its key.
fn unfinished(path: &Path) -> Option<(PathBuf, String)> {
    if !["part", "validator"].iter().any(|end| path.extension().is_some_and(|found| found == *end)) {
        return None;
    }
    let changed = path.symlink_metadata().ok()?.modified().ok()?;
    let key = path.file_stem()?.to_str()?.to_owned();
    changed.elapsed().is_ok_and(|age| age > PATIENCE).then(|| (path.to_owned(), key))
}

impl Needed {
    fn by(store: &Store, kept: &[Local]) -> Result<Self, CommandError> {
        let mut needed = Self::default();
        needed.blobs.extend(kept.iter().map(|local| local.descriptor().digest));
        for local in kept.iter().flat_map(Local::images) {
            needed.blobs.insert(local.manifest.digest);
            needed.blobs.extend(local.documents.iter().flat_map(Documents::blobs).map(|document| document.digest));
            let manifest = match read(store, &local.manifest.digest)? {
                Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| error.to_string()),
                Err(why) => Err(why),
            };
            let manifest: Manifest = match manifest {
                Ok(manifest) => manifest,
                Err(why) => {
                    let (name, give_up) = (local.name.clone(), format!("alloy prune {}", local.name));
                    needed.unknown.push(Unknown { name, why, give_up });
                    continue;
                }
            };
            needed.blobs.insert(manifest.config.digest);
            needed.blobs.extend(manifest.layers.iter().map(|layer| layer.digest));
            // Trees can be unpacked anew.
            let config = read(store, &manifest.config.digest)?.unwrap_or_default();
            let Ok(image) = Image::new(&local.name, local.manifest.digest, &manifest, &config) else { continue };
            let mut chain: Option<ChainId> = None;
            for layer in &image.layers {
                let extended = ChainId::extend(chain, layer.diff_id);
                needed.trees.extend([layer_tree(layer.diff_id), stack_tree(extended)]);
                chain = Some(extended);
            }
        }
        Ok(needed)
    }
}

/// A blob of JSON, or why the store has it no more. What cannot be read just now is an error: nothing follows from it.
fn read(store: &Store, digest: &Digest) -> Result<Result<Vec<u8>, String>, StoreError> {
    match store.read_blob(digest, JSON_LIMIT) {
        Ok(bytes) => Ok(Ok(bytes)),
        Err(error @ (StoreError::Missing(_) | StoreError::Wrong(_) | StoreError::Mismatch { .. })) => {
            Ok(Err(error.to_string()))
        }
        Err(error) => Err(error),
    }
}

fn children(directory: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Bytes on disk below `path`, as far as they can be seen; files with several names count once.
pub(super) fn size(path: &Path) -> u64 {
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
