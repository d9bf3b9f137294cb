//! Keys under a password, as cosign keeps them: JSON in PEM; scrypt makes the key of a NaCl secret box.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crypto_secretbox::aead::Aead;
use crypto_secretbox::{KeyInit, Nonce, XSalsa20Poly1305};
use p256::elliptic_curve::zeroize::Zeroizing;
use serde::Deserialize;

/// What such a file calls itself: by cosign 2 and later, and before.
pub(super) const LABELS: [&str; 2] = ["ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY"];

/// cosign writes 2^15 and 2^16; what takes gigabytes is no key.
const MOST_ROUNDS: u32 = 1 << 20;
const MOST_BLOCKS: u32 = 32;
const NONCE: usize = 24;

/// Why it cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The file is damaged, or of another kind.
    #[error("it is not as cosign writes it (scrypt and nacl/secretbox)")]
    Format,
    /// Nothing else can be wrong.
    #[error("the password is wrong")]
    Password,
}

#[derive(Deserialize)]
struct Envelope {
    kdf: Derivation,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Deserialize)]
struct Derivation {
    name: String,
    params: Params,
    salt: String,
}

#[derive(Deserialize)]
struct Params {
    #[serde(rename = "N")]
    n: u32,
    r: u32,
    p: u32,
}

#[derive(Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

/// What is in the box: PKCS#8 DER.
pub(super) fn open(envelope: &[u8], password: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let envelope: Envelope = serde_json::from_slice(envelope).map_err(|_| SealError::Format)?;
    let Envelope { kdf, cipher, ciphertext } = envelope;
    let Params { n, r, p } = kdf.params;
    let affordable = n.is_power_of_two() && n <= MOST_ROUNDS && r <= MOST_BLOCKS && p <= MOST_BLOCKS;
    if kdf.name != "scrypt" || cipher.name != "nacl/secretbox" || !affordable {
        return Err(SealError::Format);
    }
    let bytes = |text: &str| STANDARD.decode(text).map_err(|_| SealError::Format);
    let (salt, nonce, ciphertext) = (bytes(&kdf.salt)?, bytes(&cipher.nonce)?, bytes(&ciphertext)?);
    if nonce.len() != NONCE {
        return Err(SealError::Format);
    }
    let log_n = u8::try_from(n.trailing_zeros()).map_err(|_| SealError::Format)?;
    let params = scrypt::Params::new(log_n, r, p, 32).map_err(|_| SealError::Format)?;
    let mut key = Zeroizing::new([0; 32]);
    scrypt::scrypt(password, &salt, &params, &mut *key).map_err(|_| SealError::Format)?;
    let secret_box = XSalsa20Poly1305::new((&*key).into());
    let opened = secret_box.decrypt(Nonce::from_slice(&nonce), ciphertext.as_slice());
    opened.map(Zeroizing::new).map_err(|_| SealError::Password)
}

#[cfg(test)]
pub(super) fn seal(key: &[u8], password: &[u8]) -> String {
    let (salt, nonce) = ([1; 32], [2; NONCE]);
    let mut derived = [0; 32];
    scrypt::scrypt(password, &salt, &scrypt::Params::new(4, 8, 1, 32).unwrap(), &mut derived).unwrap();
    let ciphertext = XSalsa20Poly1305::new(&derived.into()).encrypt(Nonce::from_slice(&nonce), key).unwrap();
    let envelope = serde_json::json!({
        "kdf": {"name": "scrypt", "params": {"N": 16, "r": 8, "p": 1}, "salt": STANDARD.encode(salt)},
        "cipher": {"name": "nacl/secretbox", "nonce": STANDARD.encode(nonce)},
        "ciphertext": STANDARD.encode(ciphertext),
    });
    let ending = p256::pkcs8::LineEnding::LF;
    p256::pkcs8::der::pem::encode_string(LABELS[0], ending, envelope.to_string().as_bytes()).unwrap()
}
