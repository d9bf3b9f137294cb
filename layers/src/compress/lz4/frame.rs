//! One LZ4 frame of today's format. The decoder takes the end of its input for the end of a frame; here a frame ends with
//! its end mark ("LZ4 Frame Format Description").

use std::io::{self, BufRead, Read};

pub(super) const MAGIC: [u8; 4] = 0x184d_2204_u32.to_le_bytes();
/// The largest block that a frame can have.
const MAX_BLOCK: u32 = 4 << 20;

/// The bytes of one frame. What cuts it off is an error, and what follows it is not read.
pub(super) struct Frame<R> {
    input: R,
    /// What of the mark, which has been read, was not handed on yet.
    mark: &'static [u8],
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
    /// Two bytes behind the mark, of which the first tells what is in the rest.
    Head,
    /// Sizes, a dictionary's number, and the checksum of all of it.
    Rest,
    BlockSize,
    Block,
    Checksum,
    Ended,
}

impl<R: BufRead> Frame<R> {
    /// The frame behind whose mark `input` is.
    pub(super) fn new(input: R) -> Self {
        let (next, left, seen) = (Part::Head, 2, Vec::new());
        Self { input, mark: &MAGIC, next, left, seen, block_checksums: false, content_checksum: false }
    }

    /// What follows it, once it has ended.
    pub(super) fn into_inner(self) -> R {
        self.input
    }

    pub(super) fn ended(&self) -> bool {
        self.next == Part::Ended
    }

    /// The part behind the one that is over.
    fn advance(&mut self) {
        let seen = std::mem::take(&mut self.seen);
        (self.next, self.left) = match self.next {
            Part::Head => {
                let flags = seen.first().copied().unwrap_or_default();
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
        if !self.mark.is_empty() {
            return self.mark.read(buf);
        }
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
