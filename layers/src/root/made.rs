//! What somebody remembers to have made in a root: where a link stands there now, others have put it there, and what it
//! leads to is theirs. A file takes the place of such a link, and nothing is changed through it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::shared::MOST_LINKS;
use super::{DIRECTORY, FileKind, Root, RootError, by_descriptor, split};

/// What was made at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A link that points there, or one that was there before and was followed.
    Link(PathBuf),
}

/// A link where something else was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strayed {
    /// The link, absolute in the root.
    pub link: PathBuf,
    /// Where it leads, absolute in the root.
    pub target: PathBuf,
    /// What was made in its place.
    pub made: Made,
}

impl Strayed {
    /// The error that nothing is done to `path` through it.
    pub fn refused(&self, what: &'static str, path: &Path) -> RootError {
        let made = match &self.made {
            Made::File => "a file".to_owned(),
            Made::Directory => "a directory".to_owned(),
            Made::Link(was) => format!("a link to {}", was.display()),
        };
        let (link, target) = (self.link.display(), self.target.display());
        let message = format!(
            "{link} is a link to {target} now, and {made} was made there: nothing is changed through the link. Delete it, \
             or move what it leads to into its place"
        );
        RootError::new(what, path, io::Error::other(message))
    }
}

impl Root {
    /// Remembers what was made at these paths, which are relative to the root.
    pub fn remember(&mut self, made: BTreeMap<PathBuf, Made>) {
        self.made = made;
    }

    /// The first link on the way on from `path`, if that is one, that stands where something else was made.
    pub fn strayed(&self, path: &Path) -> Result<Option<Strayed>, RootError> {
        let mut path = path.to_owned();
        for _ in 0..MOST_LINKS {
            if self.made.is_empty() {
                break;
            }
            let Some(link) = self.link_at(&path) else { return Ok(None) };
            let strayed = self.astray(&path, &link);
            if strayed.is_some() {
                return Ok(strayed);
            }
            path = beside(&path, &link);
        }
        Ok(None)
    }

    /// Links that stand now where files were made in or below the directory `path`.
    pub fn strayed_below(&self, path: &Path) -> Vec<Strayed> {
        let files = self.made_below(path).into_iter().filter(|path| self.made.get(path) == Some(&Made::File));
        files.filter_map(|path| self.astray(&path, &self.link_at(&path)?)).collect()
    }

    /// What is remembered of `path`, and of all below it.
    pub fn made_below(&self, path: &Path) -> Vec<PathBuf> {
        let top = relative(path);
        let from = self.made.range(top.to_owned()..);
        from.map(|(path, _)| path).take_while(|path| path.starts_with(top)).cloned().collect()
    }

    /// Where writing to `path` leads to, link by link, as the paths that these really have; nothing if it is no link.
    pub fn through(&self, path: &Path) -> Vec<PathBuf> {
        let (mut path, mut found) = (path.to_owned(), Vec::new());
        while let Some(link) = self.link_at(&path).filter(|_| found.len() < MOST_LINKS as usize) {
            path = beside(&path, &link);
            found.push(self.real(&path));
        }
        found
    }

    /// Makes the link at `path`, which leads elsewhere now, one to `target` again.
    pub fn relink(&self, path: &Path, target: &Path) -> Result<(), RootError> {
        let (parent, name) = self.parent(path)?;
        let mut temporary = OsString::from(".alloy-link-");
        temporary.push(std::process::id().to_string());
        parent.symlink(&temporary, target)?;
        let renamed = rustix::fs::renameat(&parent.fd, &temporary, &parent.fd, name);
        renamed.map_err(|error| {
            let _ = parent.remove_file(&temporary);
            RootError::new("make the link", path, error)
        })
    }

    /// Gives what is at `from` the name `to`, at which nothing is.
    pub fn rename(&self, from: &Path, to: &Path) -> Result<(), RootError> {
        let ((old, old_name), (new, new_name)) = (self.parent(from)?, self.parent(to)?);
        match crate::rename::to_free(&old.fd, old_name, &new.fd, new_name) {
            Ok(true) => Ok(()),
            Ok(false) => Err(RootError::new("rename", from, Errno::EXIST)),
            Err(error) => Err(RootError::new("rename", from, error)),
        }
    }

    /// Gives what is at `one` and what is at `other` each other's names, in one step.
    pub fn exchange(&self, one: &Path, other: &Path) -> Result<(), RootError> {
        let ((old, old_name), (new, new_name)) = (self.parent(one)?, self.parent(other)?);
        let flags = rustix::fs::RenameFlags::EXCHANGE;
        let exchanged = rustix::fs::renameat_with(&old.fd, old_name, &new.fd, new_name, flags);
        exchanged.map_err(|error| RootError::new("exchange", one, error))
    }

    /// Gives what is at `from` the name `to`, over what is no directory there.
    pub fn rename_over(&self, from: &Path, to: &Path) -> Result<(), RootError> {
        let ((old, old_name), (new, new_name)) = (self.parent(from)?, self.parent(to)?);
        let renamed = rustix::fs::renameat(&old.fd, old_name, &new.fd, new_name);
        renamed.map_err(|error| RootError::new("put back", to, error))
    }

    /// An error if a link stands now where a directory was made, on the way to `path` or there.
    pub fn check_made(&self, path: &Path) -> Result<(), RootError> {
        if self.made.is_empty() {
            return Ok(());
        }
        for up in relative(path).ancestors() {
            if let Some(Made::File | Made::Directory) = self.made.get(up)
                && let Some(strayed) = self.link_at(up).and_then(|link| self.astray(up, &link))
            {
                return Err(strayed.refused("use", path));
            }
        }
        Ok(())
    }

