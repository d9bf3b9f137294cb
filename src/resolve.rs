//! From names to digests: bases, downloads, files of the blueprint. The only part of a build that asks the network
//! what something is; what it learns is recorded, so that the same build works again without one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use layers::digest::Digest;
use layers::key::KeyHasher;
use layers::media_type::{self, Descriptor};
use layers::store::{Store, StoreError};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use crate::cache::{self, Place, SUITE, SUITES, Team, elsewhere};
use crate::context::{Context, now};
use crate::debian::{self, BasePlan, Contents, Releases, Seen};
use crate::event::{Event, Reporter, Wait};
use crate::fetch::Fetcher;
use crate::image::{self, BaseRef, Image, ImageError, Index, Manifest, NO_PLATFORM};
use crate::lock::ArchivePin;
use crate::op::{Source, Step};
use crate::plan::Platform;
use crate::registry::{Client, Reference, RegistryError};
use crate::ssh::Ssh;

mod crates;
mod debs;
mod downloads;
mod error;
mod excludes;
mod files;
mod foreign;
mod kept;
mod known;
mod meant;
mod named;
mod owners;
mod packages;
mod pin;
mod request;
mod rootfs;
mod team;
mod tree;
mod unpinned;

pub use crates::{CRATES_IO, Crate, crate_entry};
pub use downloads::WITNESS;
pub use error::ResolveError;
pub use excludes::unused;
pub use files::{local, taken};
pub use foreign::from_urls;
pub use meant::Other;
pub use packages::Asked;
pub use request::Request;
pub use tree::{Member, copies, members, taken_tree};

const BASES: &str = "bases";
/// Of an OCI image layout.
const INDEX: &str = "index.json";

/// Where a base's bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// In a registry, under this reference.
    Registry(String),
    /// To be made from packages.
    Archive(Box<FromArchive>),
    /// In the store.
    Store,
}

/// A base that is made from packages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FromArchive {
    /// What it is made of.
    pub plan: BasePlan,
    /// The archive's indexes that say so.
    pub releases: Digest,
    /// Somebody else says that they do; the indexes were not read here.
    pub claimed: bool,
}

/// A base, resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// What it is: the first parent of all keys.
    pub identity: Digest,
    /// Where it is.
    pub origin: Origin,
    /// Its config and layers; of a base that is made from packages, without the layer.
    pub image: Image,
}

/// Resolves what a request asks for.
#[derive(Clone, Copy)]
pub struct Resolver<'a> {
    /// What the process works with.
    pub context: &'a Context,
    /// What is asked for.
    pub request: &'a Request,
    /// The store: what the team's key vouches for, where one is demanded.
    pub store: &'a Store,
    /// What the image is for.
    pub platform: &'a Platform,
}

type Result<T> = std::result::Result<T, ResolveError>;

