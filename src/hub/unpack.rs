//! The files of a layer that somebody else has made. It may hold files and directories with plain names, each once, and
//! no more of them than a blueprint has.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use layers::compress::{Format, decoder};
use layers::tar::{Entry, Kind, for_each_plain};

use super::contents::PRIVATE;
use super::{ContentError, MOST_MEMBERS, most_unpacked};
use crate::blueprint::MANIFEST_FILE;

const PIECE: usize = 64 << 10;

/// Unpacks `layer`, of `packed` bytes, into the empty directory `into`. After an error, what is there is of no use.
pub(super) fn unpack(layer: impl Read + Send, packed: u64, into: &Path) -> Result<(), ContentError> {
    let most = most_unpacked(packed);
    let (format, reader) = decoder(layer).map_err(|error| ContentError::Tar(error.into()))?;
    if !matches!(format, Format::Gzip | Format::Zstd) {
        return Err(ContentError::Format);
    }
    // What stands between and behind the members counts, too: reading it takes time.
    let mut reader = Bounded { inner: reader, left: most, over: false };
    let mut seen = HashSet::new();
    let mut unpacked = 0_u64;
    let done = for_each_plain(&mut reader, |entry, content| {
        if seen.len() as u64 >= MOST_MEMBERS {
            return Err(ContentError::Many(MOST_MEMBERS));
        }
        // Holes of a sparse file are in no archive.
        unpacked = unpacked.saturating_add(entry.size);
        if unpacked > most {
            return Err(ContentError::Bomb(most));
        }
        if entry.path.iter().any(is_git_s) {
            return Err(refused(&entry.path, "is git's: what it says git may run"));
        }
        if entry.path.iter().any(|name| PRIVATE.iter().any(|private| name == *private)) {
            return Err(refused(&entry.path, "is of one machine or person: no blueprint brings one"));
        }
        member(into, &entry, content)?;
        if seen.insert(entry.path.clone()) { Ok(()) } else { Err(refused(&entry.path, "is there twice")) }
    });
    if reader.over {
        return Err(ContentError::Bomb(most));
    }
    done?;
    // As git tells a repository without files (setup.c, is_git_directory): it runs what is named in the `config` of one.
    let heads = seen.iter().filter(|path| path.file_name() == Some("HEAD".as_ref()));
    let beside = |head: &&PathBuf| ["objects", "refs"].iter().all(|name| into.join(head).with_file_name(name).is_dir());
    if let Some(head) = heads.into_iter().find(beside) {
        return Err(refused(head, "makes a git repository of its directory: what that says git may run"));
    }
    Ok(())
}

/// Puts a file into `into` that came beside the archive, in place of one that is there. The manifest of an archive that
/// has one stays: its files were made for it.
pub(super) fn add(into: &Path, name: &str, mut content: impl Read) -> Result<(), ContentError> {
    let place = into.join(name);
    match place.symlink_metadata() {
        Ok(found) if found.is_dir() => return Err(refused(Path::new(name), "is a directory")),
        Ok(_) if name == MANIFEST_FILE => return Ok(()),
        Ok(_) => fs::remove_file(&place).map_err(written(Path::new(name)))?,
        Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(&place).map_err(written(Path::new(name)))?;
    copy(&mut content, &mut file, Path::new(name))?;
    file.sync_all().map_err(written(Path::new(name)))
}

/// An error unless it is a blueprint that was unpacked into `into`.
pub(super) fn complete(into: &Path) -> Result<(), ContentError> {
    // A link cannot have been made.
    if into.join(MANIFEST_FILE).is_file() { Ok(()) } else { Err(ContentError::NoManifest) }
}

/// True for the name of git's own directory, as git itself refuses it (read-cache.c, verify_dotfile).
pub(super) fn is_git_s(name: &OsStr) -> bool {
    name.eq_ignore_ascii_case(".git") || name.eq_ignore_ascii_case("git~1")
}

fn member(into: &Path, entry: &Entry, content: &mut dyn Read) -> Result<(), ContentError> {
    let path = entry.path.as_path();
    let place = into.join(path);
    match entry.kind {
        Kind::Directory => fs::create_dir_all(&place).map_err(written(path)),
        _ if path == Path::new("") => Err(refused(path, "has no name")),
        Kind::File => {
            fs::create_dir_all(place.parent().unwrap_or(into)).map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => refused(path, "is inside of a file"),
                _ => written(path)(error),
            })?;
            // Of all that a mode may say, this alone is taken over: a task may copy the file.
            let mode = if entry.mode & 0o100 != 0 { 0o777 } else { 0o666 };
            let mut options = OpenOptions::new();
            options.write(true).create_new(true).mode(mode);
            let mut file = options.open(&place).map_err(written(path))?;
            copy(content, &mut file, path)?;
            // The directory gets its name when all is in it, and it must be in it after a crash, too.
            file.sync_all().map_err(written(path))
        }
        Kind::Symlink | Kind::HardLink => Err(refused(path, "is a link; a blueprint has none")),
        Kind::CharDevice | Kind::BlockDevice | Kind::Fifo => Err(refused(path, "is a device or a pipe")),
    }
}

/// Tells what is wrong with the archive from what is wrong with the disk.
fn copy(content: &mut dyn Read, file: &mut File, path: &Path) -> Result<(), ContentError> {
    let mut buffer = vec![0; PIECE];
    loop {
        match content.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => file.write_all(&buffer[..length]).map_err(written(path))?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(ContentError::Tar(error.into())),
        }
    }
}

