//! Blobs that are known and not here, brought here.

use std::time::{SystemTime, UNIX_EPOCH};

use layers::at_once;
use layers::compress::layer_decoder;
use layers::digest::{DiffId, Digest};
use layers::media_type::Descriptor;
use layers::store::{LayerBlob, Store, StoreError};
use layers::tar::{TarError, for_each};

use super::{BuildError, Built};
use crate::cache::elsewhere;
use crate::fetch::FetchError;
use crate::resolve::{Resolver, from_urls};
use crate::tasks::Task;

/// Brings those of `blobs` that are not in the store there, from wherever they are known to be.
pub fn ensure_blobs(resolver: &Resolver<'_>, blobs: &[Descriptor]) -> Result<(), BuildError> {
    let mut tasks = Vec::new();
    for blob in blobs.iter().filter(|blob| !resolver.store.holds(blob)) {
        let places: Vec<_> = elsewhere::places(resolver.store, &blob.digest)?.into_iter().collect();
        let remotes = resolver.remotes(&places);
        let urls = elsewhere::urls(resolver.store, &blob.digest)?;
        let (wanted, store, fetcher) = (blob.clone(), resolver.store.clone(), resolver.fetcher().clone());
        let task = Task::start(resolver.runtime(), async move {
            let mut last = None;
            for remote in remotes {
                match remote.pull(&wanted, &store).await {
                    Ok(()) => return Ok(()),
                    Err(error) => last = Some(error.to_string()),
                }
            }
            if urls.is_empty() {
                return Err(last);
            }
            let asked = from_urls(&fetcher, &store, &wanted, &urls).await;
            asked.map_err(|error| Some(last.map_or(error.clone(), |last| format!("{last}; {error}"))))
        });
        tasks.push((blob.digest, task));
    }
    let mut lost = None;
    for (digest, task) in tasks {
        let done = task.wait().unwrap_or_else(|error| Err(Some(FetchError::from(error).to_string())));
        // All of them are waited for: none goes on behind the back of a build that has failed.
        if let Err(error) = done {
            lost = lost.or(Some((digest, error)));
        }
    }
    match lost {
        None => Ok(()),
        // Where it is said to be stays known: a server may be away, or want a login first.
        Some((digest, error)) => {
            Err(BuildError::Lost { digest, reason: error.unwrap_or_else(|| "nobody has it".to_owned()) })
        }
    }
}

/// Brings all layers of what was built here, and looks whether they are what was said of them.
pub(super) fn bring(resolver: &Resolver<'_>, built: &Built<'_>) -> Result<(), BuildError> {
    let own: Vec<&LayerBlob> = built.layers.iter().filter_map(|layer| layer.blob.as_ref()).collect();
    let base = built.base.image.layers.iter().map(|layer| layer.descriptor.clone());
    let all: Vec<Descriptor> = base.chain(own.iter().map(|layer| layer.descriptor.clone())).collect();
    ensure_blobs(resolver, &all)?;
    for (layer, found) in at_once::each(&own, |layer| (*layer, looked_into(resolver.store, layer))) {
        let digest = layer.descriptor.digest;
        match found {
            Ok(found) if found == layer.diff_id => {}
            // The blob is another layer's, which may be wanted.
            Ok(found) => {
                resolver.team().distrust(digest);
                return Err(BuildError::Lost { digest, reason: format!("its diff ID is {found}, not what was said") });
            }
            Err(StoreError::Damaged { message, .. }) => return Err(lose(resolver, digest, message)?),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The diff ID of a layer. One that was not looked into before has to be what its media type says as well, and a tar to
/// its end: whoever reads the image written with it would find that out else.
fn looked_into(store: &Store, layer: &LayerBlob) -> Result<DiffId, StoreError> {
    let Descriptor { digest, media_type, .. } = &layer.descriptor;
    let known = store.known_diff_id(digest)?;
    let found = store.diff_id(digest)?;
    if known.is_some() || found != layer.diff_id {
        return Ok(found);
    }
    let damaged = |message: String| StoreError::Damaged { blob: *digest, message };
    let (format, reader) = layer_decoder(store.open_blob(digest)?).map_err(|error| damaged(error.to_string()))?;
    if !format.is_of(media_type) {
        return Err(damaged(format!("it is not compressed as {media_type} says")));
    }
    for_each(reader, |_, _| Ok::<_, TarError>(())).map_err(|error| damaged(error.to_string()))?;
    Ok(found)
}

/// Forgets a layer that is not where it was said to be, or not what: it has to be made again.
///
/// A blob that is what its name says stays. It may be no layer at all, but the config of an image, which somebody's cache
/// has named in the place of one. Then nothing that is said of it as a layer is believed any more.
pub(super) fn lose(resolver: &Resolver<'_>, digest: Digest, reason: String) -> Result<BuildError, BuildError> {
    let store = resolver.store;
    elsewhere::forget(store, &digest)?;
    // One that is damaged is put aside by the look.
    if store.contains(&digest) && store.check_blob(&digest).is_ok() {
        store.note_diff_id(&digest, of_nothing(&digest))?;
    }
    resolver.team().distrust(digest);
    Ok(BuildError::Lost { digest, reason })
}

/// A diff ID that nobody can have said before.
fn of_nothing(digest: &Digest) -> DiffId {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    DiffId(Digest::of(format!("no layer: {digest} {now} {}", std::process::id())))
}
