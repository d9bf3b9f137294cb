//! What commands have left in a directory: texts, and the digests of files below it.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use layers::digest::Hasher;
use layers::root::{FileKind, Root};

use super::TargetError;
use super::request::FileSeen;

/// Files that are looked at.
const MOST: usize = 10_000;
/// Bytes of a text.
const TEXT: u64 = 64 << 20;

/// Looks at the files of `directory`, and at those of the directories in it. Links and all else are passed over: whoever
/// runs there may have made them.
pub fn look(root: &Root, directory: &Path) -> Result<Vec<FileSeen>, TargetError> {
    let mut seen = Vec::new();
    for name in root.directory(directory)?.names()? {
        let path = directory.join(&name);
        match root.metadata(&path)?.kind {
            FileKind::File => seen.extend(file(root, &path, PathBuf::from(&name), true)?),
            FileKind::Directory => {
                for inner in root.directory(&path)?.names()? {
                    let below = path.join(&inner);
                    if root.metadata(&below)?.kind == FileKind::File && seen.len() < MOST {
                        seen.extend(file(root, &below, Path::new(&name).join(&inner), false)?);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(seen)
}

fn file(root: &Root, path: &Path, name: PathBuf, top: bool) -> Result<Option<FileSeen>, TargetError> {
    let failed = |source| TargetError::Host { path: path.to_owned(), source };
    let Some(name) = name.to_str().map(str::to_owned) else { return Ok(None) };
    let mut content = root.open_file(path)?;
    let (mut hasher, mut size, mut text) = (Hashing(Hasher::new()), 0, None);
    if top {
        let mut bytes = Vec::new();
        size += Read::by_ref(&mut content).take(TEXT).read_to_end(&mut bytes).map_err(failed)? as u64;
        hasher.0.update(&bytes);
        text = String::from_utf8(bytes).ok();
    }
    let rest = io::copy(&mut content, &mut hasher).map_err(failed)?;
    size += rest;
    Ok(Some(FileSeen { name, sha256: hasher.0.finish(), size, text: text.filter(|_| rest == 0) }))
}

struct Hashing(Hasher);

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use layers::digest::Digest;

    use super::*;

    #[test]
    fn files_are_seen_and_links_are_not() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(place.path().join("tmp/found/files/deep")).unwrap();
        std::fs::write(place.path().join("tmp/found/log"), "text").unwrap();
        std::fs::write(place.path().join("tmp/found/files/x.whl"), "wheel").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", place.path().join("tmp/found/link")).unwrap();
        let root = Root::open(place.path()).unwrap();
        let mut seen = look(&root, Path::new("/tmp/found")).unwrap();
        seen.sort_by(|a, b| a.name.cmp(&b.name));
        let all: Vec<_> = seen.iter().map(|one| (one.name.as_str(), one.size, one.text.as_deref())).collect();
        assert_eq!(all, [("files/x.whl", 5, None), ("log", 4, Some("text"))]);
        assert_eq!(seen[0].sha256, Digest::of("wheel"));
    }
}
