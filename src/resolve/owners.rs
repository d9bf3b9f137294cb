//! Whose files a directory has, seen by an ordinary user: those that the user's namespace has an id for are read in it,
//! where the user is root; one that root has made is read as it is on disk.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::sandbox::IdMap;

/// How a directory is read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Owners {
    /// In the user's namespace: the user is root there.
    Mapped,
    /// As on disk.
    OnDisk,
    /// Neither: this path below it belongs to somebody whom the namespace does not have.
    Unmapped { path: PathBuf, uid: u32, gid: u32 },
}

/// Looks at all that is in the directory `top`, which the user whose namespace has the ids of `map` reads.
pub(super) fn owners(top: &Path, map: &IdMap) -> io::Result<Owners> {
    judge(top, |uid| map.has_user(uid), |gid| map.has_group(gid))
}

fn judge(top: &Path, has_user: impl Fn(u32) -> bool, has_group: impl Fn(u32) -> bool) -> io::Result<Owners> {
    // What root has made, root reads in the same way.
    if fs::metadata(top)?.uid() == 0 && !has_user(0) {
        return Ok(Owners::OnDisk);
    }
    let mut waiting = vec![PathBuf::new()];
    while let Some(path) = waiting.pop() {
        let found = top.join(&path);
        // Below the directory itself, links are what they are.
        let metadata = if path.as_os_str().is_empty() { fs::metadata(&found) } else { fs::symlink_metadata(&found) }?;
        let (uid, gid) = (metadata.uid(), metadata.gid());
        if !has_user(uid) || !has_group(gid) {
            return Ok(Owners::Unmapped { path: Path::new("/").join(path), uid, gid });
        }
        if metadata.is_dir() {
            let mut names = match fs::read_dir(&found) {
                Ok(entries) => {
                    entries.map(|entry| Ok(path.join(entry?.file_name()))).collect::<io::Result<Vec<_>>>()?
                }
                // It is of an id of the user's, who may read it in the namespace alone.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Vec::new(),
                Err(error) => return Err(error),
            };
            names.sort_by(|one, other| other.cmp(one));
            waiting.append(&mut names);
        }
    }
    Ok(Owners::Mapped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_path_that_belongs_to_somebody_else_is_named() {
        let top = tempfile::tempdir().unwrap();
        fs::create_dir(top.path().join("a")).unwrap();
        fs::write(top.path().join("a/file"), "").unwrap();
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        assert_eq!(judge(top.path(), |id| id == uid, |id| id == gid).unwrap(), Owners::Mapped);
        let other = judge(top.path(), |_| true, |id| id != gid).unwrap();
        assert_eq!(other, Owners::Unmapped { path: "/".into(), uid, gid });
    }
}
