//! An image of the store as the members of a tar.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use layers::at_once;
use layers::compress::layer_decoder;
use layers::digest::DiffId;
use layers::media_type::{self, Descriptor};
use layers::store::Store;
use layers::tar::{Entry, Kind, TarWriter, plain_directory};
use serde::de::DeserializeOwned;

use super::super::layout::REF_NAME;
use super::super::wanted::full_name;
use super::super::{FULL_NAME, ImageError, Index, IndexEntry, LayerEntry, Manifest, read_config};
use super::{LAYOUT, Written};
use crate::plan::Platform;
use crate::sink::Sink;

/// An image with all its blobs.
pub(super) struct Source<'a> {
    pub(super) store: &'a Store,
    manifest: &'a Descriptor,
    names: &'a [String],
    pub(super) platform: Option<&'a Platform>,
}

impl<'a> Source<'a> {
    /// The image in `store`.
    pub(super) fn new(store: &'a Store, image: Written<'a>) -> Self {
        let Written { manifest, names, platform } = image;
        Self { store, manifest, names, platform }
    }

    /// True for an entry of a layout in whose place this image comes: one of the same name and platform. One that has a
    /// tag alone, as those of other tools and of an older alloy, is any image with that tag.
    pub(super) fn replaces(&self, entry: &IndexEntry) -> bool {
        let known = |key| entry.annotations.get(key).map(String::as_str);
        let (whole, tag) = (known(FULL_NAME), known(REF_NAME));
        let same = |name: &String| match whole {
            Some(whole) => full_name(name).as_deref() == Some(whole),
            None => tag == Some(tag_of(name)) || tag.is_some_and(|tag| full_name(tag) == full_name(name)),
        };
        let platforms = entry.platform.as_ref().zip(self.platform);
        self.names.iter().any(same) && platforms.is_none_or(|(other, own)| other == own)
    }

    fn read<T: DeserializeOwned>(&self, descriptor: &Descriptor) -> Result<T, ImageError> {
        let bytes = self.store.read_blob(&descriptor.digest, 16 << 20)?;
        serde_json::from_slice(&bytes).map_err(|error| ImageError::invalid("the manifest", error.to_string()))
    }

    /// Every blob once, in an order that says nothing about this machine.
    pub(super) fn blobs(&self) -> Result<Vec<Descriptor>, ImageError> {
        let mut all = vec![self.manifest.clone()];
        let manifests = if media_type::is_index(&self.manifest.media_type) {
            self.read::<Index>(self.manifest)?.manifests.into_iter().map(|entry| entry.descriptor).collect()
        } else {
            vec![self.manifest.clone()]
        };
        for descriptor in manifests {
            let manifest: Manifest = self.read(&descriptor)?;
            all.extend(
                [descriptor, manifest.config].into_iter().chain(manifest.layers.into_iter().map(|it| it.descriptor)),
            );
        }
        let mut seen = BTreeSet::new();
        Ok(all.into_iter().filter(|descriptor| seen.insert(descriptor.digest)).collect())
    }

    /// How an index lists it: once for each name, with its tag and as a whole, as BuildKit does. podman and containerd
    /// load it under the whole name; skopeo finds it by the tag.
    pub(super) fn entries(&self) -> Vec<IndexEntry> {
        let mut entries: Vec<IndexEntry> = Vec::new();
        for name in self.names {
            let mut annotations = BTreeMap::from([(REF_NAME.to_owned(), tag_of(name).to_owned())]);
            annotations.extend(full_name(name).map(|whole| (FULL_NAME.to_owned(), whole)));
            let platform = self.platform.cloned();
            let entry = IndexEntry { descriptor: self.manifest.clone(), platform, annotations };
            if !entries.contains(&entry) {
                entries.push(entry);
            }
        }
        entries
    }

