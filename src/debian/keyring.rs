//! The keyrings of this machine for a suite: what its sources say (`Signed-By`), else the distribution's own.

use std::path::{Path, PathBuf};

use super::DebianError;
use super::keys::{Keyring, Trust};
use super::signed_by::SignedBy;
use super::sources::Distribution;

/// Where this machine has the keys that its apt trusts for every source (apt-secure(8)).
const TRUSTED: &str = "/etc/apt/trusted.gpg.d";
const OLD_TRUSTED: &str = "/etc/apt/trusted.gpg";

/// What a source of the suite itself says, and by nothing else, as apt has it.
pub fn of_source(suite: &str, distribution: Distribution, signed_by: &SignedBy) -> Result<Trust, DebianError> {
    let usual = || usual(suite, distribution, Vec::new());
    Ok(match signed_by {
        SignedBy::Anybody => usual()?,
        // Fingerprints choose among keys that are trusted already.
        SignedBy::Keys { files, only } if files.is_empty() => {
            let mut keyrings = trusted_by_apt();
            match usual() {
                Ok(trust) => keyrings.extend(trust.keyrings),
                Err(error) if keyrings.is_empty() => return Err(error),
                Err(_) => {}
            }
            Trust { keyrings, only: only.clone() }
        }
        says => Trust::of(says, Vec::new),
    })
}

/// The distribution's own keyrings, and those that a source of another suite of it names.
pub fn of_another_suite(suite: &str, distribution: Distribution, signed_by: &SignedBy) -> Result<Trust, DebianError> {
    // Chosen keys say nothing of another suite, which has others.
    let named = Trust::of(signed_by, Vec::new);
    usual(suite, distribution, if named.only.is_empty() { named.keyrings } else { Vec::new() })
}

/// The distribution's own keyrings after those `named`.
pub fn usual(suite: &str, distribution: Distribution, named: Vec<Keyring>) -> Result<Trust, DebianError> {
    let name = distribution.name();
    let usual = ["gpg", "pgp"].map(|kind| PathBuf::from(format!("/usr/share/keyrings/{name}-archive-keyring.{kind}")));
    let usual = usual.into_iter().map(Keyring::File).filter(|one| !named.contains(one)).collect::<Vec<_>>();
    let looked: Vec<Keyring> = named.into_iter().chain(usual).collect();
    let there = |one: &&Keyring| match one {
        Keyring::File(path) => path.is_file(),
        Keyring::Block(_) => true,
    };
    let keyrings: Vec<Keyring> = looked.iter().filter(there).cloned().collect();
    if keyrings.is_empty() {
        let looked: Vec<String> = looked.iter().map(ToString::to_string).collect();
        return Err(DebianError::NoKeyring { suite: suite.to_owned(), looked: looked.join(", ") });
    }
    Ok(Trust { keyrings, only: Vec::new() })
}

/// Those of apt's own keyrings that can be read, as apt passes over the others.
fn trusted_by_apt() -> Vec<Keyring> {
    let entries = std::fs::read_dir(Path::new(TRUSTED)).into_iter().flatten().flatten().map(|entry| entry.path());
    let kinds = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "gpg" || kind == "asc");
    let mut files: Vec<PathBuf> = entries.filter(kinds).collect();
    files.push(PathBuf::from(OLD_TRUSTED));
    files.sort();
    files.retain(|path| Trust::files([path.clone()]).keys().is_ok());
    files.into_iter().map(Keyring::File).collect()
}
