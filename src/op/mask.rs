//! What a secret may look like in a text, and where a text holds it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::automaton::Automaton;

/// What is shorter, in bytes, is not masked: it stands in every other line, and masking it would tell it.
pub const SHORTEST: usize = 4;
/// An encoded form that is shorter says too little to be worth masking.
const SHORTEST_ENCODED: usize = 8;

/// The texts that are masked.
#[derive(Clone, Default)]
pub(super) struct Mask {
    /// As they stand in a text.
    texts: BTreeSet<String>,
    /// Encoded forms, which programs break into lines of any width.
    broken: BTreeSet<String>,
    /// What looks for them, once there was a text to look at.
    automata: OnceLock<Arc<Automata>>,
}

#[derive(Debug)]
struct Automata {
    texts: Automaton,
    broken: Automaton,
}

impl Mask {
    /// Adds a value: whole, each of its lines, and each of these as URLs and JSON have them; and in base64, which is
    /// what HTTP's `Basic` has, and hex, wherever these are broken into lines.
    pub(super) fn insert(&mut self, value: &str) {
        let whole = value.trim();
        for text in whole.lines().map(str::trim).chain([whole]).filter(|text| text.len() >= SHORTEST) {
            self.texts.insert(text.to_owned());
            self.texts.insert(percent_encoded(text));
            self.texts.extend(as_url_has_it(text));
            let json = serde_json::Value::from(text).to_string();
            self.texts.insert(json[1..json.len() - 1].to_owned());
            self.broken.extend(base64_forms(text));
            let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
            self.broken.insert(hex.to_uppercase());
            self.broken.insert(hex);
        }
        self.automata = OnceLock::new();
    }

    /// Places that hold any of the texts, in order and apart from each other.
    pub(super) fn places(&self, text: &[u8]) -> Vec<(usize, usize)> {
        let mut scan = self.scan();
        scan.take(text);
        scan.found.into()
    }

    /// Looks at a text that comes in pieces.
    pub(super) fn scan(&self) -> Scan {
        let new = |texts: &BTreeSet<String>| Automaton::new(texts.iter().map(|text| text.as_bytes()));
        let build = || Arc::new(Automata { texts: new(&self.texts), broken: new(&self.broken) });
        Scan {
            automata: Arc::clone(self.automata.get_or_init(build)),
            at: 0,
            node: 0,
            joined: 0,
            kept: VecDeque::new(),
            found: VecDeque::new(),
        }
    }
}

/// How far a text was looked at that comes in pieces. Each byte is looked at once.
pub(super) struct Scan {
    automata: Arc<Automata>,
    /// Bytes taken so far.
    at: usize,
    /// The state for texts.
    node: usize,
    /// The state for encoded forms: line breaks do not count.
    joined: usize,
    /// Places of the last bytes that are no line breaks: as many as may be the beginning of an encoded form.
    kept: VecDeque<usize>,
    /// Places found, in order and apart from each other.
    found: VecDeque<(usize, usize)>,
}

impl Scan {
    pub(super) fn take(&mut self, bytes: &[u8]) {
        let automata = Arc::clone(&self.automata);
        for byte in bytes {
            let end = self.at + 1;
            self.node = automata.texts.next(self.node, *byte);
            let longest = automata.texts.longest(self.node);
            if longest > 0 {
                self.add(end - longest, end);
            }
            if !matches!(byte, b'\n' | b'\r') {
                self.joined = automata.broken.next(self.joined, *byte);
                self.kept.push_back(self.at);
                let depth = automata.broken.depth(self.joined);
                self.kept.drain(..self.kept.len() - depth);
                let longest = automata.broken.longest(self.joined);
                if longest > 0 {
                    self.add(self.kept[depth - longest], end);
                }
            }
            self.at = end;
        }
    }

    fn add(&mut self, mut start: usize, end: usize) {
        while let Some(last) = self.found.back().filter(|last| last.1 > start) {
            start = start.min(last.0);
            self.found.pop_back();
        }
        self.found.push_back((start, end));
    }

    /// Up to where it is known what is to be masked. A few bytes that may begin an encoded form say too little to be
    /// held back: almost every line ends in such.
    pub(super) fn known(&self) -> usize {
        let text = self.at - self.automata.texts.depth(self.node);
        let broken = self.kept.front().filter(|_| self.kept.len() >= SHORTEST);
        broken.map_or(text, |start| text.min(*start))
    }

    /// Where a text that ends at `end` must end instead for no place to be cut in two.
    pub(super) fn uncut(&self, end: usize) -> usize {
        self.found.iter().find(|(start, after)| *start < end && end < *after).map_or(end, |(start, _)| *start)
    }

    /// The next place that begins before `end`.
    pub(super) fn next_before(&mut self, end: usize) -> Option<(usize, usize)> {
        self.found.pop_front_if(|(start, _)| *start < end)
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

    fn masked(mask: &Mask, text: &str) -> String {
        let mut out = text.to_owned();
        mask.places(text.as_bytes()).into_iter().rev().for_each(|(start, end)| out.replace_range(start..end, "***"));
        out
    }

    #[test]
    fn encoded_forms_are_found_however_they_are_broken_into_lines() {
        let secret = "0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOPQRSTUVWXYZ-~~~~~~~~~~~~";
        let mut mask = Mask::default();
        mask.insert(secret);
        let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        for encoded in [STANDARD.encode(secret), URL_SAFE_NO_PAD.encode(secret), hex.to_uppercase(), hex] {
            for (width, end) in [(1, "\n"), (3, "\r\n"), (60, "\n"), (64, "\r\n"), (76, "\n"), (1000, "\n")] {
                let lines: Vec<&str> =
                    (0..encoded.len()).step_by(width).map(|at| &encoded[at..encoded.len().min(at + width)]).collect();
                let shown = masked(&mask, &lines.join(end));
                assert!(shown.trim_start_matches("***").len() <= 5, "{width}: {shown:?}");
            }
        }
    }

    #[test]
    fn places_that_meet_and_overlap_are_one() {
        let mut mask = Mask::default();
        ["abcd", "bcdefg", "ghijkl", "ijkl"].iter().for_each(|text| mask.insert(text));
        assert_eq!(mask.places(b"x abcdefghijkl y"), [(2, 14)]);
        assert_eq!(mask.places(b"abcdabcd"), [(0, 4), (4, 8)]);
    }

    /// Whatever the pieces, the places are those of the whole.
    #[test]
    fn pieces_make_no_difference() {
        let mut mask = Mask::default();
        mask.insert("hunter2\nanother-line-of-it");
        let text = format!("a hunter2 b hunt {} aHVudGVy\nMg==", STANDARD.encode("hunter2\nanother-line-of-it"));
        let whole = mask.places(text.as_bytes());
        assert!(whole.len() >= 2);
        for size in 1..9 {
            let mut scan = mask.scan();
            text.as_bytes().chunks(size).for_each(|piece| scan.take(piece));
            assert_eq!(Vec::from(scan.found), whole);
        }
    }
}
