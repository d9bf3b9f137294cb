//! What builds leave behind and no layer should hold.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::root::{FileKind, Root, RootError};

/// Patterns of paths, relative to the root. `*` stands for one whole element; a pattern that ends in `/` means
/// all that is in the directory, not the directory itself.
#[derive(Clone, Debug, Default)]
pub struct ExcludeSet {
    patterns: Vec<&'static str>,
    /// Paths that are not left out all the same; of some of them all that is in them.
    kept: Vec<(PathBuf, bool)>,
}

/// Caches, files that a runtime mounts over, logs, locks and backups of package managers; directories that live only while a system runs; the id that
/// D-Bus gives a machine which has none (dbus-uuidgen(1): it is made where it is missing, and refused where it is empty).
const NORMAL: [&str; 36] = [
    "dev/",
    "etc/.pwd.lock",
    "etc/group-",
    "etc/gshadow-",
    "etc/hosts",
    "etc/passwd-",
    "etc/resolv.conf",
    "etc/shadow-",
    "etc/subgid-",
    "etc/subuid-",
    "home/*/.cache/pip",
    "home/*/.npm/_cacache",
    "home/*/.npm/_logs",
    "home/*/.npm/_update-notifier-last-checked",
    "proc/",
    "root/.cache/pip",
    "root/.npm/_cacache",
    "root/.npm/_logs",
    "root/.npm/_update-notifier-last-checked",
    "run/",
    "sys/",
    "tmp/",
    "var/cache/apt/",
    "var/cache/debconf/*-old",
    "var/cache/ldconfig/",
    "var/lib/apt/lists/",
    "var/lib/dbus/machine-id",
    "var/lib/dpkg/*-old",
    "var/lib/dpkg/lock",
    "var/lib/dpkg/lock-frontend",
    "var/lib/dpkg/triggers/Lock",
    "var/log/alternatives.log",
    "var/log/apt/",
    "var/log/bootstrap.log",
    "var/log/dpkg.log",
    "var/log/fontconfig.log",
];

/// Directories all the same: packages have them, links lead there, and who finds them missing fails.
const KEPT: [&str; 4] =
    ["run/lock", "var/cache/apt/archives", "var/cache/apt/archives/partial", "var/lib/apt/lists/partial"];

/// Files whose content is made anew by every machine, and which have to exist empty until then (machine-id(5)).
const EMPTIED: [&str; 1] = ["etc/machine-id"];

impl ExcludeSet {
    /// What is left out of every layer that alloy builds.
    pub fn normal() -> Self {
        Self { patterns: NORMAL.to_vec(), kept: Vec::new() }
    }

    /// Leaves `path` in, relative to the root, and the directories on the way to it; and all that is in it, if `whole`.
    pub fn keep(&mut self, path: PathBuf, whole: bool) {
        self.kept.push((path, whole));
    }

    /// Deletes what would be left out, and empties what would be emptied, so that `root` is what a layer of it would
    /// unpack to.
    pub fn clear(&self, root: &Root) -> Result<(), RootError> {
        for pattern in &self.patterns {
            self.clear_of(root, Path::new(""), pattern)?;
        }
        for emptied in EMPTIED.map(Path::new) {
            if root.metadata(emptied).is_ok_and(|metadata| metadata.kind == FileKind::File && metadata.size > 0) {
                root.write_file(emptied, &mut std::io::empty(), 0o444)?;
            }
        }
        Ok(())
    }

    /// True if `path` is to be left out.
    pub fn contains(&self, path: &Path) -> bool {
        self.patterns.iter().any(|pattern| matches(pattern, path)) && !self.is_kept(path)
    }

    /// True for a directory that is in every image: deleting it has no effect.
    pub(super) fn stays(path: &Path) -> bool {
        KEPT.iter().any(|kept| path == Path::new(kept))
    }

