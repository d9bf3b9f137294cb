//! `InRelease`: its signature (RFC 9580, 7, "Cleartext Signature Framework"), and the hashes it vouches for.

use std::collections::BTreeMap;

use layers::digest::Digest;
use pgp::composed::CleartextSignedMessage;
use pgp::packet::Signature;

use super::control::Stanza;
use super::keys::Keys;
use super::{DebianError, FUTURE, control, signature};
use crate::yaml::{self, one_line};

/// A date, for messages about others.
const EXAMPLE: &str = "Thu, 01 Jan 1970 00:01:00 UTC";

/// What a release says, once its signature is found good.
#[derive(Clone, Debug, Default)]
pub struct Release {
    /// When it was made, as it says it.
    pub date: String,
    /// The same, in seconds since 1970.
    pub made: i64,
    /// Primary keys by whom it is signed and that are trusted, by their fingerprints.
    pub signers: Vec<String>,
    /// Files are also found under their hash.
    pub by_hash: bool,
    /// Path below the suite's directory to hash and size.
    pub files: BTreeMap<String, (Digest, u64)>,
}

/// Checks the signature of an `InRelease` that was fetched from `url` for `suite`, and reads it. `now` is in seconds
/// since 1970: a release that has expired may be an old one that somebody replays.
pub fn verify(text: &str, url: &str, suite: &str, keys: &Keys, now: i64) -> Result<Release, DebianError> {
    let (message, _) =
        CleartextSignedMessage::from_string(text).map_err(|_| DebianError::Unsigned { url: url.to_owned() })?;
    let signers = signature::check(&message, keys, now).map_err(|flaws| {
        let (url, keyrings) = (url.to_owned(), keys.names());
        let reasons: Vec<String> = flaws.iter().map(ToString::to_string).collect();
        match reasons.as_slice() {
            [] => DebianError::Signature { url, keyrings, by: others(&message) },
            reasons => DebianError::Untrusted { url, keyrings, reasons: reasons.join("; ") },
        }
    })?;
    // Only what was signed is read.
    Ok(Release { signers, ..read(&message.signed_text(), url, suite, now)? })
}

