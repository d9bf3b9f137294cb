//! Images by name in the local store.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use layers::digest::Digest;
use layers::media_type::Descriptor;
use layers::store::{Damage, Store, StoreError};
use serde::{Deserialize, Serialize};

use super::{BuiltFrom, ImageError, Index, IndexEntry, select};
use crate::json;
use crate::plan::Platform;

const KIND: &str = "images";

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
#[expect(clippy::large_enum_variant, reason = "there are as many as there are names")]
pub enum Local {
    /// An index of several platforms. First: its record has a field more than that of an image.
    Index(LocalIndex),
    /// An image for one platform.
    Image(LocalImage),
}

/// Images for several platforms under one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalIndex {
    /// The name, with its tag.
    pub name: String,
    /// The index, stored.
    pub index: Descriptor,
    /// When the name was given, in seconds since 1970.
    pub tagged_at: i64,
    /// The same moment in nanoseconds, from which on it has the name; [`tag`] notes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named_at: Option<i64>,
    /// What the index lists, in its order. Each has the name of the index.
    pub images: Vec<LocalImage>,
}

/// An image for one platform, and its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalImage {
    /// The name, with its tag.
    pub name: String,
    /// The manifest.
    pub manifest: Descriptor,
    /// What it runs on.
    pub platform: Platform,
    /// When the name was given, in seconds since 1970.
    pub tagged_at: i64,
    /// The same moment in nanoseconds, from which on it has the name; [`tag`] notes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named_at: Option<i64>,
    /// What it was built from; `None` for what was not built here alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<BuiltFrom>,
    /// What is said of it; `None` where that was not wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documents: Option<Documents>,
}

/// What is said of an image: blobs of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Documents {
    /// What it was made from.
    pub provenance: Descriptor,
    /// What is in it; `None` until somebody wants to know.
    pub sbom: Option<Descriptor>,
}

impl Documents {
    /// Their blobs.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        std::iter::once(&self.provenance).chain(&self.sbom)
    }
}

impl Local {
    /// What of it has a digest that is meant: itself, or images of an index.
    pub fn with_digest(&self, is_meant: impl Fn(Digest) -> bool) -> Vec<Self> {
        if is_meant(self.descriptor().digest) {
            return vec![self.clone()];
        }
        let images = self.images().iter().filter(|image| is_meant(image.manifest.digest));
        images.map(|image| Self::Image(image.clone())).collect()
    }

    /// The name, with its tag.
    pub fn name(&self) -> &str {
        match self {
            Self::Index(index) => &index.name,
            Self::Image(image) => &image.name,
        }
    }

    /// The index, or the one manifest.
    pub fn descriptor(&self) -> &Descriptor {
        match self {
            Self::Index(index) => &index.index,
            Self::Image(image) => &image.manifest,
        }
    }

    /// When the name was given, in seconds since 1970.
    pub fn tagged_at(&self) -> i64 {
        match self {
            Self::Index(index) => index.tagged_at,
            Self::Image(image) => image.tagged_at,
        }
    }

    /// When the name was given, in nanoseconds since 1970, as exactly as it is known.
    pub fn named_at(&self) -> i128 {
        let named_at = match self {
            Self::Index(index) => index.named_at,
            Self::Image(image) => image.named_at,
        };
        named_at.map_or_else(|| i128::from(self.tagged_at()) * 1_000_000_000, i128::from)
    }

    /// The same under another name, given at `tagged_at`.
    #[must_use]
    pub fn renamed(mut self, name: &str, tagged_at: i64) -> Self {
        match &mut self {
            Self::Index(index) => {
                index.images.iter_mut().for_each(|image| name.clone_into(&mut image.name));
                name.clone_into(&mut index.name);
                (index.tagged_at, index.named_at) = (tagged_at, None);
            }
            Self::Image(image) => {
                name.clone_into(&mut image.name);
                (image.tagged_at, image.named_at) = (tagged_at, None);
            }
        }
        self
    }

    /// One image for each platform.
    pub fn images(&self) -> &[LocalImage] {
        match self {
            Self::Index(index) => &index.images,
            Self::Image(image) => std::slice::from_ref(image),
        }
    }

