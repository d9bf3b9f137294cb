//! Files of layouts that somebody else wrote: only regular ones are opened, and no more is read than there should be.
//! Links are followed: layouts that build tools write have them, and what they lead to is checked by its digest.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::path::Path;

use layers::media_type::Descriptor;
use layers::store::Store;
use rustix::fs::{FileType, Mode, OFlags};

use super::ImageError;

/// Indexes, manifests and configs are small.
pub const JSON_LIMIT: u64 = 8 << 20;

/// Opens a regular file. Of anything else nothing is opened: a FIFO would wait for a writer, a device may do something.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let found = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    if FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode) != FileType::RegularFile {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    // The very file that was looked at.
    File::open(format!("/proc/self/fd/{}", found.as_raw_fd()))
}

/// All of a regular file of at most `limit` bytes.
pub fn read_regular(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {limit} bytes")));
    }
    Ok(bytes)
}

/// Copies the blob at `path` into the store, checked; of what is longer than it should be, not more than that.
pub fn copy_blob(store: &Store, path: &Path, blob: &Descriptor) -> Result<(), ImageError> {
    let failed = |source| ImageError::Read { path: path.to_owned(), source };
    let file = open_regular(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.len() > blob.size {
        return Err(failed(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is longer than {} bytes", blob.size),
        )));
    }
    let mut writer = store.blob_writer()?;
    // It may grow, or be of those that do not know their length.
    io::copy(&mut file.take(blob.size.saturating_add(1)), &mut writer).map_err(failed)?;
    writer.commit(Some((blob.digest, blob.size)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use layers::digest::Digest;

    #[test]
    fn only_regular_files_are_read_and_no_further_than_they_should_go() {
        let directory = tempfile::tempdir().unwrap();
        let (fifo, file, link) =
            (directory.path().join("fifo"), directory.path().join("f"), directory.path().join("l"));
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        std::fs::write(&file, b"12345").unwrap();
        std::os::unix::fs::symlink("f", &link).unwrap();
        for other in [fifo.as_path(), Path::new("/dev/zero"), directory.path()] {
            assert_eq!(open_regular(other).unwrap_err().to_string(), "it is not a regular file");
        }
        assert_eq!(read_regular(&link, 5).unwrap(), b"12345");
        assert_eq!(read_regular(&file, 4).unwrap_err().to_string(), "it is larger than 4 bytes");
        let store = Store::open(directory.path().join("store")).unwrap();
        let blob = |size| Descriptor { media_type: String::new(), digest: Digest::of("12345"), size };
        assert!(copy_blob(&store, &file, &blob(4)).unwrap_err().to_string().contains("longer than 4 bytes"));
        assert!(copy_blob(&store, &file, &blob(6)).is_err());
        assert!(copy_blob(&store, Path::new("/dev/zero"), &blob(5)).is_err());
        copy_blob(&store, &file, &blob(5)).unwrap();
        assert!(store.contains(&Digest::of("12345")));
    }
}
