//! Caches of a team, as options.

use std::path::{Path, PathBuf};

use clap::Args;

use super::context::vars;
use super::error::{CommandError, Kind};
use crate::cache::{Place, Team};
use crate::registry::Reference;
use crate::sign::{KeyError, SigningKey, VerifyingKey};

/// The word for no cache at all.
const NONE: &str = "none";

/// Options of commands that look into caches
#[derive(Debug, Default, Args)]
pub(super) struct CacheFrom {
    /// Look for layers in this cache: REGISTRY/REPOSITORY or type=local,src=DIR, or `none` [default with --push: beside
    /// the image]
    #[arg(
        help_heading = "Caches of a team",
        long,
        value_name = "CACHE",
        env = "ALLOY_CACHE_FROM",
        hide_env_values = true,
        value_delimiter = ' '
    )]
    cache_from: Vec<String>,
    /// Use only entries that the owner of this public key has signed
    #[arg(
        help_heading = "Caches of a team",
        long,
        value_name = "FILE",
        env = "ALLOY_CACHE_VERIFY_KEY",
        hide_env_values = true
    )]
    cache_verify_key: Option<PathBuf>,
}

impl CacheFrom {
    /// The caches; those beside `images` where nothing is said.
    pub(super) fn team(&self, images: &[Reference]) -> Result<Team, CommandError> {
        let mut team = Team::new(places("--cache-from", &self.cache_from, images)?, Vec::new());
        team.verify = verifying_key(self.cache_verify_key.as_deref())?;
        Ok(team)
    }
}

/// The public key in a file.
pub(super) fn verifying_key(path: Option<&Path>) -> Result<Option<VerifyingKey>, CommandError> {
    path.map(VerifyingKey::read).transpose().map_err(|error| key_error(&error))
}

/// The private key in a file.
pub(super) fn signing_key(path: Option<&Path>) -> Result<Option<SigningKey>, CommandError> {
    path.map(|path| SigningKey::read(path, &vars())).transpose().map_err(|error| key_error(&error))
}

fn key_error(error: &KeyError) -> CommandError {
    CommandError::from_error(Kind::Usage, error).hint(error.hint())
}

/// Places that options name; those beside `images` where they name none.
pub(super) fn places(option: &str, texts: &[String], images: &[Reference]) -> Result<Vec<Place>, CommandError> {
    let texts: Vec<&String> = texts.iter().filter(|text| !text.is_empty()).collect();
    if texts.iter().any(|text| *text == NONE) {
        return match texts.as_slice() {
            [_] => Ok(Vec::new()),
            _ => Err(CommandError::usage(format!("{option} {NONE} together with others makes no sense"))),
        };
    }
    let mut places: Vec<Place> = Vec::new();
    for text in &texts {
        places.push(text.parse().map_err(|error| CommandError::from_error(Kind::Usage, &error))?);
    }
    if texts.is_empty() {
        places.extend(images.iter().map(Place::beside));
    }
    let mut seen = std::collections::BTreeSet::new();
    places.retain(|place| seen.insert(place.clone()));
    Ok(places)
}
