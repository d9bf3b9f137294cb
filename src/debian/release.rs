//! `InRelease`: its signature (RFC 9580, 7, "Cleartext Signature Framework"), and the hashes it vouches for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use layers::digest::Digest;
use pgp::composed::{CleartextSignedMessage, Deserializable, SignedPublicKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::types::VerifyingKey;

use super::{DebianError, control};

/// What a release says, once its signature is found good.
#[derive(Clone, Debug, Default)]
pub struct Release {
    /// When it was made.
    pub date: String,
    /// Files are also found under their hash.
    pub by_hash: bool,
    /// Path below the suite's directory to hash and size.
    pub files: BTreeMap<String, (Digest, u64)>,
}

/// Reads the keys of `paths`, armoured or binary.
pub fn keys(paths: &[PathBuf]) -> Result<Vec<SignedPublicKey>, DebianError> {
    let mut keys = Vec::new();
    for path in paths {
        keys.extend(read_keys(path)?);
    }
    Ok(keys)
}

fn read_keys(path: &Path) -> Result<Vec<SignedPublicKey>, DebianError> {
    let failed = |message: String| DebianError::Keyring { path: path.to_owned(), message };
    let bytes = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    let keys: Vec<SignedPublicKey> = if bytes.starts_with(b"-----BEGIN") {
        let (keys, _) =
            SignedPublicKey::from_armor_many(bytes.as_slice()).map_err(|error| failed(error.to_string()))?;
        keys.filter_map(Result::ok).collect()
    } else {
        let keys = SignedPublicKey::from_bytes_many(bytes.as_slice()).map_err(|error| failed(error.to_string()))?;
        keys.filter_map(Result::ok).collect()
    };
    if keys.is_empty() { Err(failed("no OpenPGP keys in it".into())) } else { Ok(keys) }
}

/// Checks the signature of an `InRelease` that was fetched from `url` for `suite`, and reads it. `now` is in seconds
/// since 1970: a release that has expired may be an old one that somebody replays.
pub fn verify(
    text: &str,
    url: &str,
    suite: &str,
    keys: &[SignedPublicKey],
    keyrings: &[PathBuf],
    now: i64,
) -> Result<Release, DebianError> {
    let failed = |message: String| DebianError::Release { url: url.to_owned(), message };
    let (message, _) =
        CleartextSignedMessage::from_string(text).map_err(|error| failed(format!("not a signed release: {error}")))?;
    let signed = keys.iter().any(|key| signed_by(&message, key));
    if !signed {
        let names: Vec<String> = keyrings.iter().map(|path| path.display().to_string()).collect();
        return Err(DebianError::Signature { url: url.to_owned(), keyrings: names.join(", ") });
    }
    // Only what was signed is read.
    let signed_text = message.signed_text();
    let stanzas = control::parse(&signed_text);
    let stanza = stanzas.first().ok_or_else(|| failed("the release is empty".into()))?;
    let field = |name: &str| stanza.get(name).unwrap_or_default();
    if field("Suite") != suite && field("Codename") != suite {
        let found = format!("{} ({})", field("Codename"), field("Suite"));
        return Err(failed(format!("this is the release of {found}, not of {suite}")));
    }
    if let Some(until) = stanza.get("Valid-Until")
        && seconds(until).is_some_and(|until| until < now)
    {
        return Err(failed(format!(
            "the release was valid until {until}: the mirror is out of date, or the clock is wrong"
        )));
    }
    let mut release =
        Release { date: field("Date").to_owned(), by_hash: field("Acquire-By-Hash") == "yes", ..Release::default() };
    for line in field("SHA256").lines() {
        let mut words = line.split_whitespace();
        if let (Some(hash), Some(size), Some(path)) = (words.next(), words.next(), words.next())
            && let (Ok(hash), Ok(size)) = (Digest::from_hex(hash), size.parse())
        {
            release.files.insert(path.to_owned(), (hash, size));
        }
    }
    Ok(release)
}

fn signed_by(message: &CleartextSignedMessage, key: &SignedPublicKey) -> bool {
    let text = message.signed_text();
    // The file of keys vouches for primary keys, and they for their subkeys.
    let mut bound = key.public_subkeys.iter().filter(|subkey| subkey.verify_bindings(&key.primary_key).is_ok());
    by(message, &text, key) || bound.any(|subkey| by(message, &text, subkey))
}

fn by(message: &CleartextSignedMessage, text: &str, key: &impl VerifyingKey) -> bool {
    message.signatures().iter().any(|signature| {
        // SHA-1 and MD5 prove nothing any more.
        let hash = signature.hash_alg();
        let sound = matches!(hash, Some(HashAlgorithm::Sha256 | HashAlgorithm::Sha384 | HashAlgorithm::Sha512));
        sound && signature.verify(key, text.as_bytes()).is_ok()
    })
}

/// Seconds since 1970 of a date as releases write it (RFC 5322, with `UTC`).
fn seconds(date: &str) -> Option<i64> {
    let date = date.trim().replace("UTC", "+0000");
    jiff::fmt::rfc2822::parse(&date).ok().map(|zoned| zoned.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_releases() {
        assert_eq!(seconds("Thu, 01 Jan 1970 00:01:00 UTC"), Some(60));
        assert_eq!(seconds("soon"), None);
    }

    #[test]
    fn text_without_a_signature_is_refused() {
        let text = "Origin: Debian\nSuite: stable\n";
        assert!(matches!(verify(text, "u", "stable", &[], &[], 0), Err(DebianError::Release { .. })));
    }
}
