//! What whoever makes layers wants to have in none.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::root::{FileKind, Root, RootError};

/// Patterns of paths, relative to the root. `*` stands for one whole element, `*END` for one that ends so; a pattern that
/// ends in `/` means all that is in the directory, not the directory itself. An empty set leaves nothing out.
#[derive(Clone, Debug, Default)]
pub struct ExcludeSet {
    patterns: &'static [&'static str],
    directories: &'static [&'static str],
    emptied: &'static [&'static str],
    /// Paths that are not left out all the same; of some of them all that is in them.
    kept: Vec<(PathBuf, bool)>,
}

impl ExcludeSet {
    /// Leaves out what `patterns` name. `directories` stay all the same, and deleting one has no effect; files of the
    /// paths `emptied` are written without their content.
    pub const fn new(
        patterns: &'static [&'static str],
        directories: &'static [&'static str],
        emptied: &'static [&'static str],
    ) -> Self {
        Self { patterns, directories, emptied, kept: Vec::new() }
    }

    /// Leaves `path` in, relative to the root, and the directories on the way to it; and all that is in it, if `whole`.
    pub fn keep(&mut self, path: PathBuf, whole: bool) {
        self.kept.push((path, whole));
    }

    /// Deletes what would be left out, and empties what would be emptied, so that `root` is what a layer of it would
    /// unpack to.
    pub fn clear(&self, root: &Root) -> Result<(), RootError> {
        for pattern in self.patterns {
            self.clear_of(root, Path::new(""), pattern)?;
        }
        for emptied in self.emptied.iter().map(Path::new) {
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

    /// True if `path`, or something that it is in, is to be left out.
    pub fn covers(&self, path: &Path) -> bool {
        path.ancestors().any(|up| !up.as_os_str().is_empty() && self.contains(up)) && !self.is_kept(path)
    }

    /// True for a directory that stays whatever is left out around it: deleting it has no effect.
    pub(super) fn stays(&self, path: &Path) -> bool {
        self.directories.iter().any(|kept| path == Path::new(kept))
    }

    /// True for a file that is written without its content.
    pub fn empties(&self, path: &Path) -> bool {
        self.emptied.iter().any(|emptied| path == Path::new(emptied))
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
        self.stays(path)
            || self.kept.iter().any(|(kept, whole)| kept.starts_with(path) || *whole && path.starts_with(kept))
    }
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

    const SET: ExcludeSet = ExcludeSet::new(
        &["run/", "tmp/", "home/*/.cache/pip", "lib/*-old", "etc/hosts"],
        &["run/lock"],
        &["etc/machine-id"],
    );

    #[test]
    fn patterns_name_a_file_or_what_is_in_a_directory() {
        for path in ["tmp/x", "home/ann/.cache/pip", "lib/status-old", "etc/hosts", "run/lock/x", "run/x"] {
            assert!(SET.contains(Path::new(path)), "{path}");
        }
        for path in ["tmp", "home/.cache/pip", "lib/status", "etc/hosts.allow", "var/tmp/x", "run/lock"] {
            assert!(!SET.contains(Path::new(path)), "{path}");
        }
        for path in ["home/ann/.cache/pip/x/y", "tmp/x/y", "run/x"] {
            assert!(SET.covers(Path::new(path)), "{path}");
        }
        assert!(!SET.covers(Path::new("home/ann/.cache")) && !SET.covers(Path::new("run/lock")));
        assert!(!ExcludeSet::default().contains(Path::new("tmp/x")));
        assert!(
            SET.empties(Path::new("etc/machine-id")) && !ExcludeSet::default().empties(Path::new("etc/machine-id"))
        );
        let mut set = SET;
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
        for path in ["run/lock/x", "tmp/x/y", "home/ann/.cache/pip/z", "lib", "etc", "opt/tmp"] {
            std::fs::create_dir_all(place.join(path)).unwrap();
        }
        for path in ["etc/hosts", "etc/machine-id", "lib/config-old", "lib/config"] {
            std::fs::write(place.join(path), "x").unwrap();
        }
        for path in ["run/named/left", "run/tree/a", "run/other"] {
            std::fs::create_dir_all(place.join(path)).unwrap();
        }
        let mut set = SET;
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
            ("etc/hosts", false),
            ("lib/config-old", false),
            ("lib/config", true),
            ("opt/tmp", true),
            ("run/named", true),
            ("run/named/left", false),
            ("run/tree/a", true),
            ("run/other", false),
        ] {
            assert_eq!(place.join(path).exists(), there, "{path}");
        }
        assert_eq!(std::fs::read(place.join("etc/machine-id")).unwrap(), b"");
    }
}
