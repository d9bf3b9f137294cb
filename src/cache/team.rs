//! What a build shares with others: where it looks, where it leaves what it made, and whom it believes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use layers::digest::Digest;
use layers::store::{Store, StoreError};

use super::{EntryError, INVENTORIES, LAYERS, PORTABLE, PROFILES, Place, Remote, SUITES, Written, get, put};
use crate::fetch::WITNESSED;
use crate::sign::{SigningKey, VerifyingKey};

/// Kinds of records that others may have filled, or that were made on top of what others said.
pub const BELIEVED: [&str; 7] = [LAYERS, PORTABLE, PROFILES, INVENTORIES, SUITES, WITNESSED, "bases"];
/// When the newest entry was made that a key has signed.
const NEWEST: &str = "signed";

/// Why a signed entry is not believed.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The entry.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is signed: the record, and when the entry was made, so that an old one cannot pass for a new one. The first
/// line keeps it apart from anything else that the key may sign.
fn payload(created: &str, record: &str) -> String {
    format!("alloy cache entry 2\n{created}\n{record}")
}

/// The caches of a team.
#[derive(Default)]
pub struct Team {
    /// Where entries are looked for; the first that has one is believed.
    pub from: Vec<Place>,
    /// Where entries are left.
    pub to: Vec<Place>,
    /// Who must have signed an entry.
    pub verify: Option<VerifyingKey>,
    /// Who signs entries.
    sign: Option<SigningKey>,
    /// Nothing is written down of what was seen.
    pub only_looks: bool,
    /// Layers that turned out to be something else than was said, or nothing.
    distrusted: Mutex<BTreeSet<Digest>>,
    /// Places that did not answer: asking them again takes long.
    silent: Mutex<BTreeSet<Place>>,
    /// Names that lead to nothing that could be used, and where.
    refused: Mutex<BTreeSet<(Place, String)>>,
    /// Places that were opened, with what was read of them.
    opened: Mutex<BTreeMap<Place, Remote>>,
}

impl Team {
    /// Shares with these places.
    pub fn new(from: Vec<Place>, to: Vec<Place>) -> Self {
        Self { from, to, ..Self::default() }
    }

    /// Signs the entries that are left. Where nobody else is named whose word counts, only what this key has signed is
    /// believed, and what was made on top of it: signing what strangers said would make it one's own word.
    pub fn sign_with(&mut self, key: SigningKey) {
        if self.verify.is_none() && !self.to.is_empty() {
            self.verify = Some(key.verifying_key());
        }
        self.sign = Some(key);
    }

    /// The key that signs, by its public half.
    pub fn signer(&self) -> Option<Digest> {
        self.sign.as_ref().map(|key| Digest::of(key.public_pem()))
    }

    /// The signature in base64 of an entry's `record` that is made at `created`, where entries are signed.
    pub fn signature(&self, created: &str, record: &str) -> Option<String> {
        self.sign.as_ref().map(|key| STANDARD.encode(key.sign(payload(created, record).as_bytes())))
    }

    /// The store as this team sees it: who asks for signatures by a key knows what came in under that key, and what was
    /// made on top of it.
    pub fn believing(&self, store: &Store) -> Store {
        match &self.verify {
            Some(key) => store.trusting(&Digest::of(key.pem()), &BELIEVED),
            None => store.clone(),
        }
    }

    /// Fails unless whoever is trusted has signed the entry under `tag`, and nothing newer there was seen before.
    pub fn check(&self, store: &Store, tag: &str, written: &Written) -> Result<(), CheckError> {
        let Some(key) = &self.verify else { return Ok(()) };
        let signature = written.signature.as_ref().ok_or(EntryError::Unsigned)?;
        let signature = STANDARD.decode(signature).map_err(|_| EntryError::Signature)?;
        if !key.verify(payload(&written.created, &written.record).as_bytes(), &signature) {
            return Err(EntryError::Signature.into());
        }
        let made: jiff::Timestamp = written.created.parse().map_err(|_| EntryError::Signature)?;
        let place = Digest::of(format!("{}{tag}", key.pem())).hex();
        let newest = get::<String>(store, NEWEST, &place)?.and_then(|text| text.parse::<jiff::Timestamp>().ok());
        match newest {
            Some(newest) if made < newest => {
                Err(EntryError::Replayed { created: made.to_string(), newest: newest.to_string() }.into())
            }
            Some(newest) if made == newest => Ok(()),
            _ if self.only_looks => Ok(()),
            _ => Ok(put(store, NEWEST, &place, &made.to_string())?),
        }
    }

    /// Entries that lead to this layer are not used any more.
    pub fn distrust(&self, digest: Digest) {
        self.distrusted.lock().unwrap_or_else(PoisonError::into_inner).insert(digest);
    }

    /// What is under `name` in `place` is of no use: whoever has it may write it anew.
    pub fn refuse(&self, place: Place, name: String) {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).insert((place, name));
    }

    /// True if one of `names` was of no use in `place`.
    pub fn refused(&self, place: &Place, names: &[String]) -> bool {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.iter().any(|(there, name)| there == place && names.contains(name))
    }

    /// The place as it was opened before, or as `open` opens it: what is there is read once.
    pub fn opened<E>(&self, place: &Place, open: impl FnOnce() -> Result<Remote, E>) -> Result<Remote, E> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(remote) = opened.get(place) {
            return Ok(remote.clone());
        }
        let remote = open()?;
        opened.insert(place.clone(), remote.clone());
        Ok(remote)
    }

    /// The place is not asked any more. True the first time.
    pub fn give_up(&self, place: &Place) -> bool {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner).insert(place.clone())
    }

    /// True if the place was not given up.
    pub fn asks(&self, place: &Place) -> bool {
        !self.silent.lock().unwrap_or_else(PoisonError::into_inner).contains(place)
    }

    /// True if an entry that leads to this layer may be used.
    pub fn trusts(&self, digest: &Digest) -> bool {
        !self.distrusted.lock().unwrap_or_else(PoisonError::into_inner).contains(digest)
    }
}
