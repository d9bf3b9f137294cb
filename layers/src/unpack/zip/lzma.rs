//! Members that are packed by LZMA (APPNOTE.TXT, section 5.8): a header of zip's own, then what "LZMA_alone" files have.

use std::io::{self, BufReader, Chain, Cursor, Read};

use flate2::Crc;
use liblzma::bufread::XzDecoder;
use liblzma::stream::Stream;

use super::damaged;
use crate::compress::{MEMORY_LIMIT, clamped};

/// Bytes of properties: how the text is modelled, and the size of the dictionary (5.8.8.2).
const PROPERTIES: u16 = 5;

/// Decodes a member, and checks its CRC where it ends.
pub(super) struct Decoder<R: Read> {
    inner: XzDecoder<BufReader<Chain<Cursor<Vec<u8>>, R>>>,
    left: u64,
    crc: Crc,
    expected: u32,
}

impl<R: Read> Decoder<R> {
    /// Of a member that comes to `size` bytes with that CRC.
    pub(super) fn new(mut input: R, size: u64, expected: u32) -> io::Result<Self> {
        let mut header = [0; 4];
        input.read_exact(&mut header)?;
        if u16::from_le_bytes([header[2], header[3]]) != PROPERTIES {
            return Err(damaged("the properties of LZMA have another length than 5 bytes"));
        }
        let mut head = [0; 13];
        input.read_exact(&mut head[..PROPERTIES.into()])?;
        head[PROPERTIES.into()..].copy_from_slice(&size.to_le_bytes());
        let head = clamped(head, MEMORY_LIMIT).to_vec();
        let stream = Stream::new_lzma_decoder(MEMORY_LIMIT)?;
        let inner = XzDecoder::new_stream(BufReader::new(Cursor::new(head).chain(input)), stream);
        Ok(Self { inner, left: size, crc: Crc::new(), expected })
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buf)?;
        self.crc.update(&buf[..length]);
        self.left = self.left.saturating_sub(length as u64);
        if length == 0 && !buf.is_empty() && (self.left > 0 || self.crc.sum() != self.expected) {
            return Err(damaged("its content is not what its checksum says"));
        }
        Ok(length)
    }
}