    /// The image for `platform`. With `None`: the only one, else the one for this machine.
    pub fn select(&self, platform: Option<&Platform>) -> Result<&LocalImage, ImageError> {
        if let (Self::Image(image), None) = (self, platform) {
            return Ok(image);
        }
        let platform = platform.cloned().unwrap_or_else(Platform::of_this_machine);
        let entries = self.images().iter().map(IndexEntry::of).collect();
        let index = Index::new(entries);
        let digest = select(self.name(), &index, &platform)?.descriptor.digest;
        let found = self.images().iter().find(|image| image.manifest.digest == digest);
        found.ok_or_else(|| ImageError::invalid(self.name(), "it is empty"))
    }

    /// The same with `image` in place of the one of its platform; a new index is stored.
    pub fn with(&self, store: &Store, image: LocalImage) -> Result<Self, StoreError> {
        let Self::Index(index) = self else { return Ok(Self::Image(image)) };
        let mut images = index.images.clone();
        images.iter_mut().filter(|other| other.platform == image.platform).for_each(|other| other.clone_from(&image));
        let stored = LocalIndex::store(store, &index.name, images, index.tagged_at)?;
        Ok(Self::Index(LocalIndex { named_at: index.named_at, ..stored }))
    }
}

impl LocalIndex {
    /// Puts `images` under one name, in their order, and stores the index.
    pub fn store(store: &Store, name: &str, images: Vec<LocalImage>, tagged_at: i64) -> Result<Self, StoreError> {
        let index = Index::new(images.iter().map(IndexEntry::of).collect()).put(store)?;
        let images = images.into_iter().map(|image| LocalImage { name: name.to_owned(), ..image }).collect();
        Ok(Self { name: name.to_owned(), index, tagged_at, named_at: None, images })
    }
}

/// A name whose record is as it was written, and that this alloy cannot read: what the image needs is not known.
#[derive(Clone, Debug)]
pub struct Strange {
    key: String,
    name: Option<String>,
    /// What is wrong with it.
    pub why: String,
}

impl Strange {
    fn new(key: String, bytes: &[u8], error: &serde_json::Error) -> Self {
        let value: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
        let name = value["name"].as_str().filter(|name| self::key(name) == key).map(str::to_owned);
        Self { key, name, why: format!("its record is none that this alloy can read: {error}") }
    }

    /// True for `name`.
    pub fn is(&self, name: &str) -> bool {
        self.key == key(name)
    }

    /// The name, as far as it is known.
    pub fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("of the record {KIND}/{}", self.key))
    }

    /// How it is given up.
    pub fn give_up(&self) -> String {
        format!("alloy prune {}", self.name.as_deref().unwrap_or("--all"))
    }

    /// Takes the name away.
    pub fn forget(&self, store: &Store) -> Result<(), StoreError> {
        store.remove_record(KIND, &self.key)
    }
}

fn key(name: &str) -> String {
    Digest::of(name).hex()
}

/// Gives a name. Of several that are given in one second, it is noted which one was first.
pub fn tag(store: &Store, local: &Local) -> Result<(), StoreError> {
    tag_at(store, local, now_exactly())
}

/// The same at a moment, in nanoseconds since 1970: that of all names that one command gives.
pub fn tag_at(store: &Store, local: &Local, moment: i128) -> Result<(), StoreError> {
    let mut local = local.clone();
    let moment = i64::try_from(moment).unwrap_or(i64::MAX);
    match &mut local {
        Local::Index(index) => _ = index.named_at.get_or_insert(moment),
        Local::Image(image) => _ = image.named_at.get_or_insert(moment),
    }
    store.put_record(KIND, &key(local.name()), &json::bytes(&local))
}

/// Now, in nanoseconds since 1970.
pub fn now_exactly() -> i128 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i128::try_from(elapsed.as_nanos()).unwrap_or(i128::MAX)
}

/// What a name stands for.
pub fn local(store: &Store, name: &str) -> Result<Option<Local>, StoreError> {
    let Some(bytes) = store.record(KIND, &key(name))? else { return Ok(None) };
    let strange = |error: serde_json::Error| StoreError::Strange { what: name.to_owned(), why: error.to_string() };
    serde_json::from_slice(&bytes).map(Some).map_err(strange)
}

/// All names, sorted.
pub fn locals(store: &Store) -> Result<Vec<Local>, StoreError> {
    Ok(all(store)?.0)
}

