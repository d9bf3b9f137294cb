//! Layers of the store into trees, several at once.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use layers::apply::{Applied, ApplyOptions, Form, Ownership, apply};
use layers::compress::{decoder, read_ahead};
use layers::root::{Root, remove_tree};
use layers::store::Store;

use super::TargetError;
use super::request::Unpack;

/// Where the trees of these names are.
pub fn trees(store: &Store, names: &[String]) -> Result<Vec<PathBuf>, TargetError> {
    let missing = |name: &String| TargetError::Host {
        path: PathBuf::from(name),
        source: std::io::Error::from(std::io::ErrorKind::NotFound),
    };
    names.iter().map(|name| store.tree(name).ok_or_else(|| missing(name))).collect()
}

/// Unpacks `layers`, lowest first, side by side. Gives what could not be made.
///
/// A layer that leaves out directories takes them from the trees below it, which are not there yet: such layers are
/// unpacked once more, one after the other.
pub fn all(store: &Store, layers: &[Unpack]) -> Result<Vec<String>, TargetError> {
    let (next, skipped, failure) = (AtomicUsize::new(0), Mutex::new(Vec::new()), Mutex::new(None));
    let incomplete = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(layers.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(layer) = layers.get(at) else { break };
                    match one(store, layer, &[]) {
                        Ok(Some(mut devices)) => {
                            skipped.lock().unwrap_or_else(PoisonError::into_inner).append(&mut devices)
                        }
                        Ok(None) => incomplete.lock().unwrap_or_else(PoisonError::into_inner).push(at),
                        Err(error) => *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error),
                    }
                }
            });
        }
    });
    if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let mut skipped = skipped.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut incomplete = incomplete.into_inner().unwrap_or_else(PoisonError::into_inner);
    incomplete.sort_unstable();
    for at in incomplete {
        let parents = trees(store, &layers[at].parents)?;
        let parents = parents.iter().map(|path| Root::open(path)).collect::<Result<Vec<_>, _>>()?;
        skipped.extend(one(store, &layers[at], &parents)?.unwrap_or_default());
    }
    skipped.sort_unstable();
    Ok(skipped)
}

/// Unpacks a layer. `None`, and nothing done, if it needs directories of `parents` and there are none.
fn one(store: &Store, layer: &Unpack, parents: &[Root]) -> Result<Option<Vec<String>>, TargetError> {
    let staged = store.stage_tree()?;
    let failed = |source| TargetError::Host { path: store.blob_path(&layer.blob), source };
    let (_, reader) = decoder(store.open_blob(&layer.blob)?).map_err(failed)?;
    let options = ApplyOptions { form: Form::OverlayLower, parents, ownership: Ownership::Archive };
    let root = Root::open(&staged)?;
    let Applied { skipped_devices, implied_parents, .. } = read_ahead(reader, |reader| apply(reader, &root, &options))?;
    let incomplete = implied_parents && parents.is_empty() && !layer.parents.is_empty();
    if incomplete || !store.publish_tree(&staged, &layer.tree)? {
        remove_tree(&staged)?;
    }
    Ok((!incomplete).then_some(skipped_devices))
}
