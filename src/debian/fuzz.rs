//! For the fuzzer: the readers of what archives send, without a network. Nothing else calls these.

use std::cmp::Ordering;

use pgp::composed::CleartextSignedMessage;

use super::index::Index;
use super::keys::Keys;
use super::{closure, control, release};

/// The framing of a clear-signed text, and whatever is in it as a release.
pub fn release(text: &str) {
    let _ = release::verify(text, "u", "x", &Keys::default(), 0);
    let inner = CleartextSignedMessage::from_string(text).map(|(message, _)| message.signed_text());
    for text in [inner.as_deref().unwrap_or_default(), text] {
        if let Some(stanza) = control::parse(text).first() {
            let _ = release::read(text, "u", stanza.get("Suite").unwrap_or_default(), 0);
        }
    }
}

/// An index of packages, and what a base of it would be made of.
pub fn packages(bytes: &[u8]) {
    let mut index = Index::default();
    if index.read("u", bytes).is_ok() {
        let _ = closure::closure(&index, &["apt"], false);
        let _ = index.latest();
    }
}

/// The order of two versions, both ways.
pub fn versions(a: &str, b: &str) -> (Ordering, Ordering) {
    (closure::compare(a, b), closure::compare(b, a))
}
