//! Writing a blob whose digest is not known yet.

use std::io::{self, Write};

use super::{Result, Store, StoreError, persist};
use crate::digest::{Digest, Hasher};

impl Store {
    /// A writer of a blob whose digest is not known yet.
    pub fn blob_writer(&self) -> Result<BlobWriter> {
        Ok(BlobWriter { file: self.temporary()?, hasher: Hasher::new(), size: 0, store: self.clone() })
    }
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
        if !path.is_file() {
            persist(self.file, &path)?;
        }
        Ok(found)
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
