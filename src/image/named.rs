//! Images of the store by all that alloy prints of them: names, digests, and the beginnings of digests.

use std::collections::BTreeMap;

use layers::digest::Digest;
use layers::store::{Store, StoreError};

use super::nameless::unnamed;
use super::{ImageError, Local, local, locals};
use crate::registry::{Reference, ReferenceError};
use crate::yaml::nearest;

/// How many digits of a digest are enough to mean it. Whatever is shorter may be a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fewest {
    /// With `sha256:` before them.
    pub behind_algorithm: usize,
    /// Without it.
    pub alone: usize,
}

/// The fewest digits that [`named`] takes for the beginning of a digest.
pub const FEWEST: Fewest = Fewest { behind_algorithm: 4, alone: 7 };

/// Why no image, or no name, is meant.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NamedError {
    /// The text is neither a name nor a digest.
    #[error(transparent)]
    Name(#[from] ReferenceError),
    /// No image has the name.
    #[error("there is no image `{name}` in the store")]
    Unknown {
        /// The name that was looked for.
        name: Box<Reference>,
        /// A name of the store that looks like it.
        near: Option<String>,
        /// The text may be the beginning of a digest, and has fewer digits than [`FEWEST`].
        is_short: bool,
    },
    /// No image has the digest.
    #[error("the store has no image of the digest `{text}`")]
    NoDigest {
        /// What was looked for.
        text: String,
    },
    /// Several images have digests that begin so.
    #[error("`{text}` is the beginning of several digests: {}", joined(digests))]
    Several {
        /// What was looked for.
        text: String,
        /// What it may mean.
        digests: Vec<Digest>,
    },
    /// The image is there, and has no name.
    #[error("{digest} has no name of its own that could be taken away")]
    HasNoName {
        /// The image.
        digest: Digest,
    },
    /// The image is there under other names.
    #[error("the image of that digest is not called `{name}`")]
    OtherNames {
        /// The name that was given with the digest.
        name: String,
        /// The names that the image has.
        names: Vec<String>,
    },
    /// A manifest or config of the store cannot be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn joined(digests: &[Digest]) -> String {
    digests.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The image that `text` stands for: `NAME[:TAG]`, `NAME@DIGEST`, a digest, or the beginning of one. Of an index, a
/// digest may be that of one of its images.
pub fn named(store: &Store, text: &str) -> Result<Local, NamedError> {
    let digits = digits(text);
    let reference = match text.parse::<Reference>() {
        Ok(reference) => reference,
        Err(error) => return by_digits(store, text, digits.ok_or(error)?),
    };
    if let Some(digest) = reference.digest {
        // It was pulled so; the digest may be that of an index, of which one image is here.
        if let Some(local) = local(store, &reference.to_string())? {
            return Ok(without_name(local));
        }
        let local = local(store, &without_digest(&reference))?;
        let found = local.as_ref().and_then(|local| local.with_digest(|found| found == digest).pop());
        return found.map_or_else(|| by_digits(store, text, &digest.hex()), Ok);
    }
    // A name counts first: one may consist of such digits.
    if let Some(local) = local(store, &reference.to_string())? {
        return Ok(local);
    }
    match digits {
        Some(digits) => by_digits(store, text, digits),
        None => Err(unknown(store, reference, text)?),
    }
}

/// That no image has the name `reference`, which was given as `text`.
fn unknown(store: &Store, reference: Reference, text: &str) -> Result<NamedError, StoreError> {
    let known = locals(store)?;
    let near = nearest(&reference.to_string(), known.iter().map(Local::name)).map(str::to_owned);
    Ok(NamedError::Unknown { name: Box::new(reference), near, is_short: is_short(text) })
}

/// True if more digits make `text` the beginning of a digest, where it may have been meant to be one.
fn is_short(text: &str) -> bool {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    !digits.is_empty() && is_hex(digits) && digits.len() < FEWEST.alone
}

/// The names that `text` takes away: one, or all of what a digest stands for.
pub fn names(store: &Store, text: &str) -> Result<Vec<String>, NamedError> {
    let reference = text.parse::<Reference>();
    if let Ok(reference) = &reference
        && local(store, &reference.to_string())?.is_some()
    {
        return Ok(vec![reference.to_string()]);
    }
    let by_name = reference.as_ref().is_ok_and(|reference| reference.digest.is_none());
    let found = named(store, text)?;
    if let (true, Ok(reference)) = (by_name, &reference)
        && found.name() == reference.to_string()
    {
        return Ok(vec![reference.to_string()]);
    }
    let digest = found.descriptor().digest;
    let all = locals(store)?.into_iter().filter(|local| local.descriptor().digest == digest);
    let all: Vec<String> = all.map(|local| local.name().to_owned()).collect();
    if all.is_empty() {
        return Err(NamedError::HasNoName { digest });
    }
    // With a name, that one is meant.
    let one = reference.ok().filter(|reference| reference.digest.is_some());
    match one.map(|reference| without_digest(&reference)) {
        Some(name) if all.contains(&name) => Ok(vec![name]),
        // Others may be somebody else's.
        Some(name) => Err(NamedError::OtherNames { name, names: all }),
        None => Ok(all),
    }
}

/// An image that was pulled by its digest has a name that never becomes another image's.
fn without_name(local: Local) -> Local {
    let digest = local.descriptor().digest.to_string();
    match local {
        Local::Image(mut image) if image.name.contains('@') => {
            image.name = digest;
            Local::Image(image)
        }
        Local::Index(mut index) if index.name.contains('@') => {
            index.images.iter_mut().for_each(|image| image.name.clone_from(&digest));
            index.name = digest;
            Local::Index(index)
        }
        local => local,
    }
}

/// The name before a digest, with its tag.
fn without_digest(reference: &Reference) -> String {
    let mut name = reference.clone();
    name.digest = None;
    name.tag.get_or_insert_with(|| "latest".to_owned());
    name.to_string()
}

/// The digits of `text`, if it may be a digest or the beginning of one.
fn digits(text: &str) -> Option<&str> {
    let (digits, fewest) = match text.strip_prefix("sha256:") {
        Some(digits) => (digits, FEWEST.behind_algorithm),
        None => (text, FEWEST.alone),
    };
    (is_hex(digits) && (fewest..=64).contains(&digits.len())).then_some(digits)
}

fn is_hex(digits: &str) -> bool {
    digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn by_digits(store: &Store, text: &str, digits: &str) -> Result<Local, NamedError> {
    let mut found: BTreeMap<Digest, Local> = BTreeMap::new();
    for local in locals(store)? {
        for one in local.with_digest(|digest| digest.hex().starts_with(digits)) {
            found.entry(one.descriptor().digest).or_insert_with(|| without_name(one));
        }
    }
    if found.is_empty() {
        found = unnamed(store, digits)?;
    }
    if found.len() > 1 {
        return Err(NamedError::Several { text: text.to_owned(), digests: found.into_keys().collect() });
    }
    found.into_values().next().ok_or_else(|| NamedError::NoDigest { text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use layers::media_type::{Descriptor, OCI_MANIFEST};

    use super::super::{LocalImage, tag};
    use super::*;

    /// A store with an image of each of these names; the digest of each is that of its name.
    fn store_of(names: &[&str]) -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().join("store")).unwrap();
        for name in names {
            let manifest = Descriptor { media_type: OCI_MANIFEST.to_owned(), digest: Digest::of(name), size: 1 };
            let (name, platform) = ((*name).to_owned(), "linux/amd64".parse().unwrap());
            let (named_at, from, documents) = (None, None, None);
            let image = LocalImage { name, manifest, platform, tagged_at: 7, named_at, from, documents };
            tag(&store, &Local::Image(image)).unwrap();
        }
        (directory, store)
    }

    #[test]
    fn an_image_is_found_by_its_name_and_by_the_beginning_of_its_digest() {
        let (_directory, store) = store_of(&["rig:latest", "r.example/team/rig:1"]);
        let digest = Digest::of("rig:latest");
        for text in
            ["rig", "rig:latest", &digest.to_string(), &digest.hex()[..7], &format!("sha256:{}", &digest.hex()[..4])]
        {
            assert_eq!(named(&store, text).unwrap().name(), "rig:latest", "{text}");
        }
        assert_eq!(names(&store, &digest.hex()).unwrap(), ["rig:latest"]);
        assert_eq!(
            named(&store, &format!("r.example/team/rig@{}", Digest::of("r.example/team/rig:1"))).unwrap().tagged_at(),
            7
        );
    }

    #[test]
    fn what_stands_for_no_image_is_told_apart() {
        let (_directory, store) = store_of(&["rig:latest", "other:1"]);
        let near = |text: &str| match named(&store, text).unwrap_err() {
            NamedError::Unknown { near, is_short, .. } => (near, is_short),
            error => panic!("{error}"),
        };
        assert_eq!(near("rigg"), (Some("rig:latest".to_owned()), false));
        // It may have been meant to be a digest.
        assert_eq!(near("abcdef"), (None, true));
        assert!(matches!(named(&store, &"0".repeat(12)), Err(NamedError::NoDigest { .. })));
        assert!(matches!(named(&store, "RIG"), Err(NamedError::Name(_))));
        let of_another = format!("other:1@{}", Digest::of("rig:latest"));
        assert!(matches!(names(&store, &of_another), Err(NamedError::OtherNames { .. })));
    }
}
