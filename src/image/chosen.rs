//! Which image of an index is meant: by its name, by its digest, as the only one, or as the one for a platform.

use std::collections::{BTreeMap, BTreeSet};

use layers::digest::Digest;
use layers::document;
use layers::media_type::{self, Descriptor};
use layers::path::shown;

use super::kind::no_image;
use super::layout::REF_NAME;
use super::wanted::FULL_NAME;
use super::{Image, ImageError, Index, IndexEntry, Manifest, Wanted, read_config, select};
use crate::plan::Platform;

/// Indexes in indexes: those that build tools write have one in another.
const DEEPEST: usize = 4;
/// Images of all indexes together, attestations included.
const MOST: usize = 1000;
/// Images that a message names.
const TOLD: usize = 20;

/// The documents of an image.
pub(super) struct Chosen {
    pub(super) digest: Digest,
    pub(super) manifest: Manifest,
    pub(super) config: Vec<u8>,
}

/// The image for `platform` of those that the index of a registry leads to. What says no platform there is asked for it,
/// where nothing else fits.
pub(crate) fn listed(
    what: &str,
    index: &Index,
    platform: &Platform,
    json: impl Fn(&Descriptor) -> Result<Vec<u8>, ImageError>,
) -> Result<IndexEntry, ImageError> {
    let found = select(what, index, platform);
    let plain = |entry: &IndexEntry| !media_type::is_index(&entry.descriptor.media_type);
    match found {
        Ok(entry) if plain(entry) => return Ok(entry.clone()),
        Err(error) if index.manifests.iter().all(|entry| plain(entry) && entry.platform.is_some()) => {
            return Err(error);
        }
        _ => {}
    }
    let (reader, mut all) = (Reader { what, json }, Vec::new());
    for entry in &reader.without_artifacts(index.manifests.clone()) {
        reader.leaves(entry, true, &mut all, 0)?;
    }
    Ok(select(what, &Index::new(all), platform)?.clone())
}

/// What an index says that it lists: an index or an image's manifest. `None` where its type says neither.
fn is_listed_as(descriptor: &Descriptor) -> Option<bool> {
    let index = media_type::is_index(&descriptor.media_type);
    (index || media_type::is_manifest(&descriptor.media_type)).then_some(index)
}

/// Reads the documents of indexes by their descriptors.
struct Reader<'w, J> {
    what: &'w str,
    json: J,
}

/// The image that is `wanted` for `platform` of those that the bytes of `index` lead to; `json` reads documents.
pub(super) fn chosen(
    what: &str,
    index: &[u8],
    wanted: &Wanted,
    platform: &Platform,
    json: impl Fn(&Descriptor) -> Result<Vec<u8>, ImageError>,
) -> Result<Chosen, ImageError> {
    let reader = Reader { what, json };
    let entries = reader.index(index)?.manifests;
    let descriptor = match wanted {
        Wanted::Digest(digest) => {
            let entry = reader.by_digest(&entries, digest, 0)?;
            let entry = entry.ok_or_else(|| reader.none(&entries, &format!("`{digest}`")))?;
            reader.for_platform(vec![entry], platform)?
        }
        Wanted::Only => {
            let images: Vec<_> = entries.iter().filter(|entry| !entry.is_attestation()).cloned().collect();
            if images.is_empty() {
                return Err(reader.invalid("its index lists no image".to_owned()));
            }
            reader.one_of(reader.without_artifacts(images), platform)?
        }
        Wanted::Named(name) => {
            let named = |entry: &&IndexEntry| names(entry).any(|known| wanted.is(known));
            let named: Vec<IndexEntry> = entries.iter().filter(named).cloned().collect();
            if named.is_empty() {
                return Err(reader.none(&entries, &format!("`{name}`")));
            }
            // The whole name says more than the tag that it ends with.
            let whole = |entry: &&IndexEntry| entry.annotations.get(FULL_NAME).is_some_and(|full| wanted.is(full));
            let whole: Vec<IndexEntry> = named.iter().filter(whole).cloned().collect();
            reader.one_of(if whole.is_empty() { named } else { whole }, platform)?
        }
    };
    let manifest = reader.manifest(&descriptor)?;
    if let Some(why) = no_image(&manifest.config.media_type) {
        return Err(reader.invalid(why));
    }
    let config = (reader.json)(&manifest.config)?;
    Ok(Chosen { digest: descriptor.digest, manifest, config })
}

