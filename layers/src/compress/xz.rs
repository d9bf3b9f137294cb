//! xz by as many cores as it has blocks for. A file of several blocks (`xz -T0` writes such) is decoded side by side,
//! a single block as fast as one core can.

use std::io::{self, BufRead, Read};
use std::num::NonZero;

use liblzma::bufread::XzDecoder;
use liblzma::stream::MtStreamBuilder;

use super::behind::Behind;

/// The first bytes of every stream ("The .xz File Format", 2.1.1.1).
const MAGIC: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];
/// What blocks side by side may take; with larger blocks than fit, they are decoded one after the other.
const THREADING_LIMIT: u64 = 80 << 20;
/// The filter that every block ends with (5.3.1).
const LZMA2: u64 = 0x21;
/// One core's cache behind each of more than this gains nothing here.
const MAX_THREADS: u32 = 8;

/// Decodes streams, one after the other, with padding between them.
pub(super) struct Decoder<R: BufRead> {
    stream: Option<XzDecoder<R>>,
    limit: u64,
    /// What the stream's first block asks for, as far as it could be seen.
    dictionary: Option<u64>,
}

impl<R: BufRead> Decoder<R> {
    /// A decoder that needs no more than `limit` bytes for a single block.
    pub(super) fn new(mut input: R, limit: u64) -> io::Result<Self> {
        let dictionary = dictionary(input.fill_buf()?);
        Ok(Self { stream: Some(XzDecoder::new_stream(input, stream(limit)?)), limit, dictionary })
    }

    /// The library says that there is too little memory, and not how much there would have to be.
    fn told(error: io::Error, dictionary: Option<u64>, limit: u64) -> io::Error {
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
        match cause {
            Some(liblzma::stream::Error::MemLimit) => super::too_large("a dictionary", dictionary, limit),
            Some(liblzma::stream::Error::Mem) => super::refused("decompressor"),
            Some(liblzma::stream::Error::Data) => io::Error::new(error.kind(), "its data or a checksum is wrong"),
            _ => error,
        }
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
            let length = match decoder.read(buf) {
                Ok(length) => length,
                Err(error) => return Err(Self::told(error, self.dictionary, self.limit)),
            };
            if length > 0 || buf.is_empty() {
                return Ok(length);
            }
            let Some(decoder) = self.stream.take() else { return Ok(0) };
            let mut input = decoder.into_inner();
            if !skip_padding(&mut input)? {
                return Ok(0);
            }
            self.dictionary = dictionary(input.fill_buf()?);
            self.stream = Some(XzDecoder::new_stream(input, stream(self.limit)?));
        }
    }
}

/// The size of the dictionary that the first block of the stream in `head` asks for (3.1 and 5.3.1).
fn dictionary(head: &[u8]) -> Option<u64> {
    let mut rest = head.get(13..)?;
    let flags = byte(&mut rest)?;
    // The sizes of the block, where it tells them.
    for _ in 0..(flags >> 6 & 1) + (flags >> 7) {
        variable(&mut rest)?;
    }
    for _ in 0..=flags & 3 {
        let (filter, properties) = (variable(&mut rest)?, variable(&mut rest)?);
        if filter != LZMA2 {
            rest = rest.get(usize::try_from(properties).ok()?..)?;
            continue;
        }
        return match byte(&mut rest)? {
            bits @ 0..40 => Some((2 | (bits & 1)) << (bits / 2 + 11)),
            40 => Some(u64::from(u32::MAX)),
            _ => None,
        };
    }
    None
}

fn byte(rest: &mut &[u8]) -> Option<u64> {
    let (byte, after) = rest.split_first()?;
    *rest = after;
    Some((*byte).into())
}

/// A number of up to nine bytes, of which all but the last have their highest bit set (1.2).
fn variable(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let byte = byte(rest)?;
        value |= (byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Passes over stream padding (2.2: zero bytes, a multiple of four). False at the end of the file.
fn skip_padding(input: &mut impl BufRead) -> io::Result<bool> {
    let invalid = || Behind::no("xz stream");
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

    #[test]
    fn a_dictionary_that_is_too_large_is_told() {
        let mut options = liblzma::stream::LzmaOptions::new_preset(0).unwrap();
        options.dict_size(96 << 20);
        let mut filters = liblzma::stream::Filters::new();
        filters.lzma2(&options);
        let stream = liblzma::stream::Stream::new_stream_encoder(&filters, liblzma::stream::Check::Crc32).unwrap();
        let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
        encoder.write_all(b"small").unwrap();
        let bytes = encoder.finish().unwrap();
        let error = decoded(&bytes).unwrap_err().to_string();
        assert!(error.contains("a dictionary of 96 MiB, more than the 64 MiB"), "{error}");
    }
}
