//! The keys that are trusted for an archive: keyrings, and which of their keys.

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;

use pgp::composed::{Deserializable, SignedPublicKey};
use pgp::types::KeyDetails;

use super::signed_by::{Fingerprint, SignedBy};
use super::sources::Distribution;
use super::{DebianError, carried};

/// Where keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keyring {
    /// In a file, armoured or binary.
    File(PathBuf),
    /// In this armoured text, which a source has.
    Block(String),
    /// Those of a distribution that alloy carries, without what is in the keyrings `removed`.
    Carried {
        /// Whose they are.
        distribution: Distribution,
        /// Keyrings of what the distribution has given up.
        removed: Vec<PathBuf>,
    },
}

impl Display for Keyring {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(formatter),
            Self::Block(_) => formatter.write_str("its source's Signed-By"),
            Self::Carried { distribution, .. } => {
                write!(formatter, "the keys of {} that alloy has with it", distribution.title())
            }
        }
    }
}

/// Whose signatures count for an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Where the keys are. What two say of one key counts together.
    pub keyrings: Vec<Keyring>,
    /// The keys of these; none for all.
    pub only: Vec<Fingerprint>,
}

impl Trust {
    /// All keys of these files.
    pub fn files(files: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { keyrings: files.into_iter().map(Keyring::File).collect(), only: Vec::new() }
    }

    /// What a source says, where `trusted` is trusted for those that say nothing.
    pub fn of(signed_by: &SignedBy, trusted: impl FnOnce() -> Vec<PathBuf>) -> Self {
        match signed_by {
            SignedBy::Anybody => Self::files(trusted()),
            SignedBy::Keys { files, only } => {
                let files = if files.is_empty() { trusted() } else { files.clone() };
                Self { only: only.clone(), ..Self::files(files) }
            }
            SignedBy::Block(block) => Self { keyrings: vec![Keyring::Block(block.clone())], only: Vec::new() },
        }
    }

    /// Reads the keys.
    pub fn keys(&self) -> Result<Keys, DebianError> {
        let mut keys = self.none();
        for keyring in &self.keyrings {
            keys.add(read(keyring)?);
        }
        Ok(keys)
    }

    /// Reads the keys of those keyrings that can be read, as apt does.
    pub fn readable_keys(&self) -> Keys {
        let mut keys = self.none();
        self.keyrings.iter().filter_map(|keyring| read(keyring).ok()).for_each(|more| keys.add(more));
        keys
    }

    fn none(&self) -> Keys {
        let names: Vec<String> = self.keyrings.iter().map(ToString::to_string).collect();
        Keys { certificates: Vec::new(), only: self.only.clone(), names: names.join(", ") }
    }
}

/// Keys that were read.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    pub(super) certificates: Vec<SignedPublicKey>,
    only: Vec<Fingerprint>,
    names: String,
}

impl Keys {
    /// What they are called in messages.
    pub fn names(&self) -> String {
        match self.only.as_slice() {
            [] => self.names.clone(),
            _ => format!("{} that Signed-By names", self.names),
        }
    }

    /// True if signatures by a key of `certificate` count. Those of other keys count against a text all the same, if
    /// they are wrong.
    pub fn chosen(&self, certificate: &SignedPublicKey, key: &impl KeyDetails) -> bool {
        let (key, primary) = (name(key), name(&certificate.primary_key));
        self.only.is_empty() || self.only.iter().any(|one| one.names(&key, &primary))
    }

    /// True if signatures by the primary key of that name, or by one below it, may count.
    pub fn knows(&self, primary: &str) -> bool {
        let counts = |one: &SignedPublicKey| {
            let below = || one.public_subkeys.iter().any(|subkey| self.chosen(one, &subkey.key));
            name(&one.primary_key) == primary && (self.chosen(one, &one.primary_key) || below())
        };
        self.certificates.iter().any(counts)
    }

    /// Adds certificates. A revocation in one keyring is not undone by another that does not have it.
    fn add(&mut self, certificates: Vec<SignedPublicKey>) {
        for certificate in certificates {
            let fingerprint = certificate.primary_key.fingerprint();
            match self.certificates.iter_mut().find(|other| other.primary_key.fingerprint() == fingerprint) {
                Some(other) => merge(other, certificate),
                None => self.certificates.push(certificate),
            }
        }
    }
}

#[cfg(test)]
impl From<&[SignedPublicKey]> for Keys {
    fn from(certificates: &[SignedPublicKey]) -> Self {
        Self { certificates: certificates.to_vec(), ..Self::default() }
    }
}

/// The fingerprint of a key.
pub fn name(key: &impl KeyDetails) -> String {
    format!("{:X}", key.fingerprint())
}

fn merge(into: &mut SignedPublicKey, from: SignedPublicKey) {
    into.details.revocation_signatures.extend(from.details.revocation_signatures);
    into.details.direct_signatures.extend(from.details.direct_signatures);
    for user in from.details.users {
        match into.details.users.iter_mut().find(|other| other.id == user.id) {
            Some(other) => other.signatures.extend(user.signatures),
            None => into.details.users.push(user),
        }
    }
    for user in from.details.user_attributes {
        match into.details.user_attributes.iter_mut().find(|other| other.attr == user.attr) {
            Some(other) => other.signatures.extend(user.signatures),
            None => into.details.user_attributes.push(user),
        }
    }
    for subkey in from.public_subkeys {
        match into.public_subkeys.iter_mut().find(|other| other.key.fingerprint() == subkey.key.fingerprint()) {
            Some(other) => other.signatures.extend(subkey.signatures),
            None => into.public_subkeys.push(subkey),
        }
    }
}

/// Bytes of a file of keys.
const KEYS_LIMIT: u64 = 64 << 20;

fn read(keyring: &Keyring) -> Result<Vec<SignedPublicKey>, DebianError> {
    let failed = |message: String| DebianError::Keyring { keyring: keyring.to_string(), message };
    let bytes = match keyring {
        Keyring::File(path) => layers::regular::given(path, KEYS_LIMIT).map_err(|error| failed(error.to_string()))?,
        Keyring::Block(text) => text.clone().into_bytes(),
        Keyring::Carried { distribution, removed } => {
            let mut all = Vec::new();
            for text in carried::keys(*distribution) {
                all.extend(read(&Keyring::Block((*text).to_owned()))?);
            }
            for removed in removed {
                // What cannot be read may have taken out any of them.
                let Ok(removed) = read(&Keyring::File(removed.clone())) else { return Ok(Vec::new()) };
                all.retain(|one| removed.iter().all(|other| name(&other.primary_key) != name(&one.primary_key)));
            }
            return Ok(all);
        }
    };
    let keys: Vec<SignedPublicKey> = if bytes.starts_with(b"-----BEGIN") {
        let (keys, _) =
            SignedPublicKey::from_armor_many(bytes.as_slice()).map_err(|error| failed(error.to_string()))?;
        keys.filter_map(Result::ok).collect()
    } else {
        let keys = SignedPublicKey::from_bytes_many(bytes.as_slice()).map_err(|error| failed(error.to_string()))?;
        keys.filter_map(Result::ok).collect()
    };
    if keys.is_empty() { Err(failed("no OpenPGP keys in it".into())) } else { Ok(keys) }
}
