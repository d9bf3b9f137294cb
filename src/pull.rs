//! Images of registries into the store: which images of an index are wanted, their manifests, their layers.

mod blobs;
mod error;

use std::collections::BTreeMap;

use layers::document;
use layers::media_type;
use layers::media_type::Descriptor;

pub use blobs::Got;
pub use error::PullError;

use crate::cache::{Place, elsewhere};
use crate::context::now;
use crate::event::Event;
use crate::image::{self, ImageError, Index, IndexEntry, LayerEntry, Local, LocalImage, LocalIndex, Manifest};
use crate::plan::Platform;
use crate::registry::{Client, Reference, RegistryError};
use crate::resolve::Resolver;

/// What images of alloy run on, as Go names it.
const LINUX: &str = "linux";
/// Bytes of a manifest.
const MANIFEST_LIMIT: u64 = 16 << 20;
/// Images of one index: each is fetched.
pub const MOST: usize = 500;

/// Which images of an index are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// That for this machine.
    OfThisMachine,
    /// All that are for Linux.
    All,
    /// Those for these platforms.
    For(&'a [Platform]),
}

/// What a name stands for in a registry; without its layers.
#[derive(Debug)]
pub struct Found {
    /// As it is to be tagged.
    pub local: Local,
    /// True if an index was taken with all that it lists.
    pub whole: bool,
}

/// A pull from one name of a registry.
pub struct Pull<'a> {
    resolver: &'a Resolver<'a>,
    client: Client,
    reference: &'a Reference,
    name: String,
}

impl<'a> Pull<'a> {
    /// A pull from `reference`. Nobody is asked yet.
    pub fn new(resolver: &'a Resolver<'a>, reference: &'a Reference) -> Result<Self, PullError> {
        Ok(Self { resolver, client: resolver.client(reference)?, reference, name: reference.to_string() })
    }

    /// Finds what is `wanted`, and brings its manifests and configs into the store.
    pub fn find(&self, wanted: Wanted<'_>) -> Result<Found, PullError> {
        let descriptor = self.top()?;
        if !media_type::is_index(&descriptor.media_type) {
            return self.only(descriptor, wanted);
        }
        let index: Index =
            self.sent(image::read_document(&self.resolver.context.store, &self.name, &descriptor.digest))?;
        let is_image = |entry: &&IndexEntry| entry.platform.as_ref().is_none_or(|platform| platform.os != "unknown");
        let all: Vec<&IndexEntry> = index.manifests.iter().filter(is_image).collect();
        if all.len() > MOST {
            let message = format!("it lists {} images; alloy takes up to {MOST} of an index", all.len());
            return self.sent(Err(ImageError::invalid(&self.name, message)));
        }
        let chosen = self.chosen(&index, &all, wanted)?;
        // What else an index has, such as attestations of images, is not here: then it is another index.
        let (complete, several) = (chosen.len() == index.manifests.len(), chosen.len() > 1);
        let whole = chosen.len() == all.len();
        let mut images = chosen.into_iter().map(|entry| self.one(entry)).collect::<Result<Vec<_>, _>>()?;
        let (name, store) = (self.name.clone(), &self.resolver.context.store);
        let local = match images.pop() {
            None => return self.sent(Err(ImageError::invalid(&name, "the index lists no image for Linux"))),
            Some(image) if !(several || complete && wanted == Wanted::All) => Local::Image(image),
            Some(last) => {
                images.push(last);
                if complete {
                    Local::Index(LocalIndex { name, index: descriptor, tagged_at: now(), named_at: None, images })
                } else {
                    Local::Index(LocalIndex::store(store, &name, images, now())?)
                }
            }
        };
        Ok(Found { local, whole })
    }

    /// All that the name stands for, which errors call `name`: what an index lists, or the one image. Each is still to be
    /// fetched.
    pub fn entries(&self, name: &str) -> Result<Vec<IndexEntry>, PullError> {
        let descriptor = self.top()?;
        if !media_type::is_index(&descriptor.media_type) {
            return Ok(vec![IndexEntry { descriptor, platform: None, annotations: BTreeMap::new() }]);
        }
        let index: Index = image::read_document(&self.resolver.context.store, name, &descriptor.digest)?;
        Ok(index.manifests)
    }

    /// The manifest or index that the name stands for, brought into the store.
    fn top(&self) -> Result<Descriptor, RegistryError> {
        Ok(self.resolver.runtime().block_on(self.client.manifest(&self.reference.manifest()))?.0)
    }

    /// What is wrong with what the registry sent is the registry's fault.
    fn sent<T>(&self, result: Result<T, ImageError>) -> Result<T, PullError> {
        result.map_err(|error| error.sent(&self.name))
    }

