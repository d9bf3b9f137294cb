//! `user:password@` in URLs (RFC 3986, 3.2.1): where a text has it, and what of it lets somebody in.

use std::ops::Range;

use percent_encoding::percent_decode_str;

use super::token;

/// What stands before the host of a URL.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Userinfo<'a> {
    /// Where it stands in its text, the `@` included.
    pub(super) place: Range<usize>,
    /// The server, and its port.
    pub(super) host: &'a str,
    /// The password as it is written; a user without one is a token.
    pub(super) password: &'a str,
}

/// How a text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// A script or the like, which has URLs between quotes, and variables of a shell in them.
    Script,
    /// A value, or several with white space between: passwords hold whatever they like.
    Values,
}

/// Those of all URLs in `text`.
pub(super) fn all(text: &str, reading: Reading) -> Vec<Userinfo<'_>> {
    let (mut found, mut from): (Vec<Userinfo<'_>>, usize) = (Vec::new(), 0);
    while let Some(at) = text[from..].find("://") {
        let (before, start) = (&text[from..from + at], from + at + 3);
        let word = text[start..].find(|c: char| ends_word(c, reading)).map_or(text.len(), |end| start + end);
        found.extend(of_authority(&text[..word], start, is_http(before), reading));
        from = found.last().map_or(start, |last| start.max(last.place.end));
    }
    found
}

/// That of a single value, a URL or what stands for one without its scheme. With `http`, a scheme that is not said is
/// that: then a user without a password is a token.
fn single(value: &str, http: bool) -> Option<Userinfo<'_>> {
    let (http, start) = match value.split_once("://") {
        Some((scheme, _)) if is_scheme(scheme) => (is_http(scheme), scheme.len() + 3),
        _ => (http, if value.starts_with("//") { 2 } else { 0 }),
    };
    of_authority(value, start, http, Reading::Values)
}

/// Passwords of what somebody gives on a command line or in a variable: options, values, places of any kind.
pub fn passwords_given(word: &str) -> Vec<String> {
    let value = word.split_once('=').filter(|(name, _)| name.starts_with("--")).map_or(word, |(_, value)| value);
    let mut found = passwords_in(word);
    // `name:tag@sha256:…` is an image.
    let place = single(value.trim(), false).filter(|found| !found.host.starts_with("sha256:"));
    found.extend(place.into_iter().flat_map(|found| spellings(found.password)));
    found
}

/// Passwords of a single value, as they stand there and as they are meant.
pub fn passwords_of(value: &str, http: bool) -> Vec<String> {
    single(value.trim(), http).map_or_else(Vec::new, |found| spellings(found.password))
}

/// Passwords of the URLs in `text`, as they stand there and as they are meant.
pub fn passwords_in(text: &str) -> Vec<String> {
    all(text, Reading::Values).iter().flat_map(|found| spellings(found.password)).collect()
}

/// Users of servers that let everybody in.
const ANONYMOUS: [&str; 2] = ["anonymous:", "ftp:"];

/// Where the URLs of a script, or of another text with quotes in it, have user and password, and the server of each. A
/// user alone is none, whoever it lets in, and neither is a line that is a comment.
pub fn passwords_written(text: &str) -> Vec<(Range<usize>, &str)> {
    // Whoever is anonymous has no password, whatever stands there (RFC 1635).
    let anonymous = |userinfo: &str| ANONYMOUS.iter().any(|user| userinfo.starts_with(user));
    written(text, |userinfo| userinfo.contains(':') && !anonymous(userinfo))
}

/// The same of users that are tokens.
pub fn tokens_written(text: &str) -> Vec<(Range<usize>, &str)> {
    written(text, |userinfo| token::begins_as_one(userinfo) && !userinfo.contains(':'))
}

fn written(text: &str, counts: impl Fn(&str) -> bool) -> Vec<(Range<usize>, &str)> {
    let found = all(text, Reading::Script).into_iter();
    let found = found.filter(|found| counts(&text[found.place.clone()]) && !in_comment(text, found.place.start));
    found.map(|found| (found.place, found.host)).collect()
}

/// True for a place in a line that is a comment.
pub(super) fn in_comment(text: &str, at: usize) -> bool {
    text[..at].rsplit('\n').next().is_some_and(|before| before.trim_start().starts_with('#'))
}

/// A single value without user and password.
pub fn without_userinfo(value: &str, http: bool) -> String {
    let mut out = value.to_owned();
    if let Some(found) = single(value, http) {
        out.replace_range(found.place, "");
    }
    out
}

/// A text without user and password in its URLs.
pub fn without_logins(text: &str) -> String {
    let mut out = text.to_owned();
    all(text, Reading::Values).into_iter().rev().for_each(|found| out.replace_range(found.place, ""));
    out
}

/// `text` as it stands, and without percent signs.
pub(super) fn spellings(text: &str) -> Vec<String> {
    let decoded = percent_decoded(text);
    let other = (decoded != text).then_some(decoded);
    std::iter::once(text.to_owned()).chain(other).collect()
}

