//! The catalog: what names of toolchains, SDKs and tools stand for.
//!
//! A directory of `<kind>s/<vendor>/<tool>/index.yaml`, which lists versions and aliases, and the `<version>.yaml`
//! beside it, which says for each platform where the bytes are. Files are read only when they are asked for; one that
//! is broken is named with its place, and hides nothing else.

mod artifact;
mod error;
mod fields;
mod files;
mod index;
mod reference;
mod resolve;
mod survey;
#[cfg(test)]
mod tests;
mod version;

pub use artifact::{Artifact, Method};
pub use error::CatalogError;
pub use files::Catalog;
pub use index::{Index, Listed};
pub use reference::{DEFAULT_ALIAS, Id, KINDS, Reference};
pub use resolve::Resolved;
pub use survey::{Summary, Survey};
pub use version::{Hints, Lifecycle, Provider, Version};

/// The file that lists the versions of a tool.
pub const INDEX_FILE: &str = "index.yaml";
