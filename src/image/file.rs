//! Files of layouts and archives that somebody else wrote: only regular ones are opened, and no more is read than there
//! should be. Links are followed, since layouts that build tools write have them; those of a base that a blueprint names
//! do not leave the blueprint's directory, for whose files they lead to is not the blueprint's to choose.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use layers::media_type::Descriptor;
use layers::root::{FileKind, Handle, Root};
use layers::stop::Stop;
use layers::store::Store;
use rustix::fs::{Mode, OFlags};

use super::ImageError;

/// Indexes, manifests and configs are small.
pub const JSON_LIMIT: u64 = 8 << 20;
/// What any archive may come to; tests have no time for as much.
const SMALL: u64 = if cfg!(test) { 1 << 20 } else { 1 << 30 };
/// What a larger one may come to, as a multiple of its own length.
const RATIO: u64 = 256;

/// Which files of this machine may be read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Files<'p> {
    /// Those in this directory, without links that lead out of it; `None` for all.
    pub within: Option<&'p Path>,
}

impl Files<'_> {
    /// What `path` leads to, held: nothing is opened.
    pub fn hold(&self, path: &Path) -> io::Result<Handle> {
        let Some(top) = self.within else {
            let held = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
            return Ok(Handle::of(held, path.to_owned()));
        };
        let out = |how: &str| {
            let message = format!("{how} the blueprint's directory, {}: build with --base", top.display());
            io::Error::new(io::ErrorKind::CrossesDevices, message)
        };
        let inside = path.strip_prefix(top).map_err(|_| out("it is not in"))?;
        let held = Root::open(top).and_then(|top| top.beneath(inside));
        held.map_err(|error| match error.kind() {
            io::ErrorKind::CrossesDevices => out("a link that is absolute or leads out leaves"),
            _ => error.into_source(),
        })
    }

    /// Opens a regular file. Of anything else nothing is opened: a FIFO would wait for a writer, a device may do
    /// something.
    pub fn open(&self, path: &Path) -> io::Result<File> {
        let held = self.hold(path)?;
        let found = held.metadata().map_err(layers::root::RootError::into_source)?;
        if found.kind != FileKind::File {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        // The very file that was looked at.
        held.open().map_err(layers::root::RootError::into_source)
    }

    /// All of a regular file of at most `limit` bytes.
    pub fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        read_at_most(self.open(path)?, limit)
    }
}

/// All that `reader` has, which is at most `limit` bytes.
pub fn read_at_most(reader: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {limit} bytes")));
    }
    Ok(bytes)
}

/// True for manifests, configs and documents in a store: layers do not begin so.
pub fn is_json(path: &Path) -> bool {
    let mut first = [0];
    let read = layers::regular::open(path).and_then(|mut file| file.read_exact(&mut first));
    read.is_ok() && first == *b"{"
}

/// What an archive may come to before all of the disk is full of it.
pub struct Room {
    limit: u64,
    left: u64,
}

impl Room {
    /// For the archive in `file`.
    pub fn of(file: &File) -> io::Result<Self> {
        let limit = file.metadata()?.len().saturating_mul(RATIO).max(SMALL);
        Ok(Self { limit, left: limit })
    }

    /// `reader`, of which no more is read than there is room for.
    pub fn reader<R: Read>(&mut self, reader: R) -> impl Read {
        Bounded { room: self, reader }
    }
}

struct Bounded<'r, R> {
    room: &'r mut Room,
    reader: R,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.room.left = self.room.left.checked_sub(read as u64).ok_or_else(|| {
            let limit = self.room.limit;
            let message = format!("it comes to more than {limit} bytes, {RATIO} times its length: decompress it first");
            io::Error::new(io::ErrorKind::FileTooLarge, message)
        })?;
        Ok(read)
    }
}

