//! Files that take no room for zeros.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

/// A file that is written from its present place on, with holes in the place of long runs of zeros.
#[derive(Debug)]
pub struct Holes<'a> {
    file: &'a mut File,
    /// The file ends with a hole that it does not have yet.
    open: bool,
}

/// The least that becomes a hole: file systems keep track of blocks.
const HOLE: usize = 4 << 10;

/// True for zeros that are worth a hole.
pub(crate) fn is_hole(bytes: &[u8]) -> bool {
    bytes.len() >= HOLE && bytes.iter().all(|byte| *byte == 0)
}

/// True for a file that has nothing yet, and goes on where one writes: only there may a hole stand for zeros.
///
/// # Errors
///
/// The kernel does not tell.
pub fn is_new(mut file: &File) -> io::Result<bool> {
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > 0 || file.stream_position()? > 0 {
        return Ok(false);
    }
    Ok(!rustix::fs::fcntl_getfl(file)?.contains(rustix::fs::OFlags::APPEND))
}

impl<'a> Holes<'a> {
    /// Nothing is written yet.
    pub fn new(file: &'a mut File) -> Self {
        Self { file, open: false }
    }

    /// Gives the file its full length.
    ///
    /// # Errors
    ///
    /// The file system does not take it.
    pub fn finish(self) -> io::Result<&'a mut File> {
        if self.open {
            let length = self.file.stream_position()?;
            self.file.set_len(length)?;
        }
        Ok(self.file)
    }
}

impl Write for Holes<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.open = is_hole(bytes);
        if self.open {
            self.file.seek(SeekFrom::Current(i64::try_from(bytes.len()).map_err(io::Error::other)?))?;
            return Ok(bytes.len());
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn what_holds_something_gets_no_holes() {
        let mut file = tempfile::tempfile().unwrap();
        assert!(is_new(&file).unwrap());
        file.write_all(b"x").unwrap();
        assert!(!is_new(&file).unwrap());
        let named = tempfile::NamedTempFile::new().unwrap();
        assert!(!is_new(&File::options().append(true).open(named.path()).unwrap()).unwrap());
        let (_reader, writer) = io::pipe().unwrap();
        assert!(!is_new(&File::from(std::os::fd::OwnedFd::from(writer))).unwrap());
    }

    #[test]
    fn zeros_take_no_room_and_are_read_back() {
        let (zeros, text) = (vec![0; 1 << 20], vec![b'x'; 5000]);
        for parts in
            [vec![&zeros, &text], vec![&text, &zeros], vec![&zeros], vec![&text, &zeros, &text, &zeros], vec![]]
        {
            let mut file = tempfile::tempfile().unwrap();
            let mut holes = Holes::new(&mut file);
            parts.iter().for_each(|part| holes.write_all(part).unwrap());
            holes.finish().unwrap();
            let wanted: Vec<u8> = parts.iter().copied().flatten().copied().collect();
            file.rewind().unwrap();
            let mut found = Vec::new();
            file.read_to_end(&mut found).unwrap();
            assert!(found == wanted, "{} bytes, not {}", found.len(), wanted.len());
            assert!(file.metadata().unwrap().blocks() * 512 < 1 << 19);
        }
    }
}