    /// That the link at `path`, which points to `link`, stands where something else was made.
    pub(super) fn astray(&self, path: &Path, link: &Path) -> Option<Strayed> {
        if self.made.is_empty() {
            return None;
        }
        let real = self.real(path);
        let made = self.made.get(relative(path)).or_else(|| self.made.get(&real))?;
        let same = matches!(made, Made::Link(was) if was == link);
        (!same).then(|| Strayed {
            link: Path::new("/").join(relative(path)),
            target: Path::new("/").join(self.real(&beside(path, link))),
            made: made.clone(),
        })
    }

    /// Where the link at `path` points; `None` for anything else.
    fn link_at(&self, path: &Path) -> Option<PathBuf> {
        let (parent, name) = self.parent_to_read(path).ok()?;
        let is_link = parent.metadata(name).ok()?.kind == FileKind::Symlink;
        is_link.then(|| parent.read_link(name).ok()).flatten()
    }

    /// `path`, with the path that its directory really has, relative to the root.
    fn real(&self, path: &Path) -> PathBuf {
        let (parent, name) = split(path);
        let place = |path: &Path| std::fs::read_link(by_descriptor(self.openat(path, DIRECTORY).ok()?.as_fd())).ok();
        let found = place(Path::new("")).zip(place(parent));
        let found = found.and_then(|(top, parent)| parent.strip_prefix(top).ok().map(|parent| parent.join(name)));
        found.unwrap_or_else(|| relative(path).to_owned())
    }
}

/// What `link`, the content of the link at `path`, leads to.
fn beside(path: &Path, link: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).join(link)
}

fn relative(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn root(made: &[(&str, Made)]) -> (tempfile::TempDir, Root) {
        let place = tempfile::tempdir().unwrap();
        for path in ["etc", "srv", "opt"] {
            std::fs::create_dir(place.path().join(path)).unwrap();
        }
        let mut root = Root::open(place.path()).unwrap();
        root.remember(made.iter().map(|(path, made)| (PathBuf::from(path), made.clone())).collect());
        (place, root)
    }

    #[test]
    fn a_file_takes_the_place_of_a_link_that_strayed() {
        let (place, root) = root(&[("etc/conf", Made::File), ("opt/d", Made::Directory), ("srv/end", Made::File)]);
        let at = |path: &str| place.path().join(path);
        std::fs::write(at("srv/v1"), "precious").unwrap();
        symlink("../srv/v1", at("etc/conf")).unwrap();
        let found = root.strayed(Path::new("/etc/conf")).unwrap().unwrap();
        assert_eq!((found.link.as_path(), found.target.as_path()), (Path::new("/etc/conf"), Path::new("/srv/v1")));
        root.write_file(Path::new("/etc/conf"), &mut &b"mine"[..], 0o644).unwrap();
        assert!(!at("etc/conf").is_symlink() && root.metadata(Path::new("etc/conf")).unwrap().mode == 0o644);
        assert_eq!(std::fs::read_to_string(at("srv/v1")).unwrap(), "precious");
        // So does what a link leads to that nobody knows.
        symlink("/srv/end", at("etc/other")).unwrap();
        symlink("v1", at("srv/end")).unwrap();
        assert_eq!(root.through(Path::new("/etc/other")), [Path::new("srv/end"), Path::new("srv/v1")]);
        root.write_file(Path::new("/etc/other"), &mut &b"mine"[..], 0o644).unwrap();
        assert!(!at("srv/end").is_symlink() && at("etc/other").is_symlink());
        assert_eq!(std::fs::read_to_string(at("srv/v1")).unwrap(), "precious");
        // Nothing takes the place of a directory.
        symlink("/srv", at("opt/d")).unwrap();
        let error = root.check_made(Path::new("/opt/d/x")).unwrap_err().to_string();
        assert!(error.contains("/opt/d is a link to /srv now, and a directory was made there"), "{error}");
    }

    #[test]
    fn a_link_that_was_followed_is_followed_as_long_as_it_leads_there() {
        let (place, root) = root(&[("etc/conf", Made::Link("/srv/v1".into()))]);
        symlink("/srv/v1", place.path().join("etc/conf")).unwrap();
        root.write_file(Path::new("etc/conf"), &mut &b"mine"[..], 0o644).unwrap();
        std::fs::rename(place.path().join("srv/v1"), place.path().join("srv/v2")).unwrap();
        std::fs::remove_file(place.path().join("etc/conf")).unwrap();
        symlink("/srv/v2", place.path().join("etc/conf")).unwrap();
        let error = root.write_file(Path::new("etc/conf"), &mut &b"x"[..], 0o644).unwrap_err().to_string();
        assert!(error.contains("/etc/conf is a link to /srv/v2 now, and a link to /srv/v1 was made there"), "{error}");
        root.relink(Path::new("etc/conf"), Path::new("/srv/v1")).unwrap();
        assert_eq!(root.strayed(Path::new("etc/conf")).unwrap(), None);
        root.write_file(Path::new("etc/conf"), &mut &b"new"[..], 0o644).unwrap();
        assert_eq!(std::fs::read_to_string(place.path().join("srv/v1")).unwrap(), "new");
        assert_eq!(std::fs::read_to_string(place.path().join("srv/v2")).unwrap(), "mine");
        assert_eq!(std::fs::read_dir(place.path().join("etc")).unwrap().count(), 1);
    }
}
