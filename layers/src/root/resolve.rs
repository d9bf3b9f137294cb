//! Where a path leads inside a root.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::{Root, RootError, by_descriptor};

impl Root {
    /// The directory that `path` is or would be, links inside the root followed, relative to the root. What does not
    /// exist is taken as it is written; something on the way that is no directory is an error.
    pub fn resolve(&self, path: &Path) -> Result<PathBuf, RootError> {
        let failed = |error: io::Error| RootError::new("follow", path, error);
        let top = std::fs::read_link(by_descriptor(self.fd.as_fd())).map_err(failed)?;
        for prefix in path.ancestors() {
            match self.open_to_change(prefix) {
                Ok(fd) => {
                    let real = std::fs::read_link(by_descriptor(fd.as_fd())).map_err(failed)?;
                    let real = real.strip_prefix(&top).map_err(|_| failed(io::Error::from(Errno::XDEV)))?.to_owned();
                    let rest = path.strip_prefix(prefix).unwrap_or(Path::new(""));
                    return Ok(real.join(rest));
                }
                // A link that leads nowhere is there all the same.
                Err(error) if error.kind() == io::ErrorKind::NotFound && self.metadata(prefix).is_err() => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Err(failed(io::Error::from(Errno::NOENT)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_inside_the_root() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path();
        std::fs::create_dir_all(place.join("usr/lib")).unwrap();
        std::os::unix::fs::symlink("/usr/lib", place.join("lib")).unwrap();
        std::os::unix::fs::symlink("../../..", place.join("up")).unwrap();
        std::os::unix::fs::symlink("nowhere", place.join("dangling")).unwrap();
        std::fs::write(place.join("file"), "").unwrap();
        let root = Root::open(place).unwrap();
        for (path, expected) in [("lib/x/y", "usr/lib/x/y"), ("opt/x", "opt/x"), ("lib", "usr/lib"), ("up/usr", "usr")]
        {
            assert_eq!(root.resolve(Path::new(path)).unwrap(), Path::new(expected), "{path}");
        }
        for path in ["dangling/x", "file/x"] {
            assert!(root.resolve(Path::new(path)).is_err(), "{path}");
        }
    }
}
