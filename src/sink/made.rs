//! Directories that are made on the way to what is written, and go with it if it fails.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Directories that were not there before. Without [`Self::keep`] they go, as far as nothing is in them.
#[derive(Debug, Default)]
pub struct Made {
    /// An outer one before those in it.
    paths: Vec<PathBuf>,
}

impl Made {
    /// Makes `path`, with all above it that is missing.
    pub fn directory(&mut self, path: &Path) -> io::Result<()> {
        let missing: Vec<&Path> = path.ancestors().take_while(|above| above.symlink_metadata().is_err()).collect();
        for above in missing.into_iter().rev().filter(|above| !above.as_os_str().is_empty()) {
            match fs::create_dir(above) {
                Ok(()) => self.paths.push(above.to_owned()),
                // Somebody was quicker, whose it is then.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// They stay.
    pub fn keep(mut self) {
        self.paths.clear();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for path in self.paths.iter().rev() {
            // Somebody else may have put something there.
            let _ = fs::remove_dir(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_goes_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        let mut made = Made::default();
        fs::create_dir(at("there")).unwrap();
        made.directory(&at("there/a/b")).unwrap();
        made.directory(&at("there/a/c")).unwrap();
        fs::write(at("there/a/b/theirs"), "").unwrap();
        drop(made);
        assert!(at("there/a/b/theirs").exists() && !at("there/a/c").exists());
        let mut made = Made::default();
        made.directory(&at("kept/x")).unwrap();
        made.keep();
        assert!(at("kept/x").exists());
        let mut made = Made::default();
        made.directory(&at("gone/x")).unwrap();
        drop(made);
        assert!(!at("gone").exists());
    }
}
