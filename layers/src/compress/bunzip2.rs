//! bzip2, stream by stream. Each one begins with megabytes of memory, however little is in it. Zeros may follow.

use std::io::{self, BufRead, Chain, Cursor, Read};

use bzip2::bufread::BzDecoder;

use super::behind::{Behind, mark};

/// What may follow.
const WHAT: &str = "bzip2 stream";

/// So many streams may hold as little as they like.
const FEW: u64 = 10_000;
/// Of more, each holds so many bytes on the average, as they lie there and decoded.
const LEAST: u64 = 1 << 10;

/// Decodes streams, one after the other.
pub(super) struct Decoder<R: BufRead> {
    /// `None` at the end.
    stream: Option<BzDecoder<Chain<Cursor<Vec<u8>>, R>>>,
    streams: u64,
    bytes: u64,
}

impl<R: BufRead> Decoder<R> {
    pub(super) fn new(input: R) -> Self {
        Self { stream: Some(BzDecoder::new(Cursor::new(Vec::new()).chain(input))), streams: 0, bytes: 0 }
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(stream) = &mut self.stream else { return Ok(0) };
            let length = stream.read(buf)?;
            if length > 0 || buf.is_empty() {
                self.bytes = self.bytes.saturating_add(length as u64);
                return Ok(length);
            }
            self.streams += 1;
            self.bytes = self.bytes.saturating_add(stream.total_in());
            if self.streams > FEW && self.bytes / self.streams < LEAST {
                let message = format!("it has more than {FEW} streams with next to nothing in them");
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            let Some(stream) = self.stream.take() else { return Ok(0) };
            let (_, mut input) = stream.into_inner().into_inner();
            match mark(&mut input, true, WHAT)? {
                None => {}
                Some(head @ [b'B', b'Z', b'h', b'1'..=b'9']) => {
                    self.stream = Some(BzDecoder::new(Cursor::new(head.to_vec()).chain(input)));
                }
                Some(_) => return Err(Behind::no(WHAT)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn compressed(content: &[u8]) -> Vec<u8> {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn decoded(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut back = Vec::new();
        Decoder::new(io::BufReader::with_capacity(333, bytes)).read_to_end(&mut back)?;
        Ok(back)
    }

    #[test]
    fn streams_follow_each_other() {
        let all = [compressed(b"one"), compressed(b""), compressed(&[7; 100_000])].concat();
        assert!(decoded(&all).unwrap() == [&b"one"[..], &[7; 100_000]].concat());
        assert!(decoded(&all[..all.len() - 1]).is_err());
        assert!(decoded(&[all.as_slice(), &[0; 1000]].concat()).unwrap() == decoded(&all).unwrap());
        for rest in [&b"rest of it"[..], b"x", b"BZh0", &[&[0; 700][..], &all].concat()] {
            assert!(Behind::of(&decoded(&[all.as_slice(), rest].concat()).unwrap_err()).is_some(), "{rest:?}");
        }
        assert!(Behind::of(&decoded(&[all.as_slice(), b"BZh9 rest"].concat()).unwrap_err()).is_none());
    }

    #[test]
    fn streams_hold_something() {
        for content in [&b""[..], b"x"] {
            let stream = compressed(content);
            assert!(decoded(&stream.repeat(100)).is_ok());
            let error = decoded(&stream.repeat(11_000)).unwrap_err().to_string();
            assert!(error.contains("next to nothing"), "{error}");
        }
        // What is small because it compresses well is as good as any.
        assert_eq!(decoded(&compressed(&[0; 2000]).repeat(11_000)).unwrap().len(), 22_000_000);
    }
}