fn refused(path: &Path, problem: &'static str) -> ContentError {
    ContentError::Member { path: path.display().to_string(), problem }
}

/// Where nothing was before, only an earlier member can be in the way.
fn written(path: &Path) -> impl Fn(io::Error) -> ContentError {
    let path = path.to_owned();
    move |source| match source.kind() {
        io::ErrorKind::AlreadyExists => refused(&path, "is there twice"),
        io::ErrorKind::NotADirectory => refused(&path, "is inside of a file"),
        _ => ContentError::File { what: "write", path: path.clone(), source },
    }
}

/// Passes so many bytes on, and no more.
struct Bounded<R> {
    inner: R,
    left: u64,
    over: bool,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buf)?;
        match self.left.checked_sub(length as u64) {
            Some(left) => {
                self.left = left;
                Ok(length)
            }
            None => {
                self.over = true;
                Err(io::Error::other("there is no end of it"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use layers::compress::Encoder;
    use layers::tar::{TarWriter, plain_directory};

    use super::*;

    fn compressed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new(), "gzip".parse().unwrap()).unwrap();
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn archive(members: &[(Kind, &str, &str)]) -> Vec<u8> {
        let mut tar = TarWriter::new(Vec::new());
        for (kind, path, text) in members {
            let link = if matches!(kind, Kind::Symlink | Kind::HardLink) { *text } else { "" };
            let entry =
                Entry { kind: *kind, size: text.len() as u64, link: link.into(), ..plain_directory(Path::new(path)) };
            tar.append(&entry, &mut text.as_bytes()).unwrap();
        }
        compressed(&tar.finish().unwrap())
    }

    fn tried(layer: &[u8]) -> Result<Vec<String>, String> {
        let directory = tempfile::tempdir().unwrap();
        let unpacked = unpack(layer, layer.len() as u64, directory.path());
        unpacked.and_then(|()| complete(directory.path())).map_err(|error| error.to_string())?;
        let names = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        Ok(names)
    }

    const MANIFEST: (Kind, &str, &str) = (Kind::File, MANIFEST_FILE, "name: x\n");

    #[test]
    fn files_and_directories_come_out() {
        let layer = archive(&[(Kind::Directory, "", ""), MANIFEST, (Kind::File, "tasks/a.yml", "[]\n")]);
        assert_eq!(tried(&layer).unwrap(), ["manifest.yml", "tasks"]);
    }

    #[test]
    fn what_no_blueprint_has_is_refused() {
        for (member, part) in [
            ((Kind::File, "/etc/cron.d/x", "x"), "absolute"),
            ((Kind::File, "../x", "x"), "`..`"),
            ((Kind::File, "a\x1b[2J", "x"), "control character"),
            ((Kind::Symlink, "out", "/etc"), "is a link"),
            ((Kind::HardLink, "hard", "manifest.yml"), "is a link"),
            ((Kind::File, ".git/config", "[core]\n\tfsmonitor = id\n"), "is git's"),
            ((Kind::File, "files/.Git", "gitdir: x"), "is git's"),
            ((Kind::CharDevice, "null", ""), "is a device"),
            ((Kind::Fifo, "pipe", ""), "is a device or a pipe"),
            (MANIFEST, "is there twice"),
            ((Kind::Directory, "manifest.yml", ""), "is there twice"),
            ((Kind::File, "manifest.yml/x", "x"), "inside of a file"),
        ] {
            let error = tried(&archive(&[MANIFEST, member])).unwrap_err();
            assert!(error.contains(part), "{part}: {error}");
        }
        let bare = [(Kind::File, "a/HEAD", "x"), (Kind::File, "a/objects/x", ""), (Kind::Directory, "a/refs", "")];
        let error = tried(&archive(&[&[MANIFEST], &bare[..]].concat())).unwrap_err();
        assert!(error.contains("makes a git repository"), "{error}");
        assert!(tried(&archive(&[&[MANIFEST], &bare[..2]].concat())).is_ok());
        assert!(tried(&archive(&[(Kind::File, "x", "x")])).unwrap_err().contains("has no manifest.yml"));
        assert!(tried(b"name: x\n").unwrap_err().contains("not compressed"));
        let layer = archive(&[MANIFEST]);
        assert!(tried(&layer[..layer.len() - 9]).unwrap_err().contains("cannot read the archive"));
    }

    #[test]
    fn a_bomb_does_not_go_off() {
        let zeros = "\0".repeat(32 << 20);
        let error = tried(&archive(&[MANIFEST, (Kind::File, "zeros", &zeros)])).unwrap_err();
        assert!(error.contains("it unpacks to more than"), "{error}");
        // Behind the end of the archive.
        let mut tar = TarWriter::new(Vec::new()).finish().unwrap();
        tar.extend_from_slice(zeros.as_bytes());
        assert!(tried(&compressed(&tar)).unwrap_err().contains("it unpacks to more than"));
        let many: Vec<String> = (0..=MOST_MEMBERS).map(|number| format!("d{number}")).collect();
        let many: Vec<_> = many.iter().map(|name| (Kind::Directory, name.as_str(), "")).collect();
        assert!(tried(&archive(&many)).unwrap_err().contains("more than 1000 files"));
    }
}