    /// Writes members into a tar.
    pub(super) fn archive(
        &self,
        sink: &Sink,
        members: impl Fn(&Self, &mut TarWriter<&mut dyn Write>) -> Result<(), ImageError>,
    ) -> Result<(), ImageError> {
        let failed = |source| sink.failed(source);
        if !sink.is_replaced() {
            // What was sent down a pipe cannot be taken back.
            let blobs = self.blobs()?;
            let checked = at_once::each(&blobs, |blob| self.store.check_blob(&blob.digest));
            checked.into_iter().try_for_each(|done| done.map(drop))?;
        }
        sink.write(|file| {
            let mut out = BufWriter::with_capacity(1 << 20, file);
            let mut tar = TarWriter::new(&mut out as &mut dyn Write);
            members(self, &mut tar).map_err(|error| match error {
                // Nobody has heard of the member.
                ImageError::Write { source, .. } => failed(source).into(),
                error => error,
            })?;
            Ok(tar.finish().and_then(Write::flush).map_err(failed)?)
        })
    }

    /// An image layout.
    pub(super) fn oci(&self, tar: &mut TarWriter<&mut dyn Write>) -> Result<(), ImageError> {
        member(tar, "oci-layout", LAYOUT)?;
        member(tar, "index.json", &Index::new(self.entries()).bytes())?;
        for path in ["blobs", "blobs/sha256"] {
            tar.append(&plain_directory(Path::new(path)), &mut io::empty()).map_err(write_error(Path::new(path)))?;
        }
        for descriptor in self.blobs()? {
            let path = format!("blobs/sha256/{}", descriptor.digest.hex());
            self.store.read_whole(&descriptor.digest, |mut blob| {
                tar.append(&file(&path, descriptor.size), &mut blob)
                    .and_then(|()| to_the_end(&mut blob))
                    .map_err(write_error(Path::new(&path)))
            })?;
        }
        Ok(())
    }

    /// What `docker load` reads. Layers are uncompressed, since it does not read zstd.
    pub(super) fn docker(&self, tar: &mut TarWriter<&mut dyn Write>) -> Result<(), ImageError> {
        let manifest: Manifest = self.read(self.manifest)?;
        let config = self.store.read_blob(&manifest.config.digest, 16 << 20)?;
        let value: serde_json::Value = read_config("the config", &config)?;
        let diff_ids: Vec<DiffId> = serde_json::from_value(value["rootfs"]["diff_ids"].clone()).unwrap_or_default();
        let mut names = Vec::new();
        let mut written = BTreeSet::new();
        for (LayerEntry { descriptor, .. }, diff_id) in manifest.layers.iter().zip(diff_ids) {
            let name = format!("{}.tar", diff_id.0.hex());
            names.push(name.clone());
            if !written.insert(diff_id) {
                continue;
            }
            let failed = write_error(Path::new(&name));
            // The header wants the length first.
            let size = self.store.read_whole(&descriptor.digest, |blob| {
                let (_, mut content) = layer_decoder(blob).map_err(&failed)?;
                io::copy(&mut content, &mut io::sink()).map_err(&failed)
            })?;
            self.store.read_whole(&descriptor.digest, |blob| {
                let (_, mut content) = layer_decoder(blob).map_err(&failed)?;
                tar.append(&file(&name, size), &mut content).map_err(&failed)
            })?;
        }
        let config_name = format!("{}.json", manifest.config.digest.hex());
        member(tar, &config_name, &config)?;
        let saved = serde_json::json!([{"Config": config_name, "RepoTags": self.names, "Layers": names}]);
        member(tar, "manifest.json", saved.to_string().as_bytes())
    }
}

fn tag_of(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, tag)| tag)
}

/// Reads what is left, so that all of it was looked at.
fn to_the_end(reader: &mut impl Read) -> io::Result<()> {
    io::copy(reader, &mut io::sink()).map(drop)
}

fn write_error(path: &Path) -> impl Fn(io::Error) -> ImageError + '_ {
    move |source| ImageError::Write { path: path.to_owned(), source }
}

fn file(path: &str, size: u64) -> Entry {
    Entry { kind: Kind::File, mode: 0o644, size, ..plain_directory(Path::new(path)) }
}

fn member(tar: &mut TarWriter<&mut dyn Write>, path: &str, mut bytes: &[u8]) -> Result<(), ImageError> {
    tar.append(&file(path, bytes.len() as u64), &mut bytes).map_err(write_error(Path::new(path)))
}
