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
        let whole = ChallengeParser::new(&text).map_while(Result::ok);
        whole.filter_map(|challenge| Self::known(&challenge)).collect()
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
        Some(Self::Bearer { realm: parameter("realm")?, service: parameter("service"), scope: parameter("scope") })
    }
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
