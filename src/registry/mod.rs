//! Images in registries (OCI distribution-spec 1.1): references, credentials, pull and push.

mod artifact;
mod auth;
mod client;
mod credentials;
mod error;
mod pull;
mod push;
mod reference;

pub use client::Client;
pub use credentials::{Credentials, Keychain};
pub use error::RegistryError;
pub use push::Pushed;
pub use reference::{Reference, ReferenceError};
