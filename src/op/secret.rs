//! Secrets stand in ops as markers: what is hashed, recorded or shown never holds their values.

use std::collections::BTreeMap;

use super::mask::{Mask, Scan};
use super::query;
use super::userinfo::{self, Reading};

/// Opens and closes a marker. No text of a blueprint may hold it.
const MARK: char = '\0';
const OPEN: &str = "\0secret:";
const SHOWN: &str = "***";
/// Begins the name of what stands before the host in a URL, its `@` included: no variable is called so.
const LOGIN: char = ':';
/// Begins the name of a value in the query of a URL: no variable is called so either.
const QUERY: char = '?';

/// The variable that has a script whose text holds a secret; only processes of the same user can read it.
pub const SCRIPT: &str = "ALLOY_SCRIPT";
/// What a shell is told instead of such a script: it stands on the command line, which everybody on the machine can
/// read. The first line stays the first, and what the script starts does not inherit it.
pub const RUN_SCRIPT: &str = "eval \"unset ALLOY_SCRIPT;$ALLOY_SCRIPT\"";

/// Endings of names that are secret without being called so.
const ENDINGS: [&str; 7] = ["TOKEN", "PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "KEY", "CREDENTIALS"];
/// The same of whole words: other words end so, too.
const WORDS: [&str; 3] = ["AUTH", "PASS", "PAT"];

/// What stands in ops in place of the value of `name`.
pub fn marker(name: &str) -> String {
    format!("{OPEN}{name}{MARK}")
}

/// Names and values of secrets.
#[derive(Clone, Default)]
pub struct Secrets {
    values: BTreeMap<String, String>,
    mask: Mask,
}

impl Secrets {
    /// True for names that end as secrets do.
    pub fn is_secret_name(name: &str) -> bool {
        let name = name.to_ascii_uppercase();
        let word = name.rsplit(['_', '-', '.']).next().unwrap_or_default();
        ENDINGS.iter().any(|ending| name.ends_with(ending)) || WORDS.contains(&word)
    }

    /// Adds a secret. True if it was not known.
    pub fn insert(&mut self, name: &str, value: &str) -> bool {
        let new = self.values.insert(name.to_owned(), value.to_owned()).is_none_or(|before| before != value);
        if new {
            self.mask.insert(value);
        }
        new
    }

    /// `script` with markers in place of user and password in its URLs. They are called by their server: another
    /// password is no other script.
    pub fn logins_of_script(&mut self, script: &str) -> String {
        self.logins(script, Reading::Script)
    }

    /// The same of a value, whose passwords may hold whatever they like.
    pub fn logins_of_value(&mut self, value: &str) -> String {
        self.logins(value, Reading::Values)
    }

    fn logins(&mut self, text: &str, reading: Reading) -> String {
        let mut out = text.to_owned();
        let mut markers = Vec::new();
        for found in userinfo::all(text, reading) {
            userinfo::spellings(found.password).iter().for_each(|password| self.hide(password));
            let name = self.named(LOGIN, found.host, &text[found.place.clone()]);
            markers.push((found.place, marker(&name)));
        }
        markers.into_iter().rev().for_each(|(place, marker)| out.replace_range(place, &marker));
        out
    }

    /// `url` with markers in place of what lets somebody in by its query: another token is no other file.
    pub fn tokens_of_url(&mut self, url: &str) -> String {
        let mut out = url.to_owned();
        let mut markers = Vec::new();
        for found in query::parameters(url) {
            let value = &url[found.place.clone()];
            userinfo::spellings(value).iter().for_each(|value| self.hide(value));
            let name = self.named(QUERY, &format!("{} {}", found.host, found.name), value);
            markers.push((found.place, marker(&name)));
        }
        markers.into_iter().rev().for_each(|(place, marker)| out.replace_range(place, &marker));
        out
    }

    /// The name of what a server is told: that of the server, and a number where it has several.
    fn named(&mut self, kind: char, of: &str, value: &str) -> String {
        let of: String = of.chars().filter(|c| c.is_alphanumeric() || "-._[]: ".contains(*c)).collect();
        let mut number = 1;
        loop {
            let name = if number == 1 { format!("{kind}{of}") } else { format!("{kind}{of} {number}") };
            if self.values.get(&name).is_none_or(|known| known == value) {
                self.values.insert(name.clone(), value.to_owned());
                return name;
            }
            number += 1;
        }
    }

    /// Adds those of somebody else, to be masked as well.
    pub fn join(&mut self, others: &Self) {
        self.values.extend(others.values.clone());
        self.mask.join(&others.mask);
    }

    /// True if `text` holds the value of a secret.
    pub fn hides(&self, text: &str) -> bool {
        Self::in_text(text) || !self.mask.places(text.as_bytes()).is_empty()
    }

    /// Masks a text that no variable holds, such as a proxy's password.
    pub fn hide(&mut self, value: &str) {
        self.mask.insert(value);
    }

    /// True if `text` holds the marker of a secret.
    pub fn in_text(text: &str) -> bool {
        text.contains(MARK)
    }

    /// True if `text` holds the marker of a secret elsewhere than before the host of a URL.
    pub fn beside_logins(text: &str) -> bool {
        Self::in_text(&Self::without_logins(text))
    }

    /// `text` without what stands before the hosts of URLs; other markers stay.
    pub fn without_logins(text: &str) -> String {
        replaced(text, |name| name.starts_with(LOGIN).then(String::new))
    }

    /// What stands before the host in `rest`, a URL behind its scheme, and what follows; `None` if there is no login.
    pub(super) fn login_of<'a>(&self, rest: &'a str) -> Option<(&str, &'a str)> {
        let (name, after) = rest.strip_prefix(OPEN)?.split_once(MARK)?;
        let value = self.values.get(name).filter(|_| name.starts_with(LOGIN))?;
        Some((value.strip_suffix('@')?, after))
    }

    /// `text` with the values in place of their markers.
    pub fn reveal(&self, text: &str) -> String {
        self.reveal_as(text, str::to_owned)
    }

    /// The same, with each value in the form that `form` gives it. What stands before the host of a URL has its form.
    pub fn reveal_as(&self, text: &str, form: impl Fn(&str) -> String) -> String {
        replaced(text, |name| {
            let value = self.values.get(name)?;
            Some(if name.starts_with([LOGIN, QUERY]) { value.clone() } else { form(value) })
        })
    }

    /// `text` with templates in place of markers: as its author wrote it, but for users and passwords in URLs, and `***`
    /// for what stands in their queries.
    pub fn as_written(text: &str) -> String {
        replaced(text, |name| {
            Some(match name.chars().next() {
                Some(LOGIN) => String::new(),
                Some(QUERY) => SHOWN.to_owned(),
                _ => format!("{{{{.Vars.{name}}}}}"),
            })
        })
    }

    /// `text` with `***` in place of every value; markers stay. What may be kept, and told apart again.
    pub fn mask_values(&self, text: &str) -> String {
        let parts = text.split(MARK).enumerate();
        let parts = parts.map(|(at, part)| if at % 2 == 1 { part.to_owned() } else { self.mask(part) });
        parts.collect::<Vec<_>>().join(&MARK.to_string())
    }

    /// `text` with `***` in place of every marker.
    pub fn without_markers(text: &str) -> String {
        replaced(text, |name| Some(if name.starts_with(LOGIN) { format!("{SHOWN}@") } else { SHOWN.to_owned() }))
    }

    /// `text` with `***` in place of every value and marker. Each line of a value counts by itself, and so do the
    /// forms in which URLs, JSON and base64 have it.
    pub fn mask(&self, text: &str) -> String {
        let text = Self::without_markers(text);
        let mut out = String::with_capacity(text.len());
        let mut done = 0;
        for (start, end) in self.mask.places(text.as_bytes()) {
            out.push_str(&text[done..start]);
            out.push_str(SHOWN);
            done = end;
        }
        out + &text[done..]
    }

    /// Masks a text that comes in pieces.
    pub fn stream(&self) -> Stream {
        Stream { scan: self.mask.scan(), pending: Vec::new(), start: 0 }
    }
}

