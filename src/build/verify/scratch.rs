//! A store that lasts as long as one verification: below the real one, so that it is on the same disk, and so that the
//! next build deletes it if this one is killed.

use std::path::{Path, PathBuf};
use std::{fs, io};

use layers::media_type::Descriptor;
use layers::store::{Store, StoreError, WorkDir};

use crate::build::BuildError;
use crate::target::image::ImageTarget;
use crate::vars::Vars;

/// A store of its own, with a directory beside it.
pub(super) struct Scratch {
    work: WorkDir,
    /// The store.
    pub(super) store: Store,
    /// For contents that are looked at.
    pub(super) spill: PathBuf,
}

impl Scratch {
    /// Makes one below `real`, which has to live longer.
    pub(super) fn new(real: &Store) -> Result<Self, BuildError> {
        let work = real.work_dir()?;
        let store = Store::open(work.path().join("store"))?;
        let spill = store.root().join("tmp/spill");
        fs::create_dir(&spill).map_err(failed("make", &spill))?;
        Ok(Self { work, store, spill })
    }

    /// Has those of `blobs` here that `real` has, without taking their space twice.
    pub(super) fn share(&self, real: &Store, blobs: &[Descriptor]) -> Result<(), BuildError> {
        for blob in blobs.iter().filter(|blob| real.holds(blob)) {
            let (from, to) = (real.blob_path(&blob.digest), self.store.blob_path(&blob.digest));
            share(&from, &to).map_err(failed("share", &from))?;
        }
        Ok(())
    }

    /// Deletes all of it. Files of the image's users are not ours to delete: the worker of `real` does it.
    pub(super) fn remove(self, real: &Store, vars: &Vars) -> Result<(), BuildError> {
        let mut target = ImageTarget::start(real, vars)?;
        target.remove(vec![self.work.path().to_owned()])?;
        Ok(target.finish()?)
    }
}

/// Gives the file `from` the name `to` as well, unless that is taken: an image may have a layer twice. What is there is the
/// real store's own file, so that nothing is ever written to it.
fn share(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // Not every file system has links.
        Err(_) => io::copy(&mut fs::File::open(from)?, &mut fs::File::create_new(to)?).map(drop),
        linked => linked,
    }
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |source| StoreError::Io { what, path: path.to_owned(), source: layers::disk::told(source, path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_twice_stays_what_it_is() {
        let place = tempfile::tempdir().unwrap();
        let (from, to) = (place.path().join("from"), place.path().join("to"));
        fs::write(&from, "content").unwrap();
        for _ in 0..2 {
            share(&from, &to).unwrap();
            assert_eq!([fs::read(&from).unwrap(), fs::read(&to).unwrap()], [b"content", b"content"]);
        }
    }
}
