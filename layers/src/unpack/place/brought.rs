//! What an archive has brought, by inode: a name may be reached in several ways.

use std::collections::HashSet;

use crate::root::{FileKind, Metadata};

/// Files, by device and number.
pub(in crate::unpack) type Inodes = HashSet<(u64, u64)>;

/// What an archive has brought and what is still there.
#[derive(Default)]
pub(in crate::unpack) struct Brought {
    links: Inodes,
    files: Inodes,
    /// Whatever has no other names: directories and named pipes.
    others: Inodes,
}

impl Brought {
    /// The archive has brought a file.
    pub(super) fn file(&mut self, inode: (u64, u64)) {
        self.files.insert(inode);
    }

    /// The archive has brought a link.
    pub(super) fn link(&mut self, inode: (u64, u64)) {
        self.links.insert(inode);
    }

    /// The archive has brought a directory or a named pipe.
    pub(super) fn other(&mut self, inode: (u64, u64)) {
        self.others.insert(inode);
    }

    /// True for a directory that the archive has brought.
    pub(super) fn is_directory(&self, found: &Metadata) -> bool {
        found.kind == FileKind::Directory && self.others.contains(&found.inode)
    }

    /// All that the archive has brought.
    pub(super) fn all(self) -> Inodes {
        self.links.into_iter().chain(self.files).chain(self.others).collect()
    }

    /// True for a link that the archive has brought.
    pub(super) fn is_link(&self, found: &Metadata) -> bool {
        found.kind == FileKind::Symlink && self.links.contains(&found.inode)
    }

    /// True for a file or a link that the archive has brought.
    pub(super) fn holds(&self, found: &Metadata) -> bool {
        self.files.contains(&found.inode) || self.links.contains(&found.inode)
    }

    /// One name of `before` was deleted. With its last one, the number is free for a file that is not the archive's.
    pub(in crate::unpack) fn deleted(&mut self, before: &Metadata) {
        if before.links == 1 || before.kind == FileKind::Directory {
            self.files.remove(&before.inode);
            self.links.remove(&before.inode);
            self.others.remove(&before.inode);
        }
    }

    /// The link or the directory `before` was made once more: whoever brought the one has brought the other.
    pub(in crate::unpack) fn made_anew(&mut self, before: &Metadata, anew: &Metadata) {
        if self.is_link(before) {
            self.links.insert(anew.inode);
        } else if self.is_directory(before) {
            self.others.insert(anew.inode);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::super::merge;
    use super::*;
    use crate::root::Root;

    #[test]
    fn what_a_merge_deletes_and_makes_anew_is_known() {
        let place = tempfile::tempdir().unwrap();
        for path in ["lib", "usr/lib"] {
            std::fs::create_dir_all(place.path().join(path)).unwrap();
            std::fs::write(place.path().join(path).join("same"), "x").unwrap();
            std::fs::write(place.path().join(path).join("linked"), "y").unwrap();
        }
        std::fs::hard_link(place.path().join("lib/linked"), place.path().join("linked")).unwrap();
        for name in ["ours", "theirs"] {
            std::os::unix::fs::symlink("../real", place.path().join("lib").join(name)).unwrap();
        }
        let root = Root::open(place.path()).unwrap();
        let found = |path: &str| root.metadata(Path::new(path)).unwrap();
        let (same, linked, ours, theirs) =
            (found("lib/same"), found("lib/linked"), found("lib/ours"), found("lib/theirs"));
        let mut brought = Brought::default();
        brought.file(same.inode);
        brought.file(linked.inode);
        brought.link(ours.inode);
        let (from, to) = (root.directory(Path::new("lib")).unwrap(), root.directory(Path::new("usr/lib")).unwrap());
        merge::directories(&from, &to, true, &mut brought).unwrap();
        assert!(brought.files.contains(&linked.inode), "it has another name");
        assert!(!brought.files.contains(&same.inode), "its number is free");
        assert!(brought.is_link(&found("usr/lib/ours")) && !brought.is_link(&found("usr/lib/theirs")));
        assert!(theirs.inode != found("usr/lib/theirs").inode, "it was made anew");
        assert_eq!(brought.links.len(), 1);
    }
}
