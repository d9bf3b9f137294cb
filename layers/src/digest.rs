//! Content digests, and the newtypes that keep apart what they are digests *of*.
//!
//! OCI image-spec 1.1, "Descriptors": `algorithm:encoded`. Only `sha256` is written or accepted.

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest of some bytes, shown as `sha256:<64 lower-case hex digits>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// Why a text is not a digest.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not a digest: expected `sha256:` and 64 lower-case hexadecimal digits")]
pub struct DigestError {
    text: String,
}

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        Self(Sha256::digest(bytes.as_ref()).into())
    }

    /// Parses the bare 64 hexadecimal digits, either case, as `sha256:` fields of blueprints hold them.
    pub fn from_hex(text: &str) -> Result<Self, DigestError> {
        let mut raw = [0; 32];
        hex::decode_to_slice(text, &mut raw).map(|()| Self(raw)).map_err(|_| DigestError { text: text.to_owned() })
    }

    /// The 64 lower-case hexadecimal digits, without the algorithm.
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }

    /// The 32 raw bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        match text.strip_prefix("sha256:") {
            Some(digits) if !digits.bytes().any(|b| b.is_ascii_uppercase()) => {
                Self::from_hex(digits).map_err(|_| DigestError { text: text.to_owned() })
            }
            _ => Err(DigestError { text: text.to_owned() }),
        }
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The digest of a layer's *uncompressed* tar (OCI image-spec 1.1, "Layer DiffID").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DiffId(pub Digest);

impl fmt::Display for DiffId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The digest of a stack of layers (OCI image-spec 1.1, "Layer ChainID").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChainId(pub Digest);

impl ChainId {
    /// The chain ID of `parent` with the layer `diff_id` on top; of the layer alone when there is no parent.
    pub fn extend(parent: Option<ChainId>, diff_id: DiffId) -> Self {
        match parent {
            None => Self(diff_id.0),
            Some(parent) => Self(Digest::of(format!("{} {}", parent.0, diff_id.0))),
        }
    }

    /// The chain ID of a whole stack, lowest layer first; `None` for an empty one.
    pub fn of(diff_ids: impl IntoIterator<Item = DiffId>) -> Option<Self> {
        diff_ids.into_iter().fold(None, |parent, id| Some(Self::extend(parent, id)))
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A running SHA-256, fed through [`Write`].
#[derive(Clone, Debug, Default)]
pub struct Hasher(Sha256);

impl Hasher {
    /// A hash of nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all that was added.
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

impl Write for Hasher {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.update(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn round_trips_through_text() {
        let digest: Digest = EMPTY.parse().unwrap();
        assert_eq!(digest, Digest::of(""));
        assert_eq!(digest.to_string(), EMPTY);
    }

    #[test]
    fn refuses_other_algorithms_and_shapes() {
        for bad in ["", "sha256:", "sha512:00", &EMPTY[7..], &EMPTY.to_uppercase()] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }

    #[test]
    fn chains_as_the_specification_says() {
        let (a, b) = (DiffId(Digest::of("a")), DiffId(Digest::of("b")));
        assert_eq!(ChainId::of([a]), Some(ChainId(a.0)));
        let both = Digest::of(format!("{} {}", a.0, b.0));
        assert_eq!(ChainId::of([a, b]), Some(ChainId(both)));
    }
}
