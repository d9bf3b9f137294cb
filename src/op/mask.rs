//! What a secret may look like in a text, and where a text holds it.

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::automaton::{Automaton, Node};

mod decode;
mod lane;
#[cfg(test)]
mod tests;

use decode::Spelling;
use lane::Lane;

/// What is shorter, in bytes, is not masked: it stands in every other line, and masking it would tell it.
pub const SHORTEST: usize = 4;
/// Digits of base64 that count wherever they are broken; fewer of them stand in a text by chance once blanks between
/// them do not count.
const SHORTEST_BROKEN: usize = 8;

/// The texts that are masked.
#[derive(Clone, Default)]
pub(super) struct Mask {
    /// As they stand in a text, each of whose bytes may be spelled in several ways.
    texts: BTreeSet<String>,
    /// In base64, which programs break into lines of any width.
    base64: BTreeSet<String>,
    /// The same in hexadecimal, in lower case.
    hex: BTreeSet<String>,
    /// What looks for them, once there was a text to look at.
    automata: OnceLock<Arc<Automata>>,
}

#[derive(Debug)]
struct Automata {
    texts: Automaton,
    base64: Automaton,
    hex: Automaton,
}

/// Ways to spell a text's bytes, one within the other, the outermost first. Each is read for itself: what is an escape
/// in one is none in another.
const SPELLINGS: [&[Spelling]; 8] = [
    &[Spelling::Url],
    &[Spelling::Form],
    &[Spelling::Backslash],
    &[Spelling::Quote],
    &[Spelling::Url, Spelling::Url],
    &[Spelling::Url, Spelling::Backslash],
    &[Spelling::Backslash, Spelling::Backslash],
    &[Spelling::Backslash, Spelling::Quote],
];

impl Mask {
    /// Adds a value: whole, and each of its lines; and these in base64, which is what HTTP's `Basic` has, and hex,
    /// wherever they are broken into lines.
    pub(super) fn insert(&mut self, value: &str) {
        let whole = value.trim();
        for text in whole.lines().map(str::trim).chain([whole]).filter(|text| text.len() >= SHORTEST) {
            self.texts.insert(text.to_owned());
            let (long, short) = base64_forms(text).into_iter().partition(|form| form.len() >= SHORTEST_BROKEN);
            let (long, short): (BTreeSet<String>, BTreeSet<String>) = (long, short);
            self.base64.extend(long);
            self.texts.extend(short);
            self.hex.insert(text.bytes().map(|byte| format!("{byte:02x}")).collect());
        }
        self.automata = OnceLock::new();
    }

    /// Adds what `other` masks.
    pub(super) fn join(&mut self, other: &Self) {
        self.texts.extend(other.texts.iter().cloned());
        self.base64.extend(other.base64.iter().cloned());
        self.hex.extend(other.hex.iter().cloned());
        self.automata = OnceLock::new();
    }

    /// Places that hold any of the texts, in order and apart from each other.
    pub(super) fn places(&self, text: &[u8]) -> Vec<(usize, usize)> {
        let mut scan = self.scan();
        scan.take(text);
        scan.finish();
        scan.found.into()
    }

    /// Looks at a text that comes in pieces.
    pub(super) fn scan(&self) -> Scan {
        let new = |texts: &BTreeSet<String>| Automaton::new(texts.iter().map(|text| text.as_bytes()));
        let build = || Arc::new(Automata { texts: new(&self.texts), base64: new(&self.base64), hex: new(&self.hex) });
        Scan {
            automata: Arc::clone(self.automata.get_or_init(build)),
            at: 0,
            node: Node::default(),
            lanes: SPELLINGS.iter().map(|spellings| Lane::new(spellings, false)).collect(),
            active: 0,
            base64: Lane::new(&[Spelling::Base64], true),
            base64_in_url: Lane::new(&[Spelling::Url, Spelling::Base64], true),
            hex: [Lane::new(&[Spelling::Hex], true), Lane::new(&[Spelling::Dump], true)],
            found: VecDeque::new(),
        }
    }
}

/// How far a text was looked at that comes in pieces. Each byte is looked at once in each way.
pub(super) struct Scan {
    automata: Arc<Automata>,
    /// Bytes taken so far.
    at: usize,
    /// The state for texts as they stand.
    node: Node,
    /// The states for texts in other spellings.
    lanes: Vec<Lane>,
    /// How many of them differ from the plain one.
    active: usize,
    base64: Lane,
    base64_in_url: Lane,
    hex: [Lane; 2],
    /// Places found, in order and apart from each other.
    found: VecDeque<(usize, usize)>,
}

