//! What layers are: a blob's diff ID is computed here, once, and remembered by the blob's digest. What a config or a
//! cache claims is never written down here.

use std::io;

use super::{LayerBlob, Result, Store, StoreError, failed};
use crate::compress::{Format, layer_decoder, read_ahead};
use crate::digest::{DiffId, Digest};
use crate::verified::HashingReader;

const KIND: &str = "diff-ids";

impl Store {
    /// The diff ID of a blob as it was computed before.
    pub fn known_diff_id(&self, blob: &Digest) -> Result<Option<DiffId>> {
        let bytes = self.record(KIND, &blob.hex())?;
        Ok(bytes.and_then(|bytes| Digest::from_hex(std::str::from_utf8(&bytes).ok()?.trim()).ok()).map(DiffId))
    }

    /// Remembers a diff ID that was computed on this machine.
    pub fn note_diff_id(&self, blob: &Digest, computed: DiffId) -> Result<()> {
        if self.known_diff_id(blob)? == Some(computed) {
            return Ok(());
        }
        self.put_record(KIND, &blob.hex(), computed.0.hex().as_bytes())
    }

    /// Remembers the diff ID of a layer that was written on this machine.
    pub fn note_layer(&self, layer: &LayerBlob) -> Result<()> {
        self.note_diff_id(&layer.descriptor.digest, layer.diff_id)
    }

    /// The diff ID of a blob of the store: as it is remembered, else computed.
    pub fn diff_id(&self, blob: &Digest) -> Result<DiffId> {
        if let Some(known) = self.known_diff_id(blob)? {
            return Ok(known);
        }
        let path = self.blob_path(blob);
        let damaged = |error: io::Error| StoreError::Damaged { blob: *blob, message: error.to_string() };
        let computed = self.read_whole(blob, |content| {
            let (format, reader) = layer_decoder(content).map_err(|error| match error.kind() {
                io::ErrorKind::InvalidData => damaged(error),
                _ => failed("read", &path)(error),
            })?;
            Ok::<_, StoreError>(match format {
                // A blob is stored by its digest: what is not compressed is known by it.
                Format::Plain => *blob,
                _ => read_ahead(reader, |reader| HashingReader::new(reader).finish()).map_err(damaged)?,
            })
        })?;
        self.note_diff_id(blob, DiffId(computed))?;
        Ok(DiffId(computed))
    }

    /// Forgets diff IDs of blobs that are not `kept`.
    pub fn forget_diff_ids(&self, kept: impl Fn(&Digest) -> bool) -> Result<()> {
        for (key, _) in self.records(KIND)? {
            if !Digest::from_hex(&key).is_ok_and(|digest| kept(&digest)) {
                self.remove_record(KIND, &key)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use crate::compress::Compression;
    use crate::digest::{DiffId, Digest};
    use crate::store::tests::store;

    #[test]
    fn what_a_blob_is_is_computed_and_remembered() {
        let (_directory, store) = store();
        let mut writer = store.layer_writer(Compression::default()).unwrap();
        writer.write_all(&[7; 3 << 20]).unwrap();
        let layer = writer.finish().unwrap();
        let blob = layer.descriptor.digest;
        assert_eq!(store.known_diff_id(&blob).unwrap(), None);
        assert_eq!(store.diff_id(&blob).unwrap(), layer.diff_id);
        // Without the blob it is known still.
        store.remove_blob(&blob).unwrap();
        assert_eq!(store.diff_id(&blob).unwrap(), layer.diff_id);
        store.forget_diff_ids(|_| false).unwrap();
        assert!(store.diff_id(&blob).is_err());
        let mut plain = store.blob_writer().unwrap();
        plain.write_all(b"not compressed").unwrap();
        let (digest, _) = plain.commit(None).unwrap();
        assert_eq!(store.diff_id(&digest).unwrap(), DiffId(Digest::of(b"not compressed")));
    }
}
