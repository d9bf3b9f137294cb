//! Errors of names that stand for no image of the store.

use super::with;
use crate::cli::error::{CommandError, Kind};
use crate::cli::image_name::not_reserved;
use crate::image::{FEWEST, NamedError};
use crate::registry::Reference;

/// Where the images are that are there.
const LISTED: &str = "`alloy images` lists those that are there";

impl From<NamedError> for CommandError {
    fn from(error: NamedError) -> Self {
        match error {
            NamedError::Image(error) => error.into(),
            NamedError::Store(error) => error.into(),
            NamedError::Unknown { ref name, ref near, is_short } => {
                let first = near.as_ref().map_or_else(|| LISTED.to_owned(), |near| format!("did you mean `{near}`?"));
                let failure = with(Kind::Failed, &error, Some(first));
                let failure = pull(name).into_iter().fold(failure, Self::hint);
                if is_short { failure.hint(more_digits()) } else { failure }
            }
            NamedError::NoDigest { ref text } => {
                let failure = with(Kind::Failed, &error, Some(LISTED.to_owned()));
                match text.parse::<Reference>() {
                    Ok(reference) if reference.names_registry() => {
                        failure.hint(format!("or pull it: alloy pull {text}"))
                    }
                    _ => failure,
                }
            }
            NamedError::Several { .. } => with(Kind::Usage, &error, Some("give more of it".to_owned())),
            NamedError::HasNoName { .. } => with(Kind::Usage, &error, Some("`alloy images` lists names".to_owned())),
            NamedError::OtherNames { ref names, .. } => {
                with(Kind::Failed, &error, Some(format!("its names are {}", names.join(", "))))
            }
            NamedError::Name(_) => with(Kind::Usage, &error, None),
        }
    }
}

/// How the image is brought from a registry, if one that is pulled would get that name.
fn pull(name: &Reference) -> Option<String> {
    match name.names_registry() {
        true => Some(format!("pull it: alloy pull {name}")),
        false if not_reserved(name).is_err() => None,
        false => Some(format!("of Docker Hub, pull it: alloy pull {name}")),
    }
}

fn more_digits() -> String {
    let (alone, behind) = (FEWEST.alone, FEWEST.behind_algorithm);
    format!("the beginning of a digest has at least {alone} digits, or {behind} behind `sha256:`")
}
