//! Parameters of URLs that let somebody in (`?private_token=…`): where a text has their values.

use std::ops::Range;

use super::Secrets;
use super::userinfo::in_comment;

/// Names of parameters that let somebody in, beside those that are called as secrets are.
const SIGNED: [&str; 3] = ["signature", "sig", "x-amz-credential"];

/// A value that lets somebody in.
#[derive(Debug, PartialEq, Eq)]
pub struct Parameter<'a> {
    /// Where the value stands in its text.
    pub place: Range<usize>,
    /// The parameter's name.
    pub name: &'a str,
    /// The server, and its port.
    pub host: &'a str,
}

/// True for the name of a parameter that lets somebody in.
pub fn lets_in(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    Secrets::is_secret_name(name) || SIGNED.contains(&lower.as_str()) || lower.ends_with("signature")
}

/// Those of all URLs in `text` whose values stand there. Variables are somebody else's.
pub fn parameters(text: &str) -> Vec<Parameter<'_>> {
    let (mut found, mut from) = (Vec::new(), 0);
    while let Some(at) = text[from..].find("://") {
        let start = from + at + 3;
        let ends = |c: char| c.is_whitespace() || c.is_control() || "\"'<>`".contains(c);
        let end = text[start..].find(ends).map_or(text.len(), |end| start + end);
        let url = &text[start..end];
        from = end.max(start);
        let Some(query) = url.find('?') else { continue };
        let host = url.split(['/', '?']).next().unwrap_or_default();
        let host = host.rsplit('@').next().unwrap_or_default();
        let mut begin = start + query + 1;
        for pair in text[begin..end].split('#').next().unwrap_or_default().split('&') {
            if let Some((name, value)) = pair.split_once('=')
                && lets_in(name)
                && (!name.eq_ignore_ascii_case("key") || is_key(value))
                && !value.is_empty()
                && !value.contains(['$', '{'])
            {
                let place = begin + name.len() + 1..begin + pair.len();
                found.push(Parameter { place, name, host });
            }
            begin += pair.len() + 1;
        }
    }
    found
}

/// True for what looks as keys of servers do, and not as the name of a file or of a product: what is masked does not tell
/// one download from another.
fn is_key(value: &str) -> bool {
    value.len() >= 16 && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// Those that are tokens for sure, in lines that are no comments.
pub fn parameters_written(text: &str) -> Vec<Parameter<'_>> {
    let mut found = parameters(text);
    found.retain(|found| {
        found.is_token() && is_secret(&text[found.place.clone()]) && !in_comment(text, found.place.start)
    });
    found
}

/// Endings of names of files that somebody signed, or signs with.
const FILES: [&str; 8] = [".asc", ".gpg", ".minisig", ".p7s", ".pem", ".pub", ".sig", ".sign"];
/// Words that say what kind of thing is meant, and not which.
const KINDS: [&str; 10] =
    ["basic", "bearer", "default", "false", "inline", "none", "null", "optional", "required", "true"];

/// False for a value that lets nobody in, whatever it is called: the name of a file, a version, a word.
fn is_secret(value: &str) -> bool {
    let value = value.to_ascii_lowercase();
    let is_version =
        value.strip_prefix('v').unwrap_or(&value).bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let is_file = FILES.iter().any(|ending| value.ends_with(ending));
    let is_short = if is_version { value.len() < 12 } else { value.len() < 4 };
    !is_short && !is_file && !KINDS.contains(&value.as_str())
}

impl Parameter<'_> {
    /// False for what is only called `key`: that may be anything.
    pub fn is_token(&self) -> bool {
        !self.name.eq_ignore_ascii_case("key")
    }
}

/// A URL with `***` in place of what lets somebody in by its query.
pub fn without_tokens(url: &str) -> String {
    let mut out = url.to_owned();
    parameters(url).into_iter().rev().for_each(|found| out.replace_range(found.place, "***"));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lets_nobody_in_is_no_token() {
        let written = |query: &str| parameters_written(&format!("https://h.example/x?{query}")).len();
        for query in
            ["signature=none", "pat=v1&auth=none", "sig=x.sig", "signature=SHA256SUMS.asc", "token=1.2.3", "auth=no"]
        {
            assert_eq!(written(query), 0, "{query}");
        }
        for query in ["signature=nonesuch9", "pat=glpat-xyz", "sig=a%2Fb%3D", "token=123456789012", "auth=hunter2"] {
            assert_eq!(written(query), 1, "{query}");
        }
    }

    #[test]
    fn values_are_found_that_let_somebody_in() {
        let text = "get https://ann@h.example:8443/x?v=1&private_token=glpat-x&sig=a%2Fb#sig=c 'http://g/?X-Amz-Signature=9' \
                    https://h/?access_token={{.Vars.T}}&job_token=$T&token= https://h/x?tokens=1&v=2 \
                    https://h/dl?key=linux https://h/dl?key=gcc/13.3/gcc-13.3.tar.xz https://k/dl?key=AIzaSyD0123456789";
        let found = parameters(text);
        let told: Vec<_> = found.iter().map(|found| (found.name, &text[found.place.clone()], found.host)).collect();
        assert_eq!(
            told,
            [
                ("private_token", "glpat-x", "h.example:8443"),
                ("sig", "a%2Fb", "h.example:8443"),
                ("X-Amz-Signature", "9", "g"),
                ("key", "AIzaSyD0123456789", "k")
            ]
        );
    }
}
