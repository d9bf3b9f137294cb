//! Directories, stored as layers.

use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

use layers::compress::Compression;
use layers::diff::{DiffOptions, diff};
use layers::ids::Exchange;
use layers::root::Root;
use layers::store::{LayerBlob, Store};

use super::TargetError;
use super::excluded::as_it_is;

/// Stores a directory that is held as a layer, as it is, whatever comes to stand at its name meanwhile.
pub fn write_held(store: &Store, held: &impl AsFd, compression: Compression) -> Result<Option<LayerBlob>, TargetError> {
    let exclude = as_it_is();
    let ids = Exchange::default();
    let options = DiffOptions { mtime_max: u64::MAX, exclude: &exclude, lowers: &[], ids };
    let path = format!("/proc/self/fd/{}", held.as_fd().as_raw_fd());
    Ok(write_layer(store, Path::new(&path), compression, &options)?.map(|(layer, _)| layer))
}

/// Stores the changes in `upper` as a layer; `None` when there are none.
pub fn write_layer(
    store: &Store,
    upper: &Path,
    compression: Compression,
    options: &DiffOptions<'_>,
) -> Result<Option<(LayerBlob, Vec<PathBuf>)>, TargetError> {
    let mut writer = store.layer_writer(compression)?;
    let stats = diff(&Root::open(upper)?, &mut writer, options)?;
    Ok(if stats.is_empty() { None } else { Some((writer.finish()?, stats.left_out)) })
}
