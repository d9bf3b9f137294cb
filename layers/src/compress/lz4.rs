//! LZ4 frames, one after the other. The decoder below takes the end of its input for the end of a frame; here a frame
//! ends with its end mark ("LZ4 Frame Format Description").

use std::io::{self, BufRead, Read};

use lz4_flex::frame::FrameDecoder;

pub(super) mod legacy;

const MAGIC: u32 = 0x184d_2204;
const SKIPPABLE: u32 = 0x184d_2a50;
/// The largest block that a frame can have.
const MAX_BLOCK: u32 = 4 << 20;

/// Decodes frames.
pub(super) struct Decoder<R: BufRead> {
    frame: Option<FrameDecoder<Frame<R>>>,
}

impl<R: BufRead> Decoder<R> {
    pub(super) fn new(input: R) -> Self {
        Self { frame: Some(FrameDecoder::new(Frame::new(input))) }
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(decoder) = &mut self.frame else { return Ok(0) };
            let length = decoder.read(buf)?;
            if length > 0 || buf.is_empty() {
                return Ok(length);
            }
            // Empty blocks end nothing.
            if !decoder.get_ref().ended() {
                continue;
            }
            let Some(decoder) = self.frame.take() else { return Ok(0) };
            let mut input = decoder.into_inner().input;
            if follows(&mut input)? {
                self.frame = Some(FrameDecoder::new(Frame::new(input)));
            }
        }
    }
}

/// Whether another frame follows; skippable ones are passed over.
fn follows(input: &mut impl BufRead) -> io::Result<bool> {
    loop {
        // Where the buffer ends in the middle of the mark, its first byte has to do: the decoder checks the rest.
        let buffer = input.fill_buf()?;
        let Some(first) = buffer.first() else { return Ok(false) };
        if *first == MAGIC.to_le_bytes()[0] {
            return Ok(true);
        }
        let (mut magic, mut size) = ([0; 4], [0; 4]);
        input.read_exact(&mut magic)?;
        if u32::from_le_bytes(magic) & !0xf != SKIPPABLE {
            let text = "there is something behind its end that is no LZ4 frame";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        input.read_exact(&mut size)?;
        let size = u64::from(u32::from_le_bytes(size));
        if io::copy(&mut input.take(size), &mut io::sink())? < size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// The bytes of one frame. What cuts it off is an error, and what follows it is not read.
struct Frame<R> {
    input: R,
    next: Part,
    /// Bytes of the present part that were not read yet.
    left: u32,
    /// What a part that has to be understood has said so far.
    seen: Vec<u8>,
    block_checksums: bool,
    content_checksum: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The mark, and two bytes of which the first tells what is in the rest.
    Head,
    /// Sizes, a dictionary's number, and the checksum of all of it.
    Rest,
    BlockSize,
    Block,
    Checksum,
    Ended,
}

impl<R: BufRead> Frame<R> {
    fn new(input: R) -> Self {
        Self { input, next: Part::Head, left: 6, seen: Vec::new(), block_checksums: false, content_checksum: false }
    }

    fn ended(&self) -> bool {
        self.next == Part::Ended
    }

    /// The part behind the one that is over.
    fn advance(&mut self) {
        let seen = std::mem::take(&mut self.seen);
        (self.next, self.left) = match self.next {
            Part::Head => {
                let flags = seen.get(4).copied().unwrap_or_default();
                (self.block_checksums, self.content_checksum) = (flags & 0x10 != 0, flags & 4 != 0);
                let size = if flags & 8 != 0 { 8 } else { 0 };
                let dictionary = if flags & 1 != 0 { 4 } else { 0 };
                (Part::Rest, size + dictionary + 1)
            }
            Part::BlockSize => {
                let size = seen.iter().rev().fold(0_u32, |size, byte| (size << 8) | u32::from(*byte));
                let checksum = if self.block_checksums { 4 } else { 0 };
                match size & 0x7fff_ffff {
                    0 if size == 0 && self.content_checksum => (Part::Checksum, 4),
                    0 if size == 0 => (Part::Ended, 0),
                    // A larger one is refused by the decoder before it reads it.
                    length => (Part::Block, length.min(MAX_BLOCK) + checksum),
                }
            }
            Part::Rest | Part::Block => (Part::BlockSize, 4),
            Part::Checksum | Part::Ended => (Part::Ended, 0),
        };
    }
}

impl<R: BufRead> Read for Frame<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.left == 0 && !self.ended() {
            self.advance();
        }
        if self.ended() || buf.is_empty() {
            return Ok(0);
        }
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        let length = self.input.read(&mut buf[..wanted])?;
        if length == 0 {
            // Not `UnexpectedEof`, which the decoder takes for an end.
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is cut off"));
        }
        if matches!(self.next, Part::Head | Part::BlockSize) {
            self.seen.extend_from_slice(&buf[..length]);
        }
        self.left -= u32::try_from(length).unwrap_or(self.left);
        if self.left == 0 {
            self.advance();
        }
        Ok(length)
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
            let skippable = [&SKIPPABLE.to_le_bytes()[..], &3_u32.to_le_bytes(), b"abc"].concat();
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
            assert!(decoded(&[good.as_slice(), b"rest"].concat()).is_err());
        }
    }
}
