//! A host against an image: what the image's blueprint put into it, and what is there on the host.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use layers::compress::decoder;
use layers::digest::{Digest, Hasher};
use layers::root::Root;
use layers::store::Store;
use layers::tar::{Entry, Kind, TarError, file_name, for_each};
use layers::whiteout::{Name, classify, is_inside};
use serde_json::Value;

use super::super::InstallError;
use super::super::seen::{Content, Seen, What};
use super::super::text;
use super::{Changed, Drift, Expected, compare};
use crate::image::{Image, Layer, read_at_most};
use crate::target::host::Packages;

/// What every system keeps for itself: accounts, its own name, databases and caches of packages, logs. Which packages
/// there are is compared by themselves.
const OWN: [&str; 19] = [
    "etc/.pwd.lock",
    "etc/group",
    "etc/group-",
    "etc/gshadow",
    "etc/gshadow-",
    "etc/hostname",
    "etc/hosts",
    "etc/ld.so.cache",
    "etc/machine-id",
    "etc/passwd",
    "etc/passwd-",
    "etc/resolv.conf",
    "etc/shadow",
    "etc/shadow-",
    "var/cache",
    "var/lib/apt",
    "var/lib/dpkg",
    "var/lib/systemd",
    "var/log",
];
/// Directories of bytecode: it holds the times of its sources.
const BYTECODE: &str = "__pycache__";
/// Files by which dpkg lists what a package has.
const INFO: &str = "var/lib/dpkg/info";
const STATUS: &str = "var/lib/dpkg/status";
const STATUS_LIMIT: u64 = 256 << 20;

/// Compares the host with this root with the layers of `image` that are of a blueprint. Their blobs are in the store.
pub fn image(store: &Store, image: &Image, root: &Root, native: &str) -> Result<Drift, InstallError> {
    let mut tree = Tree::default();
    for (name, layer) in blueprint_layers(image) {
        tree.add(store, &name, layer)?;
    }
    let Tree { paths, packages, status } = tree;
    let versions = Packages::of(&String::from_utf8_lossy(&status), native);
    let of_native = format!(":{native}");
    let packages = packages.into_iter().filter_map(|(package, by)| {
        let package = package.strip_suffix(&of_native).unwrap_or(&package).to_owned();
        let is = versions.get(&package)?.clone();
        Some((package, Expected { is, by }))
    });
    // Directories of the image that are not everybody's to enter.
    let shut = |(path, expected): (&PathBuf, &Expected<Seen>)| {
        (expected.is.what == What::Directory && expected.is.mode & 0o001 == 0).then(|| Path::new("/").join(path))
    };
    let shut: Vec<PathBuf> = paths.iter().filter_map(shut).collect();
    let own = |path: &Path| OWN.iter().any(|own| path.starts_with(own)) || path.iter().any(|part| part == BYTECODE);
    let paths = paths.into_iter().filter(|(path, _)| !own(path));
    let paths = paths.filter_map(|(path, expected)| Some((format!("/{}", path.to_str()?), expected)));
    let mut drift = Drift { by: blueprint_layers(image).len(), ..Drift::default() };
    let contents = compare(root, native, paths.collect(), packages.collect(), &mut drift)?;
    let texts = texts(store, image, &contents)?;
    for Changed { at, path, was, now } in contents {
        let open = !shut.iter().any(|shut| Path::new(&path).starts_with(shut));
        let old = || digest(&was).filter(|_| open).and_then(|digest| texts.get(&digest).cloned());
        drift.findings[at].show(text::compare(root, Path::new(&path), &was, &now, old));
    }
    Ok(drift)
}

/// Texts of an image that are read to be compared line by line.
const TEXTS: usize = 500;

