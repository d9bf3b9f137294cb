//! The working directory of a command, where it is in what the caller lends.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use layers::root::{Root, RootError};

use super::super::error::{CommandError, Kind};
use crate::sandbox::Bind;

/// Makes `cwd` where it is in a directory of the caller's that is lent for writing, as the caller: with root, for the
/// owner of what is lent. Its links lead nowhere else.
pub(super) fn make_lent(binds: &[Bind], cwd: &Path) -> Result<(), CommandError> {
    let within = binds.iter().filter(|bind| cwd.starts_with(&bind.target));
    let Some(bind) = within.max_by_key(|bind| bind.target.components().count()) else { return Ok(()) };
    let inside = cwd.strip_prefix(&bind.target).unwrap_or(Path::new(""));
    if bind.read_only || inside.as_os_str().is_empty() || !bind.source.is_dir() {
        return Ok(());
    }
    make(&bind.source, inside).map_err(|error| {
        let said = format!("cannot make the working directory {} in what is lent: {error}", cwd.display());
        CommandError::new(Kind::Setup, said)
    })
}

fn make(source: &Path, inside: &Path) -> Result<(), RootError> {
    let root = Root::open(source)?;
    let mut missing: Vec<PathBuf> = Vec::new();
    for way in inside.ancestors().filter(|way| !way.as_os_str().is_empty()) {
        if root.exists(way)? {
            break;
        }
        missing.push(way.to_owned());
    }
    let owner = fs::metadata(source).map_err(|error| RootError::new("look at", source, error))?;
    for way in missing.iter().rev() {
        root.create_dir_all(way, 0o755)?;
        if rustix::process::geteuid().is_root() {
            root.chown(way, Some(owner.uid()), Some(owner.gid()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_where_it_may_be_and_nowhere_else() {
        let place = tempfile::tempdir().unwrap();
        let (lent, other) = (place.path().join("lent"), place.path().join("other"));
        fs::create_dir_all(lent.join("deep")).unwrap();
        fs::create_dir(&other).unwrap();
        std::os::unix::fs::symlink(&other, lent.join("out")).unwrap();
        let bind = |target: &str, source: &Path| Bind::writable(source, PathBuf::from(target));
        let binds = [bind("/w", &lent), bind("/w/deep", &other)];
        for cwd in ["/w/a/b", "/w/deep/x", "/w", "/other/place"] {
            make_lent(&binds, Path::new(cwd)).unwrap();
        }
        assert!(lent.join("a/b").is_dir() && other.join("x").is_dir() && !lent.join("deep/x").exists());
        let _ = make_lent(&binds, Path::new("/w/out/y"));
        assert!(!other.join("y").exists());
        make_lent(&[Bind { read_only: true, ..bind("/w", &lent) }], Path::new("/w/c")).unwrap();
        assert!(!lent.join("c").exists());
    }
}
