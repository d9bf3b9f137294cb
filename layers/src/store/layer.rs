//! Writing a layer: the tar is hashed on one thread while another compresses, hashes and stores it.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use serde::{Deserialize, Serialize};

use super::{BlobWriter, Store, StoreError, failed};
use crate::compress::{Compression, Encoder};
use crate::digest::{DiffId, Digest, Hasher};
use crate::media_type::Descriptor;

/// A stored layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerBlob {
    /// The blob, as it is stored and sent.
    pub descriptor: Descriptor,
    /// The digest of its uncompressed tar.
    pub diff_id: DiffId,
    /// The length of that tar in bytes.
    pub uncompressed_size: u64,
}

/// Bytes handed on at a time, and how many such pieces may wait: bounds memory.
const PIECE: usize = 1 << 20;
const WAITING: usize = 8;

type Piece = Arc<Vec<u8>>;

/// Takes the uncompressed tar of a layer. Dropped without [`LayerWriter::finish`], it leaves nothing.
#[derive(Debug)]
pub struct LayerWriter {
    pending: Vec<u8>,
    size: u64,
    compression: Compression,
    threads: Option<Threads>,
    store: Store,
}

#[derive(Debug)]
struct Threads {
    to_hash: SyncSender<Piece>,
    to_compress: SyncSender<Piece>,
    /// Pieces that both are done with: memory that is touched already is quicker.
    spare: Receiver<Vec<u8>>,
    hash: JoinHandle<Digest>,
    compress: JoinHandle<io::Result<BlobWriter>>,
}

impl Store {
    /// A writer of a layer.
    pub fn layer_writer(&self, compression: Compression) -> Result<LayerWriter, StoreError> {
        let blob = self.blob_writer()?;
        let (to_hash, hash_from) = sync_channel(WAITING);
        let (to_compress, compress_from) = sync_channel(WAITING);
        let (to_spare, spare) = channel();
        let hash_spare = to_spare.clone();
        let threads = Threads {
            to_hash,
            to_compress,
            spare,
            hash: self.thread("hash", move || hash(&hash_from, &hash_spare))?,
            compress: self.thread("compress", move || compress(&compress_from, &to_spare, blob, compression))?,
        };
        let pending = Vec::with_capacity(PIECE);
        Ok(LayerWriter { pending, size: 0, compression, threads: Some(threads), store: self.clone() })
    }

    fn thread<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<JoinHandle<T>, StoreError> {
        let started = std::thread::Builder::new().name(name.to_owned()).spawn(work);
        started.map_err(failed("start a thread that writes to", &self.root().join("tmp")))
    }
}

fn hash(pieces: &Receiver<Piece>, spare: &Sender<Vec<u8>>) -> Digest {
    let mut hasher = Hasher::new();
    for piece in pieces {
        hasher.update(&piece);
        give_back(piece, spare);
    }
    hasher.finish()
}

fn compress(
    pieces: &Receiver<Piece>,
    spare: &Sender<Vec<u8>>,
    blob: BlobWriter,
    compression: Compression,
) -> io::Result<BlobWriter> {
    let mut encoder = Encoder::new(blob, compression)?;
    for piece in pieces {
        encoder.write_all(&piece)?;
        give_back(piece, spare);
    }
    encoder.finish()
}

/// The one who is last gives the piece back.
fn give_back(piece: Piece, spare: &Sender<Vec<u8>>) {
    if let Some(mut bytes) = Arc::into_inner(piece) {
        bytes.clear();
        let _ = spare.send(bytes);
    }
}

/// What was begun is given up before whoever gave it up goes on: its file is gone by then.
impl Drop for LayerWriter {
    fn drop(&mut self) {
        if let Some(Threads { to_hash, to_compress, spare: _, hash, compress }) = self.threads.take() {
            drop((to_hash, to_compress));
            let _ = (hash.join(), compress.join());
        }
    }
}

impl LayerWriter {
    /// Writes all that `from` has, as [`BlobWriter::fill`] does.
    pub fn fill(&mut self, from: &mut dyn Read) -> Result<io::Result<u64>, StoreError> {
        let place = self.store.temporaries();
        super::blob::fill(from, self, &place)
    }

    fn hand_on(&mut self) -> io::Result<()> {
        let gone = || io::Error::other("the compressor stopped early");
        let threads = self.threads.as_ref().ok_or_else(gone)?;
        let next = threads.spare.try_recv().unwrap_or_else(|_| Vec::with_capacity(PIECE));
        let piece = Arc::new(std::mem::replace(&mut self.pending, next));
        threads.to_hash.send(Arc::clone(&piece)).map_err(|_| gone())?;
        threads.to_compress.send(piece).map_err(|_| self.reason())
    }

    /// A compressor that is gone says why.
    fn reason(&mut self) -> io::Error {
        let error = self.threads.take().map(|threads| {
            drop((threads.to_hash, threads.to_compress));
            threads.compress.join()
        });
        match error {
            Some(Ok(Err(error))) => error,
            _ => io::Error::other("the compressor stopped early"),
        }
    }

    /// Ends the layer and stores it.
    pub fn finish(mut self) -> Result<LayerBlob, StoreError> {
        let path = self.store.root().join("tmp");
        self.hand_on().map_err(failed("write a layer to", &path))?;
        let lost = || failed("write a layer to", &path)(io::Error::other("a thread of the compressor died"));
        let threads = self.threads.take().ok_or_else(lost)?;
        drop((threads.to_hash, threads.to_compress));
        let diff_id = threads.hash.join().map_err(|_| lost())?;
        let blob = threads.compress.join().map_err(|_| lost())?.map_err(failed("write a layer to", &path))?;
        let (digest, size) = blob.commit(None)?;
        let media_type = self.compression.media_type().to_owned();
        Ok(LayerBlob {
            descriptor: Descriptor { media_type, digest, size },
            diff_id: DiffId(diff_id),
            uncompressed_size: self.size,
        })
    }
}

impl Write for LayerWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let taken = buf.len().min(PIECE - self.pending.len());
        self.pending.extend_from_slice(&buf[..taken]);
        self.size += taken as u64;
        if self.pending.len() == PIECE {
            self.hand_on()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::compress::decoder;

    #[test]
    fn a_layer_is_what_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().join("store")).unwrap();
        let tar: Vec<u8> = (0..5_000_000_u32).map(|n| (n / 7).to_le_bytes()[0]).collect();
        let mut writer = store.layer_writer(Compression::default()).unwrap();
        writer.write_all(&tar).unwrap();
        let layer = writer.finish().unwrap();
        assert_eq!(layer.diff_id, DiffId(Digest::of(&tar)));
        assert_eq!(layer.uncompressed_size, tar.len() as u64);
        assert_eq!(store.blob_len(&layer.descriptor.digest).unwrap(), Some(layer.descriptor.size));
        let mut back = Vec::new();
        let blob = store.open_blob(&layer.descriptor.digest).unwrap();
        decoder(blob).unwrap().1.read_to_end(&mut back).unwrap();
        assert!(back == tar);
    }

    #[test]
    fn a_layer_that_is_given_up_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().join("store")).unwrap();
        let mut writer = store.layer_writer(Compression::default()).unwrap();
        writer.write_all(&[1; 3 << 20]).unwrap();
        drop(writer);
        assert!(store.blobs().unwrap().is_empty());
        assert_eq!(std::fs::read_dir(store.root().join("tmp")).unwrap().count(), 0);
    }
}
