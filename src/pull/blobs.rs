//! The layers of images that are pulled.

use std::collections::BTreeSet;

use layers::digest::Digest;
use layers::media_type::Descriptor;

use super::{Pull, PullError};
use crate::build::ensure_blobs;
use crate::fetch::FetchError;
use crate::image::{self, Image, Local, Manifest};
use crate::registry::RegistryError;
use crate::tasks::Task;

/// What was brought here.
#[derive(Clone, Copy, Debug, Default)]
pub struct Got {
    /// Layers of all images, each once.
    pub count: usize,
    /// Those that were not here before.
    pub came: usize,
    /// Bytes of these.
    pub bytes: u64,
}

impl Pull<'_> {
    /// Brings the layers of all images here, and looks whether they are what the images' configs say.
    pub fn layers(&self, local: &Local) -> Result<Got, PullError> {
        let store = &self.resolver.context.store;
        let images = self.contents(local)?;
        let mut all: Vec<Descriptor> =
            images.iter().flat_map(|image| image.layers.iter().map(|layer| layer.descriptor.clone())).collect();
        all.sort_by_key(|layer| layer.digest);
        all.dedup_by_key(|layer| layer.digest);
        let mut got = Got { count: all.len(), ..Got::default() };
        let foreign: BTreeSet<Digest> = images
            .iter()
            .flat_map(|image| &image.layers)
            .filter(|layer| !layer.urls().is_empty())
            .map(|layer| layer.descriptor.digest)
            .collect();
        let (foreign, all): (Vec<_>, Vec<_>) =
            all.into_iter().filter(|layer| !store.holds(layer)).partition(|layer| foreign.contains(&layer.digest));
        got.came = foreign.len() + all.len();
        got.bytes = foreign.iter().chain(&all).fold(0, |sum: u64, layer| sum.saturating_add(layer.size));
        self.bring(all)?;
        // The registry may have them, or not.
        ensure_blobs(self.resolver, &foreign)?;
        for image in &images {
            let warnings = sent(local, image::verify_layers(store, local.name(), &image.layers))?;
            warnings.into_iter().for_each(|warning| self.resolver.warn_once(warning));
        }
        Ok(got)
    }

    /// What the images of `local` are made of.
    fn contents(&self, local: &Local) -> Result<Vec<Image>, PullError> {
        let store = &self.resolver.context.store;
        let mut images = Vec::new();
        for image in local.images() {
            let manifest: Manifest = sent(local, image::read_document(store, &image.name, &image.manifest.digest))?;
            let config = store.read_blob(&manifest.config.digest, image::JSON_LIMIT)?;
            images.push(sent(local, Image::new(&image.name, image.manifest.digest, &manifest, &config))?);
        }
        Ok(images)
    }

    /// Brings `layers` here, all at once.
    fn bring(&self, layers: Vec<Descriptor>) -> Result<(), PullError> {
        let mut tasks = Vec::new();
        for layer in layers {
            let client = self.client.clone();
            tasks.push(Task::start(self.resolver.runtime(), async move { client.blob(&layer).await }));
        }
        // All of them are waited for: none goes on behind the back of a command that has failed.
        let done: Vec<Result<(), RegistryError>> =
            tasks.into_iter().map(|task| task.wait().map_err(FetchError::from)?).collect();
        Ok(done.into_iter().collect::<Result<(), _>>()?)
    }
}

/// What is wrong with what the registry sent is the registry's fault.
fn sent<T>(local: &Local, result: Result<T, image::ImageError>) -> Result<T, PullError> {
    result.map_err(|error| error.sent(local.name()))
}
