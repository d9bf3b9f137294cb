//! The keyrings of this machine for a suite: what its sources say (`Signed-By`), else the distribution's own, else the
//! keys that alloy carries.

use std::path::{Path, PathBuf};

use super::keys::{Keyring, Trust};
use super::signed_by::SignedBy;
use super::sources::Distribution;

/// Where this machine has the keys that its apt trusts for every source (apt-secure(8)).
const TRUSTED: &str = "/etc/apt/trusted.gpg.d";
const OLD_TRUSTED: &str = "/etc/apt/trusted.gpg";
/// Where packages of distributions have their keyrings.
const KEYRINGS: &str = "/usr/share/keyrings";

/// What a source of the suite itself says, and by nothing else, as apt has it.
pub fn of_source(distribution: Distribution, signed_by: &SignedBy) -> Trust {
    let usual = || usual(distribution, Vec::new(), Suite::OfASource);
    match signed_by {
        SignedBy::Anybody => usual(),
        // Fingerprints choose among keys that are trusted already.
        SignedBy::Keys { files, only } if files.is_empty() => {
            let mut keyrings = trusted_by_apt();
            keyrings.extend(usual().keyrings);
            Trust { keyrings, only: only.clone() }
        }
        says => Trust::of(says, Vec::new),
    }
}

/// The distribution's own keyrings, and those that a source of another suite of it names.
pub fn of_another_suite(distribution: Distribution, signed_by: &SignedBy) -> Trust {
    // Chosen keys say nothing of another suite, which has others.
    let named = Trust::of(signed_by, Vec::new);
    usual(distribution, if named.only.is_empty() { named.keyrings } else { Vec::new() }, Suite::OfNoSource)
}

/// What this machine's apt sources say of a suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// One of them is of it: this machine has its keys, or is meant to have none.
    OfASource,
    /// None is of it. It may be newer than this machine's keyring.
    OfNoSource,
}

/// The distribution's own keyrings after those `named`, and the keys that alloy carries: where there is no keyring, and
/// beside one for a suite that no source of this machine is of. What the distribution has taken out of its keyring, as
/// the same package says, is not brought back.
pub fn usual(distribution: Distribution, named: Vec<Keyring>, suite: Suite) -> Trust {
    own(Path::new(KEYRINGS), distribution, named, suite)
}

fn own(directory: &Path, distribution: Distribution, named: Vec<Keyring>, suite: Suite) -> Trust {
    let name = distribution.name();
    let file = |what: &str, kind: &str| directory.join(format!("{name}-archive-{what}.{kind}"));
    let of = |what: &str| ["gpg", "pgp"].map(|kind| file(what, kind)).into_iter().filter(|path| path.is_file());
    let usual = of("keyring").map(Keyring::File).filter(|one| !named.contains(one)).collect::<Vec<_>>();
    let there = |one: &Keyring| !matches!(one, Keyring::File(path) if !path.is_file());
    let mut keyrings: Vec<Keyring> = named.into_iter().filter(there).chain(usual).collect();
    if keyrings.is_empty() || suite == Suite::OfNoSource {
        keyrings.push(Keyring::Carried { distribution, removed: of("removed-keys").collect() });
    }
    Trust { keyrings, only: Vec::new() }
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

#[cfg(test)]
mod tests {
    use super::super::carried;
    use super::*;
    use crate::debian::keys::name;

    fn names(trust: &Trust) -> Vec<String> {
        trust.keys().unwrap().certificates.iter().map(|one| name(&one.primary_key)).collect()
    }

    #[test]
    fn the_keys_that_alloy_carries_count_where_there_are_no_others() {
        let keyrings = tempfile::tempdir().unwrap();
        let of = |suite| own(keyrings.path(), Distribution::Ubuntu, Vec::new(), suite);
        for suite in [Suite::OfASource, Suite::OfNoSource] {
            assert_eq!(names(&of(suite)).len(), 2, "{suite:?}");
        }
        // Of what is named, what is there.
        let gone = vec![Keyring::File("/nowhere/k.gpg".into())];
        assert_eq!(own(keyrings.path(), Distribution::Ubuntu, gone, Suite::OfASource), of(Suite::OfASource));
    }

    #[test]
    fn a_keyring_of_the_distribution_stands_alone_for_suites_of_sources() {
        let keyrings = tempfile::tempdir().unwrap();
        let [old, new] = [0, 1].map(|at| carried::keys(Distribution::Ubuntu)[at]);
        std::fs::write(keyrings.path().join("ubuntu-archive-keyring.gpg"), new).unwrap();
        let of = |suite| own(keyrings.path(), Distribution::Ubuntu, Vec::new(), suite);
        let both = names(&of(Suite::OfNoSource));
        assert_eq!(names(&of(Suite::OfASource)), both[..1]);
        assert_eq!(both.len(), 2);
        // One that the package has taken out stays out, whichever file it is in.
        for (kind, text) in [("gpg", old), ("pgp", old), ("gpg", "garbage")] {
            let removed = keyrings.path().join(format!("ubuntu-archive-removed-keys.{kind}"));
            std::fs::write(&removed, text).unwrap();
            assert_eq!(names(&of(Suite::OfNoSource)), both[..1]);
            std::fs::remove_file(removed).unwrap();
        }
    }
}
