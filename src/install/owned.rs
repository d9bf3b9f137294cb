//! Files of packages that tasks have installed, as dpkg lists them: what becomes of them under later tasks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use layers::root::{FileKind, Metadata, Root};

/// Where dpkg has its lists.
const LISTS: &str = "var/lib/dpkg/info";
/// Bytes of one of them.
const LONGEST: u64 = 64 << 20;

/// Files of packages, and what they were like last.
#[derive(Debug, Default)]
pub struct Owned {
    packages: BTreeMap<String, Package>,
}

#[derive(Debug)]
struct Package {
    version: String,
    files: BTreeMap<PathBuf, Option<Metadata>>,
}

impl Owned {
    /// Looks at the files of the packages `asked` that are `installed`, those apart that are followed already in the same
    /// version.
    pub fn follow<'a>(
        &mut self,
        root: &Root,
        native: &str,
        installed: &BTreeMap<String, String>,
        asked: impl Iterator<Item = &'a String>,
    ) {
        for name in asked {
            let Some(version) = installed.get(name) else {
                self.packages.remove(name);
                continue;
            };
            if self.packages.get(name).is_some_and(|known| known.version == *version) {
                continue;
            }
            let files = listed(root, name, native).into_iter().filter_map(|path| {
                let found = root.metadata(&path).ok();
                // Directories are shared.
                let is_one = found.is_none_or(|found| found.kind != FileKind::Directory);
                is_one.then_some((path, found))
            });
            let package = Package { version: version.clone(), files: files.collect() };
            self.packages.insert(name.clone(), package);
        }
    }

    /// Files that are not what they were last, of packages that are `installed` as they were.
    pub fn changed(&mut self, root: &Root, installed: &BTreeMap<String, String>) -> Vec<PathBuf> {
        self.packages.retain(|name, package| installed.get(name) == Some(&package.version));
        let mut changed = Vec::new();
        for (path, was) in self.packages.values_mut().flat_map(|package| &mut package.files) {
            let now = root.metadata(path).ok();
            if now != *was {
                changed.push(path.clone());
                *was = now;
            }
        }
        changed
    }

    /// True for a file of one of the packages.
    pub fn has(&self, path: &Path) -> bool {
        self.packages.values().any(|package| package.files.contains_key(path))
    }
}

/// The paths that dpkg has for `package`, relative to the root. Those of packages that may be there for several
/// architectures are in a list that says which one it is.
fn listed(root: &Root, package: &str, native: &str) -> Vec<PathBuf> {
    let names = [format!("{package}.list"), format!("{package}:{native}.list")];
    let list = names.iter().find_map(|name| root.read(&Path::new(LISTS).join(name), LONGEST).ok()).unwrap_or_default();
    let list = String::from_utf8_lossy(&list);
    list.lines()
        .filter_map(|line| line.strip_prefix('/'))
        .filter(|path| !path.is_empty() && *path != ".")
        .map(PathBuf::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_packages_are_followed() {
        let directory = tempfile::tempdir().unwrap();
        let at = |path: &str| directory.path().join(path);
        std::fs::create_dir_all(at(LISTS)).unwrap();
        std::fs::create_dir(at("etc")).unwrap();
        std::fs::write(at("etc/a"), "a").unwrap();
        std::fs::write(at("etc/b"), "b").unwrap();
        std::fs::write(at(LISTS).join("one:amd64.list"), "/.\n/etc\n/etc/a\n/etc/gone\n").unwrap();
        std::fs::write(at(LISTS).join("two.list"), "/etc\n/etc/b\n").unwrap();
        let root = Root::open(directory.path()).unwrap();
        let versions = |two: &str| {
            let all = [("one", "1"), ("two", two)];
            all.map(|(name, version)| (name.to_owned(), version.to_owned())).into_iter().collect::<BTreeMap<_, _>>()
        };
        let asked = ["one", "two", "three"].map(str::to_owned);
        let mut owned = Owned::default();
        owned.follow(&root, "amd64", &versions("1"), asked.iter());
        assert_eq!(owned.changed(&root, &versions("1")), [""; 0].map(PathBuf::from));
        std::fs::write(at("etc/a"), "more").unwrap();
        std::fs::write(at("etc/b"), "more").unwrap();
        std::fs::write(at("etc/gone"), "").unwrap();
        // What comes with another version is the package's own.
        assert_eq!(owned.changed(&root, &versions("2")), ["etc/a", "etc/gone"].map(PathBuf::from));
        assert_eq!(owned.changed(&root, &versions("2")), [""; 0].map(PathBuf::from));
        assert!(owned.has(Path::new("etc/a")) && !owned.has(Path::new("etc/b")) && !owned.has(Path::new("etc")));
    }
}
