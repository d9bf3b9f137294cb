//! What alloy says of an image: what is in it (SPDX), what it was made from (in-toto, SLSA), and who says so (cosign).
//! Pure: the same build gives the same documents, byte for byte.

mod cosign;
mod index;
mod pinned;
mod provenance;
mod purl;
mod spdx;
mod statement;

pub use cosign::{ATTESTATION, SIGNATURE, attestation_tag, envelope, identity, signature_tag, simple_signing};
pub use index::of_index;
pub use provenance::{BUILD_TYPE, provenance};
pub use spdx::sbom;
pub use statement::{Dependency, PREDICATE_TYPE, Statement};

/// Media type of an SBOM.
pub const SPDX: &str = "application/spdx+json";
/// Media type of a statement.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";
/// Annotation that says what a statement is about.
pub const PREDICATE: &str = "in-toto.io/predicate-type";
