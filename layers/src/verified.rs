//! Reading bytes whose digest and size are known, and not trusting them until the end.

use std::io::{self, Read};

use crate::digest::{Digest, Hasher};

/// Passes bytes on; the end is an error unless digest and size are as expected.
pub struct VerifiedReader<R> {
    inner: R,
    hasher: Option<Hasher>,
    left: u64,
    expected: Digest,
}

impl<R: Read> VerifiedReader<R> {
    /// `inner` is to hold `size` bytes with the digest `expected`.
    pub fn new(inner: R, expected: Digest, size: u64) -> Self {
        Self { inner, hasher: Some(Hasher::new()), left: size, expected }
    }
}

impl<R: Read> Read for VerifiedReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buf)?;
        let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
        if length == 0 && !buf.is_empty() {
            if self.left > 0 {
                let text = format!("{} ends {} bytes too early", self.expected, self.left);
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
            }
            if let Some(found) = self.hasher.take().map(Hasher::finish).filter(|found| *found != self.expected) {
                return Err(invalid(format!("expected {}, found {found}", self.expected)));
            }
        }
        self.left = self
            .left
            .checked_sub(length as u64)
            .ok_or_else(|| invalid(format!("{} is longer than it should be", self.expected)))?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buf[..length]);
        }
        Ok(length)
    }
}

/// Passes bytes on, and tells their digest in the end.
pub struct HashingReader<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> HashingReader<R> {
    /// Nothing is expected of `inner`.
    pub fn new(inner: R) -> Self {
        Self { inner, hasher: Hasher::new() }
    }

    /// Reads what is left, and gives the digest of all.
    pub fn finish(mut self) -> io::Result<Digest> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(self.hasher.finish())
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buf)?;
        self.hasher.update(&buf[..length]);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], expected: &[u8], size: u64) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        VerifiedReader::new(bytes, Digest::of(expected), size).read_to_end(&mut out).map(|_| out)
    }

    #[test]
    fn only_the_right_bytes_come_through_to_the_end() {
        assert_eq!(read(b"abc", b"abc", 3).unwrap(), b"abc");
        assert!(read(b"abd", b"abc", 3).is_err());
        assert!(read(b"ab", b"abc", 3).is_err());
        assert!(read(b"abc", b"abc", 2).is_err());
    }
}
