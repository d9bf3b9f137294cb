//! What a header says of the bytes that follow it, and these bytes.

use std::io::{self, Read};
use std::path::Path;

use tar::{EntryType, Header};

use super::{Content, TarError};
use crate::path::shown;

/// Whether a member of this kind has its size in the archive, as GNU tar, Go and Python see it.
pub(super) fn holds_data(header: &Header) -> bool {
    match header.entry_type() {
        EntryType::Link
        | EntryType::Symlink
        | EntryType::Char
        | EntryType::Block
        | EntryType::Directory
        | EntryType::Fifo => false,
        // Before there was a kind for directories, the end of the name told them.
        _ => header.as_old().linkflag[0] != 0 || !header.path_bytes().ends_with(b"/"),
    }
}

/// The size that a header says. A field with nothing in it is 0, as GNU tar leaves it in the label of an archive.
pub(super) fn stored_size(header: &Header) -> Result<u64, TarError> {
    if empty(&header.as_old().size) { Ok(0) } else { Ok(header.entry_size()?) }
}

/// True for a field that says nothing.
pub(super) fn empty(field: &[u8]) -> bool {
    field.iter().all(|byte| matches!(byte, 0 | b' '))
}

/// The content of a member. That the archive ends before it does is an error, which names the member.
pub(super) struct Stored<R> {
    content: io::Take<R>,
    member: String,
}

impl<R: Read> Stored<R> {
    pub(super) fn new(content: io::Take<R>) -> Self {
        Self { content, member: "a member".to_owned() }
    }

    /// From now on, it is that of the member `path`, of which it has `size` bytes.
    pub(super) fn of(&mut self, path: &Path, size: u64) {
        use std::os::unix::ffi::OsStrExt;
        self.member = shown(path.as_os_str().as_bytes());
        self.content.set_limit(size);
    }
}

impl<R: Read> Read for Stored<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.content.read(buffer)?;
        if length == 0 && !buffer.is_empty() && self.content.limit() > 0 {
            let text = format!("the archive ends in the middle of {}", self.member);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        Ok(length)
    }
}

impl<R: Read> Content for Stored<R> {}

#[cfg(test)]
mod tests {
    use super::super::for_each;
    use super::*;

    /// GNU tar leaves fields empty that say nothing, as the size of a label.
    #[test]
    fn fields_that_say_nothing_are_zero_and_an_end_in_the_middle_is_told() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("file"), vec![7; 3000]).unwrap();
        let output = std::process::Command::new("tar")
            .args(["-C", directory.path().to_str().unwrap(), "-V", "my label", "-cf", "-", "file"])
            .output()
            .unwrap();
        let names = |bytes: &[u8]| {
            let mut names = Vec::new();
            let read = for_each::<_, TarError>(bytes, |entry, content| {
                names.push(entry.path.display().to_string());
                io::copy(&mut &mut *content, &mut io::sink())?;
                Ok(())
            });
            read.map(|_| names)
        };
        assert_eq!(names(&output.stdout).unwrap(), ["file"]);
        let told = names(&output.stdout[..2048]).unwrap_err().to_string();
        assert!(told.contains("the archive ends in the middle of file"), "{told}");
    }
}
