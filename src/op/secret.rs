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
mod tests {
    use super::*;

    fn secrets(values: &[&str]) -> Secrets {
        let mut secrets = Secrets::default();
        for (at, value) in values.iter().enumerate() {
            secrets.insert(&format!("S{at}_TOKEN"), value);
        }
        secrets
    }

    #[test]
    fn values_are_revealed_and_masked() {
        let secrets = secrets(&["hunter2\nsecond-line"]);
        let text = format!("curl -H {}", marker("S0_TOKEN"));
        assert_eq!(secrets.reveal(&text), "curl -H hunter2\nsecond-line");
        assert_eq!(secrets.mask("got second-line here"), "got *** here");
        assert_eq!(secrets.mask(&secrets.reveal(&text)), "curl -H ***");
        assert_eq!(secrets.mask(&text), "curl -H ***");
        assert_eq!(Secrets::as_written(&text), "curl -H {{.Vars.S0_TOKEN}}");
        assert!(!format!("{secrets:?}").contains("hunter2"));
    }

    #[test]
    fn tokens_in_queries_are_revealed_and_no_key_of_anything() {
        let mut secrets = Secrets::default();
        let with = |token: &str| format!("https://a.example/x?v=1&private_token={token}&sig=a%2Fb");
        let text = secrets.tokens_of_url(&with("glpat-1234"));
        assert_eq!(secrets.reveal_url(&text), with("glpat-1234"));
        assert_eq!(Secrets::as_written(&text), "https://a.example/x?v=1&private_token=***&sig=***");
        assert_eq!(secrets.mask("glpat-1234 and a/b"), "*** and a/b");
        assert_eq!(Secrets::default().tokens_of_url(&with("other-token")), text, "another token is no other file");
        let other = secrets.tokens_of_url(&with("other-token"));
        assert_eq!(secrets.reveal_url(&other), with("other-token"));
    }

    #[test]
    fn secrets_that_overlap_leave_nothing_behind() {
        let secrets = secrets(&["abcd", "abcdefgh", "ghijkl"]);
        assert_eq!(secrets.mask("x abcdefgh y"), "x *** y");
        assert_eq!(secrets.mask("x abcdefghijkl y"), "x *** y");
        assert_eq!(secrets.mask("no secret"), "no secret");
    }

    #[test]
    fn short_values_are_left_alone() {
        assert_eq!(secrets(&["a", "", "1\n}\n-----"]).mask("a } 100 -----"), "a } 100 ***");
    }

    fn streamed(secrets: &Secrets, text: &str, size: usize) -> Vec<String> {
        let mut stream = secrets.stream();
        let mut given: Vec<String> = text.as_bytes().chunks(size).filter_map(|piece| stream.take(piece, 64)).collect();
        given.extend(stream.finish());
        given
    }

    #[test]
    fn a_stream_masks_what_the_whole_text_would_have_masked() {
        let secrets = secrets(&["hunter2", "0123456789", "first-line\nsecond-line"]);
        let long = "no line ".repeat(40);
        let text = format!("a hunter2 and 0123456789 hunt\nfirst-line\nsecond-line\n{long}hunter2{long}\nthe end hun");
        for size in [1, 2, 3, 7, 64, 1000] {
            assert_eq!(streamed(&secrets, &text, size).concat(), secrets.mask(&text), "{size}");
        }
    }

    #[test]
    fn a_line_is_not_held_back_for_what_it_might_go_on_to_be() {
        let secrets = secrets(&["hunter2-hunter2"]);
        let mut stream = secrets.stream();
        // Base64 of the secret begins with `aHVu`: too little of it is here to wait for more.
        assert_eq!(stream.take(b"Password for aHV\n", 64).as_deref(), Some("Password for aHV\n"));
        assert_eq!(stream.take(b"aHVudGVyMi1o\n", 64), None);
        assert_eq!(stream.take(b"dW50ZXIy\nnext\n", 64).as_deref(), Some("***\nnext\n"));
    }

    /// Whatever a task prints, what is held of it is bounded.
    #[test]
    fn what_is_held_back_has_an_end() {
        let secrets = secrets(&["hunter2hunter2hunter2", "aaaaaaaa", "\\\\\\\\"]);
        for (begin, piece) in [
            ("aHVu", "\n"),
            ("aHVu", " "),
            ("aHVu", "\\n"),
            ("aHVu\n", "\\"),
            ("68756e7465", ":"),
            ("", "a"),
            ("", "a\n"),
            ("hunter2", "\\"),
            ("hunter2", "%5C"),
            ("hunter2", "'"),
            ("", "hunter2"),
        ] {
            let mut stream = secrets.stream();
            stream.take(begin.as_bytes(), 4096);
            let piece = piece.repeat(8192 / piece.len());
            for _ in 0..20 {
                stream.take(piece.as_bytes(), 4096);
                let held = stream.pending.len();
                assert!(held <= MOST_PENDING + 8192, "{begin:?}, then {:?}: {held}", &piece[..2]);
            }
            assert!(!stream.finish().unwrap_or_default().contains("aaaa"));
        }
    }

    #[test]
    fn passwords_of_urls_are_secrets_without_a_name() {
        let mut secrets = Secrets::default();
        let urls = "curl http://bob:VARpw22@h:80/f http://bob:VARpw22@h:80/g https://eve:x%40yz@h:80/";
        let marked = secrets.logins_of_script(urls);
        assert!(!marked.contains("VARpw22") && !marked.contains("bob"), "{marked:?}");
        assert_eq!(secrets.reveal(&marked), urls);
        assert_eq!(Secrets::as_written(&marked), "curl http://h:80/f http://h:80/g https://h:80/");
        assert_eq!(secrets.mask(&marked), "curl http://***@h:80/f http://***@h:80/g https://***@h:80/");
        assert_eq!(secrets.mask("pw VARpw22 x@yz x%40yz"), "pw *** *** ***");
        assert!(Secrets::in_text(&marked) && !Secrets::beside_logins(&marked));
        // Another password has the same name, where it is the only one of its server.
        let other = Secrets::default().logins_of_script(&urls.replace("VARpw22", "other"));
        assert_eq!(other, marked);
        assert_eq!(secrets.logins_of_value("http://h/"), "http://h/");
    }

    #[test]
    fn names_that_end_as_secrets_do() {
        assert!(Secrets::is_secret_name("NPM_TOKEN") && Secrets::is_secret_name("api_key"));
        for name in ["DB_PASS", "PASS", "DB_PASSWD", "KEY_PASSPHRASE", "PROXY_AUTH", "GITHUB_PAT"] {
            assert!(Secrets::is_secret_name(name), "{name}");
        }
        for name in ["TOKENIZER_VERSION", "COMPASS", "COMPAT", "SEARCH_PATH", "BYPASS"] {
            assert!(!Secrets::is_secret_name(name), "{name}");
        }
    }
}
