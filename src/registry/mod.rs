//! Images in registries (OCI distribution-spec 1.1): references, credentials, pull and push.

mod amend;
mod auth;
mod client;
mod credentials;
mod error;
mod pull;
mod push;
mod reference;
mod referrers;
mod signatures;

pub use client::Client;
pub use credentials::{Credentials, Keychain};
pub use error::RegistryError;
pub use push::Pushed;
pub use reference::{Reference, ReferenceError};
pub use referrers::{Artifact, Referrer};
pub use signatures::Signed;
