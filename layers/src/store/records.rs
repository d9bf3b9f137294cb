//! Small values that are known under a key. Each ends with a digest of itself and of its key: one in which a digit has
//! changed counts as missing, and is put aside.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::aside::unreadable;
use super::used::mark;
use super::{Damage, Result, Store, StoreError, failed, list, remove_file};
use crate::digest::{Digest, Hasher};
use crate::regular;

/// What is between a value and its digest.
const SEAL: &[u8] = b"\n#";
/// Bytes of a digest in hexadecimal digits, and of the end of the line.
const SEALED: usize = 64 + 1;

impl Store {
    pub(super) fn record_path(&self, kind: &str, key: &str) -> Result<PathBuf> {
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

    /// What is recorded under `key`, which counts as used.
    pub fn record(&self, kind: &str, key: &str) -> Result<Option<Vec<u8>>> {
        let found = self.listed(kind, key)?;
        if found.is_some() {
            mark(&self.record_path(kind, key)?);
        }
        Ok(found)
    }

    /// The same for who only looks at all that there is.
    fn listed(&self, kind: &str, key: &str) -> Result<Option<Vec<u8>>> {
        let path = self.record_path(kind, key)?;
        let why = match read(&path) {
            Ok(bytes) if self.unsealed => return Ok(Some(unsealed(kind, key, bytes.clone()).unwrap_or(bytes))),
            Ok(bytes) => match unsealed(kind, key, bytes) {
                Ok(value) => return Ok(Some(value)),
                Err(why) => why.to_owned(),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => unreadable(error).map_err(failed("read", &path))?,
        };
        self.put_aside(&path, format!("record {kind}/{key}"), why);
        Ok(None)
    }

    /// Records `bytes` under `key`, in place of what was there.
    pub fn put_record(&self, kind: &str, key: &str, bytes: &[u8]) -> Result<()> {
        let path = self.record_path(kind, key)?;
        let directory = self.kind(kind);
        fs::create_dir_all(&directory).map_err(failed("make", &directory))?;
        self.replace(&path, &sealed(kind, key, bytes))
    }

    /// Looks at every record of every kind. Gives how many there are, and those that are damaged; they are put aside if
    /// `repair`.
    pub fn examine_records(&self, repair: bool) -> Result<(usize, Vec<Damage>)> {
        let place = self.root.join("records");
        let (mut count, mut damaged) = (0, Vec::new());
        for directory in list(&place)? {
            let kind = directory.split('.').next().unwrap_or_default();
            for key in list(&place.join(&directory))? {
                count += 1;
                let path = place.join(&directory).join(&key);
                let why = match read(&path) {
                    Ok(bytes) => unsealed(kind, &key, bytes).err().map(str::to_owned),
                    // A command beside this one has forgotten it.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                    Err(error) => Some(unreadable(error).map_err(failed("read", &path))?),
                };
                if let Some(why) = why {
                    damaged.push(self.found_wrong(&path, format!("record {directory}/{key}"), why, repair));
                }
            }
        }
        Ok((count, damaged))
    }

    /// Forgets a record; nothing there is fine.
    pub fn remove_record(&self, kind: &str, key: &str) -> Result<()> {
        remove_file(&self.record_path(kind, key)?)
    }

    /// All records of a kind, sorted by key.
    pub fn records(&self, kind: &str) -> Result<Vec<(String, Vec<u8>)>> {
        let mut records = Vec::new();
        for key in list(&self.kind(kind))? {
            if let Some(bytes) = self.listed(kind, &key)? {
                records.push((key, bytes));
            }
        }
        Ok(records)
    }
}

/// All of a record. Whatever else has its name is not waited for.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    regular::open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn digest(kind: &str, key: &str, value: &[u8]) -> Digest {
    let mut hasher = Hasher::new();
    for part in [kind.as_bytes(), b"\0", key.as_bytes(), b"\0", value] {
        hasher.update(part);
    }
    hasher.finish()
}

pub(super) fn sealed(kind: &str, key: &str, value: &[u8]) -> Vec<u8> {
    let digest = digest(kind, key, value).hex();
    [value, SEAL, digest.as_bytes(), b"\n"].concat()
}

/// The value of a record, or what is wrong with it.
pub(super) fn unsealed(kind: &str, key: &str, mut bytes: Vec<u8>) -> std::result::Result<Vec<u8>, &'static str> {
    let cut = "it has no digest of its own at its end";
    let length = bytes.len().checked_sub(SEAL.len() + SEALED).ok_or(cut)?;
    let (value, seal) = bytes.split_at(length);
    let said = seal.strip_prefix(SEAL).and_then(|said| said.strip_suffix(b"\n")).ok_or(cut)?;
    if said != digest(kind, key, value).hex().as_bytes() {
        return Err("it is not what its own digest says");
    }
    bytes.truncate(length);
    Ok(bytes)
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
    fn a_record_that_was_changed_counts_as_missing() {
        let (_directory, store) = store();
        store.put_record("layers", "a", b"{\"size\": 17}").unwrap();
        let path = store.root().join("records/layers/a");
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            let cut = whole[..at].to_vec();
            let longer = [&whole[..], b"\n"].concat();
            for bytes in [bytes, cut, longer] {
                std::fs::write(&path, bytes).unwrap();
                assert_eq!(store.record("layers", "a").unwrap(), None);
                assert!(!path.exists());
            }
        }
        assert_eq!(store.damage().len(), whole.len() * 3);
        // One of another key is no better.
        store.put_record("layers", "a", b"1").unwrap();
        std::fs::rename(&path, store.root().join("records/layers/b")).unwrap();
        assert!(store.records("layers").unwrap().is_empty());
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
