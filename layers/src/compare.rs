//! How two layers differ, member by member, as they stand in their tars.
//!
//! Both are streamed: in memory are what headers say and a digest of every content. Contents that differ are read once
//! more, into files of their own, to find where.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::digest::{Digest, Hasher};
use crate::tar::{Entry, Kind, TarError, for_each};
use crate::tree::Difference;

mod content;
mod listed;

pub use listed::Unlisted;

/// A layer that can be read more than once.
pub trait Source {
    /// Its uncompressed tar, from the start.
    fn open(&self) -> io::Result<Box<dyn Read + '_>>;
}

/// How two layers differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Differences, by path.
    pub differences: Vec<Difference>,
    /// Those beyond the limit, by directory.
    pub unlisted: Vec<Unlisted>,
}

/// What a header says, and what the content is.
struct Member {
    entry: Entry,
    content: Digest,
}

/// A layer, read.
struct Members {
    by_path: BTreeMap<PathBuf, Member>,
    order: Vec<PathBuf>,
}

/// Compares `left` and `right`; of the differences, `limit` are listed, some of every
/// directory. `spill` is an empty directory for contents.
pub fn compare(left: &dyn Source, right: &dyn Source, limit: usize, spill: &Path) -> Result<Comparison, TarError> {
    let members = (Members::read(left)?, Members::read(right)?);
    let mut found = fields(&members.0, &members.1);
    if found.is_empty() {
        found.extend(order(&members.0, &members.1));
    }
    if found.is_empty() {
        found.extend(content::offset(left, right)?.map(|offset| Difference {
            path: PathBuf::new(),
            field: "tar headers".to_owned(),
            left: format!("the same members, other bytes from {offset} on"),
            right: "of the uncompressed tar".to_owned(),
        }));
    }
    let (mut differences, unlisted) = listed::listed(found, limit);
    content::explain(left, right, &mut differences, spill)?;
    Ok(Comparison { differences, unlisted })
}

impl Members {
    fn read(source: &dyn Source) -> Result<Self, TarError> {
        let mut members = Self { by_path: BTreeMap::new(), order: Vec::new() };
        for_each::<_, TarError>(source.open()?, |entry, reader| {
            let mut hasher = Hasher::new();
            io::copy(reader, &mut hasher)?;
            members.order.push(entry.path.clone());
            members.by_path.insert(entry.path.clone(), Member { entry, content: hasher.finish() });
            Ok(())
        })?;
        Ok(members)
    }
}

/// Differences of members, by path. A content that differs is told as its digests.
fn fields(left: &Members, right: &Members) -> Vec<Difference> {
    let mut paths: Vec<&PathBuf> = left.by_path.keys().chain(right.by_path.keys()).collect();
    paths.sort_unstable();
    paths.dedup();
    let mut found = Vec::new();
    for path in paths {
        let mut add = |field: &str, left: String, right: String| {
            if left != right {
                found.push(Difference { path: path.clone(), field: field.to_owned(), left, right });
            }
        };
        let (Some(one), Some(other)) = (left.by_path.get(path), right.by_path.get(path)) else {
            let say = |member: Option<&Member>| member.map_or("absent".to_owned(), |member| existing(&member.entry));
            add("existence", say(left.by_path.get(path)), say(right.by_path.get(path)));
            continue;
        };
        let (a, b) = (&one.entry, &other.entry);
        add("kind", kind(a.kind).to_owned(), kind(b.kind).to_owned());
        add("mode", format!("{:04o}", a.mode), format!("{:04o}", b.mode));
        add("owner", format!("{}:{}", a.uid, a.gid), format!("{}:{}", b.uid, b.gid));
        add("mtime", time(a.mtime), time(b.mtime));
        add("link target", a.link.display().to_string(), b.link.display().to_string());
        add("device", format!("{}:{}", a.device.0, a.device.1), format!("{}:{}", b.device.0, b.device.1));
        let (here, there) = xattrs(&a.xattrs, &b.xattrs);
        add("xattrs", here, there);
        if a.size != b.size {
            add("size", format!("{} bytes", a.size), format!("{} bytes", b.size));
        }
        add(content::FIELD, one.content.to_string(), other.content.to_string());
    }
    found
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "file",
        Kind::HardLink => "hard link",
        Kind::Symlink => "symbolic link",
        Kind::Directory => "directory",
        Kind::CharDevice => "character device",
        Kind::BlockDevice => "block device",
        Kind::Fifo => "named pipe",
    }
}

fn existing(entry: &Entry) -> String {
    match entry.kind {
        Kind::File => format!("file of {} bytes", entry.size),
        other => kind(other).to_owned(),
    }
}

fn time((seconds, nanoseconds): (i64, u32)) -> String {
    if nanoseconds == 0 { seconds.to_string() } else { format!("{seconds}.{nanoseconds:09}") }
}

/// Those attributes that the other does not have just so.
fn xattrs(left: &[(OsString, Vec<u8>)], right: &[(OsString, Vec<u8>)]) -> (String, String) {
    let only = |these: &[(OsString, Vec<u8>)], those: &[(OsString, Vec<u8>)]| {
        let own = these.iter().filter(|attribute| !those.contains(attribute));
        let own: Vec<String> =
            own.map(|(name, value)| format!("{}={}", name.to_string_lossy(), content::quoted(value))).collect();
        if own.is_empty() { "none of these".to_owned() } else { own.join(", ") }
    };
    if left == right { (String::new(), String::new()) } else { (only(left, right), only(right, left)) }
}

/// The first place where the same members stand in another order.
fn order(left: &Members, right: &Members) -> Option<Difference> {
    let at = left.order.iter().zip(&right.order).position(|(a, b)| a != b)?;
    let say = |members: &Members| format!("member {} of the tar is {}", at + 1, members.order[at].display());
    let (path, field) = (left.order[at].clone(), "order".to_owned());
    Some(Difference { path, field, left: say(left), right: say(right) })
}

#[cfg(test)]
mod tests;