/// What percent signs stand for (RFC 3986, 2.1).
pub fn percent_decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Looks at what begins at `start`, behind a scheme.
fn of_authority(text: &str, start: usize, http: bool, reading: Reading) -> Option<Userinfo<'_>> {
    let rest = &text[start..];
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let at = rest[..end].rfind('@').or_else(|| {
        // A password that holds what would end it: what stands before cannot be a host and its port.
        let port = rest[..end].split_once(':').map(|(_, port)| port)?;
        let is_port = port.bytes().all(|byte| byte.is_ascii_digit());
        if reading == Reading::Script || is_port || rest.starts_with('[') { None } else { rest.rfind('@') }
    })?;
    let userinfo = &rest[..at];
    let host = rest[at + 1..].split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let templates = userinfo.contains("{{") || userinfo.contains('\0');
    let of_a_shell = reading == Reading::Script && userinfo.contains(['$', '{', '`']);
    let password = match userinfo.split_once(':') {
        Some((_, password)) => password,
        None if http => userinfo,
        None => "",
    };
    let found = Userinfo { place: start..start + at + 1, host, password };
    // Also before no host at all: a variable that should have named one may be empty.
    (!templates && !of_a_shell && !password.is_empty()).then_some(found)
}

fn ends_word(c: char, reading: Reading) -> bool {
    c.is_whitespace() || c.is_control() || (reading == Reading::Script && "\"'<>`".contains(c))
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

/// True for what ends as a scheme of HTTP does: `sparse+https` is one.
fn is_http(before: &str) -> bool {
    let before = before.to_ascii_lowercase();
    before.ends_with("http") || before.ends_with("https")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passwords(text: &str, reading: Reading) -> Vec<&str> {
        all(text, reading).into_iter().map(|found| found.password).collect()
    }

    #[test]
    fn all_urls_of_a_script() {
        let script = "curl -u a:b 'http://ann:pw22@h.example:80/x@y' \"https://token@g/\" ssh://git@g/x.git\n\
                      git clone https://$USER:$PW@h/ http://h:80/@scope postgres://p:q@db";
        assert_eq!(passwords(script, Reading::Script), ["pw22", "token", "q"]);
        let found = &all(script, Reading::Script)[0];
        assert_eq!((&script[found.place.clone()], found.host), ("ann:pw22@", "h.example:80"));
        assert_eq!(passwords("http://ann:{{.Vars.T}}@h/ http://ann:\0secret:T\0@h/", Reading::Values), [""; 0]);
    }

    #[test]
    fn a_password_is_written_where_no_variable_gives_it() {
        let text = "url: https://git@a/x\ncommand: curl https://$U:$P@a/ https://{{.Vars.U}}:{{.Vars.P}}@a/\nurl: ";
        assert_eq!(passwords_written(text), []);
        assert_eq!(passwords_written(" # as https://user:password@host/\n"), []);
        assert_eq!(passwords_written("ftp://anonymous:anonymous@h.example/a https://ftp:x@h.example/"), []);
        let written = format!("{text}'https://ann:pw22@b.example:80/x'\n");
        let at = text.len() + 9;
        assert_eq!(passwords_written(&written), [(at..at + 9, "b.example:80")]);
    }

    #[test]
    fn a_host_may_be_missing() {
        // As of a variable that is not set.
        for url in ["http://ann:pw22@", "http://ann:pw22@/x", "http://ann:pw22@?a", " http://ann:pw22@", "//ann:pw22@"]
        {
            assert_eq!(passwords_of(url, false), ["pw22"], "{url}");
            assert_eq!(passwords_given(url).last().unwrap(), "pw22", "{url}");
            assert!(!without_userinfo(url.trim(), false).contains("pw22"));
        }
        assert_eq!(passwords_given("--base=http://ann:pw22@").last().unwrap(), "pw22");
        assert_eq!(passwords_of("http://token@", false), ["token"]);
        assert_eq!(without_logins("see http://ann:pw22@ and http://token@/x"), "see http:// and http:///x");
        assert_eq!(passwords("curl 'http://ann:pw22@'", Reading::Script), ["pw22"]);
        assert_eq!(passwords_in("git@h: https:// ssh://git@"), [""; 0]);
    }

    #[test]
    fn a_password_holds_what_it_likes() {
        for password in ["pa,ssW0rd", "pa=ss", "pa'ss", "p\"a", "p@a", "p/a", "p?a#b", "p%40a", "pä;a"] {
            for value in [format!("https://ann:{password}@h/"), format!("//ann:{password}@h:1/x")] {
                assert_eq!(passwords_of(&value, false)[0], password, "{value}");
                assert!(!without_userinfo(&value, false).contains(password));
            }
            let list = format!("https://a.example/@b sparse+https://ann:{password}@h/ http://c:80/");
            assert_eq!(passwords_in(&list)[0], password);
        }
        assert_eq!(passwords_of("ann:pr W0rd@proxy:3128", false), ["pr W0rd"]);
        assert_eq!(passwords_of("https://ann:p%40a@h/", false), ["p%40a", "p@a"]);
        assert_eq!(passwords_of("token@p:1", true), ["token"]);
        assert_eq!(without_userinfo("ann:pw@host:x.git", false), "host:x.git");
        for nobody in
            ["git@host:x.git", "ssh://git@host/x", "https://h/@a/b", "http://[::1]:80/a@b", "h:80/a@b", "/a@b"]
        {
            assert_eq!(without_userinfo(nobody, false), nobody);
            assert_eq!(passwords_of(nobody, false), [""; 0]);
        }
    }
}
