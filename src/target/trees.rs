//! Trees that a layer stands on are looked at while its commands run, and before anything of it is kept.

use std::collections::BTreeSet;
use std::thread::{Builder, JoinHandle};

use layers::at_once;
use layers::store::{Damage, Store, StoreError};

use super::TargetError;

type Looked = Vec<Result<Option<Damage>, StoreError>>;

/// What is known of the trees of a store.
pub(super) struct Trees {
    store: Store,
    /// Those that were looked at, or made, while this worker lives.
    known: BTreeSet<String>,
    looking: Vec<JoinHandle<Looked>>,
    /// What came of it where nobody could look meanwhile.
    looked: Looked,
}

impl Trees {
    pub(super) fn new(store: &Store) -> Self {
        Self { store: store.clone(), known: BTreeSet::new(), looking: Vec::new(), looked: Vec::new() }
    }

    /// This worker has made these.
    pub(super) fn fresh<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        self.known.extend(names.map(str::to_owned));
    }

    /// Begins to look at those that nobody has looked at.
    pub(super) fn look(&mut self, names: &[String]) {
        let names: Vec<String> = names.iter().filter(|name| self.known.insert((*name).clone())).cloned().collect();
        if names.is_empty() {
            return;
        }
        let (store, asked) = (self.store.clone(), names.clone());
        let look = move || at_once::each(&asked, |name| store.check_tree(name));
        match Builder::new().name("trees".into()).spawn(look) {
            Ok(looking) => self.looking.push(looking),
            // A machine that refuses threads has them looked at now.
            Err(_) => self.looked.extend(names.iter().map(|name| self.store.check_tree(name))),
        }
    }

    /// An error if one of them is not what was unpacked: what was made on it is not to be kept.
    pub(super) fn are_sound(&mut self) -> Result<(), TargetError> {
        for looking in std::mem::take(&mut self.looking) {
            match looking.join() {
                Ok(looked) => self.looked.extend(looked),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        for looked in std::mem::take(&mut self.looked) {
            if let Some(damage) = looked? {
                return Err(StoreError::from(damage).into());
            }
        }
        Ok(())
    }
}
