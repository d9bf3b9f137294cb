//! One image: its blobs, its manifest, what goes with it, its name.

use layers::digest::Digest;
use layers::media_type::Descriptor;

use super::{Part, Push, PushError, checked};
use crate::build::ensure_blobs;
use crate::cache::elsewhere;
use crate::fetch::FetchError;
use crate::image::{LayerEntry, LocalImage};
use crate::registry::{Pushed, RegistryError};
use crate::tasks::Task;

impl Push<'_> {
    /// Sends what the registry does not have of an image: its blobs, its manifest, what goes with it, and last of all
    /// `name`, a tag or digest. Gives the bytes that were sent.
    pub fn send(&self, image: &LocalImage, name: &str) -> Result<u64, PushError> {
        let part = self.read(image)?;
        checked::check(self.resolver, &part)?;
        let mut sent = self.send_blobs(&part)?;
        let put = |name: &str| {
            let put = self.client.push_manifest(name, &image.manifest.media_type, &part.bytes);
            self.resolver.runtime().block_on(put)
        };
        let documents = self.with_sbom(image)?;
        let (digest, goes_along) = (image.manifest.digest.to_string(), self.goes_along(image));
        let first = if goes_along { &digest } else { name };
        let by_digest = goes_along && first != name && self.attach.key.is_none();
        match put(first) {
            Err(error) if error.unknown_blobs().is_some() => {
                // What was never here has to come before it can be sent again.
                sent += self.again(&part, &error.unknown_blobs().unwrap_or_default())?;
                put(first).map_err(|error| refused(error, &part, by_digest))?;
            }
            done => done.map_err(|error| refused(error, &part, by_digest))?,
        }
        self.attach(image, documents)
            .map_err(|error| if goes_along { self.untagged(error, &image.manifest.digest) } else { error })?;
        if first != name {
            put(name).map_err(|error| self.untagged(error.into(), &image.manifest.digest))?;
        }
        Ok(sent)
    }

    /// Sends the blobs that the registry does not have, all at once. Gives the bytes that were sent.
    fn send_blobs(&self, part: &Part<'_>) -> Result<u64, PushError> {
        let mut tasks = Vec::new();
        for blob in part.sent() {
            let (client, here) = (self.client.clone(), self.resolver.store.holds(&blob));
            // What another repository of the registry has is taken over from there.
            let places = elsewhere::places(self.resolver.store, &blob.digest)?;
            let from: Vec<String> =
                places.iter().filter_map(|it| it.mounts_to(self.destination).map(str::to_owned)).collect();
            tasks.push(Task::start(self.resolver.runtime(), async move {
                let mut pushed = None;
                for from in &from {
                    pushed = client.mount(&blob, from).await?;
                    if pushed.is_some() {
                        break;
                    }
                }
                if pushed.is_none() {
                    pushed = match here {
                        true => Some(client.push_blob(&blob).await?),
                        false => client.has_blob(&blob.digest).await?.then_some(Pushed::There),
                    };
                }
                Ok((blob, pushed))
            }));
        }
        let mut sent = 0;
        for task in tasks {
            let done: Result<_, RegistryError> = task.wait().map_err(FetchError::from)?;
            let (blob, pushed) = done?;
            if pushed.is_none() {
                ensure_blobs(self.resolver, std::slice::from_ref(&blob))?;
                checked::check_one(self.resolver, part, &blob)?;
                self.resolver.runtime().block_on(self.client.push_blob(&blob))?;
            }
            if matches!(pushed, None | Some(Pushed::Sent)) {
                sent += blob.size;
            }
        }
        Ok(sent)
    }

    /// Sends blobs of the image anew, whatever the registry says that it has: those of `digests`, or all if there are
    /// none. Gives their bytes.
    pub(super) fn again(&self, part: &Part<'_>, digests: &[Digest]) -> Result<u64, PushError> {
        let all: Vec<Descriptor> = part.sent();
        let mut sent = 0;
        for blob in all.iter().filter(|blob| digests.is_empty() || digests.contains(&blob.digest)) {
            ensure_blobs(self.resolver, std::slice::from_ref(blob))?;
            checked::check_one(self.resolver, part, blob)?;
            self.resolver.runtime().block_on(self.client.send_again(blob))?;
            sent += blob.size;
        }
        Ok(sent)
    }
}

/// The error of a registry that does not take a manifest, `by_digest` where only what goes with the image wants that.
fn refused(error: RegistryError, part: &Part<'_>, by_digest: bool) -> PushError {
    let by_digest = by_digest && error.is_refusal();
    let has_foreign = part.manifest.layers.iter().any(LayerEntry::stays_away);
    PushError::Refused { error, by_digest, has_foreign }
}
