//! What a registry asks for with `WWW-Authenticate` (RFC 9110, 11; distribution's token authentication).

use std::time::Duration;

use http_auth::ChallengeRef;
use http_auth::parser::ChallengeParser;
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

/// One challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

impl Challenge {
    /// Of all challenges in these headers, the one that is answered: a token is preferred to a password. Schemes that
    /// alloy does not know are passed over, and so is what follows a syntax error.
    pub(super) fn best(headers: &HeaderMap) -> Option<Self> {
        let all = headers.get_all(WWW_AUTHENTICATE).iter().flat_map(|value| Self::parse(value.as_bytes()));
        all.reduce(|best, other| if best == Self::Basic { other } else { best })
    }

    /// With the realm as one who was asked at `url` reads it: it may be a part of an URL alone.
    pub(super) fn against(self, url: &Url) -> Self {
        match self {
            Self::Bearer { realm, service, scope } => {
                let whole = Url::parse(&realm).is_err().then(|| url.join(&realm).ok()).flatten();
                Self::Bearer { realm: whole.map_or(realm, String::from), service, scope }
            }
            Self::Basic => self,
        }
    }

    /// The challenges of one header that alloy can answer.
    pub(super) fn parse(header: &[u8]) -> Vec<Self> {
        // The parser knows ASCII alone; a realm for people may be in another language.
        let text: String = header.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { '?' }).collect();
        let known = |text: &str| -> Vec<Self> {
            let whole = ChallengeParser::new(text).map_while(Result::ok);
            whole.filter_map(|challenge| Self::known(&challenge)).collect()
        };
        match ChallengeParser::new(&text).all(|challenge| challenge.is_ok()) {
            true => known(&text),
            false => known(&tidied(&text)),
        }
    }

    fn known(challenge: &ChallengeRef<'_>) -> Option<Self> {
        if challenge.scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !challenge.scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let parameter = |wanted: &str| {
            let mut all = challenge.params.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
            all.next().map(|(_, value)| value.to_unescaped())
        };
        Some(Self::Bearer {
            realm: parameter("realm").filter(|realm| !realm.is_empty())?,
            service: parameter("service"),
            scope: parameter("scope"),
        })
    }
}

/// The header as the grammar has it: one space behind a scheme, one comma between parameters, and all values in quotes.
/// What a scheme has in the place of parameters (RFC 9110's token68) is left out: no scheme that is answered here has it.
/// What follows a quote that is not closed is not read.
fn tidied(header: &str) -> String {
    let mut challenges: Vec<(&str, Vec<String>)> = Vec::new();
    // Whether the last value is a scope that is not in quotes: its commas look like those between parameters.
    let mut scope = false;
    let mut rest = header.trim_start_matches(BETWEEN);
    while !rest.is_empty() {
        let end = rest.find([' ', '\t', ',', '=', '"']).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        let value = behind.trim_start_matches(BLANK).strip_prefix('=').map(|value| value.trim_start_matches(BLANK));
        match (value, challenges.last_mut()) {
            // A name and a value. A token68 ends with signs of equality, and has nothing behind these.
            (Some(value), Some((_, parameters))) if is_token(word) && !value.is_empty() && !value.starts_with('=') => {
                let (written, behind) = match value.strip_prefix('"') {
                    Some(inside) => match closed(inside) {
                        Some(end) => inside.split_at(end),
                        None => break,
                    },
                    None => {
                        let end = value.find([' ', '\t', ',']).unwrap_or(value.len());
                        (value[..end].trim_end_matches(';'), &value[end..])
                    }
                };
                let in_quotes = value.starts_with('"');
                scope = !in_quotes && word.eq_ignore_ascii_case("scope");
                match in_quotes {
                    true => parameters.push(format!("{word}=\"{written}\"")),
                    false => parameters.push(format!("{word}=\"{}\"", written.replace(['"', '\\'], ""))),
                }
                rest = if in_quotes { &behind[1..] } else { behind };
            }
            (None, Some((_, parameters))) if scope && ACTIONS.contains(&word) => {
                if let Some(last) = parameters.last_mut() {
                    last.insert_str(last.len() - 1, &format!(",{word}"));
                }
                rest = behind;
            }
            // A scheme, or what some write behind one.
            (value, _) => {
                scope = false;
                let of_scheme = challenges.last().is_some_and(|(_, parameters)| parameters.is_empty());
                let spaced = header[..header.len() - rest.len()].trim_end_matches(BLANK).ends_with(',');
                if value.is_none() && is_token(word) && (!of_scheme || spaced) {
                    challenges.push((word, Vec::new()));
                }
                rest = match word.is_empty() || value.is_some() {
                    true => &rest[rest.find([' ', '\t', ',']).unwrap_or(rest.len())..],
                    false => behind,
                };
            }
        }
        rest = rest.trim_start_matches(BETWEEN);
    }
    let written = challenges.iter().map(|(scheme, parameters)| format!("{scheme} {}", parameters.join(", ")));
    written.map(|challenge| challenge.trim_end().to_owned()).collect::<Vec<_>>().join(", ")
}