/// Bytes that are held back, at the most, so that a place is shown as one.
const MOST_PENDING: usize = 64 << 10;

/// A text that comes in pieces, and goes on with its secrets masked.
pub struct Stream {
    scan: Scan,
    /// What was not given on yet.
    pending: Vec<u8>,
    /// Where that begins in the whole text.
    start: usize,
}

impl Stream {
    /// Takes a piece. Gives the lines that it completes, or, where more than `longest` bytes are no line, what is known
    /// of them; `None` while there is nothing to give.
    pub fn take(&mut self, piece: &[u8], longest: usize) -> Option<String> {
        self.scan.take(piece);
        self.pending.extend_from_slice(piece);
        let mut known = self.scan.uncut(self.scan.known().max(self.start)).max(self.start);
        loop {
            let lines = self.pending[..known - self.start].iter().rposition(|byte| *byte == b'\n');
            let Some(end) = lines.map(|at| self.start + at + 1) else { break };
            match self.scan.uncut(end) {
                uncut if uncut == end => return Some(self.give(end)),
                uncut => known = uncut.max(self.start),
            }
        }
        let all = self.scan.known().max(self.start);
        // One secret after the other may overlap without an end.
        let known = if self.pending.len() > longest.max(MOST_PENDING) { all } else { self.scan.uncut(all) };
        (self.pending.len() > longest && known > self.start).then(|| self.give(known))
    }

    /// All that is left.
    pub fn finish(mut self) -> Option<String> {
        self.scan.finish();
        let end = self.start + self.pending.len();
        (end > self.start).then(|| self.give(end))
    }

    fn give(&mut self, end: usize) -> String {
        let rest = self.pending.split_off(end - self.start);
        let bytes = std::mem::replace(&mut self.pending, rest);
        let (mut out, mut done) = (Vec::with_capacity(bytes.len()), 0);
        while let Some((start, after)) = self.scan.next_before(end) {
            // Of a form that was not held back, the beginning is given already.
            let (start, after) = (start.max(self.start) - self.start, after.saturating_sub(self.start));
            if after > done {
                out.extend_from_slice(&bytes[done..start.max(done)]);
                out.extend_from_slice(SHOWN.as_bytes());
                done = after;
            }
        }
        out.extend_from_slice(&bytes[done..]);
        self.start = end;
        Secrets::without_markers(&String::from_utf8_lossy(&out))
    }
}

/// `text` with what `value` gives for a name in place of its marker.
fn replaced(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN) {
        out.push_str(before);
        match after.split_once(MARK).and_then(|(name, after)| Some((value(name)?, after))) {
            Some((value, after)) => {
                out.push_str(&value);
                rest = after;
            }
            None => {
                out.push_str(OPEN);
                rest = after;
            }
        }
    }
    out + rest
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

#[cfg(test)]
mod tests;
