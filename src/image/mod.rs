//! Images as values, and the forms they are read from and written to (OCI image-spec 1.1).

mod base_ref;
mod built_from;
mod chosen;
mod compose;
mod docker;
mod error;
mod file;
mod index;
mod kind;
mod layout;
mod local;
mod manifest;
mod named;
mod nameless;
mod output;
mod verified;
mod wanted;

pub use base_ref::{BaseRef, BaseRefError};
pub use built_from::BuiltFrom;
pub(crate) use chosen::listed;
#[cfg(test)]
pub(crate) use compose::merged_path;
pub(crate) use compose::path_directories;
pub use compose::{Asked, Composed, NewLayer, compose, config_env};
pub use docker::read_docker_archive;
pub use error::{ImageError, SQUASH};
pub use file::{Files, JSON_LIMIT, Room, copy_blob, is_json, read_at_most};
pub use index::{Index, IndexEntry, select};
pub use kind::{Foreign, LayerEntry, is_foreign, layer_type, no_image};
pub use layout::{REF_NAME, archive_place, layout_place, look_at_layout, read_layout, read_layout_archive};
pub use local::{
    Documents, Local, LocalImage, LocalIndex, Strange, all, forget, is_name, local, locals, lost, now_exactly, tag,
    tag_at,
};
pub use manifest::{Image, Layer, MAX_LAYERS, Manifest, NO_PLATFORM, platform_of, read_config, read_document};
pub use named::{FEWEST, Fewest, NamedError, named, names};
pub use nameless::nameless;
pub use output::{Destination, LAYOUT, Output, OutputError, OutputKind, PARTS, Written};
pub use verified::{verify_layers, verify_some, verify_type};
pub use wanted::{FULL_NAME, Wanted, place};
