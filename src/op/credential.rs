//! Texts of files that nobody has declared secrets of: what in them lets somebody in, going by how it is written.

use std::ops::Range;

use super::Secrets;
use super::query::parameters;
use super::userinfo::{self, Reading, TOKENS};

const SHOWN: &str = "***";
/// Begin and end the lines of a private key (RFC 7468).
const KEY_BEGINS: &str = "-----BEGIN ";
const KEY_ENDS: &str = "-----END ";
/// Words that a value follows behind a blank, as in netrc(5) and on command lines.
const BEFORE: [&str; 6] = ["password", "passwd", "--password", "--token", "bearer", "basic"];

/// `text` with `***` in place of values that let somebody in: passwords and tokens in URLs, what is assigned to a name of a
/// secret, what begins as tokens do, private keys. It has as many lines as before.
pub fn without_credentials(text: &str) -> String {
    let mut places: Vec<Range<usize>> = Vec::new();
    let userinfos = userinfo::all(text, Reading::Script).into_iter();
    places.extend(userinfos.map(|found| found.place.start..found.place.end - 1));
    places.extend(parameters(text).into_iter().map(|found| found.place));
    let (mut start, mut key) = (0, false);
    for line in text.split_inclusive('\n') {
        let end = start + line.trim_end_matches(['\n', '\r']).len();
        let line = &text[start..end];
        if line.contains(KEY_ENDS) {
            key = false;
        } else if key {
            places.push(start..end);
        } else {
            key = line.contains(KEY_BEGINS) && line.contains("PRIVATE KEY");
            places.extend(assigned(line).into_iter().chain(words(line)).map(|at| start + at.start..start + at.end));
        }
        start = text[end..].find('\n').map_or(text.len(), |at| end + at + 1);
    }
    places.retain(|place| !place.is_empty());
    places.sort_unstable_by_key(|place| (place.start, place.end));
    let (mut out, mut done) = (String::with_capacity(text.len()), 0);
    for place in places {
        if place.start >= done {
            out.push_str(&text[done..place.start]);
            out.push_str(SHOWN);
        }
        done = done.max(place.end);
    }
    out + &text[done..]
}

/// The first value in `line` that is assigned to a name of a secret, by `=` or `:`. One without quotes goes to the end.
fn assigned(line: &str) -> Option<Range<usize>> {
    let of_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    for (at, sign) in line.match_indices(['=', ':']) {
        let before = line[..at].trim_end_matches([' ', '\t', '"', '\'']);
        let name = &before[before.rfind(|c| !of_name(c)).map_or(0, |last| last + 1)..];
        // `==` compares, `://` is a URL's.
        let follows = line[at + sign.len()..].starts_with(['=', '/']) && sign == ":" || line[at + 1..].starts_with('=');
        let authorization = name.eq_ignore_ascii_case("authorization");
        if name.is_empty() || follows || !(Secrets::is_secret_name(name) || authorization) {
            continue;
        }
        let value = line[at + 1..].trim_start_matches([' ', '\t']);
        let start = line.len() - value.len();
        let quoted = value.starts_with(['"', '\'']).then(|| value[1..].find(&value[..1])).flatten();
        let place = match quoted {
            Some(length) => start + 1..start + 1 + length,
            None => start..line.trim_end().len(),
        };
        // A reference to a variable is no value.
        if place.start < place.end && !line[place.clone()].starts_with('$') {
            return Some(place);
        }
    }
    None
}

/// Words that follow one after which a password stands, and words that begin as tokens do.
fn words(line: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let (mut at, mut before) = (0, "");
    for word in line.split([' ', '\t', '"', '\'', '=', ',', ';']) {
        let told = BEFORE.iter().any(|name| before.eq_ignore_ascii_case(name));
        if told && word.contains(|c: char| c.is_alphanumeric()) || TOKENS.iter().any(|begin| word.starts_with(begin)) {
            found.push(at..at + word.len());
        }
        at += word.len() + 1;
        if !word.is_empty() {
            before = word;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lets_somebody_in_is_not_shown() {
        for (text, shown) in [
            ("export API_TOKEN=abc def\nPATH=/x\n", "export API_TOKEN=***\nPATH=/x\n"),
            ("{\"password\": \"p w\", \"user\": \"ann\"}", "{\"password\": \"***\", \"user\": \"ann\"}"),
            ("deb https://ann:pw22@h.example/x y", "deb https://***@h.example/x y"),
            ("get https://h/x?private_token=glpat-x&v=1", "get https://h/x?private_token=***"),
            ("machine h login ann password pw22", "machine h login ann password ***"),
            ("Authorization: Bearer abc", "Authorization: ***"),
            ("use ghp_abc here", "use *** here"),
            ("//h.example/:_authToken=abc\r\nx", "//h.example/:_authToken=***\r\nx"),
            (
                "a\n-----BEGIN RSA PRIVATE KEY-----\nMII\nB==\n-----END RSA PRIVATE KEY-----\nb\n",
                "a\n-----BEGIN RSA PRIVATE KEY-----\n***\n***\n-----END RSA PRIVATE KEY-----\nb\n",
            ),
        ] {
            assert_eq!(without_credentials(text), shown);
        }
        for text in ["", "\n", "TOKEN=$TOKEN\n", "export PATH=/opt/x:$PATH\n\n", "key == value", "a: b\nkey:\n"] {
            assert_eq!(without_credentials(text), text);
        }
    }
}
