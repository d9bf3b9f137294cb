//! Small values that are known under a key.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::{Result, Store, StoreError, failed, list, remove_file};

impl Store {
    fn record_path(&self, kind: &str, key: &str) -> Result<PathBuf> {
        for part in [kind, key] {
            let fits = !part.is_empty() && part.len() <= 200 && !part.starts_with('.');
            if !fits || !part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
                return Err(StoreError::Key(part.to_owned()));
            }
        }
        Ok(self.root.join("records").join(kind).join(key))
    }

    /// What is recorded under `key`.
    pub fn record(&self, kind: &str, key: &str) -> Result<Option<Vec<u8>>> {
        let path = self.record_path(kind, key)?;
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path)(error)),
        }
    }

    /// Records `bytes` under `key`, in place of what was there.
    pub fn put_record(&self, kind: &str, key: &str, bytes: &[u8]) -> Result<()> {
        let path = self.record_path(kind, key)?;
        let directory = self.root.join("records").join(kind);
        fs::create_dir_all(&directory).map_err(failed("make", &directory))?;
        self.replace(&path, bytes)
    }

    /// Forgets a record; nothing there is fine.
    pub fn remove_record(&self, kind: &str, key: &str) -> Result<()> {
        remove_file(&self.record_path(kind, key)?)
    }

    /// All records of a kind, sorted by key.
    pub fn records(&self, kind: &str) -> Result<Vec<(String, Vec<u8>)>> {
        let mut records = Vec::new();
        for key in list(&self.root.join("records").join(kind))? {
            if let Some(bytes) = self.record(kind, &key)? {
                records.push((key, bytes));
            }
        }
        Ok(records)
    }
}

#[cfg(test)]
mod tests {
    use crate::store::tests::store;

    #[test]
    fn records_are_replaced_and_listed() {
        let (_directory, store) = store();
        store.put_record("layers", "b", b"1").unwrap();
        store.put_record("layers", "b", b"2").unwrap();
        store.put_record("layers", "a", b"3").unwrap();
        let all = store.records("layers").unwrap();
        assert_eq!(all, [("a".to_owned(), b"3".to_vec()), ("b".to_owned(), b"2".to_vec())]);
        assert!(store.record("layers", "../../version").is_err());
        assert!(store.record("none", "a").unwrap().is_none());
    }
}
