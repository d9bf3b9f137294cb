//! The root file system that layers make up, as a tar for the builder's file.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use layers::apply::{Absent, ApplyOptions, Form, Ownership, apply};
use layers::compress::decoder;
use layers::diff::{DiffOptions, diff};
use layers::digest::Digest;
use layers::holes::{Holes, is_new};
use layers::ids::Exchange;
use layers::root::Root;
use layers::store::Store;

use super::excluded::as_it_is;
use super::{TargetError, unpack};

/// Writes the layers `blobs`, lowest first, to `file`. Gives what of them is not in it.
pub(super) fn export(store: &Store, blobs: &[Digest], mut file: File) -> Result<Absent, TargetError> {
    let failed = |blob: &Digest| {
        let path = store.blob_path(blob);
        move |source| TargetError::Host { path, source }
    };
    let staged = unpack::Staged::new(store)?;
    let root = Root::open(staged.path())?;
    let options = ApplyOptions { form: Form::Plain, parents: None, ownership: Ownership::Archive };
    let mut absent = Absent::default();
    for blob in blobs {
        store.read_whole(blob, |content| {
            let (_, mut reader) = decoder(content).map_err(failed(blob))?;
            absent.add(apply(&mut reader, &root, &options)?);
            io::copy(&mut reader, &mut io::sink()).map_err(failed(blob))
        })?;
    }
    absent.settle(&root);
    let exclude = as_it_is();
    let options = DiffOptions { mtime_max: u64::MAX, exclude: &exclude, lowers: &[], ids: Exchange::default() };
    // All that is written is seen by whoever reads; in a new file, zeros need not be.
    if is_new(&file).map_err(TargetError::Output)? {
        let holes = write(&root, &options, Holes::new(&mut file), 64 << 10)?;
        holes.finish().map_err(TargetError::Unwritten)?;
    } else {
        write(&root, &options, file, 1 << 20)?;
    }
    Ok(absent)
}

fn write<W: Write>(root: &Root, options: &DiffOptions<'_>, to: W, buffer: usize) -> Result<W, TargetError> {
    let mut theirs = Theirs { inner: to, refused: None };
    let mut out = BufWriter::with_capacity(buffer, &mut theirs);
    let done = diff(root, &mut out, options).map_err(TargetError::from);
    let done = done.and_then(|_| out.flush().map_err(TargetError::Output));
    drop(out);
    // Whatever came of it.
    theirs.refused.map_or(done, |refused| Err(TargetError::Unwritten(refused)))?;
    Ok(theirs.inner)
}

/// The builder's file: what it does not take is no failure of the store's disk.
struct Theirs<W> {
    inner: W,
    refused: Option<io::Error>,
}

impl<W: Write> Write for Theirs<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes);
        if let Err(error) = &written
            && error.kind() != io::ErrorKind::Interrupted
        {
            self.refused = error.raw_os_error().map(io::Error::from_raw_os_error);
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
