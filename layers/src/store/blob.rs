//! Writing a blob whose digest is not known yet.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use super::aside::unreadable;
use super::{Result, Store, StoreError, failed};
use crate::digest::{Digest, Hasher};

impl Store {
    /// A writer of a blob whose digest is not known yet.
    pub fn blob_writer(&self) -> Result<BlobWriter> {
        Ok(BlobWriter { file: self.temporary()?, hasher: Hasher::new(), size: 0, store: self.clone() })
    }
}

/// Copies `from` into a writer of the store, whose file lies in `place`.
pub(super) fn fill(from: &mut dyn Read, to: &mut dyn Write, place: &Path) -> Result<io::Result<u64>> {
    let (mut buffer, mut total) = (vec![0; 256 << 10], 0);
    loop {
        let length = match from.read(&mut buffer) {
            Ok(0) => return Ok(Ok(total)),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Ok(Err(error)),
        };
        to.write_all(&buffer[..length]).map_err(failed("write to", place))?;
        total += length as u64;
    }
}

/// True if both files hold the same. Neither is hashed: that takes longer.
fn same(one: &Path, other: &Path) -> io::Result<bool> {
    let mut there = match crate::regular::open(other) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return unreadable(error).map(|_| false),
    };
    let mut here = File::open(one)?;
    let size = here.metadata()?.len();
    if size != there.metadata()?.len() {
        return Ok(false);
    }
    let (mut left, mut right) = (vec![0; 256 << 10], vec![0; 256 << 10]);
    let mut to_go = size;
    while to_go > 0 {
        let length = usize::try_from(to_go).map_or(left.len(), |to_go| to_go.min(left.len()));
        here.read_exact(&mut left[..length])?;
        // What cannot be read is not the same.
        if there.read_exact(&mut right[..length]).is_err() || left[..length] != right[..length] {
            return Ok(false);
        }
        to_go -= length as u64;
    }
    Ok(true)
}

/// Writes a blob. Dropped without [`BlobWriter::commit`], it leaves nothing.
#[derive(Debug)]
pub struct BlobWriter {
    file: tempfile::NamedTempFile,
    hasher: Hasher,
    size: u64,
    store: Store,
}

impl BlobWriter {
    /// Ends the blob. Where digest and size are known, anything else is an error and nothing is kept.
    pub fn commit(self, expected: Option<(Digest, u64)>) -> Result<(Digest, u64)> {
        let found = (self.hasher.finish(), self.size);
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            let text = |(digest, size): (Digest, u64)| format!("{digest} ({size} bytes)");
            return Err(StoreError::Mismatch { expected: text(expected), found: text(found) });
        }
        let path = self.store.blob_path(&found.0);
        // One that is there may be damaged.
        if !same(self.file.path(), &path).map_err(failed("compare", &path))? {
            self.store.persist(self.file, &path)?;
        }
        Ok(found)
    }

    /// Writes all that `from` has. What cannot be written is the store's error; what cannot be read is told apart from
    /// it, within.
    pub fn fill(&mut self, from: &mut dyn Read) -> Result<io::Result<u64>> {
        let place = self.file.path().parent().unwrap_or(Path::new("")).to_owned();
        fill(from, self, &place)
    }

    /// Bytes written so far.
    pub fn len(&self) -> u64 {
        self.size
    }

    /// True before the first byte.
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }
}

impl Write for BlobWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let length = self.file.write(buf)?;
        self.hasher.update(&buf[..length]);
        self.size += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
