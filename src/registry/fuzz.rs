//! For the fuzzer: the readers of what registries send, without a network. Nothing else calls these.

use super::Reference;
use super::artifact::Tags;
use super::auth::{Challenge, Token};
use super::listing::following;
use super::reason::reason;
use super::scope::Scope;

/// `WWW-Authenticate`, and the scope in it.
pub fn challenge(text: &str) {
    for challenge in Challenge::parse(text.as_bytes()) {
        if let Challenge::Bearer { scope: Some(scope), .. } = challenge {
            let _ = Scope::parse(&scope).parts().count();
        }
    }
}

/// `Link`: true if a next page is of another server.
pub fn leads_away(link: &str) -> bool {
    let next = following("https://r.example/v2/a/tags/list", std::iter::once(link.into()));
    next.is_ok_and(|next| next.is_some_and(|next| next.host_str() != Some("r.example")))
}

/// `Retry-After`.
pub fn pause(text: &str) {
    let _ = crate::fetch::retry_after(text, jiff::Timestamp::UNIX_EPOCH);
}

/// Bodies of token servers, lists of tags, and errors: what would be shown of one.
pub fn body(bytes: &[u8]) -> String {
    if let Ok(token) = serde_json::from_slice::<Token>(bytes) {
        let _ = std::time::Instant::now().checked_add(token.lasts());
        let _ = token.value();
    }
    let _ = serde_json::from_slice::<Tags>(bytes);
    reason(bytes)
}

/// True if a reference does not read back as it is written.
pub fn misread(text: &str) -> bool {
    text.parse::<Reference>().is_ok_and(|it| it.to_string().parse::<Reference>().ok() != Some(it))
}
