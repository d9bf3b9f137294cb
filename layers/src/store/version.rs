//! The layout of a store's directory, and what says so.

use std::fs;
use std::io;
use std::path::Path;

use super::{PARTS, Result, StoreError, UNSEALED, VERSION, failed};

/// What `version` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing is there yet.
    Nothing,
    /// A whole store, of a layout that this alloy knows.
    Whole,
    /// One of the layout before, whose records and trees have no seals.
    Unsealed,
    /// A whole one, by all that is in it; the file itself is damaged.
    Mendable,
}

/// Looks at the store's directory.
pub(super) fn look(root: &Path) -> Result<Found> {
    let path = root.join("version");
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
            return Err(StoreError::Layout { path: root.to_owned(), found: "is a directory".into() });
        }
        Err(error) => return Err(failed("read", &path)(error)),
    };
    let text = String::from_utf8_lossy(&bytes);
    let said = text.trim();
    if said == VERSION {
        return Ok(Found::Whole);
    }
    if said == UNSEALED {
        return Ok(Found::Unsealed);
    }
    if !said.is_empty() && said.bytes().all(|byte| byte.is_ascii_digit()) && said.parse::<u32>().is_ok_and(|n| n > 2) {
        return Err(StoreError::Version { path: root.to_owned(), found: said.to_owned() });
    }
    // Nothing, or the number with something behind it: what is lost is known by what is there. Of the layout before is no
    // store that lost it: all of its records would count as sound.
    let rest = text.strip_prefix(VERSION).filter(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()));
    if (said.is_empty() || rest.is_some()) && PARTS.iter().all(|part| root.join(part).is_dir()) {
        return Ok(Found::Mendable);
    }
    let found = match said {
        "" => "is empty, and parts of the store are missing".to_owned(),
        said => format!("says {:?}", said.chars().take(40).collect::<String>()),
    };
    Err(StoreError::Layout { path: root.to_owned(), found })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use crate::store::tests::store;

    #[test]
    fn a_later_layout_is_no_damage() {
        let (_directory, store) = store();
        for later in ["3\n", "12"] {
            fs::write(store.root().join("version"), later).unwrap();
            assert!(matches!(Store::open(store.root()), Err(StoreError::Version { .. })), "{later}");
        }
    }

    #[test]
    fn what_is_there_tells_the_layout() {
        let (_directory, store) = store();
        let version = store.root().join("version");
        for damaged in ["", "\n", "\0\0", "2\nX", "2X", "2\n1", "2\n\u{0}"] {
            fs::write(&version, damaged).unwrap();
            let looked = Store::look(store.root());
            if damaged == "\0\0" {
                assert!(matches!(looked, Err(StoreError::Layout { .. })));
                continue;
            }
            looked.unwrap();
            assert_eq!(fs::read_to_string(&version).unwrap(), damaged, "who looks writes nothing");
            assert!(Store::open(store.root()).unwrap().was_mended(), "{damaged:?}");
            assert_eq!(fs::read_to_string(&version).unwrap(), "2\n");
            assert!(!Store::open(store.root()).unwrap().was_mended());
        }
    }

    #[test]
    fn damage_is_told_as_damage() {
        let (_directory, store) = store();
        let version = store.root().join("version");
        for garbage in ["x", "0", "-1", "one", "99999999999"] {
            fs::write(&version, garbage).unwrap();
            assert!(Store::open(store.root()).unwrap_err().to_string().contains("damaged"), "{garbage}");
        }
        fs::write(&version, "").unwrap();
        fs::remove_dir(store.root().join("trees")).unwrap();
        assert!(Store::open(store.root()).unwrap_err().to_string().contains("parts of the store are missing"));
        fs::remove_file(&version).unwrap();
        fs::create_dir(&version).unwrap();
        assert!(Store::open(store.root()).unwrap_err().to_string().contains("is a directory"));
    }
}
