//! gzip in independent members of a fixed size, compressed side by side (RFC 1952 allows any number of members).

use std::io::{self, Write};

use libdeflater::{CompressionLvl, Compressor};

use crate::at_once;

/// Input bytes of one member. Part of the format of our output: another size gives other bytes.
const MEMBER: usize = 1 << 20;
/// Members compressed at once; bounds memory, has no influence on the output.
const BATCH: usize = 8;

/// Compresses what is written to it.
pub(super) struct Encoder<W: Write> {
    out: W,
    level: CompressionLvl,
    pending: Vec<u8>,
    wrote: bool,
}

impl<W: Write> Encoder<W> {
    /// Levels 1 to 12, as libdeflate counts them.
    pub(super) fn new(out: W, level: i32) -> io::Result<Self> {
        let level = CompressionLvl::new(level).map_err(|_| io::Error::other("no such gzip level"))?;
        Ok(Self { out, level, pending: Vec::with_capacity(MEMBER * BATCH), wrote: false })
    }

    fn write_members(&mut self) -> io::Result<()> {
        let level = self.level;
        let inputs: Vec<&[u8]> = self.pending.chunks(MEMBER).collect();
        for member in at_once::each(&inputs, |input| member(input, level)) {
            self.out.write_all(&member?)?;
            self.wrote = true;
        }
        self.pending.clear();
        Ok(())
    }

    /// Writes what is left; an empty input is one empty member.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.write_members()?;
        if !self.wrote {
            self.out.write_all(&member(&[], self.level)?)?;
        }
        Ok(self.out)
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let taken = buf.len().min(MEMBER * BATCH - self.pending.len());
        self.pending.extend_from_slice(&buf[..taken]);
        if self.pending.len() == MEMBER * BATCH {
            self.write_members()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// libdeflate writes no name, time or other optional field.
fn member(input: &[u8], level: CompressionLvl) -> io::Result<Vec<u8>> {
    let mut compressor = Compressor::new(level);
    let mut output = vec![0; compressor.gzip_compress_bound(input.len())];
    let length = compressor.gzip_compress(input, &mut output).map_err(io::Error::other)?;
    output.truncate(length);
    Ok(output)
}
