//! bzip2, stream by stream. Each one begins with megabytes of memory, however little is in it.

use std::io::{self, BufRead, Read};

use bzip2::bufread::BzDecoder;

/// So many streams may hold as little as they like.
const FEW: u64 = 10_000;
/// Of more, each holds so many bytes on the average, as they lie there and decoded.
const LEAST: u64 = 1 << 10;

/// Decodes streams, one after the other.
pub(super) struct Decoder<R: BufRead> {
    /// `None` at the end.
    stream: Option<BzDecoder<R>>,
    streams: u64,
    bytes: u64,
}

impl<R: BufRead> Decoder<R> {
    pub(super) fn new(input: R) -> Self {
        Self { stream: Some(BzDecoder::new(input)), streams: 0, bytes: 0 }
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
            let Some(mut input) = self.stream.take().map(BzDecoder::into_inner) else { return Ok(0) };
            if !input.fill_buf()?.is_empty() {
                self.stream = Some(BzDecoder::new(input));
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
        assert!(decoded(&[all.as_slice(), b"rest of it"].concat()).is_err());
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
