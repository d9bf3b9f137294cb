//! What a registry asks for with `WWW-Authenticate` (RFC 9110, 11; distribution's token authentication).

use std::time::Duration;

use serde::Deserialize;

/// One challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

impl Challenge {
    /// The first challenge of a header that we can answer.
    pub(super) fn parse(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (mut realm, mut service, mut scope) = (None, None, None);
        for (name, value) in parameters(rest) {
            match name.to_ascii_lowercase().as_str() {
                "realm" => realm = Some(value),
                "service" => service = Some(value),
                "scope" => scope = Some(value),
                _ => {}
            }
        }
        Some(Self::Bearer { realm: realm?, service, scope })
    }
}

/// `name="value"` or `name=token`, separated by commas that are not inside quotes.
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut rest = text.trim();
    while let Some((name, after)) = rest.split_once('=') {
        let after = after.trim_start();
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        all.push((name.trim_matches([' ', ',']).to_owned(), value.trim().to_owned()));
        rest = after.trim_start_matches([' ', ',']);
    }
    all
}

/// How long a token is good for that does not say so, in seconds (distribution's token specification).
const UNSAID: u64 = 60;
/// No token is trusted to be good for longer, whatever its server says, in seconds.
const LONGEST: u64 = 24 * 60 * 60;

/// The answer of a token server.
#[derive(Deserialize)]
pub(super) struct Token {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl Token {
    /// How long it may be used. It is renewed before it ends, so that no request dies of it on the way.
    pub(super) fn lasts(&self) -> Duration {
        let all = Duration::from_secs(self.expires_in.filter(|seconds| *seconds > 0).unwrap_or(UNSAID).min(LONGEST));
        all - (all / 4).min(Duration::from_secs(10))
    }

    pub(super) fn value(self) -> Option<String> {
        self.token.or(self.access_token).filter(|token| !token.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges() {
        assert_eq!(Challenge::parse("Basic realm=\"x\""), Some(Challenge::Basic));
        let header = r#"Bearer realm="https://a.example/token",service="r.example",scope="repository:a/b:pull,push""#;
        assert_eq!(
            Challenge::parse(header),
            Some(Challenge::Bearer {
                realm: "https://a.example/token".into(),
                service: Some("r.example".into()),
                scope: Some("repository:a/b:pull,push".into()),
            })
        );
        assert_eq!(Challenge::parse("Negotiate"), None);
    }

    #[test]
    fn tokens_end_a_little_early() {
        let lasts = |json: &str| serde_json::from_str::<Token>(json).unwrap().lasts().as_secs();
        assert_eq!(lasts(r#"{"token": "x", "expires_in": 300}"#), 290);
        assert_eq!(lasts(r#"{"token": "x", "expires_in": 4}"#), 3);
        assert_eq!(lasts(r#"{"token": "x"}"#), 50);
        assert_eq!(lasts(r#"{"token": "x", "expires_in": 18446744073709551615}"#), LONGEST - 10);
    }
}
