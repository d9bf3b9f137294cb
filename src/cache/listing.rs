//! What a place has: a list of its entries, each with the names that it is found under. In a repository the list is an
//! image index under one tag, however many entries there are; in a directory it is the layout's own index.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use layers::digest::Digest;
use layers::media_type::{self, Descriptor};
use serde::{Deserialize, Serialize};

use super::entry::{ARTIFACT_TYPE, Entry, TAG_PREFIX};
use crate::image::{IndexEntry, REF_NAME};
use crate::json;

/// The tag of a repository that the list is under.
pub const LIST_TAG: &str = "alloy-cache";
/// Bytes of a list: registries need not take manifests of more than 4 MiB (distribution-spec 1.1, "Pushing Manifests").
const MOST: usize = 3 << 20;
/// Of what is too long, this part goes at once: the oldest tenth.
const PART: usize = 10;
const NAMES: &str = "vnd.alloy.cache.names";
const SIGNER: &str = "vnd.alloy.cache.signer";
const CREATED: &str = "org.opencontainers.image.created";
/// Says what an index is, where somebody copied it without the fields that image-spec 1.0 does not know.
const MARK: &str = "vnd.alloy.cache";

/// One entry, as a list has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its manifest.
    pub descriptor: Descriptor,
    /// What it is found under.
    pub names: BTreeSet<String>,
    /// When it was written (RFC 3339), by the clock of whoever wrote it.
    pub created: String,
    /// Who signed it: the digest of the public key.
    pub signer: Option<Digest>,
}

