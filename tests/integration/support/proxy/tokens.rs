//! A token server (distribution's token authentication), and the guard that wants its tokens.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::message::Head;

/// Gives out tokens, and takes them back.
#[derive(Default)]
pub struct Tokens {
    /// Requests that a token is good for.
    uses: Option<usize>,
    /// `user:password` in base64, without which no token is given.
    basic: Option<String>,
    /// What it says of itself, in seconds.
    expires_in: Option<u64>,
    /// Uses left of each, and its scopes.
    given: Mutex<BTreeMap<String, (usize, Vec<String>)>>,
}

/// An answer: status, headers, body.
pub(super) type Answer = (u16, Vec<(&'static str, String)>, Vec<u8>);

impl Tokens {
    /// Each token is good for `uses` requests.
    pub fn for_uses(uses: usize) -> Self {
        Self { uses: Some(uses), ..Self::default() }
    }

    /// Tokens are for whom has this password.
    pub fn for_user(self, user: &str, password: &str) -> Self {
        use base64::Engine;
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        Self { basic: Some(basic), ..self }
    }

    /// Each token says that it is good for so many seconds.
    pub fn expiring(self, seconds: u64) -> Self {
        Self { expires_in: Some(seconds), ..self }
    }

    /// The scopes asked for, by token.
    pub fn scopes(&self) -> Vec<Vec<String>> {
        self.given.lock().unwrap().values().map(|(_, scopes)| scopes.clone()).collect()
    }

    /// What is answered instead of the registry; `None` if the request may pass.
    pub(super) fn check(&self, address: &str, head: &Head) -> Option<Answer> {
        let (method, target) = (head.word(0), head.word(1));
        let authorization = head.get("authorization").unwrap_or_default();
        if target.starts_with("/token?") {
            return Some(self.give(target, authorization));
        }
        let mut given = self.given.lock().unwrap();
        let token = authorization.strip_prefix("Bearer ").unwrap_or_default();
        let repository = target.strip_prefix("/v2/").unwrap_or_default();
        let repository = ["/blobs/", "/manifests/", "/referrers/", "/tags/"]
            .iter()
            .find_map(|part| repository.split_once(part))
            .map_or("", |(repository, _)| repository);
        let action = if matches!(method, "GET" | "HEAD") { "pull" } else { "push" };
        let allowed = |scopes: &[String]| {
            let may = |scope: &String| {
                scope
                    .strip_prefix(&format!("repository:{repository}:"))
                    .is_some_and(|actions| actions.split(',').any(|one| one == action))
            };
            repository.is_empty() || scopes.iter().any(may)
        };
        match given.get_mut(token) {
            Some((uses, scopes)) if *uses > 0 && allowed(scopes) => {
                *uses -= 1;
                None
            }
            _ => {
                let actions = if action == "push" { "pull,push" } else { "pull" };
                let challenge = format!(
                    "Bearer realm=\"http://{address}/token\",service=\"test\",scope=\"repository:{repository}:{actions}\""
                );
                let body = br#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#.to_vec();
                Some((401, vec![("WWW-Authenticate", challenge)], body))
            }
        }
    }

    fn give(&self, target: &str, authorization: &str) -> Answer {
        if self.basic.as_ref().is_some_and(|basic| authorization != format!("Basic {basic}")) {
            return (401, Vec::new(), br#"{"errors":[{"code":"UNAUTHORIZED","message":"wrong password"}]}"#.to_vec());
        }
        let url = url::Url::parse(&format!("http://x{target}")).unwrap();
        let scopes = url.query_pairs().filter(|(name, _)| name == "scope");
        let scopes = scopes.flat_map(|(_, value)| value.split(' ').map(str::to_owned).collect::<Vec<_>>()).collect();
        let mut given = self.given.lock().unwrap();
        let token = format!("t{:04}", given.len());
        given.insert(token.clone(), (self.uses.unwrap_or(usize::MAX), scopes));
        let expires = self.expires_in.map_or(String::new(), |seconds| format!(",\"expires_in\":{seconds}"));
        (200, Vec::new(), format!("{{\"token\":\"{token}\"{expires}}}").into_bytes())
    }
}
