//! The files of a blueprint as one layer, the same bytes from every machine; and what is said of them.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

use jiff::Timestamp;
use layers::compress::{Algorithm, Compression};
use layers::media_type::Descriptor;
use layers::regular;
use layers::store::Store;
use layers::tar::{Entry, Kind, TarWriter, plain_directory};

use super::artifact::{Annotations, Index};
use super::contents::{Content, failed};
use super::unpack::is_git_s;
use super::{ContentError, Contents, FILES, Form, HOST, HubError, MOST_MEMBERS, MOST_PACKED, form, most_unpacked};
use crate::blueprint;
use crate::plan::Platform;

/// Any tool can read gzip; a blueprint is small.
const COMPRESSION: Compression = Compression { algorithm: Algorithm::Gzip, level: 9 };

/// A blueprint, ready to be sent.
#[derive(Debug)]
pub struct Package {
    /// Its files, in the store.
    pub(super) layer: Descriptor,
    /// What the manifests list beside it: configs, and texts that are layers of their own.
    pub(super) blobs: Vec<(Descriptor, Vec<u8>)>,
    /// One for each host.
    pub(super) manifests: Vec<(Option<Platform>, Vec<u8>)>,
    /// The index of the manifests.
    pub(super) index: Vec<u8>,
}

/// How a blueprint is packed.
#[derive(Clone, Copy, Debug)]
pub struct Packing<'h> {
    /// Which tools can read it.
    pub form: Form,
    /// The hosts that it is for, each of which has a manifest; none, for every host.
    pub hosts: &'h [Platform],
    /// When all of it was made, in seconds since 1970.
    pub epoch: u64,
}

/// Puts a blueprint's `contents` into the store, with its manifests.
pub fn pack(
    store: &Store,
    contents: &Contents,
    manifest: &blueprint::Manifest,
    Packing { form, hosts, epoch }: Packing<'_>,
) -> Result<Package, HubError> {
    let layer = layer(store, contents, epoch)?;
    let annotations = annotations(manifest, epoch);
    let hosts: Vec<_> = match hosts {
        [] => vec![None],
        hosts => hosts.iter().cloned().map(Some).collect(),
    };
    let mut blobs: Vec<(Descriptor, Vec<u8>)> = Vec::new();
    let manifests = hosts.into_iter().map(|host| {
        let (mut made, listed) = form::manifest(form, manifest, contents, &layer, host.as_ref());
        for (descriptor, bytes) in listed {
            if blobs.iter().all(|(known, _)| known.digest != descriptor.digest) {
                blobs.push((descriptor, bytes));
            }
        }
        made.annotations.clone_from(&annotations);
        // It tells the manifests apart: an index should list none twice.
        made.annotations.extend(host.as_ref().map(|host| (HOST.to_owned(), host.to_string())));
        (host, made.bytes())
    });
    let manifests: Vec<_> = manifests.collect();
    let index = Index::new(form, &manifests, annotations).bytes();
    Ok(Package { layer, blobs, manifests, index })
}

fn layer(store: &Store, contents: &Contents, epoch: u64) -> Result<Descriptor, HubError> {
    let mtime = (i64::try_from(epoch).unwrap_or(i64::MAX), 0);
    // Directories stand before what is in them: paths are sorted element by element.
    let mut members: BTreeMap<&Path, Option<&Content>> = BTreeMap::new();
    for (path, content) in &contents.0 {
        members.extend(path.ancestors().skip(1).filter(|parent| *parent != Path::new("")).map(|parent| (parent, None)));
        members.insert(path, Some(content));
    }
    if members.len() as u64 > MOST_MEMBERS {
        return Err(HubError::Contents(ContentError::Many(MOST_MEMBERS)));
    }
    if let Some(path) = members.keys().find(|path| path.iter().any(is_git_s)) {
        let (path, problem) = (path.display().to_string(), "is git's: nobody would take it");
        return Err(HubError::Contents(ContentError::Member { path, problem }));
    }
    let mut tar = TarWriter::new(store.layer_writer(COMPRESSION)?);
    for (path, content) in members {
        let directory = Entry { mtime, ..plain_directory(path) };
        let file = |size| Entry { kind: Kind::File, mode: 0o644, size, ..directory.clone() };
        let written = match content {
            None | Some(Content::Directory) => tar.append(&directory, &mut io::empty()),
            Some(Content::Text(text)) => tar.append(&file(text.len() as u64), &mut text.as_bytes()),
            Some(Content::File { directory, real, executable }) => {
                let (size, mut reader) = open(directory, real).map_err(failed("read", real))?;
                let mode = if *executable { 0o755 } else { 0o644 };
                tar.append(&Entry { mode, ..file(size) }, &mut reader)
            }
        };
        written.map_err(failed("pack", path))?;
    }
    let blob = tar.finish().map_err(failed("pack", Path::new(blueprint::MANIFEST_FILE)))?.finish()?;
    // What nobody would take need not be sent.
    if blob.descriptor.size > MOST_PACKED {
        return Err(HubError::Contents(ContentError::Large(blob.descriptor.size)));
    }
    let most = most_unpacked(blob.descriptor.size);
    if blob.uncompressed_size > most {
        return Err(HubError::Contents(ContentError::Bomb(most)));
    }
    Ok(Descriptor { media_type: FILES.to_owned(), ..blob.descriptor })
}

/// Whoever owns the directory may put a link there meanwhile.
fn open(directory: &Path, real: &Path) -> io::Result<(u64, impl Read)> {
    let file = regular::beneath(directory, real.strip_prefix(directory).unwrap_or(real))?;
    Ok((file.metadata()?.len(), file))
}

/// OCI image-spec 1.1, "Pre-Defined Annotation Keys".
fn annotations(manifest: &blueprint::Manifest, epoch: u64) -> Annotations {
    let created = i64::try_from(epoch).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let all = [
        ("title", manifest.name.clone()),
        ("version", manifest.version.clone()),
        ("description", text(&manifest.description)),
        ("authors", manifest.authors.join(", ")),
        ("vendor", text(&manifest.vendor)),
        ("licenses", text(&manifest.licenses)),
        ("created", created.map(|created| created.to_string()).unwrap_or_default()),
    ];
    let said = all.into_iter().filter(|(_, value)| !value.is_empty());
    said.map(|(key, value)| (format!("org.opencontainers.image.{key}"), value)).collect()
}
