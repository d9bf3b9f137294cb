//! A file on its way: hashed while it grows, and taken up again where the last attempt stopped.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::json;
use layers::digest::Hasher;
use layers::stop::Stop;
use serde::{Deserialize, Serialize};

/// What the server said of a file that is on its way (RFC 9110, 8.8).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Validator {
    pub(super) etag: Option<String>,
    pub(super) last_modified: Option<String>,
}

impl Validator {
    /// What `If-Range` asks; a weak tag does not tell bytes apart (RFC 9110, 13.1.5).
    pub(super) fn condition(&self) -> Option<&str> {
        self.etag.as_deref().filter(|etag| !etag.starts_with("W/")).or(self.last_modified.as_deref())
    }

    /// True if `other` belongs to another file; what one of them does not say is no difference.
    pub(super) fn contradicts(&self, other: &Self) -> bool {
        let differ = |a: &Option<String>, b: &Option<String>| a.is_some() && b.is_some() && a != b;
        differ(&self.etag, &other.etag) || differ(&self.last_modified, &other.last_modified)
    }
}

/// Where a download is kept until it is complete.
pub(super) struct Place {
    pub(super) part: PathBuf,
    validator: PathBuf,
}

impl Place {
    pub(super) fn new(directory: &Path, key: &str) -> Self {
        let named = |end: &str| directory.join(format!("{key}.{end}"));
        Self { part: named("part"), validator: named("validator") }
    }

    pub(super) fn validator(&self) -> Validator {
        fs::read(&self.validator).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    pub(super) fn remember(&self, validator: &Validator) {
        // Without it, the next attempt starts over.
        let _ = fs::write(&self.validator, json::bytes(validator));
    }

    /// Deletes what came so far.
    pub(super) fn clear(&self) {
        for path in [&self.part, &self.validator] {
            let _ = fs::remove_file(path);
        }
    }
}

/// A file that is hashed while it grows.
pub(super) struct Part {
    pub(super) file: File,
    pub(super) hasher: Hasher,
    pub(super) size: u64,
}

impl Part {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::create(path)?, hasher: Hasher::new(), size: 0 })
    }

    /// Opens what is there, and hashes it.
    pub(super) fn resume(path: &Path, stop: &Stop) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut hasher = Hasher::new();
        let mut buffer = vec![0; 256 << 10];
        let mut size = 0;
        loop {
            stop.check()?;
            let length = file.read(&mut buffer)?;
            if length == 0 {
                break;
            }
            hasher.update(&buffer[..length]);
            size += length as u64;
        }
        Ok(Self { file, hasher, size })
    }

    pub(super) fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.hasher = Hasher::new();
        self.size = 0;
        Ok(())
    }
}

impl Write for Part {
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
