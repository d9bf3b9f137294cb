//! Keys that sign, and keys that tell: ECDSA on P-256 over SHA-256, in the files that openssl and cosign write.

use std::fmt;
use std::path::Path;

use p256::SecretKey;
use p256::ecdsa::{self, Signature, signature::Signer, signature::Verifier};
use p256::elliptic_curve::zeroize::Zeroizing;
use p256::pkcs8::der::pem;
use p256::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePublicKey, LineEnding};

use crate::vars::Vars;

mod error;
mod sealed;

pub use error::KeyError;

/// What cosign takes the password of a key from.
pub const PASSWORD: &str = "COSIGN_PASSWORD";

const PKCS8: &str = "PRIVATE KEY";
const SEC1: &str = "EC PRIVATE KEY";
const PUBLIC: &str = "PUBLIC KEY";

/// A key that signs.
#[derive(Clone)]
pub struct SigningKey {
    key: ecdsa::SigningKey,
}

/// A key that tells whether the other half signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyingKey {
    key: ecdsa::VerifyingKey,
}

impl SigningKey {
    /// Reads a PEM file: PKCS#8, SEC1, or what `cosign generate-key-pair` writes, which wants its password: that of
    /// [`PASSWORD`] in `vars`.
    pub fn read(path: &Path, vars: &Vars) -> Result<Self, KeyError> {
        Self::parse(&text(path)?, path, || vars.get(PASSWORD))
    }

    fn parse(text: &str, path: &Path, password: impl FnOnce() -> Option<String>) -> Result<Self, KeyError> {
        let wanted = "private key";
        let kind = || KeyError::Kind { path: path.to_owned(), wanted };
        let labels = [PKCS8, SEC1].into_iter().chain(sealed::LABELS);
        let found = block(text, labels).ok_or_else(|| KeyError::Missing { path: path.to_owned(), wanted })?;
        let key = match found.label {
            PKCS8 => SecretKey::from_pkcs8_der(&found.bytes).map_err(|_| kind())?,
            SEC1 => SecretKey::from_sec1_der(&found.bytes).map_err(|_| kind())?,
            _ => {
                let password = password().map(Zeroizing::new);
                let password = password.ok_or_else(|| KeyError::NoPassword { path: path.to_owned() })?;
                let opened = sealed::open(&found.bytes, password.as_bytes());
                let opened = opened.map_err(|problem| KeyError::Sealed { path: path.to_owned(), problem })?;
                SecretKey::from_pkcs8_der(&opened).map_err(|_| kind())?
            }
        };
        Ok(Self { key: key.into() })
    }

    /// An ASN.1 DER signature. The same message gets the same signature (RFC 6979).
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature: Signature = self.key.sign(message);
        signature.to_der().as_bytes().to_vec()
    }

    /// The key that verifies what this one signs.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey { key: *self.key.verifying_key() }
    }

    /// The same as PKIX PEM, for `openssl dgst -verify` and `cosign verify --key`.
    pub fn public_pem(&self) -> String {
        self.verifying_key().pem()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").finish_non_exhaustive()
    }
}

impl VerifyingKey {
    /// Reads a PEM file (PKIX, as `openssl pkey -pubout` and cosign write it).
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        Self::parse(&text(path)?, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, KeyError> {
        let wanted = "public key";
        let found = block(text, [PUBLIC]).ok_or_else(|| KeyError::Missing { path: path.to_owned(), wanted })?;
        let key = ecdsa::VerifyingKey::from_public_key_der(&found.bytes);
        Ok(Self { key: key.map_err(|_| KeyError::Kind { path: path.to_owned(), wanted })? })
    }

    /// True if `signature`, ASN.1 DER, is the other half's of `message`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        Signature::from_der(signature).is_ok_and(|signature| self.key.verify(message, &signature).is_ok())
    }

    /// PKIX PEM.
    pub fn pem(&self) -> String {
        self.key.to_public_key_pem(LineEnding::LF).unwrap_or_default()
    }
}

/// Bytes of a file of keys.
const LIMIT: u64 = 1 << 20;

fn text(path: &Path) -> Result<Zeroizing<String>, KeyError> {
    let read = layers::regular::given_text(path, LIMIT);
    read.map(Zeroizing::new).map_err(|source| KeyError::Read { path: path.to_owned(), source })
}

/// A block of a PEM file.
struct Block {
    label: &'static str,
    bytes: Zeroizing<Vec<u8>>,
}

/// The first block with one of `labels`: before the key, openssl writes `EC PARAMETERS`.
fn block(text: &str, labels: impl IntoIterator<Item = &'static str>) -> Option<Block> {
    labels.into_iter().find_map(|label| {
        let end = format!("-----END {label}-----");
        let start = text.find(&format!("-----BEGIN {label}-----"))?;
        let length = text[start..].find(&end)? + end.len();
        let (_, bytes) = pem::decode_vec(&text.as_bytes()[start..start + length]).ok()?;
        Some(Block { label, bytes: Zeroizing::new(bytes) })
    })
}

#[cfg(test)]
mod tests;
