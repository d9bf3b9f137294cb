//! What is wrong in the manifest, and found out where it is used: shown where it is written.

use super::with;
use crate::blueprint::Manifest;
use crate::build::BuildError;
use crate::cli::error::{CommandError, Kind};
use crate::cli::located::Place;
use crate::debian::DebianError;

/// A component that an archive does not have: the manifest is wrong, where it is written there, else the command line.
pub(super) fn no_component(component: &str, error: &DebianError) -> CommandError {
    let base =
        |manifest: &Manifest| manifest.base().filter(|(base, _)| base.contains(component)).and_then(|(_, span)| span);
    match Place::of_manifest(base) {
        Some(place) => place.told(with(Kind::Blueprint, error, error.hint())),
        None => with(Kind::Usage, error, error.hint()),
    }
}

/// A reference of `image.env` to what is not set.
pub(super) fn unset(name: &str, wanted: &str, error: &BuildError) -> CommandError {
    let hint = format!(
        "write `\\$` for a dollar that stands for itself; behind a list that may be there or not, `${{{wanted}:+:${wanted}}}`"
    );
    let failure = with(Kind::Blueprint, error, Some(hint));
    let place = Place::of_manifest(|manifest| {
        let mut entries = manifest.image.env.iter().zip(&manifest.image.env_places);
        entries.find(|((own, _), _)| own == name).map(|(_, span)| *span)
    });
    match place {
        Some(place) => place.told(failure),
        None => failure,
    }
}
