//! Keys: digests of several parts, none of which runs into the next one.

use crate::digest::{Digest, Hasher};

/// Makes a key. The name of its kind comes first, so that no key of another kind is equal to it, and each part goes in
/// behind its length.
///
/// ```
/// use layers::key::KeyHasher;
///
/// let key = |parts: &[&str]| parts.iter().fold(KeyHasher::new("example"), KeyHasher::with).finish();
/// assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
/// ```
#[derive(Debug)]
pub struct KeyHasher(Hasher);

impl KeyHasher {
    /// One of this kind, without parts.
    pub fn new(kind: &str) -> Self {
        let mut key = Self(Hasher::new());
        key.part(kind);
        key
    }

    /// Adds a part.
    pub fn part(&mut self, part: impl AsRef<[u8]>) {
        let part = part.as_ref();
        self.0.update(&(part.len() as u64).to_le_bytes());
        self.0.update(part);
    }

    /// The same with one part more.
    pub fn with(mut self, part: impl AsRef<[u8]>) -> Self {
        self.part(part);
        self
    }

    /// The key of what was added.
    pub fn finish(self) -> Digest {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_parts_stay_apart() {
        let none = KeyHasher::new("a").finish();
        assert_ne!(none, KeyHasher::new("b").finish());
        assert_ne!(none, KeyHasher::new("a").with("").finish());
        assert_ne!(KeyHasher::new("a").with("b").finish(), KeyHasher::new("ab").finish());
        assert_eq!(none, Digest::of(b"\x01\0\0\0\0\0\0\0a"), "the encoding is a promise");
    }
}
