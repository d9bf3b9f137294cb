//! Files written whole, under a temporary name first.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Gid, Mode, Uid};
use rustix::io::Errno;

use super::shared::Deciders;
use super::{Directory, FileKind, Made, Metadata, Root, RootError};
use crate::disk;
use crate::holes::Holes;

/// Between a file's name and the number of the process that writes it.
const WRITING: &str = ".alloy-";

impl Root {
    /// Writes a file whole: a reader of the path sees the old or the new content. An existing file keeps its owner
    /// and mode, a link is followed inside the root; a new file is root-owned with `mode`. So is one that takes the place
    /// of somebody's who only happened to be first, see [`Root::is_foreign`]. Gives the inode of the file.
    pub fn write_file(&self, path: &Path, content: &mut dyn Read, mode: u32) -> Result<(u64, u64), RootError> {
        self.write_file_by(path, mode, &mut |file| io::copy(content, file))
    }

    /// The same, with holes in the place of long runs of zeros: what was copied takes no more room than before.
    pub fn write_file_with_holes(
        &self,
        path: &Path,
        content: &mut dyn Read,
        mode: u32,
    ) -> Result<(u64, u64), RootError> {
        self.write_file_by(path, mode, &mut |file| {
            let mut file = Holes::new(file);
            let copied = io::copy(content, &mut file)?;
            file.finish().map(|_| copied)
        })
    }

    fn write_file_by(
        &self,
        path: &Path,
        mode: u32,
        fill: &mut dyn FnMut(&mut File) -> io::Result<u64>,
    ) -> Result<(u64, u64), RootError> {
        let failed = |e| RootError::new("write", path, e);
        let target = self.followed(path)?;
        let (parent, name) = self.parent(&target)?;
        // A link that is still one is to be replaced.
        let before = parent.metadata(name).ok().filter(|before| before.kind != FileKind::Symlink);
        if before.is_some_and(|before| before.kind == FileKind::Directory) {
            return Err(failed(io::Error::from(io::ErrorKind::IsADirectory)));
        }
        let before = match before {
            Some(before) if self.foreign(&parent, &before)? => None,
            before => before,
        };
        let temporary = temporary_name(name);
        let mut file = parent.create_file(&temporary, 0o600)?;
        let made = rustix::fs::fstat(&file).map(Metadata::from).map_err(|e| failed(e.into()))?;
        let written = fill(&mut file).map_err(|e| failed(disk::told_of(e, &file))).and_then(|_| {
            let (uid, gid, mode) = before.map_or((0, 0, mode), |before| (before.uid, before.gid, before.mode));
            // By the descriptor: whoever may write in the directory may have put something else under the name.
            rustix::fs::fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
                .map_err(|e| failed(e.into()))?;
            rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)).map_err(|e| failed(e.into()))?;
            rustix::fs::renameat(&parent.fd, &temporary, &parent.fd, name).map_err(|e| failed(e.into()))
        });
        if written.is_err() {
            let _ = rustix::fs::unlinkat(&parent.fd, &temporary, AtFlags::empty());
        }
        written.map(|()| made.inode)
    }

    /// True if the file at `path` is in a shared root, and may be of somebody who guessed the name of a file that root is
    /// going to write, and made it first: in a directory that everybody may write to, or that belongs to another user.
    pub fn is_foreign(&self, path: &Path) -> Result<bool, RootError> {
        let target = self.followed(path)?;
        let (parent, name) = self.parent(&target)?;
        parent.metadata(name).map_or(Ok(false), |found| self.foreign(&parent, &found))
    }

    fn foreign(&self, parent: &Directory, found: &Metadata) -> Result<bool, RootError> {
        if !self.shared || found.uid == 0 {
            return Ok(false);
        }
        let directory = parent.metadata(OsStr::new("."))?;
        Ok(directory.mode & 0o002 != 0 || (directory.uid != 0 && directory.uid != found.uid))
    }

    /// Deletes what killed processes left of writing `path`. Nobody may be writing it.
    pub fn sweep(&self, path: &Path) -> Result<(), RootError> {
        // Nothing was ever written in a directory that is not there.
        let Ok(target) = self.followed(path) else { return Ok(()) };
        let (parent, name) = self.parent(&target)?;
        let left = hidden(name);
        for name in parent.names()? {
            let number = name.as_bytes().strip_prefix(left.as_bytes());
            if number.is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit)) {
                parent.remove_all(&name)?;
            }
        }
        Ok(())
    }

    /// Where `path` ends up when the link at its end, if it is one, is followed inside the root: at the first one that stands
    /// where a file was made.
    fn followed(&self, asked: &Path) -> Result<PathBuf, RootError> {
        let mut path = asked.to_owned();
        // Those whose links led here.
        let mut links = Vec::new();
        for _ in 0..40 {
            let (parent, name) = self.parent(&path)?;
            let found = parent.metadata(name).ok();
            let is_link = found.is_some_and(|found| found.kind == FileKind::Symlink);
            let link = if is_link { Some(parent.read_link(name)?) } else { None };
            let strayed = link.as_ref().and_then(|link| self.astray(&path, link));
            if let Some(strayed) = strayed.as_ref().filter(|strayed| strayed.made != Made::File) {
                return Err(strayed.refused("write", asked));
            }
            match found.zip(link.filter(|_| strayed.is_none())) {
                Some((metadata, link)) => {
                    path = path.parent().unwrap_or(Path::new("")).join(link);
                    links.push(Deciders::of(&metadata, &parent.metadata(OsStr::new("."))?));
                }
                None if !self.shared => return Ok(path),
                None => {
                    // Who owns a directory decides what new files are in it.
                    let owner = found.map_or_else(|| parent.metadata(OsStr::new(".")), Ok)?.uid;
                    let vouch = |link: &Deciders| link.vouch(owner).map_err(|e| RootError::new("write", &path, e));
                    links.iter().try_for_each(vouch)?;
                    self.within(asked, &parent.fd).map_err(|e| RootError::new("write", asked, e))?;
                    return Ok(path);
                }
            }
        }
        Err(RootError::new("follow", &path, io::Error::from(Errno::LOOP)))
    }
}

