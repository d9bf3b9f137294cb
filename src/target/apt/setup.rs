//! What apt's index depends on. An index says something of the sources, keys, preferences and architectures that it was
//! made for, and nothing of others.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use layers::digest::{Digest, Hasher};
use layers::root::{FileKind, Root};

use crate::debian::{SignedBy, of_file};

/// apt's own configuration: sources, preferences, keys, options.
const CONFIGURATION: &str = "etc/apt";
/// The architectures whose packages dpkg takes (dpkg(1), `--add-architecture`).
pub const ARCHITECTURES: &str = "var/lib/dpkg/arch";
/// Bytes that are read of each file. Whole keyrings of Debian are a tenth of it.
const LIMIT: u64 = 4 << 20;
/// Directories within each other, and files and directories in all, that are looked at.
const DEPTH: usize = 4;
const MOST_FILES: usize = 2000;

/// A digest of all that apt is set up with in `root`. What cannot be read counts as missing, as it does to apt.
pub fn setup(root: &Root) -> Digest {
    let mut reader = Reader { root, hasher: Hasher::new(), files: 0 };
    let mut keyrings = Vec::new();
    reader.directory(Path::new(CONFIGURATION), DEPTH, &mut keyrings);
    reader.file(Path::new(ARCHITECTURES));
    keyrings.sort();
    keyrings.dedup();
    for keyring in &keyrings {
        reader.file(keyring);
    }
    reader.hasher.finish()
}

struct Reader<'a> {
    root: &'a Root,
    hasher: Hasher,
    files: usize,
}

impl Reader<'_> {
    /// All files below `path`, in the order of their names; keyrings that sources name go to `keyrings`.
    fn directory(&mut self, path: &Path, depth: usize, keyrings: &mut Vec<PathBuf>) {
        let mut names: Vec<OsString> = self.root.read_dir(path).unwrap_or_default();
        names.sort();
        for name in names {
            let path = path.join(name);
            if self.root.metadata_followed(&path).is_ok_and(|metadata| metadata.kind == FileKind::Directory) {
                // Links may lead back here, many at a time.
                self.files += 1;
                if depth > 0 && self.files <= MOST_FILES {
                    self.directory(&path, depth - 1, keyrings);
                }
                continue;
            }
            let Some(content) = self.file(&path) else { continue };
            for source in of_file(&path, &String::from_utf8_lossy(&content)) {
                if let Ok(SignedBy::Keys { files, .. }) = source.signed_by {
                    keyrings.extend(files);
                }
            }
        }
    }

    /// Hashes a file under its name.
    fn file(&mut self, path: &Path) -> Option<Vec<u8>> {
        self.files += 1;
        let content = self.root.read(path, LIMIT).ok().filter(|_| self.files <= MOST_FILES)?;
        let name = path.as_os_str().as_encoded_bytes();
        for bytes in [name, &content] {
            self.hasher.update(&(bytes.len() as u64).to_le_bytes());
            self.hasher.update(bytes);
        }
        Some(content)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn an_index_is_of_its_sources_keys_preferences_and_architectures() {
        let directory = tempfile::tempdir().unwrap();
        for path in ["etc/apt/sources.list.d", "etc/apt/preferences.d", "usr/share/keyrings", "var/lib/dpkg"] {
            fs::create_dir_all(directory.path().join(path)).unwrap();
        }
        let root = Root::open(directory.path()).unwrap();
        let mut seen = vec![setup(&root)];
        for (path, content) in [
            ("etc/apt/sources.list", "deb [signed-by=/opt/acme.gpg] http://a.example/ stable main\n"),
            ("opt/acme.gpg", "a key"),
            ("opt/acme.gpg", "another key"),
            ("etc/apt/sources.list.d/x.sources", "Types: deb\nURIs: http://b.example\nSuites: x\nComponents: main\n"),
            ("etc/apt/preferences.d/pin", "Package: *\n"),
            ("var/lib/dpkg/arch", "amd64\ni386\n"),
        ] {
            let path = directory.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
            let now = setup(&root);
            assert!(!seen.contains(&now), "{}", path.display());
            assert_eq!(setup(&root), now);
            seen.push(now);
        }
        // Others change nothing.
        fs::write(directory.path().join("usr/share/keyrings/other.gpg"), "x").unwrap();
        fs::write(directory.path().join("var/lib/dpkg/status"), "x").unwrap();
        assert_eq!(setup(&root), seen[seen.len() - 1]);
    }
}
