//! What the directory of a zip archive may come to: it is read as a whole before its first member is, and it costs
//! several times its size.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::rc::Rc;

use zip::ZipArchive;
use zip::result::ZipError;

use super::{UnpackError, damaged};

/// Bytes of a directory. A member takes about a hundred of them.
pub(super) const MAX_DIRECTORY: u64 = 32 << 20;
/// The least that a member takes there (APPNOTE.TXT, section 4.3.12).
const LEAST: u64 = 46;
/// Where the records of the end can be: they are small, and the last one ends with a comment of up to 64 KiB.
const TAIL: u64 = 128 << 10;

/// Reads the directory of the archive `file`, unless it is too large.
pub(super) fn open(file: File) -> Result<ZipArchive<Bounded>, UnpackError> {
    claims(&file)?;
    let left = Rc::new(Cell::new(MAX_DIRECTORY + TAIL));
    let opened = ZipArchive::new(Bounded { inner: BufReader::new(file), left: Rc::clone(&left) });
    if left.get() == 0 {
        return Err(too_large().into());
    }
    left.set(u64::MAX);
    Ok(opened?)
}

fn too_large() -> io::Error {
    let text =
        "its directory is larger than the 32 MiB that alloy reads into memory: the archive has to be packed as a tar";
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// An error if a record of the end, which says how many members there are, says that there are too many. Memory is had
/// for as many before the first one is read. A record is wherever its mark is: which of several is the right one is
/// not decided here.
fn claims(file: &File) -> Result<(), UnpackError> {
    let length = file.metadata()?.len();
    let start = length.saturating_sub(TAIL);
    let mut tail = vec![0; usize::try_from(length - start).unwrap_or_default()];
    file.read_exact_at(&mut tail, start)?;
    for at in 20..tail.len() {
        // Only the locator before the last record leads to numbers of more than 16 bits (4.3.15 and 4.3.16).
        let locator = &tail[at - 20..at];
        if tail[at..].starts_with(b"PK\x05\x06") && locator.starts_with(b"PK\x06\x07") {
            large(file, number(&locator[8..16]), start + at as u64 - 20)?;
        }
    }
    Ok(())
}

/// The record of a large archive (4.3.14), from `at` to its locator, where other readers look for it.
fn large(file: &File, at: u64, locator: u64) -> Result<(), UnpackError> {
    const LENGTH: u64 = 56;
    let misplaced = || ZipError::InvalidArchive("the record of its end is not where it should be".into());
    let room = locator.checked_sub(at).filter(|room| *room >= LENGTH).ok_or_else(misplaced)?;
    let mut record = [0; LENGTH as usize];
    file.read_exact_at(&mut record, at)?;
    let field = |from: usize, length: usize| number(&record[from..from + length]);
    if !record.starts_with(b"PK\x06\x06") || field(4, 8) != room - 12 {
        return Err(misplaced().into());
    }
    // Where numbers of disks or of members differ, the reader would look for another record.
    if field(16, 4) != 0 || field(20, 4) != 0 || field(24, 8) != field(32, 8) {
        return Err(damaged("it is one of several volumes").into());
    }
    if field(40, 8) > MAX_DIRECTORY || field(32, 8) > MAX_DIRECTORY / LEAST {
        return Err(too_large().into());
    }
    Ok(())
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

/// A file of which only so much can be read.
pub(super) struct Bounded {
    inner: BufReader<File>,
    left: Rc<Cell<u64>>,
}

impl Read for Bounded {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 {
            return Err(too_large());
        }
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        let length = self.inner.read(&mut buf[..wanted])?;
        self.left.set(left.saturating_sub(length as u64));
        Ok(length)
    }
}

impl Seek for Bounded {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}
