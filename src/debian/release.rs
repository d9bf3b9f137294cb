//! `InRelease`: its signature (RFC 9580, 7, "Cleartext Signature Framework"), and the hashes it vouches for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use layers::digest::Digest;
use pgp::composed::{CleartextSignedMessage, Deserializable, SignedPublicKey};
use pgp::packet::Signature;
use pgp::types::KeyDetails;

use super::control::Stanza;
use super::{DebianError, FUTURE, control, signature};

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

/// Reads the keys of `paths`, armoured or binary. What two files say of one key counts together: a revocation in one of
/// them is not undone by the other.
pub fn keys(paths: &[PathBuf]) -> Result<Vec<SignedPublicKey>, DebianError> {
    let mut keys: Vec<SignedPublicKey> = Vec::new();
    for path in paths {
        for key in read_keys(path)? {
            match keys.iter_mut().find(|other| other.primary_key.fingerprint() == key.primary_key.fingerprint()) {
                Some(other) => merge(other, key),
                None => keys.push(key),
            }
        }
    }
    Ok(keys)
}

fn merge(into: &mut SignedPublicKey, from: SignedPublicKey) {
    into.details.revocation_signatures.extend(from.details.revocation_signatures);
    into.details.direct_signatures.extend(from.details.direct_signatures);
    for user in from.details.users {
        match into.details.users.iter_mut().find(|other| other.id == user.id) {
            Some(other) => other.signatures.extend(user.signatures),
            None => into.details.users.push(user),
        }
    }
    for subkey in from.public_subkeys {
        match into.public_subkeys.iter_mut().find(|other| other.key.fingerprint() == subkey.key.fingerprint()) {
            Some(other) => other.signatures.extend(subkey.signatures),
            None => into.public_subkeys.push(subkey),
        }
    }
}

/// Bytes of a file of keys.
const KEYS_LIMIT: u64 = 64 << 20;

fn read_keys(path: &Path) -> Result<Vec<SignedPublicKey>, DebianError> {
    let failed = |message: String| DebianError::Keyring { path: path.to_owned(), message };
    let bytes = layers::regular::given(path, KEYS_LIMIT).map_err(|error| failed(error.to_string()))?;
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
    let (message, _) =
        CleartextSignedMessage::from_string(text).map_err(|_| DebianError::Unsigned { url: url.to_owned() })?;
    if let Err(flaws) = signature::check(&message, keys, now) {
        let (url, names) = (url.to_owned(), keyrings.iter().map(|path| path.display().to_string()));
        let keyrings = names.collect::<Vec<_>>().join(", ");
        let reasons: Vec<String> = flaws.iter().map(ToString::to_string).collect();
        return Err(match reasons.as_slice() {
            [] => DebianError::Signature { url, keyrings, by: signers(&message) },
            reasons => DebianError::Untrusted { url, keyrings, reasons: reasons.join("; ") },
        });
    }
    // Only what was signed is read.
    read(&message.signed_text(), url, suite, now)
}

/// Reads a release that is known to be the archive's.
pub fn read(text: &str, url: &str, suite: &str, now: i64) -> Result<Release, DebianError> {
    let failed = |message: String| DebianError::Release { url: url.to_owned(), message };
    let stanzas = control::parse(text);
    let stanza = stanzas.first().ok_or_else(|| failed("the release is empty".into()))?;
    let field = |name: &str| stanza.get(name).unwrap_or_default();
    if field("Suite") != suite && field("Codename") != suite {
        let found = format!("{} ({})", field("Codename"), field("Suite"));
        return Err(failed(format!("this is the release of {found}, not of {suite}")));
    }
    current(stanza, now).map_err(|message| DebianError::Dates { url: url.to_owned(), message })?;
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

/// Who else signed it, for a message.
fn signers(message: &CleartextSignedMessage) -> String {
    let name = |it: &Signature| it.issuer_key_id().first().map(|id| id.to_string().to_uppercase());
    let names: Vec<String> = message.signatures().iter().filter_map(name).collect();
    if names.is_empty() { String::new() } else { format!(", but by {}", names.join(", ")) }
}

/// Whether a release is neither of the future nor one that its archive has given up.
fn current(stanza: &Stanza, now: i64) -> Result<(), String> {
    let read = |name: &str, text: &str| seconds(text).map_err(|why| format!("its {name} `{text}` is no date: {why}"));
    let date = stanza.get("Date").ok_or("it has no Date")?;
    let made = read("Date", date)?;
    if made > now.saturating_add(FUTURE) {
        return Err(format!(
            "the release is of {date}, which is still to come: the mirror's clock is wrong, or this one"
        ));
    }
    let Some(until) = stanza.get("Valid-Until") else { return Ok(()) };
    let end = read("Valid-Until", until)?;
    if end < made {
        return Err(format!("the release is of {date}, and valid until {until}, which was before"));
    }
    if end < now {
        return Err(format!("the release was valid until {until}: the mirror is out of date, or the clock is wrong"));
    }
    Ok(())
}

/// Seconds since 1970 of a date as releases write it (RFC 5322, with `UTC`). A weekday has to be the right one.
fn seconds(date: &str) -> Result<i64, String> {
    let date = date.trim();
    let date = date.strip_suffix(" UTC").map_or_else(|| date.to_owned(), |date| format!("{date} +0000"));
    jiff::fmt::rfc2822::parse(&date).map(|zoned| zoned.timestamp().as_second()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_releases() {
        assert_eq!(seconds("Thu, 01 Jan 1970 00:01:00 UTC"), Ok(60));
        assert_eq!(seconds("Thu, 1 Jan 1970 00:01:00 +0000"), Ok(60));
        assert_eq!(seconds("Thu, 01 Jan 1970 00:01:00 GMT"), Ok(60));
        for wrong in
            ["", "soon", "Fri, 01 Jan 1970 00:01:00 UTC", "1970-01-01T00:01:00Z", "Thu, 32 Jan 1970 00:01:00 UTC"]
        {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    fn dated(text: &str, now: i64) -> Result<(), String> {
        current(&control::parse(text)[0], now)
    }

    #[test]
    fn releases_that_are_not_of_today_are_refused() {
        let date = "Suite: x\nDate: Thu, 01 Jan 1970 00:01:00 UTC\n";
        assert_eq!(dated(date, 60), Ok(()));
        assert_eq!(dated(date, 50), Ok(()));
        assert!(dated(date, 49).unwrap_err().contains("still to come"));
        assert!(dated("Suite: x\n", 60).unwrap_err().contains("no Date"));
        assert!(dated("Suite: x\nDate: never\n", 60).unwrap_err().contains("Date `never`"));
        let until = |until: &str, now| dated(&format!("{date}Valid-Until: {until}\n"), now);
        assert_eq!(until("Thu, 01 Jan 1970 00:02:00 UTC", 120), Ok(()));
        assert!(until("Thu, 01 Jan 1970 00:02:00 UTC", 121).unwrap_err().contains("was valid until"));
        assert!(until("Thu, 01 Jan 1970 00:00:59 UTC", 60).unwrap_err().contains("which was before"));
        for unreadable in ["", "Mon, 01 Jan 1970 00:02:00 UTC", "1970-01-01", "garbage"] {
            assert!(until(unreadable, 60).unwrap_err().contains("Valid-Until"), "{unreadable}");
        }
    }

    #[test]
    fn text_without_a_signature_is_refused() {
        let text = "Origin: Debian\nSuite: stable\n";
        let error = verify(text, "u", "stable", &[], &[], 0).unwrap_err();
        assert_eq!(error.to_string(), "u is not a signed text (an OpenPGP clear-signed message)");
    }
}
