//! Files of lzma(1), "LZMA_alone": 13 bytes of header, then one stream (the LZMA SDK's lzma.txt, "File format").

use std::io::{self, BufRead, Read};

use liblzma::bufread::XzDecoder;
use liblzma::stream::Stream;

/// How lzma(1) models the text unless it is told otherwise: lc=3, lp=0, pb=2.
const USUAL: u8 = 0x5d;
/// No file that anybody packed is larger: what tells such a header from a text.
const MOST: u64 = 1 << 40;

/// True for the first bytes of such a file. The format has no mark: as to file(1) and liblzma, what can hardly be
/// anything else counts.
pub(super) fn is_head(head: &[u8]) -> bool {
    let Some(head) = head.first_chunk::<13>() else { return false };
    let [kind, d0, d1, d2, d3, size @ ..] = *head;
    let (dictionary, size) = (u32::from_le_bytes([d0, d1, d2, d3]), u64::from_le_bytes(size));
    // A power of two, or one and a half of it.
    let high = dictionary.checked_ilog2().map_or(0, |bits| 1_u32 << bits);
    let usual = dictionary >= 1 << 12 && (dictionary == high || dictionary == high | (high >> 1));
    kind == USUAL && usual && (size == u64::MAX || (1..MOST).contains(&size))
}

/// Decodes the stream; nothing may follow it but zeros.
pub(super) struct Decoder<R: BufRead> {
    stream: Option<XzDecoder<R>>,
    limit: u64,
}

impl<R: BufRead> Decoder<R> {
    /// A decoder that needs no more than `limit` bytes.
    pub(super) fn new(input: R, limit: u64) -> io::Result<Self> {
        Ok(Self { stream: Some(XzDecoder::new_stream(input, Stream::new_lzma_decoder(limit)?)), limit })
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(stream) = &mut self.stream else { return Ok(0) };
        let length =
            stream.read(buf).map_err(|error| match error.get_ref().and_then(|cause| cause.downcast_ref()) {
                Some(liblzma::stream::Error::MemLimit) => super::too_large("a dictionary", None, self.limit),
                Some(liblzma::stream::Error::Data) => io::Error::new(error.kind(), "its data is wrong"),
                _ => error,
            })?;
        if length > 0 || buf.is_empty() {
            return Ok(length);
        }
        let Some(stream) = self.stream.take() else { return Ok(0) };
        let mut input = stream.into_inner();
        loop {
            let rest = input.fill_buf()?;
            let (length, zeros) = (rest.len(), rest.iter().all(|byte| *byte == 0));
            if !zeros {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "there is something behind its end"));
            }
            if length == 0 {
                return Ok(0);
            }
            input.consume(length);
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
    fn a_dictionary_that_is_too_large_is_told() {
        let mut head = vec![USUAL, 0, 0, 0, 0x80];
        head.extend([0xff; 8]);
        head.extend([0; 100]);
        assert!(is_head(&head));
        assert!(decoded(&head).unwrap_err().to_string().contains("256 MiB that alloy allows"));
    }
}
