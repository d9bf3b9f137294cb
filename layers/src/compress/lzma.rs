//! Files of lzma(1), "LZMA_alone": 13 bytes of header, then one stream (the LZMA SDK's lzma.txt, "File format").

use std::io::{self, BufRead, Chain, Cursor, Read};

use liblzma::bufread::XzDecoder;
use liblzma::stream::Stream;

use super::behind::{Behind, mark};
use crate::tar::looks_like_tar;

/// What may follow.
const WHAT: &str = "zero";
/// How lzma(1) models the text unless it is told otherwise: lc=3, lp=0, pb=2.
const USUAL: u8 = 0x5d;
/// One more than how a text can be modelled: `(pb * 5 + lp) * 9 + lc`.
const MODELS: u8 = 9 * 5 * 5;
/// No file that anybody packed is larger: what tells such a header from a text.
const MOST: u64 = 1 << 40;
/// The least dictionary ("Dictionary Size" there).
const LEAST: u32 = 1 << 12;
/// What decoding takes beside the dictionary, and more.
const BESIDE: u64 = 1 << 20;

/// True for the first bytes of such a file. The format has no mark: as to file(1) and liblzma, what can hardly be
/// anything else counts.
pub(super) fn is_head(head: &[u8]) -> bool {
    let Some(([kind, d0, d1, d2, d3, size @ ..], rest)) = head.split_first_chunk::<13>() else { return false };
    let size: Option<[u8; 8]> = size.first_chunk().copied();
    let (dictionary, size) = (u32::from_le_bytes([*d0, *d1, *d2, *d3]), size.map_or(0, u64::from_le_bytes));
    // A power of two, or one and a half of it, or all there is.
    let high = dictionary.checked_ilog2().map_or(0, |bits| 1_u32 << bits);
    let usual = dictionary == high || dictionary == high | (high >> 1) || dictionary == u32::MAX;
    let known = if usual { *kind < MODELS } else { *kind == USUAL };
    // Every stream begins with a zero byte.
    let stream = rest.first() == Some(&0);
    known && stream && dictionary >= LEAST && (size == u64::MAX || (1..MOST).contains(&size)) && !looks_like_tar(head)
}

/// A header with no larger dictionary than can be used: packers name what they were allowed, and a text refers no further
/// back than it is long. What does so all the same is found out where it does.
pub(crate) fn clamped(mut header: [u8; 13], limit: u64) -> [u8; 13] {
    let [_, d0, d1, d2, d3, size @ ..] = header;
    let named = u64::from(u32::from_le_bytes([d0, d1, d2, d3]));
    let useful = named.min(u64::from_le_bytes(size)).min(limit.saturating_sub(BESIDE)).max(LEAST.into());
    let dictionary = u32::try_from(useful.min(named)).unwrap_or(u32::MAX);
    header[1..5].copy_from_slice(&dictionary.to_le_bytes());
    header
}

/// Decodes the stream; nothing may follow it but zeros.
pub(super) struct Decoder<R: BufRead> {
    stream: Option<XzDecoder<Chain<Cursor<Vec<u8>>, R>>>,
    limit: u64,
    /// What the file asks for, where that is more than it gets.
    wanted: Option<u64>,
}

impl<R: BufRead> Decoder<R> {
    /// A decoder that needs no more than `limit` bytes.
    pub(super) fn new(mut input: R, limit: u64) -> io::Result<Self> {
        let mut header = [0; 13];
        input.read_exact(&mut header)?;
        let dictionary = |[_, d0, d1, d2, d3, ..]: [u8; 13]| u64::from(u32::from_le_bytes([d0, d1, d2, d3]));
        let size = header.last_chunk().copied().map_or(0, u64::from_le_bytes);
        let used = clamped(header, limit);
        let wanted = Some(dictionary(header)).filter(|wanted| dictionary(used) < size.min(*wanted));
        let input = Cursor::new(used.to_vec()).chain(input);
        Ok(Self { stream: Some(XzDecoder::new_stream(input, Stream::new_lzma_decoder(limit)?)), limit, wanted })
    }

