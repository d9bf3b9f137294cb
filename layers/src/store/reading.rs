//! Reading blobs: their bytes are hashed as they pass, and nobody is done with one that is not what its name says.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::aside::unreadable;
use super::{Damage, Result, Store, StoreError, failed};
use crate::digest::{Digest, Hasher};
use crate::media_type::Descriptor;
use crate::stop::Stop;

/// How far the reader of a blob has come.
mod state {
    pub(super) const UNREAD: u8 = 0;
    pub(super) const RIGHT: u8 = 1;
    pub(super) const WRONG: u8 = 2;
}

/// A blob while it is read. Its end is an error if its bytes were others than its name says.
#[derive(Debug)]
pub struct Blob {
    file: File,
    expected: Digest,
    /// `None` behind the end.
    hasher: Option<Hasher>,
    state: Arc<AtomicU8>,
}

impl Read for Blob {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buf)?;
        let Some(hasher) = &mut self.hasher else { return Ok(length) };
        if length > 0 || buf.is_empty() {
            hasher.update(&buf[..length]);
            return Ok(length);
        }
        let found = self.hasher.take().map(Hasher::finish);
        let right = found == Some(self.expected);
        self.state.store(if right { state::RIGHT } else { state::WRONG }, Ordering::Release);
        if right { Ok(0) } else { Err(io::Error::new(io::ErrorKind::InvalidData, "the store has it damaged")) }
    }
}

impl Store {
    /// Reads a blob with `read`. If the blob is not what its name says, that is the error, whatever came of reading it:
    /// it is put aside, and what was made of it must not be used.
    pub fn read_whole<T, E: From<StoreError>>(
        &self,
        digest: &Digest,
        read: impl FnOnce(Blob) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let state = Arc::new(AtomicU8::new(state::UNREAD));
        let file = self.open_blob(digest)?;
        super::used::mark(&self.blob_path(digest));
        let blob = Blob { file, expected: *digest, hasher: Some(Hasher::new()), state: Arc::clone(&state) };
        let done = read(blob);
        let read = state.load(Ordering::Acquire);
        if read != state::RIGHT {
            // Not read to its end, or wrong: then what it is now counts, not what a reader has made of it.
            self.check_blob(digest)?;
        }
        if read == state::WRONG {
            // What the reader got was not this, and nobody knows what it has made of it.
            let other = io::Error::other("it was read twice, and was not the same: the disk or the memory is failing");
            return Err(failed("read", &self.blob_path(digest))(other).into());
        }
        done
    }

    /// The first bytes of a blob, which tell what it is; they are not checked.
    pub fn blob_head(&self, digest: &Digest) -> Result<Vec<u8>> {
        let mut head = Vec::new();
        match self.open_blob(digest)?.take(8).read_to_end(&mut head) {
            Ok(_) => Ok(head),
            Err(error) => {
                // One that the disk has lost is put aside.
                self.check_blob(digest)?;
                Err(failed("read", &self.blob_path(digest))(error))
            }
        }
    }

    /// Hashes a blob, and puts it aside if it is not what its name says. Gives its length in bytes.
    pub fn check_blob(&self, digest: &Digest) -> Result<u64> {
        self.examine_blob(digest, true)?.map_err(StoreError::from)
    }