const BLANK: [char; 2] = [' ', '\t'];
const BETWEEN: [char; 4] = [' ', '\t', ',', ';'];
/// What a scope allows (distribution's token authentication).
const ACTIONS: [&str; 4] = ["pull", "push", "delete", "*"];

/// True for what may be the name of a scheme or a parameter (RFC 9110, 5.6.2).
fn is_token(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Where a text in quotes ends.
fn closed(inside: &str) -> Option<usize> {
    let mut escaped = false;
    inside.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

/// How long a token is good for that does not say so (distribution's token specification).
const UNSAID: Duration = Duration::from_secs(60);
/// No token is trusted to be good for longer, whatever its server says, in seconds.
const LONGEST: f64 = 24.0 * 60.0 * 60.0;

/// The answer of a token server.
#[derive(Deserialize)]
pub(super) struct Token {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    /// Seconds; some servers write them as a fraction or as text.
    #[serde(default)]
    expires_in: Value,
}

impl Token {
    /// How long it may be used. It is renewed before it ends, so that no request dies of it on the way.
    pub(super) fn lasts(&self) -> Duration {
        let said = match &self.expires_in {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse::<f64>().ok(),
            _ => None,
        };
        // What makes no sense says nothing.
        let said = said.filter(|seconds| *seconds >= 1.0).map(|seconds| Duration::from_secs_f64(seconds.min(LONGEST)));
        let all = said.unwrap_or(UNSAID);
        all - (all / 4).min(Duration::from_secs(10))
    }

    /// The token; `access_token` is the same under another name.
    pub(super) fn value(self) -> Option<String> {
        [self.token, self.access_token].into_iter().flatten().find(|token| !token.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(headers: &[&str]) -> Option<Challenge> {
        let values = headers.iter().map(|text| (WWW_AUTHENTICATE, text.parse().unwrap()));
        Challenge::best(&values.collect())
    }

    fn bearer(realm: &str) -> Option<Challenge> {
        Some(Challenge::Bearer { realm: realm.into(), service: None, scope: None })
    }

    #[test]
    fn challenges() {
        assert_eq!(best(&["Basic realm=\"x\""]), Some(Challenge::Basic));
        let header = r#"Bearer realm="https://a.example/token",service="r.example",scope="repository:a/b:pull,push""#;
        assert_eq!(
            best(&[header]),
            Some(Challenge::Bearer {
                realm: "https://a.example/token".into(),
                service: Some("r.example".into()),
                scope: Some("repository:a/b:pull,push".into()),
            })
        );
        assert_eq!(best(&["Negotiate"]), None);
        assert_eq!(best(&[]), None);
    }

    #[test]
    fn all_challenges_of_all_headers_count() {
        let expected = bearer("https://a.example/t");
        for headers in [
            &[r#"Basic realm="x", Bearer realm="https://a.example/t""#][..],
            &[r#"Bearer realm="https://a.example/t", Basic realm="x""#],
            &[r#"Negotiate, Bearer realm="https://a.example/t""#],
            &[r#"Bearer realm="", Bearer realm="https://a.example/t""#],
            &[r#"Basic realm="x""#, r#"Bearer realm="https://a.example/t""#],
            &["Negotiate", r#"BEARER Realm="https://a.example/t""#],
            &[r#"Digest realm="a, Basic b", nonce="1", qop="auth,auth-int", Bearer realm="https://a.example/t""#],
            &[r#"Basic realm="\"quoted\", Bearer realm=\"no\"", Bearer realm="https:\//a.example/t""#],
            &["Basic realm=\"Zug\u{e4}nge\"", r#"Bearer realm="https://a.example/t""#],
        ] {
            assert_eq!(best(headers), expected, "{headers:?}");
        }
        // What comes before a syntax error counts; a Bearer without a realm cannot be answered.
        assert_eq!(best(&[r#"Basic realm="x", Bearer realm="cut"#]), Some(Challenge::Basic));
        assert_eq!(best(&["Bearer service=\"x\", Basic realm=\"y\""]), Some(Challenge::Basic));
    }

    #[test]
    fn challenges_that_the_grammar_does_not_have_are_read_as_they_are_meant() {
        let whole = Some(Challenge::Bearer {
            realm: "https://a.example/t?x=y".into(),
            service: Some("r.example".into()),
            scope: Some("repository:a/b:pull,push".into()),
        });
        for header in [
            r#"Bearer  realm="https://a.example/t?x=y",service="r.example",scope="repository:a/b:pull,push""#,
            "Bearer\trealm=\"https://a.example/t?x=y\",  service=\"r.example\",\tscope=\"repository:a/b:pull,push\"",
            r#"Bearer realm="https://a.example/t?x=y"  ,,  service="r.example",, ,scope="repository:a/b:pull,push","#,
            r#"Bearer ,realm="https://a.example/t?x=y", service="r.example", scope="repository:a/b:pull,push""#,
            r#"Bearer realm="https://a.example/t?x=y" service="r.example" scope="repository:a/b:pull,push""#,
            r#"Bearer realm = "https://a.example/t?x=y"; service = r.example; scope="repository:a/b:pull,push""#,
            "Bearer realm=https://a.example/t?x=y,service=r.example,scope=repository:a/b:pull,push",
            "Bearer scope=repository:a/b:pull,push,service=r.example,realm=https://a.example/t?x=y",
            "Bearer service=r.example, realm=https://a.example/t?x=y, scope=repository:a/b:pull,push, Basic realm=x",
            r#"Negotiate YIIab/+c==, Bearer  realm="https://a.example/t?x=y",service="r.example",scope="repository:a/b:pull,push""#,
            r#"NTLM TlRMTVNTUAAC, Bearer realm=https://a.example/t?x=y,service="r.example",scope="repository:a/b:pull,push""#,
            r#"Negotiate abc=, Basic realm="x", Bearer realm="https://a.example/t?x=y",service="r.example",scope="repository:a/b:pull,push""#,
            r#"Bearer realm="https://a.example/t?x=y",service="r.example",scope="repository:a/b:pull,push", Negotiate oYG2=="#,
            r#", Basic  realm="a \"b\", Bearer realm=no", Bearer realm="https://a.example/t?x=y",service="r.example",scope="repository:a/b:pull,push""#,
        ] {
            assert_eq!(best(&[header]), whole, "{header}");
        }
        for header in
            ["Basic  realm=\"x\"", "Basic  realm=two words", "Negotiate abc==, Basic", "Basic  ,,", "Basic realm="]
        {
            assert_eq!(best(&[header]), Some(Challenge::Basic), "{header}");
        }
        for header in ["Negotiate Basic==", "=,=", "\"Basic\"", "Bearer  realm=", "realm=\"x\"", ",,"] {
            assert_eq!(best(&[header]), None, "{header}");
        }
    }

    #[test]
    fn tokens_end_a_little_early() {
        let lasts = |json: &str| serde_json::from_str::<Token>(json).unwrap().lasts().as_secs();
        assert_eq!(lasts(r#"{"token": "x", "expires_in": 300}"#), 290);
        assert_eq!(lasts(r#"{"token": "x", "expires_in": 4}"#), 3);
        assert_eq!(lasts(r#"{"token": "x"}"#), 50);
        assert_eq!(lasts(r#"{"token": "x", "expires_in": 18446744073709551615}"#), 24 * 60 * 60 - 10);
    }

    #[test]
    fn nothing_that_is_said_of_the_end_loses_a_token() {
        let lasts = |said: &str| {
            let token: Token = serde_json::from_str(&format!(r#"{{"token": "x", "expires_in": {said}}}"#)).unwrap();
            token.lasts().as_secs()
        };
        for said in ["300.0", "\"300\"", "\"300.5\"", "300"] {
            assert_eq!(lasts(said), 290, "{said}");
        }
        for said in ["-1", "0", "\"\"", "\"soon\"", "\"NaN\"", "null", "[]", "{}", "true", "0.2"] {
            assert_eq!(lasts(said), 50, "{said}");
        }
        assert_eq!(lasts("\"inf\""), 24 * 60 * 60 - 10);
    }

    #[test]
    fn a_token_has_two_names() {
        let value = |json: &str| serde_json::from_str::<Token>(json).unwrap().value();
        for json in [r#"{"token": "", "access_token": "t"}"#, r#"{"token": null, "access_token": "t"}"#] {
            assert_eq!(value(json).as_deref(), Some("t"), "{json}");
        }
        assert_eq!(value(r#"{"token": "t", "access_token": "other"}"#).as_deref(), Some("t"));
        assert_eq!(value(r#"{"token": ""}"#), None);
    }
}
