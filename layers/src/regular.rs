//! Files that are found by a name, read without waiting: a named pipe would wait for a writer for ever, a device may do
//! something when it is opened, and either may have no end.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, fstatfs, stat};

use crate::root::{FileKind, Root, RootError};

/// Magic number of the file system of pipes without a name (statfs(2)).
const PIPES: i64 = 0x5049_5045;

/// Opens a regular file. Of anything else nothing is opened.
pub fn open(path: &Path) -> io::Result<File> {
    if FileType::from_raw_mode(stat(path)?.st_mode) != FileType::RegularFile {
        return Err(not_a_file());
    }
    let file = without_waiting(path)?;
    // Another may have taken the name.
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_a_file()) }
}

/// Opens a regular file at `path` in `directory`. No link on the way leads out of it, whoever puts one there meanwhile;
/// such a link, and an absolute one, are errors of the kind `CrossesDevices`.
pub fn beneath(directory: &Path, path: &Path) -> io::Result<File> {
    let held = Root::open(directory).and_then(|top| top.beneath(path)).map_err(RootError::into_source)?;
    if held.metadata().map_err(RootError::into_source)?.kind != FileKind::File {
        return Err(not_a_file());
    }
    // The very file that was looked at.
    held.open().map_err(RootError::into_source)
}

/// All of a regular file of at most `limit` bytes.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    at_most(open(path)?, limit)
}

/// All of a regular file of text, of at most `limit` bytes.
pub fn text(path: &Path, limit: u64) -> io::Result<String> {
    String::from_utf8(read(path, limit)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// The same of what somebody names on a command line: it may be a pipe as a shell has them for `<(…)`, too, whose writer
/// is there.
pub fn given(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    if FileType::from_raw_mode(stat(path)?.st_mode) != FileType::Fifo {
        return read(path, limit);
    }
    let pipe = without_waiting(path)?;
    if fstatfs(&pipe)?.f_type != PIPES {
        return Err(not_a_file());
    }
    rustix::fs::fcntl_setfl(&pipe, OFlags::empty())?;
    at_most(pipe, limit)
}

/// [`given`], as text.
pub fn given_text(path: &Path, limit: u64) -> io::Result<String> {
    String::from_utf8(given(path, limit)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

fn without_waiting(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

fn not_a_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, NotAFile)
}

/// True if that is why nothing was opened.
pub(crate) fn is_refusal(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<NotAFile>())
}

#[derive(Debug, thiserror::Error)]
#[error("it is not a regular file")]
struct NotAFile;

fn at_most(file: File, limit: u64) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len().min(limit);
    // Of what may be a secret, no copies are left behind by making room.
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0).saturating_add(1));
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {limit} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, mknodat};
    use std::io::Write;
    use std::os::fd::AsRawFd;

    #[test]
    fn nothing_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let (fifo, file) = (directory.path().join("fifo"), directory.path().join("file"));
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        std::fs::write(&file, "12345").unwrap();
        for other in [fifo.as_path(), Path::new("/dev/zero"), directory.path()] {
            assert_eq!(text(other, 9).unwrap_err().to_string(), "it is not a regular file");
            assert_eq!(given(other, 9).unwrap_err().to_string(), "it is not a regular file");
        }
        assert_eq!((text(&file, 5).unwrap(), given(&file, 5).unwrap()), ("12345".into(), b"12345".to_vec()));
        assert_eq!(read(&file, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read(&directory.path().join("none"), 4).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn no_link_leads_out_of_the_directory() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("in");
        std::fs::create_dir_all(directory.join("sub")).unwrap();
        std::fs::write(place.path().join("secret"), "secret").unwrap();
        std::fs::write(directory.join("sub/file"), "own").unwrap();
        let link = |target: &str, name: &str| std::os::unix::fs::symlink(target, directory.join(name)).unwrap();
        link("sub/file", "inside");
        link("../secret", "out");
        link(place.path().to_str().unwrap(), "up");
        let text = |path: &str| beneath(&directory, Path::new(path)).and_then(io::read_to_string);
        assert_eq!((text("sub/file").unwrap(), text("inside").unwrap()), ("own".into(), "own".into()));
        for path in ["out", "up/secret", "../secret"] {
            assert_eq!(text(path).unwrap_err().kind(), io::ErrorKind::CrossesDevices, "{path}");
        }
        assert_eq!(text("sub").unwrap_err().to_string(), "it is not a regular file");
        mknodat(CWD, directory.join("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert_eq!(text("fifo").unwrap_err().to_string(), "it is not a regular file");
    }

    #[test]
    fn a_shell_s_pipe_is_read_to_its_end() {
        let (reader, mut writer) = io::pipe().unwrap();
        let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
        let writing = std::thread::spawn(move || writer.write_all(b"given").unwrap());
        assert_eq!(given_text(Path::new(&path), 9).unwrap(), "given");
        assert!(text(Path::new(&path), 9).is_err());
        writing.join().unwrap();
    }
}