    /// The image of a name that stands for no index.
    fn only(&self, descriptor: Descriptor, wanted: Wanted<'_>) -> Result<Found, PullError> {
        let found = for_linux(self.fetched(&self.name, descriptor)?)?;
        let single = Index::new(vec![IndexEntry::of(&found)]);
        if let Wanted::For(platforms) = wanted {
            for platform in platforms {
                self.sent(image::select(&self.name, &single, platform))?;
            }
        }
        let here = Platform::of_this_machine();
        if !matches!(wanted, Wanted::For(_)) && image::select(&self.name, &single, &here).is_err() {
            let warning = format!(
                "{} is for {} and for nothing else, and this machine is {here}; --platform asks for one of these alone",
                self.name, found.platform
            );
            self.resolver.reporter().event(Event::Warning(warning));
        }
        Ok(Found { local: Local::Image(found), whole: true })
    }

    /// The images of `index`, of which `all` are images, that are wanted: each once.
    fn chosen(&self, index: &Index, all: &[&IndexEntry], wanted: Wanted<'_>) -> Result<Vec<IndexEntry>, PullError> {
        let here = [Platform::of_this_machine()];
        let platforms = match wanted {
            Wanted::All => {
                let is_linux = |entry: &&&IndexEntry| entry.platform.as_ref().is_none_or(|it| it.os == LINUX);
                return Ok(all.iter().filter(is_linux).copied().cloned().collect());
            }
            Wanted::OfThisMachine => &here,
            Wanted::For(platforms) => platforms,
        };
        let mut chosen = Vec::new();
        for platform in platforms {
            let entry = self.sent(image::select(&self.name, index, platform))?;
            if !chosen.contains(entry) {
                chosen.push(entry.clone());
            }
        }
        Ok(chosen)
    }

    fn one(&self, entry: IndexEntry) -> Result<LocalImage, PullError> {
        let found = self.fetched(&self.name, entry.descriptor.clone())?;
        self.sent(entry.agrees(&self.name, &found.platform))?;
        for_linux(found)
    }

    /// The image of the registry that `descriptor` leads to, which errors call `name`: its manifest and its config are
    /// brought here, and where its layers are is noted.
    pub fn fetched(&self, name: &str, descriptor: Descriptor) -> Result<LocalImage, PullError> {
        let (digest, store) = (descriptor.digest, &self.resolver.context.store);
        let sent = |error: ImageError| error.sent::<PullError>(name);
        if !store.holds(&descriptor) {
            let (found, _) = self.resolver.runtime().block_on(self.client.manifest(&digest.to_string()))?;
            if media_type::is_index(&found.media_type) {
                let error = ImageError::nested(name, &digest).sent::<PullError>(name);
                return Err(PullError::Nested { error: Box::new(error), repository: self.reference.bare(), digest });
            }
            if found.size != descriptor.size {
                let message = format!("{digest} has {} bytes, and the index says {}", found.size, descriptor.size);
                return Err(sent(ImageError::invalid(name, message)));
            }
        }
        // What the store had may have come from anywhere.
        let bytes = store.read_blob(&digest, MANIFEST_LIMIT)?;
        let invalid = |why: String| sent(ImageError::invalid(name, format!("its manifest {digest}: {why}")));
        if document::is_index(&bytes, &descriptor.media_type).map_err(invalid)? {
            return Err(sent(ImageError::nested(name, &digest)));
        }
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| invalid(error.to_string()))?;
        if !media_type::is_config(&manifest.config.media_type) {
            return Err(PullError::NoImage { name: name.to_owned(), media_type: manifest.config.media_type });
        }
        self.resolver.runtime().block_on(self.client.document(&manifest.config))?;
        let platform = image::platform_of(store, name, &manifest).map_err(sent)?;
        for LayerEntry { descriptor, urls } in manifest.layers.iter().filter(|it| !store.holds(&it.descriptor)) {
            elsewhere::note(store, &descriptor.digest, &Place::beside(self.reference))?;
            if image::is_foreign(&descriptor.media_type) {
                elsewhere::note_urls(store, &descriptor.digest, urls)?;
            }
        }
        let (name, tagged_at) = (self.name.clone(), now());
        Ok(LocalImage { name, manifest: descriptor, platform, tagged_at, named_at: None, from: None, documents: None })
    }
}

/// An error for an image that nothing here can run.
fn for_linux(image: LocalImage) -> Result<LocalImage, PullError> {
    if image.platform.os == LINUX {
        return Ok(image);
    }
    let (reference, available) = (image.name, layers::path::shown(image.platform.to_string().as_bytes()));
    let platform = Platform::of_this_machine().to_string();
    Err(PullError::NotLinux(RegistryError::NoPlatform { reference, platform, available }))
}
