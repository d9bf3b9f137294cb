//! gzip: members, one after the other, each checked against its CRC and its length (RFC 1952, 2.3.1). Zeros may follow,
//! with which tapes and some mirrors fill up a block, as gzip(1) accepts them.

use std::io::{self, BufRead, Chain, Cursor, Read};

use flate2::bufread::GzDecoder;

use super::behind::{Behind, mark};

const MAGIC: [u8; 2] = [0x1f, 0x8b];
/// What may follow.
const WHAT: &str = "gzip member";

/// Decodes members, one after the other.
pub(super) struct Decoder<R: BufRead> {
    member: Option<GzDecoder<Chain<Cursor<Vec<u8>>, R>>>,
    zeros: bool,
}

impl<R: BufRead> Decoder<R> {
    /// With `zeros`, those may follow.
    pub(super) fn new(input: R, zeros: bool) -> Self {
        Self { member: Some(GzDecoder::new(Cursor::new(Vec::new()).chain(input))), zeros }
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(member) = &mut self.member else { return Ok(0) };
            let length = member.read(buf)?;
            if length > 0 || buf.is_empty() {
                return Ok(length);
            }
            let Some(member) = self.member.take() else { return Ok(0) };
            let (_, mut input) = member.into_inner().into_inner();
            match mark(&mut input, self.zeros, WHAT)? {
                None => {}
                Some(MAGIC) => self.member = Some(GzDecoder::new(Cursor::new(MAGIC.to_vec()).chain(input))),
                Some(_) => return Err(Behind::no(WHAT)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Write};

    use super::*;

    fn member(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn decoded(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut back = Vec::new();
        Decoder::new(BufReader::with_capacity(97, bytes), true).read_to_end(&mut back)?;
        Ok(back)
    }

    #[test]
    fn members_and_zeros_behind_them() {
        let two = [member(b"one "), member(b""), member(b"two")].concat();
        assert_eq!(decoded(&two).unwrap(), b"one two");
        let followed = [two.as_slice(), &[0; 1000]].concat();
        assert_eq!(decoded(&followed).unwrap(), b"one two");
        let strict = |bytes: &[u8]| Decoder::new(bytes, false).read_to_end(&mut Vec::new());
        assert!(strict(&two).is_ok() && strict(&followed).is_err());
    }

    #[test]
    fn anything_else_behind_them_is_an_error() {
        let good = member(b"one");
        for rest in [&b"x"[..], b"\0\0x", b"\x1f", b"\x1f\x8b", &[&[0; 200][..], &good].concat()] {
            assert!(decoded(&[good.as_slice(), rest].concat()).is_err(), "{rest:?}");
        }
        for at in good.len() - 8..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 4;
            assert!(decoded(&bad).is_err(), "{at}");
        }
    }
}
