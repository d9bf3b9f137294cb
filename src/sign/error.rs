//! Why a key is of no use.

use std::path::PathBuf;

use super::PASSWORD;
use super::sealed::SealError;

/// What went wrong. No variant holds anything of the key.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are what the messages say")]
pub enum KeyError {
    #[error("cannot read the key {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} holds no {wanted} in PEM")]
    Missing { path: PathBuf, wanted: &'static str },
    #[error("the {wanted} in {path} is not of the kind that alloy uses: ECDSA on P-256")]
    Kind { path: PathBuf, wanted: &'static str },
    #[error("the key {path} is encrypted, and there is no {PASSWORD}")]
    NoPassword { path: PathBuf },
    #[error("the key {path} cannot be opened: {problem}")]
    Sealed { path: PathBuf, problem: SealError },
}

impl KeyError {
    /// What to do.
    pub fn hint(&self) -> String {
        match self {
            Self::NoPassword { .. } | Self::Sealed { problem: SealError::Password, .. } => {
                format!("put the key's password into {PASSWORD}")
            }
            Self::Missing { path, wanted: "public key" } | Self::Kind { path, wanted: "public key" } => {
                format!("write it from the private key: openssl pkey -in KEY -pubout -out {}", path.display())
            }
            _ => "make one: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem, \
                  or cosign generate-key-pair"
                .to_owned(),
        }
    }
}
