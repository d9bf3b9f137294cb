//! Whether a text is signed by a key that may sign it, as apt and gpgv decide it: one good signature is enough,
//! unless another by a known key is of another text.

use pgp::composed::CleartextSignedMessage;
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType, SignatureVersion};
use pgp::types::{KeyDetails, VerifyingKey};

use super::FUTURE;
use super::certificate::{KeyFlaw, asks_too_much, day, ends, made, primary_signs, subkey_signs};
use super::keys::{Keys, name};

/// Signatures that are looked at: each costs a pass over the text. Archives have three or four.
const MOST: usize = 32;

/// Why a signature by a known key is no good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    #[error("the text is not what the key {0} signed")]
    Wrong(String),
    #[error("the key {0} {1}")]
    Key(String, KeyFlaw),
    #[error("the signature by the key {} expired on {}", .0, day(*.1))]
    Expired(String, i64),
    #[error("the signature by the key {0} does not say when it was made")]
    Undated(String),
    #[error("the signature by the key {} was made on {}, before its key", .0, day(*.1))]
    Early(String, i64),
    #[error("the signature by the key {} was made on {}, which is still to come: a clock is wrong", .0, day(*.1))]
    Future(String, i64),
    #[error("the signature by the key {0} is by {1}, which proves nothing any more")]
    Weak(String, String),
    #[error("the signature by the key {0} asks for something that is not known here")]
    Unknown(String),
}

/// Whose signatures are good at `now`, in seconds since 1970, by the primary keys of those `keys` that may sign, if none
/// of all is of another text. Else all that was found wrong: nothing, where none of these keys signed it.
pub fn check(message: &CleartextSignedMessage, keys: &Keys, now: i64) -> Result<Vec<String>, Vec<Flaw>> {
    let text = message.signed_text();
    let (mut flaws, mut good) = (Vec::new(), Vec::new());
    for signature in message.signatures().iter().take(MOST) {
        for certificate in &keys.certificates {
            let mut take = |chosen: bool, found: Result<(), Flaw>| match found {
                Ok(()) if chosen => good.push(name(&certificate.primary_key)),
                Ok(()) => {}
                Err(flaw) if chosen || matches!(flaw, Flaw::Wrong(_)) => flaws.push(flaw),
                Err(_) => {}
            };
            let primary = &certificate.primary_key;
            if named(signature, primary) {
                let may = || primary_signs(certificate, now);
                take(keys.chosen(certificate, primary), by(signature, &text, primary, now, may));
            }
            for subkey in certificate.public_subkeys.iter().filter(|subkey| named(signature, &subkey.key)) {
                let may = || subkey_signs(certificate, subkey, now);
                take(keys.chosen(certificate, &subkey.key), by(signature, &text, &subkey.key, now, may));
            }
        }
    }
    // A key that has expired may stand beside a newer one. A text that was changed has not been signed, whoever else did.
    if !good.is_empty() && !flaws.iter().any(|flaw| matches!(flaw, Flaw::Wrong(_))) {
        return Ok(good);
    }
    flaws.dedup();
    Err(flaws)
}

/// True if the signature says that it is by `key`.
fn named(signature: &Signature, key: &impl KeyDetails) -> bool {
    signature.issuer_fingerprint().contains(&&key.fingerprint())
        || signature.issuer_key_id().contains(&&key.legacy_key_id())
}

fn by(
    signature: &Signature,
    text: &str,
    key: &impl VerifyingKey,
    now: i64,
    may: impl FnOnce() -> Result<(), KeyFlaw>,
) -> Result<(), Flaw> {
    let name = || name(key);
    let of_a_text = matches!(signature.typ(), Some(SignatureType::Text | SignatureType::Binary));
    let known = matches!(signature.version(), SignatureVersion::V3 | SignatureVersion::V4 | SignatureVersion::V6);
    if !of_a_text || !known || asks_too_much(signature) {
        return Err(Flaw::Unknown(name()));
    }
    match signature.hash_alg() {
        Some(HashAlgorithm::Sha256 | HashAlgorithm::Sha384 | HashAlgorithm::Sha512) => {}
        Some(HashAlgorithm::Sha3_256 | HashAlgorithm::Sha3_512) => {}
        Some(other) => return Err(Flaw::Weak(name(), other.to_string())),
        None => return Err(Flaw::Unknown(name())),
    }
    if signature.verify(key, text.as_bytes()).is_err() {
        return Err(Flaw::Wrong(name()));
    }
    let made = made(signature).ok_or_else(|| Flaw::Undated(name()))?;
    if made < i64::from(key.created_at().as_secs()) {
        return Err(Flaw::Early(name(), made));
    }
    if made > now.saturating_add(FUTURE) {
        return Err(Flaw::Future(name(), made));
    }
    if let Some(end) = ends(signature).filter(|end| *end <= now) {
        return Err(Flaw::Expired(name(), end));
    }
    may().map_err(|flaw| Flaw::Key(name(), flaw))
}

#[cfg(test)]
mod tests;
