//! Names of distributions, where an image is asked for that no registry gives.

use super::ResolveError;
use crate::debian;
use crate::image::BaseRef;

/// Whoever has no such image may have meant a suite.
pub(super) fn meant(error: ResolveError, text: &str, reference: &BaseRef) -> ResolveError {
    let meant = match reference {
        BaseRef::Registry(reference) if !reference.names_registry() => {
            let image = format!("{}/{}", reference.registry, reference.repository);
            debian::suite_of(text).map(|suite| (suite, image))
        }
        _ => None,
    };
    match (error, meant) {
        (ResolveError::Registry(error), Some((suite, stands_for))) => {
            ResolveError::Suite { error, suite, written: text.to_owned(), stands_for }
        }
        (error, _) => error,
    }
}
