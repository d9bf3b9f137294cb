//! xz by as many cores as it has blocks for. A file of several blocks (`xz -T0` writes such) is decoded side by side,
//! a single block as fast as one core can.

use std::io::{self, BufRead, Read};
use std::num::NonZero;

use liblzma::bufread::XzDecoder;
use liblzma::stream::MtStreamBuilder;

/// The first bytes of every stream ("The .xz File Format", 2.1.1.1).
const MAGIC: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];
/// What blocks side by side may take; with larger blocks than fit, they are decoded one after the other.
const THREADING_LIMIT: u64 = 80 << 20;
/// One core's cache behind each of more than this gains nothing here.
const MAX_THREADS: u32 = 8;

/// Decodes streams, one after the other, with padding between them.
pub(super) struct Decoder<R: BufRead> {
    stream: Option<XzDecoder<R>>,
    limit: u64,
}

impl<R: BufRead> Decoder<R> {
    /// A decoder that needs no more than `limit` bytes for a single block.
    pub(super) fn new(input: R, limit: u64) -> io::Result<Self> {
        Ok(Self { stream: Some(XzDecoder::new_stream(input, stream(limit)?)), limit })
    }
}

fn stream(limit: u64) -> io::Result<liblzma::stream::Stream> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let threads = u32::try_from(cores).unwrap_or(1).min(MAX_THREADS);
    let mut builder = MtStreamBuilder::new();
    builder.threads(threads).memlimit_threading(THREADING_LIMIT).memlimit_stop(limit);
    Ok(builder.decoder()?)
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(decoder) = &mut self.stream else { return Ok(0) };
            let length = decoder.read(buf)?;
            if length > 0 || buf.is_empty() {
                return Ok(length);
            }
            let Some(decoder) = self.stream.take() else { return Ok(0) };
            let mut input = decoder.into_inner();
            if !skip_padding(&mut input)? {
                return Ok(0);
            }
            self.stream = Some(XzDecoder::new_stream(input, stream(self.limit)?));
        }
    }
}

/// Passes over stream padding (2.2: zero bytes, a multiple of four). False at the end of the file.
fn skip_padding(input: &mut impl BufRead) -> io::Result<bool> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidData, "there is something behind the xz stream");
    let mut padding = 0;
    loop {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            return if padding % 4 == 0 { Ok(false) } else { Err(invalid()) };
        }
        let zeros = buffer.iter().take_while(|byte| **byte == 0).count();
        if zeros < buffer.len() {
            if padding + zeros > 0 && (padding + zeros) % 4 != 0 || buffer[zeros] != MAGIC[0] {
                return Err(invalid());
            }
            input.consume(zeros);
            return Ok(true);
        }
        input.consume(zeros);
        padding = (padding + zeros) % 4;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Write};

    use super::*;

    fn compressed(data: &[u8], blocks: bool) -> Vec<u8> {
        let stream = if blocks {
            MtStreamBuilder::new().threads(2).preset(0).block_size(64 << 10).encoder().unwrap()
        } else {
            liblzma::stream::Stream::new_easy_encoder(0, liblzma::stream::Check::Crc64).unwrap()
        };
        let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn decoded(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut back = Vec::new();
        Decoder::new(BufReader::with_capacity(777, bytes), 64 << 20)?.read_to_end(&mut back)?;
        Ok(back)
    }

    #[test]
    fn one_block_several_blocks_several_streams() {
        let data: Vec<u8> = (0..1_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 29) as u8).collect();
        let (one, several) = (compressed(&data, false), compressed(&data, true));
        assert!(decoded(&one).unwrap() == data);
        assert!(decoded(&several).unwrap() == data);
        let both = [one.as_slice(), &[0; 8], several.as_slice(), &[0; 4]].concat();
        assert!(decoded(&both).unwrap() == [data.as_slice(), &data].concat());
    }

    #[test]
    fn damage_is_an_error() {
        let data = vec![7; 500_000];
        for blocks in [false, true] {
            let good = compressed(&data, blocks);
            assert!(decoded(&good[..good.len() - 9]).is_err());
            assert!(decoded(&[good.as_slice(), b"x"].concat()).is_err());
            assert!(decoded(&[good.as_slice(), &[0; 3]].concat()).is_err());
            let mut bad = good.clone();
            bad[good.len() / 2] ^= 1;
            assert!(decoded(&bad).is_err());
        }
    }
}
