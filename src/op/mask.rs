//! What a secret may look like in a text, and where a text holds it.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// What is shorter, in bytes, is not masked: it stands in every other line, and masking it would tell it.
pub const SHORTEST: usize = 4;
/// An encoded form that is shorter says too little to be worth masking.
const SHORTEST_ENCODED: usize = 8;

/// The texts that are masked.
#[derive(Clone, Default)]
pub(super) struct Mask(BTreeSet<String>);

impl Mask {
    /// Adds a value: whole, each of its lines, and each of these as URLs, JSON and HTTP's `Basic` have them.
    pub(super) fn insert(&mut self, value: &str) {
        let whole = value.trim();
        for text in whole.lines().map(str::trim).chain([whole]).filter(|text| text.len() >= SHORTEST) {
            self.0.insert(text.to_owned());
            self.0.insert(percent_encoded(text));
            self.0.extend(as_url_has_it(text));
            let json = serde_json::Value::from(text).to_string();
            self.0.insert(json[1..json.len() - 1].to_owned());
            self.0.extend(base64_forms(text));
        }
    }

    /// Places that hold any of the texts, in order and apart from each other.
    pub(super) fn places(&self, text: &[u8]) -> Vec<(usize, usize)> {
        let mut found: Vec<(usize, usize)> = Vec::new();
        for pattern in &self.0 {
            let pattern = pattern.as_bytes();
            let windows = text.windows(pattern.len()).enumerate();
            found.extend(windows.filter(|(_, w)| *w == pattern).map(|(at, _)| (at, at + pattern.len())));
        }
        found.sort_unstable();
        let mut apart: Vec<(usize, usize)> = Vec::new();
        for (start, end) in found {
            match apart.last_mut() {
                Some(last) if start < last.1 => last.1 = last.1.max(end),
                _ => apart.push((start, end)),
            }
        }
        apart
    }

    /// The length of the longest of the texts.
    pub(super) fn longest(&self) -> usize {
        self.0.iter().map(String::len).max().unwrap_or_default()
    }
}

/// `text` as any part of a URL may have it (RFC 3986, 2.3); what is encoded already stays as it is.
pub fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        let follows = |n: usize| text.as_bytes().get(at + n).is_some_and(u8::is_ascii_hexdigit);
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (byte == b'%' && follows(1) && follows(2)) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// As a URL's path and query have it once the URL was read.
fn as_url_has_it(text: &str) -> Vec<String> {
    let Ok(url) = url::Url::parse(&format!("http://a.example/{text}")) else { return Vec::new() };
    let path = url.path().trim_start_matches('/').to_owned();
    let query = url::Url::parse(&format!("http://a.example/?{text}"));
    let query = query.ok().and_then(|url| url.query().map(str::to_owned));
    [Some(path), query].into_iter().flatten().filter(|form| form.len() >= SHORTEST_ENCODED).collect()
}

/// What of a base64 text depends on `text` alone, wherever in it `text` begins: `user:password` is encoded as a whole.
fn base64_forms(text: &str) -> BTreeSet<String> {
    let mut forms = BTreeSet::new();
    for before in 0..3 {
        let bytes = [&vec![0; before], text.as_bytes()].concat();
        let (first, last) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
        for encoded in [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)] {
            forms.extend(encoded.get(first..last).filter(|form| form.len() >= SHORTEST_ENCODED).map(str::to_owned));
        }
    }
    forms
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn encoded_forms_are_found() {
        let mut mask = Mask::default();
        mask.insert("p@ss/word+\"x\" ü");
        for text in [
            percent_encoded("p@ss/word+\"x\" ü"),
            "p@ss/word+\\\"x\\\" ü".to_owned(),
            url::Url::parse("http://a.example/?t=p@ss/word+\"x\" ü").unwrap().to_string(),
        ] {
            assert_eq!(mask.places(text.as_bytes()).len(), 1, "{text}");
        }
        for user in ["", "a:", "ab:", "abc:", "abcd:"] {
            let header = STANDARD.encode(format!("{user}p@ss/word+\"x\" ü:rest"));
            let places = mask.places(header.as_bytes());
            assert!(places.iter().any(|(start, end)| end - start >= 20), "{user}");
        }
    }

    #[test]
    fn what_is_encoded_stays() {
        assert_eq!(percent_encoded("a%2Fb/%zz"), "a%2Fb%2F%25zz");
    }
}