/// Reads a release that is known to be the archive's.
pub fn read(text: &str, url: &str, suite: &str, now: i64) -> Result<Release, DebianError> {
    let failed = |message: String| DebianError::Release { url: url.to_owned(), message };
    let stanzas = control::parse(text);
    let stanza = stanzas.first().ok_or_else(|| failed("the release is empty".into()))?;
    let field = |name: &str| stanza.line(name).unwrap_or_default();
    if field("Suite") != suite && field("Codename") != suite {
        let found = format!("{} ({})", field("Codename"), field("Suite"));
        return Err(failed(format!("this is the release of {found}, not of {suite}")));
    }
    let made = current(stanza, now).map_err(|message| DebianError::Dates { url: url.to_owned(), message })?;
    let (date, by_hash) = (field("Date").to_owned(), field("Acquire-By-Hash") == "yes");
    let mut release = Release { date, made, by_hash, ..Release::default() };
    for line in stanza.get("SHA256").unwrap_or_default().lines() {
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
fn others(message: &CleartextSignedMessage) -> String {
    let name = |it: &Signature| it.issuer_key_id().first().map(|id| id.to_string().to_uppercase());
    let names: Vec<String> = message.signatures().iter().filter_map(name).collect();
    if names.is_empty() { String::new() } else { format!(", but by {}", names.join(", ")) }
}

/// When a release was made, if it is neither of the future nor one that its archive has given up.
fn current(stanza: &Stanza, now: i64) -> Result<i64, String> {
    let read = |name: &str, text: &str| {
        let wrong = || format!("its {name} `{}` is not a date as releases write it, like `{EXAMPLE}`", one_line(text));
        seconds(text).ok_or_else(wrong)
    };
    let date = stanza.get("Date").ok_or("it has no Date")?;
    let made = read("Date", date)?;
    if made > now.saturating_add(FUTURE) {
        return Err(format!(
            "the release is of {date}, which is still to come: the mirror's clock is wrong, or this one"
        ));
    }
    let Some(until) = stanza.get("Valid-Until") else { return Ok(made) };
    let end = read("Valid-Until", until)?;
    if end < made {
        return Err(format!("the release is of {date}, and valid until {until}, which was before"));
    }
    if end < now {
        return Err(format!("the release was valid until {until}: the mirror is out of date, or the clock is wrong"));
    }
    Ok(made)
}

/// Seconds since 1970 of a date as releases write it (RFC 5322, with `UTC`). A weekday has to be the right one. It is one
/// line, without a comment: what it says is pinned and shown.
pub fn seconds(date: &str) -> Option<i64> {
    let date = date.trim();
    if !yaml::shows(date) || date.contains('(') {
        return None;
    }
    let mut words: Vec<String> = date.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect();
    if let [_, _, _, _, time, zone] = words.as_mut_slice() {
        // Ubuntu has a blank in place of the first digit of hours before ten.
        if time.len() == "3:25:35".len() {
            time.insert(0, '0');
        }
        if zone == "UTC" {
            *zone = "+0000".to_owned();
        }
    }
    let date = words.join(" ");
    jiff::fmt::rfc2822::parse(&date).ok().map(|zoned| zoned.timestamp().as_second())
}

/// The other way round.
pub fn written(seconds: i64) -> String {
    let time = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    time.strftime("%a, %d %b %Y %H:%M:%S UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_releases() {
        assert_eq!(seconds("Thu, 01 Jan 1970 00:01:00 UTC"), Some(60));
        assert_eq!(written(60), "Thu, 01 Jan 1970 00:01:00 UTC");
        assert_eq!(seconds("Thu, 1 Jan 1970 00:01:00 +0000"), Some(60));
        // As Ubuntu writes it.
        assert_eq!(seconds("Thu, 01 Jan 1970  3:25:35 UTC"), Some(12_335));
        assert_eq!(seconds("Thu, 01 Jan 1970 00:01:00 GMT"), Some(60));
        for wrong in [
            "",
            "soon",
            "Fri, 01 Jan 1970 00:01:00 UTC",
            "1970-01-01T00:01:00Z",
            "Thu, 32 Jan 1970 00:01:00 UTC",
            "Thu, 01 Jan 1970\n 00:01:00 UTC",
            "Thu, 01 Jan 1970 00:01:00 +0000 (\u{1b}[2J)",
            "Thu, 01 Jan 1970 00:01:00 +0000 (new)",
        ] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }

    fn dated(text: &str, now: i64) -> Result<i64, String> {
        current(&control::parse(text)[0], now)
    }

    #[test]
    fn releases_that_are_not_of_today_are_refused() {
        let date = "Suite: x\nDate: Thu, 01 Jan 1970 00:01:00 UTC\n";
        assert_eq!(dated(date, 60), Ok(60));
        assert_eq!(dated(date, 50), Ok(60));
        assert!(dated(date, 49).unwrap_err().contains("still to come"));
        assert!(dated("Suite: x\n", 60).unwrap_err().contains("no Date"));
        assert!(dated("Suite: x\nDate: never\n", 60).unwrap_err().contains("Date `never`"));
        let until = |until: &str, now| dated(&format!("{date}Valid-Until: {until}\n"), now);
        assert_eq!(until("Thu, 01 Jan 1970 00:02:00 UTC", 120), Ok(60));
        assert!(until("Thu, 01 Jan 1970 00:02:00 UTC", 121).unwrap_err().contains("was valid until"));
        assert!(until("Thu, 01 Jan 1970 00:00:59 UTC", 60).unwrap_err().contains("which was before"));
        for unreadable in ["", "Mon, 01 Jan 1970 00:02:00 UTC", "1970-01-01", "garbage"] {
            let message = until(unreadable, 60).unwrap_err();
            let expected = "is not a date as releases write it, like `Thu, 01 Jan 1970 00:01:00 UTC`";
            assert_eq!(message, format!("its Valid-Until `{unreadable}` {expected}"));
        }
    }

    #[test]
    fn text_without_a_signature_is_refused() {
        let text = "Origin: Debian\nSuite: stable\n";
        let error = verify(text, "u", "stable", &Keys::default(), 0).unwrap_err();
        assert_eq!(error.to_string(), "u is not a signed text (an OpenPGP clear-signed message)");
    }
}
