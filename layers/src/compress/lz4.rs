//! LZ4: frames of the format of today and of `lz4 -l`, one after the other as lz4(1) reads them. Zeros may follow.

use std::io::{self, BufRead, Read};

use lz4_flex::frame::FrameDecoder;

use super::behind::{Behind, mark};
use super::skippable;

mod frame;
mod legacy;

use frame::Frame;

/// What may follow.
const WHAT: &str = "LZ4 frame";

/// Decodes frames.
pub(super) struct Decoder<R: BufRead> {
    state: State<R>,
}

enum State<R: BufRead> {
    /// A mark comes next.
    Between(R),
    Frame(Box<FrameDecoder<Frame<R>>>),
    Legacy(legacy::Decoder<R>),
    Ended,
}

impl<R: BufRead> Decoder<R> {
    pub(super) fn new(input: R) -> Self {
        Self { state: State::Between(input) }
    }

    /// Begins the next frame, whose mark may have been read.
    fn begin(mut input: R, mut read: Option<[u8; 4]>) -> io::Result<State<R>> {
        loop {
            let next = match read.take() {
                Some(next) => Some(next),
                None => mark(&mut input, true, WHAT)?,
            };
            match next {
                None => return Ok(State::Ended),
                Some(frame::MAGIC) => return Ok(State::Frame(Box::new(FrameDecoder::new(Frame::new(input))))),
                Some(legacy::MAGIC) => return Ok(State::Legacy(legacy::Decoder::new(input))),
                Some(next) if skippable::is_mark(next) => skippable::pass(&mut input)?,
                Some(_) => return Err(Behind::no(WHAT)),
            }
        }
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            match &mut self.state {
                State::Frame(decoder) => {
                    let length = decoder.read(buf)?;
                    if length > 0 {
                        return Ok(length);
                    }
                    // Empty blocks end nothing.
                    if !decoder.get_ref().ended() {
                        continue;
                    }
                }
                State::Legacy(decoder) => {
                    let length = decoder.read(buf)?;
                    if length > 0 {
                        return Ok(length);
                    }
                }
                State::Between(_) => {}
                State::Ended => return Ok(0),
            }
            let (input, read) = match std::mem::replace(&mut self.state, State::Ended) {
                State::Frame(decoder) => (decoder.into_inner().into_inner(), None),
                State::Legacy(decoder) => decoder.into_inner(),
                State::Between(input) => (input, None),
                State::Ended => return Ok(0),
            };
            self.state = Self::begin(input, read)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Write};

    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

    use super::*;

    const SIZE: u32 = 150_000;

    fn frame(data: &[u8], info: FrameInfo) -> Vec<u8> {
        let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn decoded(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut back = Vec::new();
        Decoder::new(BufReader::with_capacity(101, bytes)).read_to_end(&mut back)?;
        Ok(back)
    }

    fn data() -> Vec<u8> {
        (0..SIZE).map(|n| (n.wrapping_mul(2_654_435_761) >> 28) as u8).collect()
    }

    fn kinds() -> Vec<FrameInfo> {
        let small = FrameInfo::new().block_size(BlockSize::Max64KB);
        vec![
            small.clone(),
            small.clone().block_mode(BlockMode::Linked).content_checksum(true),
            small.clone().block_checksums(true).content_checksum(true).content_size(Some(SIZE.into())),
        ]
    }

    #[test]
    fn frames_empty_ones_and_skippable_ones() {
        let data = data();
        for info in kinds() {
            let one = frame(&data, info);
            let empty = frame(b"", FrameInfo::new());
            let skippable = [&[0x50, 0x2a, 0x4d, 0x18][..], &3_u32.to_le_bytes(), b"abc"].concat();
            let all = [one.as_slice(), &empty, &skippable, &one, &skippable].concat();
            assert!(decoded(&all).unwrap() == [data.as_slice(), &data].concat());
        }
    }

    #[test]
    fn a_frame_that_is_cut_anywhere_is_an_error() {
        for info in kinds() {
            let good = frame(&data(), info);
            let two = [good.as_slice(), &good].concat();
            for cut in (1..40).chain(good.len() - 40..good.len()).chain(good.len() + 1..good.len() + 40) {
                assert!(decoded(&two[..cut]).is_err(), "{cut}");
            }
            assert!(Behind::of(&decoded(&[good.as_slice(), b"rest"].concat()).unwrap_err()).is_some());
        }
    }

    #[test]
    fn frames_of_both_formats_follow_each_other() {
        let new = frame(b"new ", FrameInfo::new());
        let packed = lz4_flex::block::compress(b"old ");
        let old = [&legacy::MAGIC[..], &u32::try_from(packed.len()).unwrap().to_le_bytes(), &packed].concat();
        let skippable = [&[0x5a, 0x2a, 0x4d, 0x18][..], &1_u32.to_le_bytes(), b"x"].concat();
        let all = [&new, &old, &old, &skippable, &new, &old, &new].map(Vec::as_slice).concat();
        assert_eq!(decoded(&all).unwrap(), b"new old old new old new ");
        let begins = [skippable.as_slice(), &old, &skippable].concat();
        assert_eq!(decoded(&begins).unwrap(), b"old ");
        for whole in [&new, &old] {
            for zeros in [1, 3, 4, 5, 1000] {
                let bytes = [whole.as_slice(), &vec![0; zeros]].concat();
                assert_eq!(decoded(&bytes).unwrap(), decoded(whole).unwrap(), "{zeros}");
            }
            for rest in [&b"rest"[..], b"x", b"rest of it", b"\0\0\0\0\0\0x"] {
                assert!(Behind::of(&decoded(&[whole.as_slice(), rest].concat()).unwrap_err()).is_some(), "{rest:?}");
            }
        }
    }
}
