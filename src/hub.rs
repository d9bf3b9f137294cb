//! Blueprints in registries: an OCI image index with one artifact manifest for each supported host, and one layer with
//! the files of the blueprint (OCI image-spec 1.1, "Guidelines for Artifact Usage"). What the existing hub has is read,
//! and can be written, in its own form (`form`).
//!
//! What is published is what somebody else needs to build or install the blueprint, and nothing more. What is fetched
//! is somebody else's: digests are checked, and the archive may hold nothing but files with plain names.

mod artifact;
mod contents;
mod error;
mod fetch;
mod form;
mod land;
mod list;
mod name;
mod pack;
mod publish;
mod renew;
mod swap;
mod unpack;

pub use contents::Contents;
pub use error::{ContentError, HubError};
pub use fetch::{Fetched, Found, fetch, find, place};
pub use form::Form;
pub use land::free;
pub use list::{Listed, list};
pub use name::{host, reference};
pub use pack::{Package, Packing, pack};
pub use publish::publish;
pub use renew::{RECORD, Renewed};

/// What the artifact is (`artifactType`).
pub const BLUEPRINT: &str = "application/vnd.alloy.blueprint.v1";
/// Its layer.
pub const FILES: &str = "application/vnd.alloy.blueprint.files.v1.tar+gzip";
/// Annotation of a manifest: the host that it is for.
pub const HOST: &str = "vnd.alloy.blueprint.host";

/// Files and directories of a blueprint.
const MOST_MEMBERS: u64 = 1_000;
/// Bytes of a layer, packed.
const MOST_PACKED: u64 = 4 << 30;
/// Bytes of an archive, unpacked.
const MOST_UNPACKED: u64 = 8 << 30;
/// What texts compress to is larger than a hundredth; archives in a blueprint are compressed already.
const MOST_RATIO: u64 = 200;
/// Bytes of a lockfile or manifest that is a layer of its own.
const MOST_TEXT: u64 = 4 << 20;
/// So much may be unpacked from anything.
const ALWAYS: u64 = 16 << 20;

/// How many bytes may come out of a layer of `packed` bytes.
fn most_unpacked(packed: u64) -> u64 {
    packed.saturating_mul(MOST_RATIO).saturating_add(ALWAYS).min(MOST_UNPACKED)
}