impl<'a> Resolver<'a> {
    /// Who hears of what happens.
    pub fn reporter(&self) -> &'a Reporter {
        self.context.reporter()
    }

    /// Runs what waits for the network.
    pub fn runtime(&self) -> &'a Handle {
        self.context.runtime.handle()
    }

    /// Downloads.
    pub fn fetcher(&self) -> &'a Fetcher {
        &self.request.fetcher
    }

    /// Who shares caches.
    pub fn team(&self) -> &'a Team {
        self.request.team()
    }

    /// The agent that commands that clone are lent.
    pub fn ssh(&self) -> Option<&'a Ssh> {
        self.context.ssh.as_ref()
    }

    /// Warns of something about `digest` that may be found more than once, and is told once.
    pub fn warn_once(&self, (digest, warning): (Digest, String)) {
        if self.context.told().first(&digest.to_string()) {
            self.reporter().event(Event::Warning(warning));
        }
    }

    /// A client for a repository.
    pub fn client(&self, reference: &Reference) -> Result<Client> {
        Ok(self.context.registries().client(reference, self.store, self.reporter())?)
    }

    /// Resolves a base.
    pub fn base(&self, text: &str) -> Result<Base> {
        let reference: BaseRef = text.parse()?;
        if let Some(base) = self.named_base(&reference)? {
            return Ok(base);
        }
        let recorded = matches!(reference, BaseRef::Registry(_) | BaseRef::Deb { .. });
        let key = self.base_key(text);
        if recorded
            && !self.request.pull
            && let Some(base) = cache::get::<Base>(self.store, BASES, &key)?
            && self.reachable(&base)
        {
            return Ok(base);
        }
        let base = self.look_up(&reference).map_err(|error| named::meant(error, text))?;
        if recorded {
            cache::put(self.store, BASES, &key, &base)?;
        }
        Ok(base)
    }

    /// True unless layers of the base are nowhere, as far as is known.
    fn reachable(&self, base: &Base) -> bool {
        base.image.layers.iter().all(|layer| elsewhere::reachable(self.store, &layer.descriptor.digest))
    }

    fn base_key(&self, text: &str) -> String {
        let mut key = KeyHasher::new("base").with(text).with(self.platform.to_string());
        key.part(self.request.archive.mirror.as_deref().unwrap_or_default());
        if let Some(pin) = &self.request.pin {
            key.part(Releases::pinned(text, self.platform.debian_arch(), pin).identity().as_bytes());
        }
        key.finish().hex()
    }

    fn look_up(&self, reference: &BaseRef) -> Result<Base> {
        let image = match reference {
            BaseRef::Registry(reference) => {
                let full = named::full(reference);
                self.reporter().event(Event::Note(format!("resolving {full}")));
                let _wait = Wait::start(self.reporter(), format!("an answer about {full}"));
                return self.registry(reference).map_err(|error| named::told(error, reference));
            }
            BaseRef::Local(reference) => return Err(ResolveError::NotLocal { name: reference.to_string() }),
            BaseRef::Deb { suite, contents } => {
                self.reporter().event(Event::Note(format!("resolving {reference}")));
                let _wait = Wait::start(self.reporter(), format!("an answer about {reference}"));
                return self.archive(suite, contents);
            }
            BaseRef::Scratch => return Ok(rootfs::empty()),
            BaseRef::Oci(text) => {
                let (path, wanted) = image::layout_place(self.files(), text);
                let read = || image::read_layout(self.store, self.files(), &path, &wanted, self.platform);
                let read = || self.verified(&path, read()?);
                self.unchanged(&path.join(INDEX), &wanted.to_string(), read)?
            }
            BaseRef::OciArchive(text) => {
                let (path, wanted) = image::archive_place(self.files(), text);
                let read = || image::read_layout_archive(self.store, self.files(), &path, &wanted, self.platform);
                self.unchanged(&path, &wanted.to_string(), || self.verified(&path, read()?))?
            }
            BaseRef::DockerArchive(text) => {
                let (path, wanted) = image::archive_place(self.files(), text);
                let read = || image::read_docker_archive(self.store, self.files(), &path, &wanted);
                self.unchanged(&path, &wanted.to_string(), || self.verified(&path, read()?))?
            }
            BaseRef::Rootfs(path) if self.is_directory(path) => self.directory(path)?,
            BaseRef::Rootfs(path) => self.unchanged(path, "", || self.rootfs(path))?,
        };
        if !matches!(reference, BaseRef::Rootfs(_)) {
            image.is_for(&reference.to_string(), self.platform)?;
        }
        Ok(Base { identity: image.identity, origin: Origin::Store, image })
    }

    fn registry(&self, reference: &Reference) -> Result<Base> {
        let client = self.client(reference)?;
        let what = reference.to_string();
        let sent = |error: ImageError| error.sent::<ResolveError>(&what);
        let invalid = |error: serde_json::Error| sent(ImageError::invalid(&what, error.to_string()));
        let (mut descriptor, mut bytes) = self.runtime().block_on(client.manifest(&reference.manifest()))?;
        let mut listed = None;
        if media_type::is_index(&descriptor.media_type) {
            let index: Index = serde_json::from_slice(&bytes).map_err(invalid)?;
            let json = |wanted: &Descriptor| self.document(&client, &what, wanted);
            let entry = listed.insert(image::listed(&what, &index, self.platform, json).map_err(sent)?);
            (descriptor, bytes) = self.runtime().block_on(client.manifest(&entry.descriptor.digest.to_string()))?;
            if media_type::is_index(&descriptor.media_type) {
                return Err(sent(ImageError::nested(&what, &descriptor.digest)));
            }
        }
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(invalid)?;
        if let Some(why) = image::no_image(&manifest.config.media_type) {
            return Err(sent(ImageError::invalid(&what, why)));
        }
        let config = self.runtime().block_on(client.document(&manifest.config))?;
        let image = Image::new(&what, descriptor.digest, &manifest, &config).map_err(sent)?;
        if let (Some(entry), Some(own)) = (&listed, image.platform()) {
            entry.agrees(&what, &own).map_err(sent)?;
        }
        if image.platform().is_none() {
            return Err(sent(ImageError::invalid(&what, NO_PLATFORM)));
        }
        image.is_for(&what, self.platform).map_err(sent)?;
        for layer in image.layers.iter().filter(|layer| !self.store.holds(&layer.descriptor)) {
            elsewhere::note(self.store, &layer.descriptor.digest, &Place::beside(reference))?;
            elsewhere::note_urls(self.store, &layer.descriptor.digest, layer.urls())?;
        }
        Ok(Base { identity: descriptor.digest, origin: Origin::Registry(what), image })
    }

    /// A document of `what`: a manifest, an index or a config.
    fn document(&self, client: &Client, what: &str, wanted: &Descriptor) -> std::result::Result<Vec<u8>, ImageError> {
        let is_manifest = media_type::is_index(&wanted.media_type) || media_type::is_manifest(&wanted.media_type);
        let bytes = self.runtime().block_on(async {
            match is_manifest {
                true => client.manifest(&wanted.digest.to_string()).await.map(|(_, bytes)| bytes),
                false => client.document(wanted).await,
            }
        });
        bytes.map_err(|error| match error {
            RegistryError::Store(error) => error.into(),
            error => ImageError::invalid(what, error.to_string()),
        })
    }

    /// What a suite is made of today. Reading the indexes takes longest: whoever read the same ones is believed, until
    /// the base itself has to be made.
    fn archive(&self, suite: &str, contents: &Contents) -> Result<Base> {
        let releases = self.releases(suite)?.with(contents)?;
        self.remember(&releases)?;
        let identity = releases.identity();
        let known: Option<BasePlan> = cache::get(self.store, SUITES, &identity.hex())?;
        let claimed = known.is_none();
        let known = known.or_else(|| Some(self.shared_value(SUITE, identity)?.0));
        match known.filter(|plan| self.team().trusts(&plan.identity())) {
            Some(plan) => Ok(from_archive(FromArchive { plan, releases: identity, claimed })),
            None => self.planned(&releases),
        }
    }

    /// The releases of a suite: those that the lockfile pins, else today's.
    pub fn releases(&self, suite: &str) -> Result<Releases> {
        self.releases_after(suite, None)
    }

    /// The same; today's are not older than those that were `locked`.
    fn releases_after(&self, suite: &str, locked: Option<&ArchivePin>) -> Result<Releases> {
        let architecture = self.platform.debian_arch();
        if let Some(pin) = &self.request.pin {
            return Ok(Releases::pinned(suite, architecture, pin));
        }
        let seen = Seen { store: self.store, locked, now: now() };
        let releases = debian::releases(self.fetcher(), suite, architecture, &self.request.archive, &seen);
        Ok(self.runtime().block_on(releases)?)
    }

    fn planned(&self, releases: &Releases) -> Result<Base> {
        let mut plan = self.runtime().block_on(releases.plan(self.fetcher()));
        if plan.as_ref().is_err_and(|error| self.take_indexes(error)) {
            plan = self.runtime().block_on(releases.plan(self.fetcher()));
        }
        let plan = plan?;
        let identity = releases.identity();
        cache::put(self.store, SUITES, &identity.hex(), &plan)?;
        Ok(from_archive(FromArchive { plan, releases: identity, claimed: false }))
    }

    /// What the base `text` is made of by the archive itself, whatever others say.
    pub fn confirmed(&self, text: &str) -> Result<Base> {
        let BaseRef::Deb { suite, contents } = text.parse()? else { return self.base(text) };
        let base = self.planned(&self.releases(&suite)?.with(&contents)?)?;
        cache::put(self.store, BASES, &self.base_key(text), &base)?;
        Ok(base)
    }

    /// Digests of all sources of `steps`. Downloads that nothing pins are fetched to know them, side by side.
    pub fn sources(&self, directory: &Path, steps: &[&Step]) -> Result<BTreeMap<Source, Digest>> {
        let mut digests = BTreeMap::new();
        let mut unpinned: Vec<(&Source, &Step, &str)> = Vec::new();
        for (step, source) in steps.iter().flat_map(|step| step.sources().map(move |source| (*step, source))) {
            if digests.contains_key(source) || unpinned.iter().any(|(other, ..)| *other == source) {
                continue;
            }
            let digest = match source {
                Source::Url { sha256: Some(digest), .. } => *digest,
                Source::Url { url, .. } => {
                    unpinned.push((source, step, url));
                    continue;
                }
                Source::Local { path } => self.local_digest(directory, step, path, true)?,
                Source::Tree { path, excludes } => self.tree_digest(directory, step, path, excludes, true)?,
            };
            digests.insert(source.clone(), digest);
        }
        if self.request.locked && !unpinned.is_empty() {
            let need = |(_, step, url): &(_, &Step, &str)| {
                format!("{}: {}: {}", place(step), step.name, self.fetcher().shown(url))
            };
            return Err(ResolveError::Unpinned(unpinned.iter().map(need).collect()));
        }
        self.unpinned(unpinned, &mut digests)?;
        Ok(digests)
    }

    /// Digests of the sources of `steps` as far as they are known here, and the downloads whose are not. Asks nobody.
    pub fn known_sources(
        &self,
        directory: &Path,
        steps: &[&Step],
    ) -> Result<(BTreeMap<Source, Digest>, BTreeSet<Source>)> {
        let (mut known, mut unknown) = (BTreeMap::new(), BTreeSet::new());
        for step in steps {
            for source in step.sources() {
                let digest = match source {
                    Source::Url { sha256: Some(digest), .. } => Some(*digest),
                    Source::Url { url, .. } => self.fetcher().known(url),
                    Source::Local { path } => Some(self.local_digest(directory, step, path, false)?),
                    Source::Tree { path, excludes } => Some(self.tree_digest(directory, step, path, excludes, false)?),
                };
                match digest {
                    Some(digest) => drop(known.insert(source.clone(), digest)),
                    None => drop(unknown.insert(source.clone())),
                }
            }
        }
        Ok((known, unknown))
    }
}

/// Layers of all bases that were asked for before.
pub fn base_layers(store: &Store) -> std::result::Result<BTreeSet<Digest>, StoreError> {
    let bases = store.records(BASES)?.into_iter();
    let bases = bases.filter_map(|(_, bytes)| serde_json::from_slice::<Base>(&bytes).ok());
    Ok(bases.flat_map(|base| base.image.layers).map(|layer| layer.descriptor.digest).collect())
}

fn from_archive(from: FromArchive) -> Base {
    let identity = from.plan.identity();
    Base { identity, image: rootfs::bare(identity, Vec::new()), origin: Origin::Archive(Box::new(from)) }
}

fn place(step: &Step) -> String {
    format!("{}:{}", step.file, step.line)
}