impl Scan {
    pub(super) fn take(&mut self, bytes: &[u8]) {
        let automata = Arc::clone(&self.automata);
        let mut new = Vec::new();
        for byte in bytes {
            let (byte, at, mut found) = (*byte, self.at, |start, end| new.push((start, end)));
            if self.active > 0 || matches!(byte, b'%' | b'+' | b'\\' | b'\'') {
                let depth = self.node.depth();
                for lane in self.lanes.iter_mut().filter(|lane| lane.wants(byte)) {
                    if !lane.active {
                        lane.begin(self.node, at - depth..at);
                    }
                    lane.take(&automata.texts, byte, at, &mut found);
                    lane.rest();
                }
                self.active = self.lanes.iter().filter(|lane| lane.active).count();
            }
            self.node = automata.texts.next(self.node, byte);
            let longest = automata.texts.longest(self.node);
            if longest > 0 {
                found(at + 1 - longest, at + 1);
            }
            if self.base64_in_url.wants(byte) {
                if !self.base64_in_url.active {
                    self.base64_in_url.begin_as(&self.base64);
                }
                self.base64_in_url.take(&automata.base64, byte, at, &mut found);
                self.base64_in_url.rest();
            }
            self.base64.take(&automata.base64, byte, at, &mut found);
            self.hex.iter_mut().for_each(|lane| lane.take(&automata.hex, byte, at, &mut found));
            self.at = at + 1;
            new.drain(..).for_each(|(start, end)| self.add(start, end));
        }
    }

    /// Nothing follows: what might have begun something is itself.
    pub(super) fn finish(&mut self) {
        let automata = Arc::clone(&self.automata);
        let mut new = Vec::new();
        let mut found = |start, end| new.push((start, end));
        self.lanes.iter_mut().for_each(|lane| lane.finish(&automata.texts, &mut found));
        [&mut self.base64, &mut self.base64_in_url]
            .into_iter()
            .for_each(|lane| lane.finish(&automata.base64, &mut found));
        self.hex.iter_mut().for_each(|lane| lane.finish(&automata.hex, &mut found));
        new.into_iter().for_each(|(start, end)| self.add(start, end));
    }

    /// Adds a place. A spelling is known a few bytes later than what follows it may be.
    fn add(&mut self, mut start: usize, mut end: usize) {
        let mut later = Vec::new();
        while let Some(last) = self.found.back().copied().filter(|last| last.1 > start) {
            if last.0 >= end {
                later.push(last);
            } else {
                (start, end) = (start.min(last.0), end.max(last.1));
            }
            self.found.pop_back();
        }
        self.found.push_back((start, end));
        self.found.extend(later.into_iter().rev());
    }

    /// Up to where it is known what is to be masked.
    pub(super) fn known(&self) -> usize {
        let text = self.at - self.node.depth();
        let spelled = self.lanes.iter().chain([&self.base64_in_url]).filter(|lane| lane.active);
        let held = spelled.chain([&self.base64]).chain(&self.hex).filter_map(Lane::holds);
        held.fold(text, usize::min)
    }

    /// Where a text that ends at `end` must end instead for no place to be cut in two.
    pub(super) fn uncut(&self, end: usize) -> usize {
        self.found.iter().find(|(start, after)| *start < end && end < *after).map_or(end, |(start, _)| *start)
    }

    /// The next place that begins before `end`; what of it lies behind is another one.
    pub(super) fn next_before(&mut self, end: usize) -> Option<(usize, usize)> {
        let (start, after) = self.found.pop_front_if(|(start, _)| *start < end)?;
        if after > end {
            self.found.push_front((end, after));
        }
        Some((start, after.min(end)))
    }
}

/// `text` as any part of a URL may have it (RFC 3986, 2.3); what is encoded already stays as it is.
pub fn percent_encoded(text: &str) -> String {
    /// All that is not unreserved.
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    let is_encoded = |rest: &str| {
        let mut digits = rest.bytes().skip(1).take(2);
        rest.starts_with('%') && digits.len() == 2 && digits.all(|byte| byte.is_ascii_hexdigit())
    };
    let parts = text.char_indices().map(|(at, c)| {
        let end = at + c.len_utf8();
        let kept = is_encoded(&text[at..]);
        if kept { Cow::Borrowed(&text[at..end]) } else { utf8_percent_encode(&text[at..end], RESERVED).into() }
    });
    parts.collect()
}

/// What of a base64 text depends on `text` alone, wherever in it `text` begins: `user:password` is encoded as a whole.
fn base64_forms(text: &str) -> BTreeSet<String> {
    let mut forms = BTreeSet::new();
    for before in 0..3 {
        let bytes = [&vec![0; before], text.as_bytes()].concat();
        let (first, last) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
        for encoded in [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)] {
            forms.extend(encoded.get(first..last).filter(|form| form.len() >= SHORTEST).map(str::to_owned));
        }
    }
    forms
}
