//! Indexes of images that are there already, in the store or in a registry: images for several platforms, built on
//! several machines, under one name.

use std::collections::BTreeMap;

use layers::media_type::Descriptor;
use layers::store::StoreError;

use crate::event::Event;
use crate::image::{self, ImageError, Index, IndexEntry, Local, LocalImage, Manifest, NamedError};
use crate::plan::Platform;
use crate::pull::{MOST, Pull, PullError};
use crate::push::{Push, PushError};
use crate::registry::{Reference, ReferenceError};
use crate::resolve::Resolver;

/// An image for one platform.
#[derive(Debug)]
pub struct Joined {
    /// As the user named it.
    pub named: String,
    /// Where it was found.
    pub place: &'static str,
    /// What was found.
    pub image: LocalImage,
    annotations: BTreeMap<String, String>,
}

/// Why images cannot be joined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are what the messages say")]
pub enum JoinError {
    /// The index would list two images for one platform.
    #[error("`{first}` and `{second}` are both for {platform}")]
    Twice { first: String, second: String, platform: Platform },
    #[error(transparent)]
    Name(#[from] ReferenceError),
    #[error(transparent)]
    Named(#[from] NamedError),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error(transparent)]
    Pull(#[from] PullError),
    #[error(transparent)]
    Push(Box<PushError>),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<PushError> for JoinError {
    fn from(error: PushError) -> Self {
        Self::Push(Box::new(error))
    }
}

impl Joined {
    /// What `BuildKit` lists beside images: about them, and for no platform.
    fn is_attestation(&self) -> bool {
        self.image.platform.os == "unknown"
    }

    /// As an index lists it.
    fn into_entry(self) -> IndexEntry {
        IndexEntry { annotations: self.annotations, ..IndexEntry::of(&self.image) }
    }
}

/// The images that `texts` stand for, of indexes all that they list, in that order. The store is asked first.
pub fn find(resolver: &Resolver<'_>, texts: &[String]) -> Result<Vec<Joined>, JoinError> {
    let mut joined = Vec::new();
    for text in texts {
        let reference: Reference = text.parse()?;
        joined.extend(match image::named(&resolver.context.store, text) {
            Ok(local) => of_store(resolver, text, &local)?,
            Err(_) if reference.names_registry() => of_registry(resolver, text, &reference)?,
            Err(error) => return Err(error.into()),
        });
    }
    distinct(&joined)?;
    Ok(joined)
}

fn of_store(resolver: &Resolver<'_>, text: &str, local: &Local) -> Result<Vec<Joined>, ImageError> {
    let store = &resolver.context.store;
    let images = local.images().iter().map(|image| {
        let manifest: Manifest = image::read_document(store, text, &image.manifest.digest)?;
        let platform = image::platform_of(store, text, &manifest)?;
        let image = LocalImage { platform, ..image.clone() };
        Ok(Joined { named: text.to_owned(), place: "the store", image, annotations: BTreeMap::new() })
    });
    images.collect()
}

fn of_registry(resolver: &Resolver<'_>, text: &str, reference: &Reference) -> Result<Vec<Joined>, PullError> {
    let pull = Pull::new(resolver, reference)?;
    let entries = pull.entries(text)?;
    if entries.len() > MOST {
        let message = format!("it lists {} images; alloy joins up to {MOST} of an index", entries.len());
        return Err(ImageError::invalid(text, message).sent(text));
    }
    let images = entries.into_iter().map(|entry| {
        let image = pull.fetched(text, entry.descriptor.clone())?;
        entry.agrees(text, &image.platform).map_err(|error| error.sent::<PullError>(text))?;
        let annotations = entry.annotations;
        Ok(Joined { named: text.to_owned(), place: "the registry", image, annotations })
    });
    images.collect()
}

/// An error if two images are for the same platform.
fn distinct(joined: &[Joined]) -> Result<(), JoinError> {
    let mut seen: BTreeMap<Platform, &str> = BTreeMap::new();
    for Joined { named, image, .. } in joined.iter().filter(|joined| !joined.is_attestation()) {
        // arm64 is the same with its only variant written out.
        let platform = image.platform.to_string().parse().unwrap_or_else(|_| image.platform.clone());
        if let Some(first) = seen.insert(platform.clone(), named) {
            return Err(JoinError::Twice { first: first.to_owned(), second: named.clone(), platform });
        }
    }
    Ok(())
}

/// Pushes an index of `joined` in their order, and what the registry does not have of them. Gives the index.
pub fn join(resolver: &Resolver<'_>, joined: Vec<Joined>, push: &Push<'_>) -> Result<Descriptor, JoinError> {
    for Joined { named, image, place, .. } in &joined {
        let (platform, digest) = (&image.platform, image.manifest.digest);
        resolver.reporter().event(Event::Note(format!("{platform}: {named} from {place}, {digest}")));
        push.send(image, &digest.to_string())?;
    }
    let images: Vec<_> = joined.iter().map(|joined| joined.image.clone()).collect();
    let index = Index::new(joined.into_iter().map(Joined::into_entry).collect()).put(&resolver.context.store)?;
    push.put_index(&index, &images)?;
    Ok(index)
}
