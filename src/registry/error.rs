//! Why a registry did not do what it was asked.

use std::time::Duration;

use layers::digest::Digest;

use crate::fetch::{FetchError, Temporary};

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are what the messages say")]
pub enum RegistryError {
    #[error("{registry}: {message}")]
    Connection { registry: String, message: String },
    #[error("{what}: {registry} answered {status}{detail}")]
    Status { what: String, registry: String, status: u16, detail: String, retry_after: Option<Duration> },
    #[error("{registry} wants credentials for {what}")]
    Unauthorized { registry: String, what: String, detail: String },
    #[error("{reference} was not found")]
    NotFound { reference: String },
    #[error("{reference} has no image for {platform}; it has {available}")]
    NoPlatform { reference: String, platform: String, available: String },
    #[error("{reference}: {message}")]
    Invalid { reference: String, message: String },
    #[error("{digest} of {reference} broke off after {done} of {size} bytes")]
    Short { reference: String, digest: Digest, done: u64, size: u64 },
    #[error("credential helper {helper}: {message}")]
    Helper { helper: String, message: String },
    #[error("cannot read {path}: {message}")]
    CredentialFile { path: String, message: String },
    #[error(transparent)]
    Store(#[from] layers::store::StoreError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

impl RegistryError {
    /// What to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unauthorized { registry, .. } => Some(format!(
                "log in with any tool that writes ~/.docker/config.json or $REGISTRY_AUTH_FILE (`skopeo login {registry}`)"
            )),
            Self::Connection { message, .. } if message.contains("certificate") => {
                Some("add the registry's CA to this machine, or point SSL_CERT_FILE at a bundle that has it".into())
            }
            Self::Connection { registry, message }
                if message.contains("InvalidContentType") || message.contains("corrupt message") =>
            {
                Some(format!("{registry} does not speak TLS; if it is meant to, use --insecure-registry {registry}"))
            }
            Self::Connection { .. } => {
                Some("check the network, and http_proxy/https_proxy where a proxy is needed".into())
            }
            Self::NotFound { .. } => {
                Some("check name and tag; a private repository looks the same without credentials".into())
            }
            Self::Fetch(error) => error.hint(),
            _ => None,
        }
    }
}

impl Temporary for RegistryError {
    fn is_temporary(&self) -> bool {
        match self {
            Self::Connection { .. } | Self::Short { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
            Self::Fetch(error) => error.is_temporary(),
            _ => false,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
