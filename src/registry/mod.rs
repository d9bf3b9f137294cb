//! Images in registries (OCI distribution-spec 1.1): references, credentials, mirrors, pull and push.

mod amend;
mod answer;
mod artifact;
mod auth;
mod auth_file;
mod authority;
mod catalog;
mod certificates;
mod client;
mod credentials;
mod endpoint;
mod error;
#[doc(hidden)]
pub mod fuzz;
mod helper;
mod hint;
mod host;
mod listing;
mod login;
mod manner;
mod mirrors;
mod pull;
mod push;
mod reason;
mod reference;
mod referrers;
mod registries;
mod scope;
mod signatures;
mod upload;
mod verify;
mod waiting;

pub use certificates::CertificateFiles;
pub use client::Client;
pub use credentials::{Credentials, Keychain, Known};
pub use error::RegistryError;
pub use login::Checked;
pub use mirrors::ConfigFiles;
pub use push::Pushed;
pub use reference::{Reference, ReferenceError};
pub use referrers::{Artifact, Attached, Referrer};
pub use registries::{Registries, Settings};
pub use signatures::Signed;

use error::connection;

/// Bytes of a file of configuration or credentials that is read.
const FILE_LIMIT: u64 = 16 << 20;
