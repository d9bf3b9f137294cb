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
        Ok(self.kind(kind).join(key))
    }

    /// Where the records of a kind are.
    fn kind(&self, kind: &str) -> PathBuf {
        let place = self.root.join("records");
        match &self.trust {
            Some((trust, kinds)) if kinds.contains(&kind) => place.join(format!("{kind}.{trust}")),
            _ => place.join(kind),
        }
    }

    /// Forgets what is recorded of `kinds` for those who trust something. Others keep theirs.
    pub fn forget_trusting(&self, kinds: &[&str]) -> Result<()> {
        for name in list(&self.root.join("records"))? {
            let path = self.root.join("records").join(&name);
            if name.split_once('.').is_some_and(|(kind, _)| kinds.contains(&kind)) {
                fs::remove_dir_all(&path).map_err(failed("delete", &path))?;
            }
        }
        Ok(())
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
        let directory = self.kind(kind);
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
        for key in list(&self.kind(kind))? {
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

    #[test]
    fn who_trusts_a_key_sees_own_records_alone() {
        let (_directory, store) = store();
        let trusting = |text: &str| store.trusting(&crate::digest::Digest::of(text), &["layers"]);
        let (ann, bob) = (trusting("ann"), trusting("bob"));
        for store in [&store, &bob] {
            store.put_record("layers", "a", b"not ann's").unwrap();
        }
        assert!(ann.record("layers", "a").unwrap().is_none() && ann.records("layers").unwrap().is_empty());
        ann.put_record("layers", "a", b"ann's").unwrap();
        ann.put_record("other", "a", b"all's").unwrap();
        assert_eq!(store.record("layers", "a").unwrap().unwrap(), b"not ann's");
        assert_eq!(bob.record("other", "a").unwrap().unwrap(), b"all's");
        store.forget_trusting(&["layers"]).unwrap();
        assert!(ann.record("layers", "a").unwrap().is_none() && store.record("layers", "a").unwrap().is_some());
    }
}
