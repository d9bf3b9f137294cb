//! The working directory of a command of `alloy run`, which an image may name and no layer has.

use std::io;
use std::path::{Component, Path, PathBuf};

use layers::root::{FileKind, Root, RootError};

use crate::sandbox::SandboxError;

/// Links that are followed on the way, as the kernel does (path_resolution(7)).
const MOST: usize = 40;

/// Makes `path` in `root`, as OCI runtimes do: also where a link leads to what is not there.
pub fn make(root: &Root, path: &Path) -> Result<(), SandboxError> {
    let failed = |error: RootError| {
        let error = io::Error::new(error.kind(), error.to_string());
        SandboxError::setup(format!("make the working directory {}", path.display()), error)
    };
    if root.exists(path).map_err(failed)? {
        return Ok(());
    }
    let path = followed(root, path).map_err(failed)?;
    root.create_dir_all(&path, 0o755).map(drop).map_err(failed)
}

/// `path`, with what links that lead nowhere say in their places.
fn followed(root: &Root, path: &Path) -> Result<PathBuf, RootError> {
    let mut path = path.to_owned();
    for _ in 0..MOST {
        let ways = path.ancestors().filter(|way| way.file_name().is_some());
        let mut links = ways.filter(|way| root.metadata(way).is_ok_and(|found| found.kind == FileKind::Symlink));
        let Some(link) = links.find(|way| !root.exists(way).unwrap_or(true)) else { break };
        let leads = link.parent().unwrap_or(Path::new("/")).join(root.read_link(link)?);
        path = cleaned(&leads.join(path.strip_prefix(link).unwrap_or(Path::new(""))));
    }
    Ok(path)
}

/// A path from the root, without `.` and `..`: as OCI runtimes take a working directory.
pub fn cleaned(path: &Path) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => drop(clean.pop()),
            _ => {}
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_lead_nowhere_are_followed_within_the_root() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path();
        let link = |to: &str, at: &str| std::os::unix::fs::symlink(to, place.join(at)).unwrap();
        link("/data/work", "work");
        link("./deep", "data");
        link("round", "round");
        std::fs::write(place.join("file"), "").unwrap();
        let root = Root::open(place).unwrap();
        make(&root, Path::new("/srv/x/y")).unwrap();
        make(&root, Path::new("/work/in")).unwrap();
        assert!(place.join("srv/x/y").is_dir() && root.exists(Path::new("/work/in")).unwrap());
        for path in ["/round/x", "/file/x"] {
            let said = make(&root, Path::new(path)).unwrap_err().to_string();
            assert!(said.contains(&format!("make the working directory {path}")), "{said}");
        }
    }
}