    fn told(&self, error: io::Error) -> io::Error {
        match (error.get_ref().and_then(|cause| cause.downcast_ref()), self.wanted) {
            (Some(liblzma::stream::Error::MemLimit), wanted) => super::too_large("a dictionary", wanted, self.limit),
            (Some(liblzma::stream::Error::Data), Some(wanted)) => {
                let mib = |bytes: u64| bytes.div_ceil(1 << 20);
                let text = format!(
                    "its data is wrong, or needs the dictionary of {} MiB that it names, more than the {} MiB that alloy \
                     allows; pack it with less",
                    mib(wanted),
                    mib(self.limit)
                );
                io::Error::new(error.kind(), text)
            }
            (Some(liblzma::stream::Error::Data), None) => io::Error::new(error.kind(), "its data is wrong"),
            _ => error,
        }
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(stream) = &mut self.stream else { return Ok(0) };
        let length = match stream.read(buf) {
            Ok(length) => length,
            Err(error) => return Err(self.told(error)),
        };
        if length > 0 || buf.is_empty() {
            return Ok(length);
        }
        let Some(stream) = self.stream.take() else { return Ok(0) };
        let (_, mut input) = stream.into_inner().into_inner();
        match mark::<1>(&mut input, true, WHAT)? {
            None => Ok(0),
            Some(_) => Err(Behind::no(WHAT)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use liblzma::stream::LzmaOptions;
    use liblzma::write::XzEncoder;

    use super::*;

    fn packed(data: &[u8]) -> Vec<u8> {
        let stream = Stream::new_lzma_encoder(&LzmaOptions::new_preset(6).unwrap()).unwrap();
        let mut encoder = XzEncoder::new_stream(Vec::new(), stream);
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn decoded(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut back = Vec::new();
        Decoder::new(io::BufReader::with_capacity(97, bytes), 256 << 20)?.read_to_end(&mut back)?;
        Ok(back)
    }

    fn data() -> Vec<u8> {
        (0..300_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 28) as u8).collect()
    }

    #[test]
    fn what_lzma_writes_comes_back() {
        let packed = packed(&data());
        assert!(is_head(&packed));
        assert!(decoded(&packed).unwrap() == data());
        assert!(decoded(&[packed.as_slice(), &[0; 700]].concat()).unwrap() == data());
    }

    #[test]
    fn a_cut_or_something_behind_it_is_an_error() {
        let good = packed(&data());
        for cut in (1..40).chain(good.len() - 20..good.len()) {
            assert!(decoded(&good[..cut]).is_err(), "{cut}");
        }
        assert!(decoded(&[good.as_slice(), b"rest"].concat()).is_err());
    }

    #[test]
    fn a_text_is_no_such_file() {
        let tar = |name: &[u8]| [name, &[0; 100]].concat();
        for text in [tar(b"]"), tar(b"]]]]]]]]]]]]]]]]]"), tar(b"./"), b"]".to_vec(), Vec::new()] {
            assert!(!is_head(&text), "{text:?}");
        }
    }

    #[test]
    fn a_dictionary_that_is_too_large_is_told_where_it_is_needed() {
        let mut options = LzmaOptions::new_preset(1).unwrap();
        options.dict_size(4 << 20);
        let mut seed = 1_u32;
        let mut random = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 24) as u8
        };
        let near: Vec<u8> = (0..512 << 10).map(|_| random()).collect();
        let far = [near.as_slice(), &vec![0; 2 << 20], &near].concat();
        for (data, fits) in [(&near, true), (&far, false)] {
            let mut encoder = XzEncoder::new_stream(Vec::new(), Stream::new_lzma_encoder(&options).unwrap());
            encoder.write_all(data).unwrap();
            let packed = encoder.finish().unwrap();
            let mut back = Vec::new();
            let read = Decoder::new(packed.as_slice(), 2 << 20).unwrap().read_to_end(&mut back);
            assert!(decoded(&packed).unwrap() == *data);
            assert_eq!((read.is_ok(), back == *data), (fits, fits));
            if let Err(error) = read {
                let told = error.to_string();
                assert!(told.contains("the dictionary of 4 MiB that it names, more than the 2 MiB"), "{told}");
            }
        }
    }
}