/// All names, sorted; and those of which this alloy cannot read what they stand for.
pub fn all(store: &Store) -> Result<(Vec<Local>, Vec<Strange>), StoreError> {
    let (mut all, mut strange) = (Vec::new(), Vec::new());
    for (key, bytes) in store.records(KIND)? {
        match serde_json::from_slice::<Local>(&bytes) {
            Ok(local) => all.push(local),
            Err(error) => strange.push(Strange::new(key, &bytes, &error)),
        }
    }
    all.sort_by(|a, b| a.name().cmp(b.name()));
    Ok((all, strange))
}

/// True if what is damaged is the record of a name: which one it was, and what it stood for, is not known any more.
pub fn is_name(damage: &Damage) -> bool {
    damage.what.strip_prefix("record ").and_then(|record| record.split_once('/')).is_some_and(|(kind, _)| kind == KIND)
}

/// Records of names that were put aside, by whichever command, and that nobody has given again since.
pub fn lost(store: &Store) -> Result<Vec<PathBuf>, StoreError> {
    let mut lost = Vec::new();
    for path in store.aside()? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Some(rest) = name.strip_prefix("records-").and_then(|name| name.strip_prefix(KIND)?.strip_prefix('-'))
        else {
            continue;
        };
        // Of several that were put aside under one name, all but the first have a number behind it.
        let key = rest.split('.').next().unwrap_or(rest);
        if store.record(KIND, key)?.is_none() {
            lost.push(path);
        }
    }
    Ok(lost)
}

/// Takes a name away.
pub fn forget(store: &Store, name: &str) -> Result<(), StoreError> {
    store.remove_record(KIND, &key(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(platform: &str) -> LocalImage {
        let media_type = layers::media_type::OCI_MANIFEST.to_owned();
        LocalImage {
            name: "x:latest".into(),
            manifest: Descriptor { media_type, digest: Digest::of(platform), size: 1 },
            platform: platform.parse().unwrap(),
            tagged_at: 7,
            named_at: None,
            from: None,
            documents: None,
        }
    }

    #[test]
    fn a_name_that_was_given_again_is_not_lost() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().join("store")).unwrap();
        let local = Local::Image(image("linux/arm64"));
        let path = store.root().join("records").join(KIND).join(key("x:latest"));
        for _ in 0..2 {
            tag(&store, &local).unwrap();
            assert_eq!(lost(&store).unwrap(), [""; 0].map(PathBuf::from));
            std::fs::write(&path, "x").unwrap();
            store.record(KIND, &key("x:latest")).unwrap();
            assert!(!lost(&store).unwrap().is_empty());
        }
    }

    #[test]
    fn records_of_one_platform_are_as_they_always_were() {
        let old = format!(
            r#"{{"name":"x:latest","manifest":{{"mediaType":"{}","digest":"{}","size":1}},"platform":{{"os":"linux","architecture":"arm64"}},"tagged_at":7}}"#,
            layers::media_type::OCI_MANIFEST,
            Digest::of("linux/arm64"),
        );
        let local = Local::Image(image("linux/arm64"));
        assert_eq!(serde_json::from_str::<Local>(&old).unwrap(), local);
        assert_eq!(serde_json::to_string(&local).unwrap(), old);
    }

    #[test]
    fn an_index_has_an_image_for_each_platform() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().join("store")).unwrap();
        let images = vec![image("linux/s390x"), image("linux/arm/v7")];
        let local = Local::Index(LocalIndex::store(&store, "y:1", images, 8).unwrap());
        tag(&store, &local).unwrap();
        let found = super::local(&store, "y:1").unwrap().unwrap();
        assert!(found.named_at() > 8_000_000_000 && local.named_at() == 8_000_000_000);
        assert_eq!(found.renamed("y:1", 8), local);
        assert!(store.contains(&local.descriptor().digest));
        let found = local.select(Some(&"linux/arm/v7".parse().unwrap())).unwrap();
        assert_eq!((found.name.as_str(), found.manifest.digest), ("y:1", Digest::of("linux/arm/v7")));
        let error = local.select(Some(&"linux/riscv64".parse().unwrap())).unwrap_err();
        assert_eq!(error.to_string(), "y:1 has no image for linux/riscv64; it has linux/s390x, linux/arm/v7");
        // A single image is what was asked for, wherever it runs.
        assert!(Local::Image(image("linux/s390x")).select(None).is_ok());
        assert!(Local::Image(image("linux/s390x")).select(Some(&"linux/arm64".parse().unwrap())).is_err());
    }
}
