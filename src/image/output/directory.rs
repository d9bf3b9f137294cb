//! A root file system in a directory, which is there whole or not at all.
//!
//! A directory that alloy wrote is replaced, as files are. That it is one the store says, by what stays the same as
//! long as the directory does: the image itself gets no mark.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use layers::apply::{Absent, ApplyOptions, Form, Ownership, apply};
use layers::compress::layer_decoder;
use layers::digest::Digest;
use layers::root::Root;
use layers::store::Store;
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use serde::{Deserialize, Serialize};

use super::super::{ImageError, Layer};
use crate::json;
use crate::sink::{Made, SinkError, Staged, directory, is_mount_point};

/// Records of directories that were written, by the digest of their path.
const WRITTEN: &str = "directories";

/// A place for a root file system.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
}

/// What tells a directory from all others that had its path, or will have it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    inode: u64,
    /// When it was made, in nanoseconds.
    born: i128,
}

impl Identity {
    /// `None` where the file system does not say when it was made: inodes are used again.
    fn of(path: &Path) -> io::Result<Option<Self>> {
        let found = statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS | StatxFlags::BTIME)?;
        let born = i128::from(found.stx_btime.tv_sec) * 1_000_000_000 + i128::from(found.stx_btime.tv_nsec);
        let told = found.stx_mask & StatxFlags::BTIME.bits() != 0;
        Ok(told.then_some(Self { inode: found.stx_ino, born }))
    }
}

impl Directory {
    /// An error unless `path` is free, an empty directory, or one that alloy wrote.
    pub(super) fn look(store: &Store, path: &Path) -> Result<Self, ImageError> {
        let (path, found) = directory(path)?;
        let Some(found) = found else { return Ok(Self { path }) };
        if !found.is_dir() {
            return Err(ImageError::Foreign { path });
        }
        // It is replaced, in the directory that holds it.
        crate::sink::may_make_in(path.parent().unwrap_or(&path))?;
        if is_mount_point(&path) {
            return Err(SinkError::MountPoint { path }.into());
        }
        let place = Self { path };
        if !place.is_empty()? && !place.is_ours(store)? {
            return Err(ImageError::Foreign { path: place.path });
        }
        Ok(place)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn failed(&self) -> impl Fn(io::Error) -> ImageError + '_ {
        |source| ImageError::Write { path: self.path.clone(), source: layers::disk::told(source, &self.path) }
    }

    fn is_empty(&self) -> Result<bool, ImageError> {
        Ok(fs::read_dir(&self.path).map_err(self.failed())?.next().is_none())
    }

    fn record(&self) -> String {
        Digest::of(self.path.as_os_str().as_bytes()).hex()
    }

    fn is_ours(&self, store: &Store) -> Result<bool, ImageError> {
        let known = store.record(WRITTEN, &self.record())?.unwrap_or_default();
        let known: Vec<Identity> = serde_json::from_slice(&known).unwrap_or_default();
        let found = Identity::of(&self.path).map_err(self.failed())?;
        Ok(found.is_some_and(|found| known.contains(&found)))
    }

    /// Unpacks layers. Owners are kept by root alone. Gives what of the layers is not in it.
    pub(super) fn unpack(&self, store: &Store, layers: &[Layer]) -> Result<Absent, ImageError> {
        let failed = self.failed();
        let parent = self.path.parent().unwrap_or(Path::new("/"));
        let mut made = Made::default();
        made.directory(parent).map_err(&failed)?;
        let staged = Staged::of(&self.path).map_err(&failed)?;
        let root = rustix::process::geteuid().is_root();
        let ownership = if root { Ownership::Archive } else { Ownership::Invoker };
        let options = ApplyOptions { form: Form::Plain, parents: None, ownership };
        let directory = Root::open(staged.path())?;
        let mut absent = Absent::default();
        for layer in layers {
            let digest = layer.descriptor.digest;
            let path = store.blob_path(&digest);
            store.read_whole(&digest, |blob| {
                let (_, reader) = layer_decoder(blob).map_err(|source| ImageError::Read { path, source })?;
                let failed = |source| ImageError::Unpack { path: self.path.clone(), digest, source };
                apply(reader, &directory, &options).map_err(failed).map(|applied| absent.add(applied))
            })?;
        }
        absent.settle(&directory);
        fs::set_permissions(staged.path(), PermissionsExt::from_mode(0o755)).map_err(&failed)?;
        // One after the other: who is second replaces what the first has put there.
        let _lock = store.lock(WRITTEN)?;
        // Somebody may have put something else there meanwhile.
        let there = self.path.symlink_metadata().is_ok();
        if there && !(self.path.is_dir() && (self.is_empty()? || self.is_ours(store)?)) {
            return Err(ImageError::Foreign { path: self.path.clone() });
        }
        let before = if there { Identity::of(&self.path).map_err(&failed)? } else { None };
        let now = Identity::of(staged.path()).map_err(&failed)?;
        // First: one that is killed in between has left one of the two.
        let known: Vec<Identity> = [before, now].into_iter().flatten().collect();
        store.put_record(WRITTEN, &self.record(), &json::bytes(&known))?;
        staged.persist(&self.path).map_err(failed)?;
        made.keep();
        Ok(absent)
    }
}