    /// Hashes a blob. Gives its length in bytes, or what is wrong with it; it is put aside if `repair`.
    pub fn examine_blob(&self, digest: &Digest, repair: bool) -> Result<std::result::Result<u64, Damage>> {
        let path = self.blob_path(digest);
        let why = match crate::regular::open(&path).and_then(hashed) {
            Ok((found, size)) if found == *digest => return Ok(Ok(size)),
            Ok((found, size)) => format!("it has {size} bytes, which are {found}"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(StoreError::Missing(*digest)),
            Err(error) => unreadable(error).map_err(failed("read", &path))?,
        };
        Ok(Err(self.found_wrong(&path, format!("blob {digest}"), why, repair)))
    }

    /// True if a blob of that length is there. One of another length is not what its name says: it is put aside.
    pub fn holds(&self, blob: &Descriptor) -> bool {
        match self.blob_len(&blob.digest) {
            Ok(Some(size)) if size == blob.size => true,
            Ok(None) => false,
            // Whoever gave the length may be wrong; and what cannot be looked at for a moment is not missing.
            _ => matches!(self.check_blob(&blob.digest), Ok(size) if size == blob.size),
        }
    }
}

/// The digest of what is in a file, and its length in bytes.
pub(super) fn hashed(mut file: impl Read) -> io::Result<(Digest, u64)> {
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 256 << 10];
    let mut size = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((hasher.finish(), size)),
            Ok(length) => {
                hasher.update(&buffer[..length]);
                size += length as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

impl Store {
    /// Digests of all downloads that are complete.
    pub fn download_digests(&self) -> Result<Vec<Digest>> {
        Ok(super::list(&self.downloads())?.iter().filter_map(|name| Digest::from_hex(name).ok()).collect())
    }

    /// Hashes the download of that digest. Gives its length in bytes; `None` if it is not there, or not what its name
    /// says: then it is put aside.
    pub fn checked_download(&self, digest: &Digest, stop: &Stop) -> Result<Option<u64>> {
        Ok(self.download_read(digest, true, stop)?.and_then(std::result::Result::ok))
    }

    /// Hashes the download of that digest. Gives its length in bytes, or what is wrong with it; it is put aside if
    /// `repair`. `None` if it is not there.
    pub fn examine_download(&self, digest: &Digest, repair: bool) -> Result<Option<std::result::Result<u64, Damage>>> {
        self.download_read(digest, repair, &Stop::default())
    }

    fn download_read(
        &self,
        digest: &Digest,
        repair: bool,
        stop: &Stop,
    ) -> Result<Option<std::result::Result<u64, Damage>>> {
        let path = self.downloads().join(digest.hex());
        let why = match crate::regular::open(&path).and_then(|file| hashed(stop.reader(file))) {
            Ok((found, size)) if found == *digest => {
                if repair {
                    super::used::mark(&path);
                }
                return Ok(Some(Ok(size)));
            }
            Ok((found, size)) => format!("it has {size} bytes, which are {found}"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => unreadable(error).map_err(failed("read", &path))?,
        };
        Ok(Some(Err(self.found_wrong(&path, format!("download {digest}"), why, repair))))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::Fate;
    use crate::store::tests::store;

    fn all(store: &Store, digest: &Digest) -> Result<Vec<u8>> {
        store.read_whole(digest, |mut blob| {
            let mut bytes = Vec::new();
            blob.read_to_end(&mut bytes).map_err(failed("read", store.root()))?;
            Ok(bytes)
        })
    }

    #[test]
    fn what_is_damaged_is_told_and_put_aside() {
        for bytes in ["hellO", "", "hello, world"] {
            let (_directory, store) = store();
            let digest = store.put_blob(b"hello").unwrap();
            assert_eq!(all(&store, &digest).unwrap(), b"hello");
            fs::write(store.blob_path(&digest), bytes).unwrap();
            let error = all(&store, &digest).unwrap_err();
            assert!(matches!(&error, StoreError::Wrong(damage) if damage.fate == Fate::Aside), "{error}");
            assert!(error.to_string().contains(&digest.to_string()), "{error}");
            assert!(!store.contains(&digest));
            assert_eq!((store.damage().len(), store.aside().unwrap().len()), (1, 1));
            assert_eq!(store.put_blob(b"hello").unwrap(), digest);
            assert_eq!(all(&store, &digest).unwrap(), b"hello");
        }
    }

    #[test]
    fn damage_counts_more_than_what_a_reader_made_of_it() {
        let (_directory, store) = store();
        let digest = store.put_blob(b"hello").unwrap();
        fs::write(store.blob_path(&digest), "hellO").unwrap();
        // Read in part, and well.
        let read = store.read_whole(&digest, |mut blob| blob.read(&mut [0; 2]).map_err(failed("read", store.root())));
        assert!(matches!(read, Err(StoreError::Wrong(_))));
        store.put_blob(b"hello").unwrap();
        fs::write(store.blob_path(&digest), "hellO").unwrap();
        // An error of somebody who could not make sense of it.
        let read = store.read_whole(&digest, |_| Err::<(), _>(StoreError::Key("x".into())));
        assert!(matches!(read, Err(StoreError::Wrong(_))));
        // Of a good one the error is the reader's own.
        store.put_blob(b"hello").unwrap();
        let read = store.read_whole(&digest, |_| Err::<(), _>(StoreError::Key("x".into())));
        assert!(matches!(read, Err(StoreError::Key(_))));
    }

    #[test]
    fn what_is_no_file_is_damage() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let put: [fn(&std::path::Path); 3] = [
            |path| fs::create_dir(path).unwrap(),
            |path| mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap(),
            |path| std::os::unix::fs::symlink(path, path).unwrap(),
        ];
        for put in put {
            let (_directory, store) = store();
            let place = |path: &std::path::Path| {
                fs::remove_file(path).unwrap();
                put(path);
            };
            let digest = store.put_blob(b"hello").unwrap();
            let path = store.blob_path(&digest);
            place(&path);
            // Another one takes its place; nobody waits for a writer.
            store.put_blob(b"hello").unwrap();
            assert_eq!(all(&store, &digest).unwrap(), b"hello");
            place(&path);
            let mut writer = store.blob_writer().unwrap();
            std::io::Write::write_all(&mut writer, b"hello").unwrap();
            writer.commit(None).unwrap();
            assert_eq!(all(&store, &digest).unwrap(), b"hello");
            place(&path);
            assert!(store.examine_blob(&digest, false).unwrap().is_err() && path.symlink_metadata().is_ok());
            assert!(matches!(all(&store, &digest), Err(StoreError::Wrong(_))) && path.symlink_metadata().is_err());
            store.put_record("layers", "a", b"1").unwrap();
            place(&store.root().join("records/layers/a"));
            assert_eq!(store.examine_records(false).unwrap().1.len(), 1);
            assert_eq!(store.record("layers", "a").unwrap(), None);
            store.put_record("layers", "a", b"1").unwrap();
            assert_eq!(store.record("layers", "a").unwrap().unwrap(), b"1");
            let download = store.downloads().join(digest.hex());
            fs::write(&download, "hello").unwrap();
            place(&download);
            assert_eq!(store.checked_download(&digest, &Stop::default()).unwrap(), None);
            assert!(download.symlink_metadata().is_err());
        }
    }

    #[test]
    fn bytes_that_were_wrong_once_are_not_used() {
        let (_directory, store) = store();
        let digest = store.put_blob(b"hello").unwrap();
        let path = store.blob_path(&digest);
        fs::write(&path, "hellO").unwrap();
        let read = store.read_whole(&digest, |mut blob| {
            let mut bytes = Vec::new();
            let _ = blob.read_to_end(&mut bytes);
            // The second time it is right.
            fs::write(&path, "hello").unwrap();
            Ok::<_, StoreError>(bytes)
        });
        assert!(read.unwrap_err().to_string().contains("not the same"));
        assert!(store.contains(&digest) && store.damage().is_empty());
    }

    #[test]
    fn another_length_is_damage() {
        let (_directory, store) = store();
        let digest = store.put_blob(b"hello").unwrap();
        let blob = |size| Descriptor { media_type: String::new(), digest, size };
        assert!(store.holds(&blob(5)));
        assert!(!store.holds(&blob(4)), "whoever says so is wrong");
        assert!(store.holds(&blob(5)) && store.damage().is_empty());
        fs::write(store.blob_path(&digest), "").unwrap();
        assert!(!store.holds(&blob(5)));
        assert_eq!(store.damage().len(), 1);
    }

    #[test]
    fn downloads_are_what_their_name_says() {
        let (_directory, store) = store();
        let digest = Digest::of("hello");
        let path = store.downloads().join(digest.hex());
        assert_eq!(store.checked_download(&digest, &Stop::default()).unwrap(), None);
        fs::write(&path, "hello").unwrap();
        assert_eq!(store.checked_download(&digest, &Stop::default()).unwrap(), Some(5));
        fs::write(&path, "hellO").unwrap();
        assert_eq!(store.checked_download(&digest, &Stop::default()).unwrap(), None);
        assert!(!path.exists() && store.damage().len() == 1);
    }
}
