//! A directory tree as a value: to compare two, and to say how they differ.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::digest::{Digest, Hasher};
use crate::root::{Directory, FileKind, Metadata, Root, RootError};

/// All there is to know of one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub kind: FileKind,
    /// Permission bits, set-id and sticky included.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time in seconds since 1970.
    pub mtime: i64,
    /// Content of a file.
    pub content: Option<Digest>,
    /// Target of a link.
    pub target: Option<PathBuf>,
    /// Numbers of a device.
    pub device: (u32, u32),
    /// Extended attributes.
    pub xattrs: Vec<(OsString, Vec<u8>)>,
    /// The first path, in order, of the same file.
    pub first: PathBuf,
}

/// A tree: relative path to node; the root itself is the empty path.
pub type Tree = BTreeMap<PathBuf, Node>;

/// Reads all below `root`.
pub fn read(root: &Root) -> Result<Tree, RootError> {
    let mut reader = Reader { tree: Tree::new(), firsts: BTreeMap::new() };
    let top = root.directory(Path::new(""))?;
    reader.node(&top, ".".as_ref(), PathBuf::new())?;
    reader.children(&top, Path::new(""))?;
    Ok(reader.tree)
}

struct Reader {
    tree: Tree,
    firsts: BTreeMap<(u64, u64), PathBuf>,
}

impl Reader {
    fn children(&mut self, directory: &Directory, path: &Path) -> Result<(), RootError> {
        for name in directory.names()? {
            let path = path.join(&name);
            let metadata = self.node(directory, &name, path.clone())?;
            if metadata.kind == FileKind::Directory {
                self.children(&directory.directory(&name)?, &path)?;
            }
        }
        Ok(())
    }

    fn node(&mut self, parent: &Directory, name: &std::ffi::OsStr, path: PathBuf) -> Result<Metadata, RootError> {
        let metadata = parent.metadata(name)?;
        let content = match metadata.kind {
            FileKind::File => {
                let mut hasher = Hasher::new();
                io::copy(&mut parent.open_file(name)?, &mut hasher).map_err(|e| RootError::new("read", &path, e))?;
                Some(hasher.finish())
            }
            _ => None,
        };
        let target = if metadata.kind == FileKind::Symlink { Some(parent.read_link(name)?) } else { None };
        let first = match metadata.kind {
            FileKind::Directory => path.clone(),
            _ => self.firsts.entry(metadata.inode).or_insert_with(|| path.clone()).clone(),
        };
        let device = if matches!(metadata.kind, FileKind::CharDevice | FileKind::BlockDevice) {
            metadata.device
        } else {
            (0, 0)
        };
        let node = Node {
            kind: metadata.kind,
            mode: metadata.mode,
            uid: metadata.uid,
            gid: metadata.gid,
            mtime: metadata.mtime.0,
            content,
            target,
            device,
            xattrs: parent.xattrs(name)?,
            first,
        };
        self.tree.insert(path, node);
        Ok(metadata)
    }
}

/// One difference: where, which field, and what it is in each tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Relative path.
    pub path: PathBuf,
    /// Name of the field; `existence` for a path that only one tree has.
    pub field: String,
    /// Value in the first tree.
    pub left: String,
    /// Value in the second.
    pub right: String,
}

/// How `a` and `b` differ, in the order of paths.
pub fn difference(a: &Tree, b: &Tree) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut paths: Vec<&PathBuf> = a.keys().chain(b.keys()).collect();
    paths.sort_unstable();
    paths.dedup();
    for path in paths {
        let mut add = |field: &str, left: String, right: String| {
            if left != right {
                found.push(Difference { path: path.clone(), field: field.to_owned(), left, right });
            }
        };
        let (Some(left), Some(right)) = (a.get(path), b.get(path)) else {
            let say = |node: Option<&Node>| node.map_or("absent".to_owned(), |node| format!("{:?}", node.kind));
            add("existence", say(a.get(path)), say(b.get(path)));
            continue;
        };
        add("kind", format!("{:?}", left.kind), format!("{:?}", right.kind));
        add("mode", format!("{:04o}", left.mode), format!("{:04o}", right.mode));
        add("owner", format!("{}:{}", left.uid, left.gid), format!("{}:{}", right.uid, right.gid));
        add("mtime", left.mtime.to_string(), right.mtime.to_string());
        add("content", format!("{:?}", left.content), format!("{:?}", right.content));
        add("target", format!("{:?}", left.target), format!("{:?}", right.target));
        add("device", format!("{:?}", left.device), format!("{:?}", right.device));
        add("xattrs", format!("{:?}", left.xattrs), format!("{:?}", right.xattrs));
        add("hard link", format!("{:?}", left.first), format!("{:?}", right.first));
    }
    found
}