/// All entries of a place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    entries: BTreeMap<Digest, Listed>,
    names: BTreeMap<String, Digest>,
    /// Entries of an older alloy, which had a tag for each name.
    tags: BTreeSet<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct IndexOfEntries {
    schema_version: u32,
    media_type: String,
    #[serde(default)]
    artifact_type: String,
    manifests: Vec<IndexEntry>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl Listed {
    /// The entry whose manifest is `manifest`, made at `created` and signed by `signer`.
    pub fn of(entry: &Entry, manifest: &[u8], created: &str, signer: Option<Digest>) -> Self {
        let (digest, size) = (Digest::of(manifest), manifest.len() as u64);
        let descriptor = Descriptor { media_type: media_type::OCI_MANIFEST.to_owned(), digest, size };
        Self { descriptor, names: entry.names().into_iter().collect(), created: created.to_owned(), signer }
    }

    /// From an index; `names` is what it says of them.
    fn read(entry: IndexEntry, names: impl IntoIterator<Item = String>) -> Self {
        let IndexEntry { descriptor, mut annotations, .. } = entry;
        let signer = annotations.remove(SIGNER).and_then(|text| text.parse().ok());
        let created = annotations.remove(CREATED).unwrap_or_default();
        Self { descriptor, names: names.into_iter().collect(), created, signer }
    }

    fn entry(&self, name: (&str, String)) -> IndexEntry {
        let mut annotations = BTreeMap::from([(name.0.to_owned(), name.1)]);
        annotations.extend((!self.created.is_empty()).then(|| (CREATED.to_owned(), self.created.clone())));
        annotations.extend(self.signer.map(|signer| (SIGNER.to_owned(), signer.to_string())));
        IndexEntry { descriptor: self.descriptor.clone(), platform: None, annotations }
    }

    /// What an image layout's index has of it: an item for each name.
    pub(super) fn layout_entries(&self) -> impl Iterator<Item = IndexEntry> {
        self.names.iter().map(|name| self.entry((REF_NAME, name.clone())))
    }

    fn age(&self) -> Option<Timestamp> {
        self.created.parse().ok()
    }
}

impl Listing {
    /// The list that the index in `bytes` is; `None` if it is an index of something else.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let index: IndexOfEntries = serde_json::from_slice(bytes).ok()?;
        let ours = index.artifact_type == ARTIFACT_TYPE || index.annotations.contains_key(MARK);
        if !ours || index.media_type != media_type::OCI_INDEX {
            return None;
        }
        let mut listing = Self::default();
        for mut entry in index.manifests {
            let names = entry.annotations.remove(NAMES).unwrap_or_default();
            let names = names.split_whitespace().filter(|name| name.starts_with(TAG_PREFIX)).map(str::to_owned);
            let names: Vec<String> = names.collect();
            listing.add(Listed::read(entry, names));
        }
        Some(listing)
    }

    /// The list that an image layout's index is; what else it has is left out.
    pub(super) fn of_layout(entries: Vec<IndexEntry>) -> Self {
        let mut listing = Self::default();
        for mut entry in entries {
            let Some(name) = entry.annotations.remove(REF_NAME).filter(|name| name.starts_with(TAG_PREFIX)) else {
                continue;
            };
            let digest = entry.descriptor.digest;
            let names = match listing.entries.get(&digest) {
                Some(known) => known.names.iter().cloned().chain([name]).collect(),
                None => vec![name],
            };
            listing.add(Listed::read(entry, names));
        }
        listing
    }

    /// A place where an older alloy left a tag for each name.
    pub(super) fn of_tags(tags: impl IntoIterator<Item = String>) -> Self {
        let tags = tags.into_iter().filter(|tag| tag.starts_with(TAG_PREFIX)).collect();
        Self { tags, ..Self::default() }
    }

    /// Adds an entry; it takes the place of others of the same names.
    pub fn add(&mut self, new: Listed) {
        self.remove(&new.names);
        let digest = new.descriptor.digest;
        self.names.extend(new.names.iter().map(|name| (name.clone(), digest)));
        // The same bytes may have been there under names of their own.
        let before = self.entries.remove(&digest).map(|before| before.names).unwrap_or_default();
        let names = before.into_iter().chain(new.names).collect();
        self.entries.insert(digest, Listed { names, ..new });
    }

    /// Takes these names out. Gives the entries that are found under none any more.
    pub fn remove<'a>(&mut self, names: impl IntoIterator<Item = &'a String>) -> Vec<Digest> {
        let mut gone = Vec::new();
        for name in names {
            let Some(digest) = self.names.remove(name) else { continue };
            let Some(entry) = self.entries.get_mut(&digest) else { continue };
            entry.names.remove(name);
            if entry.names.is_empty() {
                self.entries.remove(&digest);
                gone.push(digest);
            }
        }
        gone
    }

    /// What the entry of that name is read by: its digest, or a tag of an older alloy.
    pub fn find(&self, name: &str) -> Option<String> {
        let digest = self.names.get(name).map(Digest::to_string);
        digest.or_else(|| self.tags.contains(name).then(|| name.to_owned()))
    }

    /// True if an entry is there under all of `names`, by `signer` where that is somebody.
    pub fn has(&self, names: &[String], signer: Option<&Digest>) -> bool {
        names.iter().all(|name| {
            let entry = self.names.get(name).and_then(|digest| self.entries.get(digest));
            entry.is_some_and(|entry| signer.is_none() || entry.signer.as_ref() == signer)
        })
    }

    /// True if exactly this entry is there, under all its names.
    pub fn holds(&self, listed: &Listed) -> bool {
        listed.names.iter().all(|name| self.names.get(name) == Some(&listed.descriptor.digest))
    }

    /// All names, with what their entries are read by.
    pub fn names(&self) -> impl Iterator<Item = (String, String)> {
        let tags = self.tags.iter().filter(|tag| !self.names.contains_key(*tag));
        let names = self.names.iter().map(|(name, digest)| (name.clone(), digest.to_string()));
        names.chain(tags.map(|tag| (tag.clone(), tag.clone())))
    }

    /// True for a list that is kept as one.
    pub(super) fn is_kept(&self) -> bool {
        !self.entries.is_empty()
    }

    /// Tags of an older alloy, which the list does not have.
    pub(super) fn tags(&self) -> &BTreeSet<String> {
        &self.tags
    }

    /// Manifests of all entries.
    pub(super) fn manifests(&self) -> impl Iterator<Item = &Descriptor> {
        self.entries.values().map(|entry| &entry.descriptor)
    }

    /// Keeps the entries whose manifests are not in `gone`.
    pub(super) fn leave_out(&mut self, gone: &BTreeSet<Digest>) {
        self.entries.retain(|digest, _| !gone.contains(digest));
        self.names.retain(|_, digest| !gone.contains(digest));
    }

    /// The index, as registries keep it. Where there are too many entries for one, the oldest are left out, here too.
    pub(super) fn write_index(&mut self) -> Vec<u8> {
        loop {
            let mut entries: Vec<&Listed> = self.entries.values().collect();
            entries.sort_by_key(|entry| (entry.age(), entry.descriptor.digest));
            let names = |entry: &Listed| entry.names.iter().cloned().collect::<Vec<_>>().join(" ");
            let index = IndexOfEntries {
                schema_version: 2,
                media_type: media_type::OCI_INDEX.to_owned(),
                artifact_type: ARTIFACT_TYPE.to_owned(),
                manifests: entries.iter().map(|entry| entry.entry((NAMES, names(entry)))).collect(),
                annotations: BTreeMap::from([(MARK.to_owned(), "1".to_owned())]),
            };
            let bytes = json::bytes(&index);
            if bytes.len() <= MOST {
                return bytes;
            }
            let oldest =
                entries.iter().take(entries.len().div_ceil(PART)).map(|entry| entry.descriptor.digest).collect();
            self.leave_out(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(seed: usize, names: &[&str]) -> Listed {
        let manifest = format!("{{\"seed\": {seed}}}");
        let descriptor = Descriptor {
            media_type: media_type::OCI_MANIFEST.to_owned(),
            digest: Digest::of(&manifest),
            size: manifest.len() as u64,
        };
        let names = names.iter().map(|name| format!("{TAG_PREFIX}{name}")).collect();
        let created = Timestamp::from_second(1_700_000_000 + seed as i64).unwrap().to_string();
        Listed { descriptor, names, created, signer: seed.is_multiple_of(2).then(|| Digest::of("key")) }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut listing = Listing::default();
        for seed in 0..5 {
            listing.add(listed(seed, &[&format!("layer-{seed}"), &format!("layer-by-bytes-{seed}")]));
        }
        let read = Listing::read(&listing.clone().write_index()).unwrap();
        assert_eq!(read, listing);
        let layout = listing.entries.values().flat_map(Listed::layout_entries).collect();
        assert_eq!(Listing::of_layout(layout), listing);
    }

    #[test]
    fn an_index_of_something_else_is_no_list() {
        for other in [
            r#"{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}"#,
            r#"{"schemaVersion": 2, "artifactType": "application/vnd.alloy.cache.v1", "mediaType": "x", "manifests": []}"#,
            "[]",
            "",
        ] {
            assert_eq!(Listing::read(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn a_name_leads_to_the_newest_entry() {
        let mut listing = Listing::default();
        listing.add(listed(1, &["layer-a", "layer-b"]));
        listing.add(listed(2, &["layer-b", "layer-c"]));
        let digest = |seed| listed(seed, &[]).descriptor.digest.to_string();
        let found = |name: &str| listing.find(&format!("{TAG_PREFIX}{name}"));
        assert_eq!([found("layer-a"), found("layer-b"), found("layer-d")], [Some(digest(1)), Some(digest(2)), None]);
        let names = [format!("{TAG_PREFIX}layer-b"), format!("{TAG_PREFIX}layer-c")];
        assert!(listing.has(&names, Some(&Digest::of("key"))) && listing.has(&names, None));
        assert!(!listing.has(&names, Some(&Digest::of("another"))));
        // An entry that has no name left is gone.
        let mut listing = listing.clone();
        assert_eq!(listing.remove([&format!("{TAG_PREFIX}layer-a")]).len(), 1);
        assert_eq!(listing.manifests().count(), 1);
    }

    #[test]
    fn of_too_many_entries_the_newest_stay() {
        let mut listing = Listing::default();
        for seed in 0..12_000 {
            listing.add(listed(seed, &[&format!("layer-{:064}", seed), &format!("layer-{:064}", seed + 1_000_000)]));
        }
        assert!(listing.write_index().len() <= MOST);
        let has = |seed: usize| listing.find(&format!("{TAG_PREFIX}layer-{seed:064}")).is_some();
        assert!(!has(0) && has(11_999) && listing.manifests().count() > 4_000);
    }
}
