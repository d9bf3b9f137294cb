//! What `lz4 -l` writes ("LZ4 Frame Format Description", "Legacy frame"): blocks of 8 MiB, each behind its length, of which
//! only the last is smaller. The format has neither an end mark nor a checksum: what ends between two blocks has ended.

use std::io::{self, BufRead, Read};

use super::WHAT;
use crate::compress::behind::mark;

pub(super) const MAGIC: [u8; 4] = 0x184c_2102_u32.to_le_bytes();
/// What a block comes to.
const BLOCK: usize = 8 << 20;
/// What the worst block takes (lz4.h, `LZ4_COMPRESSBOUND`).
const MOST: usize = BLOCK + BLOCK / 255 + 16;

/// Decodes the blocks of a frame behind its mark.
pub(super) struct Decoder<R: BufRead> {
    input: R,
    block: Vec<u8>,
    read: usize,
    /// A block was smaller than others: no other follows.
    last: bool,
    /// What stands where a block would, and begins none.
    next: Option<[u8; 4]>,
}

impl<R: BufRead> Decoder<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, block: Vec::new(), read: 0, last: false, next: None }
    }

    /// What follows the frame, once it has ended, and what of it has been read.
    pub(super) fn into_inner(self) -> (R, Option<[u8; 4]>) {
        (self.input, self.next)
    }

    /// Decodes the next block. False where there is none.
    fn next(&mut self) -> io::Result<bool> {
        if self.last || self.next.is_some() {
            return Ok(false);
        }
        let Some(word) = mark(&mut self.input, true, WHAT)? else { return Ok(false) };
        let length = usize::try_from(u32::from_le_bytes(word)).unwrap_or(usize::MAX);
        if length == 0 || length > MOST {
            self.next = Some(word);
            return Ok(false);
        }
        let mut packed = vec![0; length];
        self.input.read_exact(&mut packed)?;
        self.block.resize(BLOCK, 0);
        let length = lz4_flex::block::decompress_into(&packed, &mut self.block).map_err(|error| {
            let text = format!("a block is damaged: {error}");
            io::Error::new(io::ErrorKind::InvalidData, text)
        })?;
        self.block.truncate(length);
        (self.read, self.last) = (0, length < BLOCK);
        Ok(true)
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.read == self.block.len() {
            if buf.is_empty() || !self.next()? {
                return Ok(0);
            }
        }
        let length = (&self.block[self.read..]).read(buf)?;
        self.read += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(data: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for block in data.chunks(BLOCK) {
            let packed = lz4_flex::block::compress(block);
            bytes.extend(u32::try_from(packed.len()).unwrap().to_le_bytes());
            bytes.extend(packed);
        }
        bytes
    }

    fn decoded(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut back = Vec::new();
        super::super::Decoder::new(io::BufReader::with_capacity(101, bytes)).read_to_end(&mut back)?;
        Ok(back)
    }

    #[test]
    fn blocks_and_frames() {
        let data: Vec<u8> = (0..9_u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 29) as u8).collect();
        let two = [frame(&data), frame(b"end")].concat();
        assert!(decoded(&two).unwrap() == [data.as_slice(), b"end"].concat());
        let good = frame(&data);
        for cut in [3, 4 + 2, 100, good.len() - 1, good.len() - 100] {
            assert!(decoded(&good[..cut]).is_err(), "{cut}");
        }
        assert!(decoded(&[good.as_slice(), b"rest of it"].concat()).is_err());
    }

    #[test]
    fn a_block_is_bounded() {
        let bomb = [&MAGIC[..], &[0xff; 8]].concat();
        assert!(decoded(&bomb).is_err());
        let large = lz4_flex::block::compress(&vec![0; BLOCK + 1]);
        let bytes = [&MAGIC[..], &u32::try_from(large.len()).unwrap().to_le_bytes(), &large].concat();
        assert!(decoded(&bytes).is_err());
    }
}
