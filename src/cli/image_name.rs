//! Names that are given to images of the store.

use super::error::{CommandError, Kind};
use crate::cache::LIST_TAG;
use crate::image::BaseRef;
use crate::plan::SCRATCH;
use crate::registry::Reference;

/// The name under which the last build that failed can be looked into. Each blueprint has a tag of its own beside it.
pub(super) const FAILED: &str = "alloy-failed";

/// True for names that failed builds give.
pub(super) fn is_failed(name: &str) -> bool {
    name.strip_prefix(FAILED).is_some_and(|rest| rest.starts_with(':'))
}

/// An image name as the local store has it: with its tag.
pub(super) fn image_name(text: &str) -> Result<Reference, CommandError> {
    let reference: Reference = text.parse().map_err(|error| CommandError::from_error(Kind::Usage, &error))?;
    if reference.digest.is_some() {
        return Err(CommandError::usage(format!("`{text}` has a digest: give the name of a local image")));
    }
    not_reserved(&reference)?;
    Ok(reference)
}

/// An error for a name that would mean something else wherever it is read again. One with a registry means itself.
pub(super) fn not_reserved(reference: &Reference) -> Result<(), CommandError> {
    let told = reference.to_string();
    if reference.tag.as_deref() == Some(LIST_TAG) {
        let message = format!("`{told}` is no name for an image: that tag is the list of the repository's cache");
        return Err(CommandError::usage(message).hint("give another tag"));
    }
    // Without registry and directory, and with a tag.
    let name = match told.split_once([':', '@']) {
        Some((name, _)) if !name.contains('/') => name,
        _ => return Ok(()),
    };
    let why = match name {
        "sha256" => "it would be read as a digest, or as the beginning of one",
        FAILED => "builds that fail give that name, and `alloy prune` takes it away",
        name if BaseRef::SCHEMES.contains(&name) || name == SCRATCH => "as a base it would not mean this image",
        _ => return Ok(()),
    };
    let message = format!("`{told}` is no name for an image: {why}");
    Err(CommandError::usage(message).hint(format!("give another name, or one with a registry: REGISTRY/{told}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_mean_something_else_are_refused() {
        for (text, why) in [
            ("sha256:abc", "as a digest"),
            ("sha256", "as a digest"),
            ("docker.io/library/sha256:abcdef", "as a digest"),
            ("local:foo", "as a base"),
            ("r.example/team/env:alloy-cache", "the list of"),
            ("deb:bookworm", "as a base"),
            ("oci-archive:x", "as a base"),
            ("scratch", "as a base"),
            ("alloy-failed", "builds that fail"),
            ("alloy-failed:mine", "builds that fail"),
        ] {
            let told = image_name(text).unwrap_err();
            assert!(told.message.contains(why), "{text}: {}", told.message);
            assert_eq!(told.kind, Kind::Usage);
        }
        for text in ["rig:sha256", "team/local:1", "r.example/deb:1", "localhost/alloy-failed", "local-rig:1", "debian"]
        {
            assert!(image_name(text).is_ok(), "{text}");
        }
    }
}