    fn clear_of(&self, root: &Root, at: &Path, pattern: &str) -> Result<(), RootError> {
        let (element, rest) = match pattern.split_once('/') {
            Some((element, rest)) => (element, Some(rest)),
            None => (pattern, None),
        };
        // A directory's content goes; an element goes with all it holds.
        if at != Path::new("") {
            match root.metadata(at) {
                Ok(metadata) if metadata.kind == FileKind::Directory => {}
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        let names = root.read_dir(at)?.into_iter();
        for name in names.filter(|name| element.is_empty() || element_matches(element, name)) {
            let path = at.join(name);
            match rest {
                Some(rest) if !element.is_empty() => self.clear_of(root, &path, rest)?,
                _ if self.is_kept(&path) => self.clear_of(root, &path, "")?,
                _ => root.remove_all(&path)?,
            }
        }
        Ok(())
    }

    fn is_kept(&self, path: &Path) -> bool {
        Self::stays(path)
            || self.kept.iter().any(|(kept, whole)| kept.starts_with(path) || *whole && path.starts_with(kept))
    }
}

/// True for a file that is written without its content.
pub(crate) fn is_emptied(path: &Path) -> bool {
    EMPTIED.iter().any(|emptied| path == Path::new(emptied))
}

fn matches(pattern: &str, path: &Path) -> bool {
    let (pattern, contents) = pattern.strip_suffix('/').map_or((pattern, false), |directory| (directory, true));
    let mut elements = path.iter();
    for wanted in pattern.split('/') {
        if !elements.next().is_some_and(|element| element_matches(wanted, element)) {
            return false;
        }
    }
    // Of a directory, the walk asks for every element on the way down.
    elements.next().is_some() == contents
}

fn element_matches(wanted: &str, element: &OsStr) -> bool {
    match wanted.strip_prefix('*') {
        None => element == wanted,
        Some(end) => element.to_string_lossy().ends_with(end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_a_file_or_what_is_in_a_directory() {
        let set = ExcludeSet::normal();
        for path in [
            "tmp/x",
            "home/ann/.cache/pip",
            "var/lib/dpkg/status-old",
            "etc/passwd-",
            "etc/subuid-",
            "var/lib/dbus/machine-id",
            "var/log/apt/x",
            "root/.npm/_cacache",
            "home/ann/.npm/_logs",
            "etc/hosts",
            "run/lock/x",
            "run/x",
            "var/cache/apt/archives/x.deb",
        ] {
            assert!(set.contains(Path::new(path)), "{path}");
        }
        for path in [
            "tmp",
            "home/.cache/pip",
            "var/lib/dpkg/status",
            "etc/passwd",
            "var/tmp/x",
            "root/.npm/x",
            "run/lock",
            "var/cache/apt/archives/partial",
        ] {
            assert!(!set.contains(Path::new(path)), "{path}");
        }
        assert!(!ExcludeSet::default().contains(Path::new("tmp/x")));
        let mut set = set;
        set.keep("run/app/env".into(), false);
        set.keep("run/tree".into(), true);
        for path in ["run/app", "run/app/env", "run/tree/a/b"] {
            assert!(!set.contains(Path::new(path)), "{path}");
        }
        for path in ["run/app/x", "run/app/env/x", "run/treeb", "tmp/x"] {
            assert!(set.contains(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn clearing_leaves_what_a_layer_holds() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path();
        for path in ["run/lock/x", "tmp/x/y", "home/ann/.cache/pip/z", "var/cache/debconf", "etc", "opt/tmp"] {
            std::fs::create_dir_all(place.join(path)).unwrap();
        }
        for path in ["etc/passwd", "etc/passwd-", "var/cache/debconf/config.dat-old", "var/cache/debconf/config.dat"] {
            std::fs::write(place.join(path), "x").unwrap();
        }
        std::os::unix::fs::symlink("/etc", place.join("dev")).unwrap();
        for path in ["run/named/left", "run/tree/a", "run/other"] {
            std::fs::create_dir_all(place.join(path)).unwrap();
        }
        let mut set = ExcludeSet::normal();
        set.keep("run/named".into(), false);
        set.keep("run/tree".into(), true);
        set.clear(&Root::open(place).unwrap()).unwrap();
        for (path, there) in [
            ("tmp", true),
            ("tmp/x", false),
            ("run/lock", true),
            ("run/lock/x", false),
            ("home/ann/.cache", true),
            ("home/ann/.cache/pip", false),
            ("etc/passwd", true),
            ("etc/passwd-", false),
            ("var/cache/debconf/config.dat-old", false),
            ("var/cache/debconf/config.dat", true),
            ("opt/tmp", true),
            ("run/named", true),
            ("run/named/left", false),
            ("run/tree/a", true),
            ("run/other", false),
        ] {
            assert_eq!(place.join(path).exists(), there, "{path}");
        }
    }
}