/// Copies the blob at `path` into the store, checked; of what is longer than it should be, not more than that.
pub fn copy_blob(
    store: &Store,
    files: Files<'_>,
    path: &Path,
    blob: &Descriptor,
    stop: &Stop,
) -> Result<(), ImageError> {
    let failed = |source| ImageError::Read { path: path.to_owned(), source };
    let file = files.open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.len() > blob.size {
        return Err(failed(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is longer than {} bytes", blob.size),
        )));
    }
    let mut writer = store.blob_writer()?;
    // It may grow, or be of those that do not know their length.
    writer.fill(&mut stop.reader(file.take(blob.size.saturating_add(1))))?.map_err(failed)?;
    writer.commit(Some((blob.digest, blob.size)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use layers::compress::{Compression, Encoder};
    use layers::digest::Digest;
    use layers::tar::{Entry, Kind, TarWriter, plain_directory};
    use rustix::fs::FileType;

    const ANY: Files<'_> = Files { within: None };

    #[test]
    fn only_regular_files_are_read_and_no_further_than_they_should_go() {
        let directory = tempfile::tempdir().unwrap();
        let (fifo, file, link) =
            (directory.path().join("fifo"), directory.path().join("f"), directory.path().join("l"));
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        std::fs::write(&file, b"12345").unwrap();
        std::os::unix::fs::symlink("f", &link).unwrap();
        for other in [fifo.as_path(), Path::new("/dev/zero"), directory.path()] {
            assert_eq!(ANY.open(other).unwrap_err().to_string(), "it is not a regular file");
        }
        assert_eq!(ANY.read(&link, 5).unwrap(), b"12345");
        assert_eq!(ANY.read(&file, 4).unwrap_err().to_string(), "it is larger than 4 bytes");
        let store = Store::open(directory.path().join("store")).unwrap();
        let blob = |size| Descriptor { media_type: String::new(), digest: Digest::of("12345"), size };
        assert!(
            copy_blob(&store, ANY, &file, &blob(4), &Stop::default())
                .unwrap_err()
                .to_string()
                .contains("longer than 4 bytes")
        );
        assert!(copy_blob(&store, ANY, &file, &blob(6), &Stop::default()).is_err());
        assert!(copy_blob(&store, ANY, Path::new("/dev/zero"), &blob(5), &Stop::default()).is_err());
        copy_blob(&store, ANY, &file, &blob(5), &Stop::default()).unwrap();
        assert!(store.contains(&Digest::of("12345")));
    }

    #[test]
    fn links_of_a_bounded_base_stay_in_its_directory() {
        let directory = tempfile::tempdir().unwrap();
        let (top, outside) = (directory.path().join("bp"), directory.path().join("private"));
        std::fs::create_dir_all(top.join("o")).unwrap();
        std::fs::write(&outside, "private").unwrap();
        std::fs::write(top.join("own"), "own").unwrap();
        std::os::unix::fs::symlink("../own", top.join("o/own")).unwrap();
        std::os::unix::fs::symlink("../../private", top.join("o/up")).unwrap();
        std::os::unix::fs::symlink(&outside, top.join("o/absolute")).unwrap();
        let files = Files { within: Some(&top) };
        assert_eq!(files.read(&top.join("o/own"), 8).unwrap(), b"own");
        for path in [top.join("o/up"), top.join("o/absolute"), top.join("../private"), outside.clone()] {
            assert_eq!(ANY.read(&path, 8).unwrap(), b"private");
            let error = files.read(&path, 8).unwrap_err();
            assert!(error.to_string().contains("the blueprint's directory"), "{}: {error}", path.display());
        }
    }

    #[test]
    fn an_archive_comes_to_no_more_than_there_is_room_for() {
        let mut room = Room { limit: 10, left: 10 };
        assert_eq!(read_at_most(room.reader(&b"123456"[..]), 99).unwrap(), b"123456");
        assert_eq!(read_at_most(room.reader(&b"7890"[..]), 99).unwrap(), b"7890");
        let error = read_at_most(room.reader(&b"x"[..]), 99).unwrap_err();
        assert!(error.to_string().contains("more than 10 bytes"), "{error}");
        let file = tempfile::tempfile().unwrap();
        assert_eq!(Room::of(&file).unwrap().limit, SMALL);
        file.set_len(1 << 30).unwrap();
        assert_eq!(Room::of(&file).unwrap().limit, RATIO << 30);
    }

    /// A tar with one member of zeros, compressed.
    fn bomb(name: &str, size: u64) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let entry = Entry { kind: Kind::File, size, ..plain_directory(Path::new(name)) };
        let mut tar = TarWriter::new(Encoder::new(file.reopen().unwrap(), Compression::default()).unwrap());
        tar.append(&entry, &mut io::repeat(0).take(size)).unwrap();
        tar.finish().unwrap().finish().unwrap();
        file
    }

    #[test]
    fn archives_that_come_to_too_much_are_refused() {
        use crate::image::{Wanted, read_docker_archive, read_layout_archive};
        let place = tempfile::tempdir().unwrap();
        let (store, platform) = (Store::open(place.path()).unwrap(), crate::plan::Platform::of_this_machine());
        let blob = format!("blobs/sha256/{}", Digest::of("x").hex());
        for (name, size, said) in [
            (blob.as_str(), 16 << 20, "decompress it first"),
            ("index.json", JSON_LIMIT + 1, "it is larger than 8388608 bytes"),
        ] {
            let error = read_layout_archive(&store, ANY, bomb(name, size).path(), &Wanted::Only, &platform);
            let error = error.unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        let error = read_docker_archive(&store, ANY, bomb("layer.tar", 16 << 20).path(), &Wanted::Only);
        let error = error.unwrap_err().to_string();
        assert!(error.contains("decompress it first"), "{error}");
    }
}
