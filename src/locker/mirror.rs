//! The packages of a lockfile, and of a base that is made from packages, as an artifact of a registry, which loses nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;

use layers::digest::Digest;
use layers::media_type::{self, Descriptor};
use layers::store::Store;
use serde_json::json;

use super::{Asker, LockError};
use crate::context::Context;
use crate::fetch::{Fetcher, taken_apart};
use crate::lock::{BasePin, Lock};
use crate::plan::Platform;
use crate::registry::Reference;
use crate::resolve::Origin;

/// Of the artifact.
const PACKAGES: &str = "application/vnd.alloy.packages.v1";
/// Of a package of Debian's in it.
const DEB: &str = "application/vnd.debian.binary-package";
/// Of a wheel, a tarball of npm or a crate.
const FILE: &str = "application/octet-stream";
/// A file's name (OCI image-spec 1.1, "Pre-Defined Annotation Keys").
const TITLE: &str = "org.opencontainers.image.title";

/// A file that a registry is to keep, by its digest.
struct Package {
    url: String,
    name: String,
    media_type: &'static str,
    size: u64,
}

/// What a registry keeps.
#[derive(Debug)]
pub struct Kept {
    /// Registry and repository, as the lockfile has them: every package is there under its digest.
    pub repository: String,
    /// How many files of the base it keeps that no task installs.
    pub of_base: usize,
}

/// Sends all packages of `lock`, and those of bases that are made from packages, to `reference`.
pub fn keep(context: &Context, asker: &dyn Asker, lock: &Lock, reference: &Reference) -> Result<Kept, LockError> {
    let mut files = BTreeMap::new();
    for deb in lock.apt.values().flat_map(|tasks| tasks.values()).flat_map(|pin| &pin.debs) {
        let name = format!("{}_{}_{}.deb", deb.package, deb.version, deb.arch);
        files.insert(deb.sha256, Package { url: deb.url(), name, media_type: DEB, size: deb.size });
    }
    for file in lock.packages.files() {
        let (url, name) = (file.url.clone(), file.url.rsplit('/').next().unwrap_or(&file.name).to_owned());
        files.insert(file.sha256, Package { url, name, media_type: FILE, size: file.size });
    }
    let tasks = files.len();
    for platform in platforms_of_bases(lock) {
        files.extend(of_base(context, asker, lock, &platform)?);
    }
    let (_, mut request) = asker.read(&lock.host.parse()?, lock)?;
    request.mirror.clone_from(&lock.mirror);
    let resolver = request.resolver(context);
    let client = resolver.client(reference)?;
    resolver.pinned(files.iter().map(|(digest, file)| (file.url.clone(), *digest, file.size)), None)?;
    let mut layers = Vec::new();
    for (digest, Package { name, media_type, size, .. }) in &files {
        let blob = Descriptor { media_type: (*media_type).to_owned(), digest: *digest, size: *size };
        into_store(&context.store, &request.fetcher, &blob)?;
        context.runtime.block_on(client.push_blob(&blob))?;
        layers.push(json!({
            "mediaType": blob.media_type, "digest": blob.digest, "size": blob.size, "annotations": {TITLE: name},
        }));
    }
    let empty = media_type::empty();
    context.runtime.block_on(client.push_small(&empty, media_type::EMPTY))?;
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "artifactType": PACKAGES,
        "config": empty, "layers": layers,
    });
    let (tag, manifest) = (reference.manifest(), manifest.to_string());
    context.runtime.block_on(client.push_manifest(&tag, media_type::OCI_MANIFEST, manifest.as_bytes()))?;
    Ok(Kept { repository: client.repository(), of_base: files.len() - tasks })
}

/// The platforms for which bases are made from packages.
fn platforms_of_bases(lock: &Lock) -> BTreeSet<String> {
    let archives = lock.base.values().filter_map(|pin| match pin {
        BasePin::Archive(platforms) => Some(platforms.keys()),
        BasePin::Image(_) => None,
    });
    archives.flatten().cloned().collect()
}

/// What the base of a platform is made from: the archive's indexes that say so, and packages.
fn of_base(
    context: &Context,
    asker: &dyn Asker,
    lock: &Lock,
    platform: &str,
) -> Result<Vec<(Digest, Package)>, LockError> {
    let platform: Platform = platform.parse()?;
    let (lowered, mut request) = asker.read(&platform, lock)?;
    request.mirror.clone_from(&lock.mirror);
    let (Some(pin), resolver) = (&request.pin, request.resolver(context)) else { return Ok(Vec::new()) };
    let mut base = resolver.base(&lowered.base)?;
    if matches!(&base.origin, Origin::Archive(from) if from.claimed) {
        base = resolver.confirmed(&lowered.base)?;
    }
    let Origin::Archive(from) = base.origin else { return Ok(Vec::new()) };
    let indexes = pin.pockets.iter().map(|pocket| {
        let url = format!("{}/{}", taken_apart(&pocket.uri).0, pocket.index);
        let name = format!("{}_{}_Packages", pocket.suite, platform.debian_arch());
        (pocket.sha256, Package { url, name, media_type: FILE, size: pocket.size })
    });
    let packages = from.plan.packages.into_iter().map(|package| {
        let name = format!("{}_{}_{}.deb", package.name, package.version, platform.debian_arch());
        (package.sha256, Package { url: package.url, name, media_type: DEB, size: package.size })
    });
    Ok(indexes.chain(packages).collect())
}

/// Registries are sent what the store has as a blob.
fn into_store(store: &Store, fetcher: &Fetcher, blob: &Descriptor) -> Result<(), LockError> {
    if store.contains(&blob.digest) {
        return Ok(());
    }
    let path = fetcher.path(&blob.digest);
    let failed = |source: io::Error| LockError::Read { path: path.clone(), source };
    let mut writer = store.blob_writer()?;
    writer.fill(&mut File::open(&path).map_err(failed)?)?.map_err(failed)?;
    writer.commit(Some((blob.digest, blob.size)))?;
    Ok(())
}
