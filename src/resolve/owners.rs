//! Whose files a directory has, seen by an ordinary user: those that the user's namespace has an id for are read in it,
//! where the user is root; one that root has made is read as it is on disk.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Files in which an account stands, and where in a line its ranges are named.
const UIDS: &str = "/etc/subuid";
const GIDS: &str = "/etc/subgid";

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

/// The ids of one kind that a user has.
struct Ids {
    own: u32,
    ranges: Vec<(u32, u32)>,
}

impl Ids {
    fn has(&self, id: u32) -> bool {
        id == self.own || self.ranges.iter().any(|(start, count)| id >= *start && id - *start < *count)
    }
}

/// Looks at all that is in the directory `top`.
pub(super) fn owners(top: &Path) -> io::Result<Owners> {
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let name = fs::read_to_string("/etc/passwd").ok().and_then(|text| account(&text, uid));
    let ids = |file: &str, own: u32| {
        let text = fs::read_to_string(file).unwrap_or_default();
        Ids { own, ranges: ranges(&text, name.as_deref(), uid) }
    };
    judge(top, &ids(UIDS, uid), &ids(GIDS, gid))
}

fn judge(top: &Path, uids: &Ids, gids: &Ids) -> io::Result<Owners> {
    // What root has made, root reads in the same way.
    if fs::metadata(top)?.uid() == 0 && !uids.has(0) {
        return Ok(Owners::OnDisk);
    }
    let mut waiting = vec![PathBuf::new()];
    while let Some(path) = waiting.pop() {
        let found = top.join(&path);
        // Below the directory itself, links are what they are.
        let metadata = if path.as_os_str().is_empty() { fs::metadata(&found) } else { fs::symlink_metadata(&found) }?;
        let (uid, gid) = (metadata.uid(), metadata.gid());
        if !uids.has(uid) || !gids.has(gid) {
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

/// The name of `uid` in passwd(5).
fn account(passwd: &str, uid: u32) -> Option<String> {
    let fields = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let mut own = fields.filter(|fields| fields.get(2).and_then(|field| field.parse().ok()) == Some(uid));
    own.next().and_then(|fields| fields.first().map(|name| (*name).to_owned()))
}

/// All ranges that a user has in subuid(5): one that is not used makes no difference where its ids own nothing.
fn ranges(text: &str, name: Option<&str>, uid: u32) -> Vec<(u32, u32)> {
    let uid = uid.to_string();
    let range = |line: &str| {
        let [who, start, count] = line.trim().split(':').collect::<Vec<_>>().try_into().ok()?;
        (Some(who) == name || who == uid).then_some((start.parse().ok()?, count.parse().ok()?))
    };
    text.lines().filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_a_user_by_name_and_number() {
        let text = "# ann:1:2\nann:100000:65536\nbob:7:7\n1000:200000:10\nann:x:1\nann:5\n";
        assert_eq!(ranges(text, Some("ann"), 1000), [(100_000, 65_536), (200_000, 10)]);
        assert_eq!(ranges(text, None, 1), []);
        assert_eq!(account("root:x:0:0::/:/bin/sh\nann:x:1000:1000::/:/bin/sh\n", 1000).as_deref(), Some("ann"));
    }

    #[test]
    fn the_first_path_that_belongs_to_somebody_else_is_named() {
        let top = tempfile::tempdir().unwrap();
        fs::create_dir(top.path().join("a")).unwrap();
        fs::write(top.path().join("a/file"), "").unwrap();
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        let ids = |own| Ids { own, ranges: Vec::new() };
        assert_eq!(judge(top.path(), &ids(uid), &ids(gid)).unwrap(), Owners::Mapped);
        let other = judge(top.path(), &Ids { own: uid + 1, ranges: vec![(uid, 1)] }, &ids(gid + 1)).unwrap();
        assert_eq!(other, Owners::Unmapped { path: "/".into(), uid, gid });
    }
}
