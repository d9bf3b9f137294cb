//! Files and directories of the blueprint, copied. Nothing is deleted, and no directory is replaced by anything else.

use std::ffi::OsStr;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use layers::root::{FileKind, RootError};
use layers::tar::{self, Content, Entry, Kind};

use super::Performer;
use crate::op::{Mode, Owner, Source};
use crate::target::attributes::{self, Attributes, Made};
use crate::target::{TargetError, accounts::Accounts};

/// What a step has copied to one path.
pub(super) struct Copied {
    path: PathBuf,
    kind: Kind,
    inode: (u64, u64),
}

impl Performer<'_> {
    pub(super) fn copy(&mut self, source: &Source, dest: &Path, into: bool) -> Result<(), TargetError> {
        let name = match source {
            Source::Tree { path, .. } if into => path.rsplit('/').next().unwrap_or_default().to_owned(),
            _ => String::new(),
        };
        let tree = BufReader::new(self.open(source)?);
        self.copied.get_or_insert_default();
        tar::for_each(tree, |entry, content| {
            // The first element only says what it is.
            let inside: PathBuf = entry.path.iter().skip(1).collect();
            let path = match inside.as_os_str().is_empty() {
                true if entry.kind == Kind::File && into => dest.join(&name),
                true => dest.to_owned(),
                false => dest.join(inside),
            };
            self.copy_one(&path, &entry, content)
        })?;
        Ok(())
    }

    fn copy_one(&mut self, path: &Path, entry: &Entry, content: &mut dyn Content) -> Result<(), TargetError> {
        let is_content = !matches!(entry.kind, Kind::Directory | Kind::Symlink);
        let lost = is_content && self.regain(path)?;
        let there = match self.root().metadata_followed(path) {
            _ if lost => None,
            Ok(found) => Some(found.kind),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => None,
            Err(error) => return Err(error.into()),
        };
        let in_the_way = |what| Err(TargetError::InTheWay { path: path.to_owned(), what });
        let inode = match (entry.kind, there) {
            (Kind::Directory, Some(FileKind::Directory)) => {
                self.root().check_way(path, self.owner)?;
                return Ok(());
            }
            (Kind::Directory, Some(_)) => return in_the_way("something that is no directory"),
            (Kind::Directory, None) => self.make_dir(path)?,
            (Kind::Symlink, _) => self.copy_link(path, &entry.link)?,
            (_, Some(FileKind::Directory)) => return in_the_way("a directory"),
            _ => {
                self.make_parent(path)?;
                let mut content = content;
                let inode = self.root().write_file_with_holes(path, &mut content, entry.mode)?;
                // One that was there has kept its mode.
                let made = Made { top: Some(inode), below: None };
                let mode = Mode::Octal(entry.mode);
                let attributes = Attributes { mode: Some(&mode), ..Attributes::default() };
                attributes::set(self.root(), path, attributes, made)?;
                self.wrote_file(path, inode);
                inode
            }
        };
        self.wrote(path);
        self.copied.get_or_insert_default().push(Copied { path: path.to_owned(), kind: entry.kind, inode });
        Ok(())
    }

    fn copy_link(&mut self, path: &Path, target: &Path) -> Result<(u64, u64), TargetError> {
        self.make_parent(path)?;
        let parent = self.root().directory(path.parent().unwrap_or(Path::new("")))?;
        let name = path.file_name().unwrap_or(OsStr::new("."));
        match parent.metadata(name).map_err(|error| (error.kind(), error)) {
            Ok(found) if found.kind == FileKind::Directory => {
                return Err(TargetError::InTheWay { path: path.to_owned(), what: "a directory" });
            }
            Ok(found) if found.kind == FileKind::Symlink && parent.read_link(name)? == target => {
                return Ok(found.inode);
            }
            Ok(_) => parent.remove_file(name)?,
            Err((io::ErrorKind::NotFound, _)) => {}
            Err((_, error)) => return Err(RootError::into(error)),
        }
        parent.symlink(name, target)?;
        Ok(parent.metadata(name)?.inode)
    }

    /// Gives what was copied its owner, and files their mode.
    pub(super) fn attribute_copied(
        &self,
        accounts: &Accounts,
        owner: Option<&Owner>,
        mode: Option<&Mode>,
    ) -> Result<(), TargetError> {
        let owner = owner.map(|owner| accounts.owner(owner)).transpose()?;
        for Copied { path, kind, inode } in self.copied.iter().flatten() {
            let mode = mode.filter(|_| *kind == Kind::File);
            let made = Made { top: Some(*inode), below: None };
            attributes::set(self.root(), path, Attributes { owner, mode, recursive: false }, made)?;
        }
        Ok(())
    }
}