/// What the blueprint's layers have of the files that differ, as far as they are short.
fn texts(store: &Store, image: &Image, contents: &[Changed]) -> Result<BTreeMap<Digest, Vec<u8>>, InstallError> {
    let short = contents.iter().filter(|content| text::is_short(&content.was) && text::is_short(&content.now));
    let wanted: BTreeSet<Digest> = short.filter_map(|content| digest(&content.was)).take(TEXTS).collect();
    let mut found = BTreeMap::new();
    for (_, layer) in blueprint_layers(image) {
        if found.len() == wanted.len() {
            break;
        }
        store.read_whole(&layer.descriptor.digest, |blob| {
            let (_, reader) = decoder(blob).map_err(TarError::from)?;
            for_each::<_, InstallError>(reader, |entry, content| {
                if entry.kind == Kind::File && entry.size <= text::LONGEST {
                    let bytes = read_at_most(content, text::LONGEST).map_err(TarError::from)?;
                    let digest = Digest::of(&bytes);
                    if wanted.contains(&digest) {
                        found.insert(digest, bytes);
                    }
                }
                Ok(())
            })
            .map(drop)
        })?;
    }
    Ok(found)
}

fn digest(seen: &Seen) -> Option<Digest> {
    match &seen.what {
        What::File(content) => content.digest,
        _ => None,
    }
}

/// The layers that a blueprint made, lowest first, with the names of their task files.
pub fn blueprint_layers(image: &Image) -> Vec<(String, &Layer)> {
    let mut layers = image.layers.iter();
    let mut found = Vec::new();
    for entry in image.config["history"].as_array().into_iter().flatten() {
        if entry["empty_layer"] == Value::Bool(true) {
            continue;
        }
        let Some(layer) = layers.next() else { break };
        let by = entry["created_by"].as_str().and_then(|by| by.strip_prefix("alloy "));
        found.extend(by.map(|name| (name.to_owned(), layer)));
    }
    found
}

/// What layers put into an image, one over the other.
#[derive(Default)]
struct Tree {
    paths: BTreeMap<PathBuf, Expected<Seen>>,
    packages: BTreeMap<String, String>,
    status: Vec<u8>,
}

impl Tree {
    fn add(&mut self, store: &Store, name: &str, layer: &Layer) -> Result<(), InstallError> {
        store.read_whole(&layer.descriptor.digest, |blob| {
            let (_, reader) = decoder(blob).map_err(TarError::from)?;
            for_each::<_, InstallError>(reader, |entry, content| self.entry(name, entry, content)).map(drop)
        })
    }

    fn entry(&mut self, layer: &str, entry: Entry, content: &mut dyn Read) -> Result<(), InstallError> {
        let by = layer.to_owned();
        let below = |tree: &mut Self, path: &Path| tree.paths.retain(|other, _| !other.starts_with(path));
        if is_inside(&entry.path) {
            return Ok(());
        }
        match classify(file_name(&entry.path)) {
            Name::Plain => {}
            Name::Whiteout(name) => {
                let path = entry.path.with_file_name(name);
                below(self, &path);
                self.paths.insert(path, Expected { is: Seen::ABSENT, by });
                return Ok(());
            }
            Name::Opaque | Name::Reserved => return Ok(()),
        }
        let package = entry.path.strip_prefix(INFO).ok().filter(|name| name.extension() == Some(OsStr::new("list")));
        if let Some(package) = package.and_then(|name| name.file_stem()?.to_str()) {
            self.packages.insert(package.to_owned(), by.clone());
        }
        let what = match entry.kind {
            Kind::File if entry.path == Path::new(STATUS) => {
                self.status = read_at_most(content, STATUS_LIMIT).map_err(|error| {
                    TarError::from(io::Error::new(error.kind(), format!("of {layer}, {STATUS}: {error}")))
                })?;
                return Ok(());
            }
            Kind::File => {
                let mut hasher = Hasher::new();
                let size = io::copy(content, &mut hasher).map_err(TarError::from)?;
                What::File(Content { digest: Some(hasher.finish()), size: Some(size) })
            }
            Kind::HardLink => match self.paths.get(&entry.link) {
                Some(Expected { is: seen, .. }) => seen.what.clone(),
                // Of a file that is left out, or of another layer.
                _ => return Ok(()),
            },
            Kind::Directory => What::Directory,
            Kind::Symlink => What::Link(entry.link.to_string_lossy().into_owned()),
            Kind::CharDevice | Kind::BlockDevice | Kind::Fifo => What::Special,
        };
        let seen = Seen { mode: entry.mode, owner: (entry.uid, entry.gid), what };
        self.paths.insert(entry.path, Expected { is: seen, by });
        Ok(())
    }
}