impl<J: Fn(&Descriptor) -> Result<Vec<u8>, ImageError>> Reader<'_, J> {
    fn invalid(&self, message: String) -> ImageError {
        ImageError::invalid(self.what, message)
    }

    fn index(&self, bytes: &[u8]) -> Result<Index, ImageError> {
        serde_json::from_slice(bytes).map_err(|error| self.invalid(format!("its index cannot be read: {error}")))
    }

    /// What an index lists as `descriptor`, and whether that is an index: it says so itself, and has to be what it is
    /// listed as.
    fn document(&self, descriptor: &Descriptor) -> Result<(bool, Vec<u8>), ImageError> {
        let bytes = match is_listed_as(descriptor) {
            Some(_) => (self.json)(descriptor)?,
            None => (self.json)(&Descriptor { media_type: media_type::OCI_MANIFEST.to_owned(), ..descriptor.clone() })?,
        };
        let is_index = document::is_index(&bytes, &descriptor.media_type)
            .map_err(|why| self.invalid(format!("its manifest {}: {why}", descriptor.digest)))?;
        Ok((is_index, bytes))
    }

    /// True if an entry leads to an index. Where its type says neither that nor anything else, what is there does.
    fn is_index(&self, descriptor: &Descriptor) -> bool {
        is_listed_as(descriptor).unwrap_or_else(|| self.document(descriptor).is_ok_and(|(is_index, _)| is_index))
    }

    fn inner(&self, entry: &IndexEntry, depth: usize) -> Result<Vec<IndexEntry>, ImageError> {
        Ok(self.index(&self.document(&self.not_too_deep(entry, depth)?.descriptor)?.1)?.manifests)
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<Manifest, ImageError> {
        let (is_index, bytes) = self.document(descriptor)?;
        if is_index {
            return Err(ImageError::nested(self.what, &descriptor.digest));
        }
        serde_json::from_slice(&bytes).map_err(|error| self.invalid(format!("its manifest cannot be read: {error}")))
    }

    /// `entries` without what only is about images, or beside them (image-spec, "Guidelines for Artifact Usage"), if that
    /// leaves any: it has a config of another type.
    fn without_artifacts(&self, entries: Vec<IndexEntry>) -> Vec<IndexEntry> {
        let is_image = |entry: &&IndexEntry| {
            let of_image = |manifest: Manifest| no_image(&manifest.config.media_type).is_none();
            let known = entry.platform.is_some() || self.is_index(&entry.descriptor);
            known || self.manifest(&entry.descriptor).is_ok_and(of_image)
        };
        let unsaid = entries.iter().filter(|entry| !entry.is_attestation()).count();
        let images: Vec<IndexEntry> = match unsaid {
            0 | 1 => Vec::new(),
            _ => entries.iter().filter(is_image).cloned().collect(),
        };
        if images.is_empty() { entries } else { images }
    }

    /// The one image that all of `entries` are: one under several names, or one for each platform.
    fn one_of(&self, entries: Vec<IndexEntry>, platform: &Platform) -> Result<Descriptor, ImageError> {
        let digests: BTreeSet<Digest> = entries.iter().map(|entry| entry.descriptor.digest).collect();
        if digests.len() > 1 {
            let called: BTreeSet<Option<&str>> = entries.iter().map(called).collect();
            if called.len() > 1 {
                return Err(self.several(&entries));
            }
        }
        self.for_platform(entries, platform)
    }

    /// The image for `platform` among all that `entries` lead to.
    fn for_platform(&self, entries: Vec<IndexEntry>, platform: &Platform) -> Result<Descriptor, ImageError> {
        let digests: BTreeSet<Digest> = entries.iter().map(|entry| entry.descriptor.digest).collect();
        if let (Some(entry), 1) = (entries.first(), digests.len())
            && !self.is_index(&entry.descriptor)
        {
            return Ok(entry.descriptor.clone());
        }
        let mut all = Vec::new();
        for entry in &entries {
            self.leaves(entry, digests.len() > 1, &mut all, 0)?;
        }
        let mut seen = BTreeSet::new();
        all.retain(|entry| seen.insert(entry.descriptor.digest));
        let mut same: BTreeMap<Option<String>, usize> = BTreeMap::new();
        let own: Vec<&IndexEntry> = all.iter().filter(|one| digests.contains(&one.descriptor.digest)).collect();
        own.iter().for_each(|one| *same.entry(one.platform.as_ref().map(Platform::to_string)).or_default() += 1);
        if same.values().any(|count| *count > 1) {
            return Err(self.several(&all));
        }
        Ok(select(self.what, &Index::new(all), platform)?.descriptor.clone())
    }

    /// All images that `entry` leads to; `ask` their configs for platforms where no index tells.
    fn leaves(&self, entry: &IndexEntry, ask: bool, all: &mut Vec<IndexEntry>, depth: usize) -> Result<(), ImageError> {
        if entry.is_attestation() {
            return Ok(());
        }
        if self.is_index(&entry.descriptor) {
            let inner = self.inner(entry, depth)?;
            let ask = ask || inner.len() > 1;
            return inner.iter().try_for_each(|entry| self.leaves(entry, ask, all, depth + 1));
        }
        if all.len() >= MOST {
            return Err(self.invalid(format!("its indexes list more than {MOST} images")));
        }
        let mut entry = entry.clone();
        if entry.platform.is_none() && ask {
            entry.platform = self.platform(&entry.descriptor)?;
        }
        all.push(entry);
        Ok(())
    }

    fn not_too_deep<'e>(&self, entry: &'e IndexEntry, depth: usize) -> Result<&'e IndexEntry, ImageError> {
        if depth < DEEPEST {
            return Ok(entry);
        }
        Err(self.invalid(format!("its index lists an index that lists another, more than {DEEPEST} deep")))
    }

    /// What an image says itself that it is for.
    fn platform(&self, descriptor: &Descriptor) -> Result<Option<Platform>, ImageError> {
        let config = read_config(self.what, &(self.json)(&self.manifest(descriptor)?.config)?)?;
        Ok(Image { identity: descriptor.digest, config, layers: Vec::new() }.platform())
    }

    /// The entry of that digest, however deep it is.
    fn by_digest(
        &self,
        entries: &[IndexEntry],
        digest: &Digest,
        depth: usize,
    ) -> Result<Option<IndexEntry>, ImageError> {
        if let Some(entry) = entries.iter().find(|entry| entry.descriptor.digest == *digest) {
            return Ok(Some(entry.clone()));
        }
        for entry in entries.iter().filter(|entry| self.is_index(&entry.descriptor)) {
            let inner = self.inner(entry, depth)?;
            if let Some(found) = self.by_digest(&inner, digest, depth + 1)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// There is none that was meant.
    fn none(&self, entries: &[IndexEntry], meant: &str) -> ImageError {
        let known = if entries.is_empty() { "nothing".to_owned() } else { self.told(entries) };
        self.invalid(format!("it has no image {meant}; it has {known}"))
    }

    /// Nobody said which one is meant.
    fn several(&self, entries: &[IndexEntry]) -> ImageError {
        let how = match entries.iter().find(|entry| name_of(entry, entries).is_none()) {
            Some(entry) => format!("as in `PATH@{}`", entry.descriptor.digest),
            None => "as in `PATH:NAME`".to_owned(),
        };
        self.invalid(format!("it has several images: name one of {}, {how}", self.told(entries)))
    }

    /// Entries by what they can be named by: their names, else their digests and what they are for.
    fn told(&self, entries: &[IndexEntry]) -> String {
        let mut told: Vec<String> = Vec::new();
        for entry in entries.iter().filter(|entry| !entry.is_attestation()) {
            let one = name_of(entry, entries).map_or_else(|| self.described(entry), str::to_owned);
            let one = shown(one.as_bytes());
            if !told.contains(&one) {
                told.push(one);
            }
        }
        let more = told.len().saturating_sub(TOLD);
        told.truncate(TOLD);
        told.extend((more > 0).then(|| format!("{more} others")));
        told.join(", ")
    }

    /// An image that has no name of its own.
    fn described(&self, entry: &IndexEntry) -> String {
        let platform = entry.platform.as_ref().map(Platform::to_string);
        let platform = platform.unwrap_or_else(|| self.said_platform(&entry.descriptor));
        let name = called(entry).map(|name| format!("{name}, ")).unwrap_or_default();
        format!("{} ({name}{platform})", entry.descriptor.digest)
    }

    fn said_platform(&self, descriptor: &Descriptor) -> String {
        if self.is_index(descriptor) {
            return "an index".to_owned();
        }
        let platform = self.platform(descriptor).ok().flatten();
        platform.map_or_else(|| "of no platform".to_owned(), |platform| platform.to_string())
    }
}

/// All names of an image, the shortest first.
fn names(entry: &IndexEntry) -> impl Iterator<Item = &str> {
    [REF_NAME, FULL_NAME].into_iter().filter_map(|key| entry.annotations.get(key)).map(String::as_str)
}

/// The name that tells an image from the others: the whole one, where there is one.
fn called(entry: &IndexEntry) -> Option<&str> {
    let name = entry.annotations.get(FULL_NAME).or_else(|| entry.annotations.get(REF_NAME));
    name.map(String::as_str)
}

/// The same, if nothing else is called so.
fn name_of<'e>(entry: &'e IndexEntry, all: &[IndexEntry]) -> Option<&'e str> {
    let is_other = |other: &&IndexEntry| other.descriptor.digest != entry.descriptor.digest;
    let taken = |name: &&str| all.iter().filter(is_other).any(|other| called(other) == Some(*name));
    called(entry).filter(|name| !taken(name))
}