fn temporary_name(name: &OsStr) -> OsString {
    let mut temporary = hidden(name);
    temporary.push(std::process::id().to_string());
    temporary
}

/// The beginning of a temporary name.
fn hidden(name: &OsStr) -> OsString {
    let mut hidden = OsString::from(".");
    let name = name.as_bytes();
    hidden.push(OsStr::from_bytes(&name[..name.len().min(200)]));
    hidden.push(WRITING);
    hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> (tempfile::TempDir, Root) {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::open(directory.path()).unwrap();
        (directory, root)
    }

    #[test]
    fn writing_keeps_mode_and_leaves_no_temporary() {
        let (_directory, root) = root();
        let path = Path::new("/a/b/file");
        root.create_dir_all(Path::new("/a/b"), 0o755).unwrap();
        root.write_file(path, &mut &b"one"[..], 0o600).unwrap();
        root.write_file(path, &mut &b"two"[..], 0o644).unwrap();
        assert_eq!(root.read(path, 3).unwrap(), b"two");
        assert!(root.read(path, 2).is_err());
        assert_eq!(root.metadata(path).unwrap().mode, 0o600);
        assert_eq!(root.read_dir(Path::new("a/b")).unwrap(), ["file"]);
        assert!(root.write_file(Path::new("a"), &mut &b""[..], 0o644).is_err());
    }

    #[test]
    fn what_a_killed_writer_left_is_swept() {
        let (_directory, root) = root();
        for name in [".file.alloy-12", ".file.alloy-x", ".other.alloy-12", "file"] {
            root.write_file(Path::new(name), &mut &b""[..], 0o644).unwrap();
        }
        root.sweep(Path::new("/file")).unwrap();
        root.sweep(Path::new("/nowhere/file")).unwrap();
        assert_eq!(root.read_dir(Path::new("")).unwrap(), [".file.alloy-x", ".other.alloy-12", "file"]);
    }
}
