//! Which images are listed.

use std::str::FromStr;

use glob::{MatchOptions, Pattern};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use layers::digest::Digest;
use serde_json::Value;

use super::super::amount::{Age, age};
use super::super::error::CommandError;
use crate::context::Context;
use crate::image::{self, Local, LocalImage, Manifest};

const SECOND: i128 = 1_000_000_000;

/// One condition.
#[derive(Clone, Debug)]
pub(super) enum Filter {
    /// The name, whole or its end behind a `/`, with its tag or without.
    Reference(Pattern),
    /// Named before that image was.
    Before(String),
    /// Named after that image was.
    Since(String),
    /// Named at least so long ago.
    Age(Age),
    /// Named before that moment, in nanoseconds since 1970.
    Moment(i128),
    /// Without a name, or with one.
    Dangling(bool),
    /// Its config has that label, with that value if one is given.
    Label(String, Option<String>),
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = "write reference=GLOB, before=IMAGE, since=IMAGE, until=AGE or until=TIME, dangling=true or \
                     label=KEY[=VALUE]";
        let (name, value) = text.split_once('=').ok_or_else(|| format!("`{text}` has no value: {known}"))?;
        Ok(match name {
            "reference" => Self::Reference(pattern(value)?),
            "before" => Self::Before(value.to_owned()),
            "since" | "after" => Self::Since(value.to_owned()),
            "until" => match moment(value) {
                Some(moment) => Self::Moment(moment),
                None => Self::Age(age(value).map_err(|error| {
                    format!("{error}; or a time: 2026-01-31, 2026-01-31T12:00:00Z, or seconds since 1970")
                })?),
            },
            "dangling" => match value {
                "true" | "1" => Self::Dangling(true),
                "false" | "0" => Self::Dangling(false),
                _ => return Err(format!("`{text}`: true or false")),
            },
            "label" => match value.split_once('=') {
                Some((key, value)) => Self::Label(key.to_owned(), Some(value.to_owned())),
                None => Self::Label(value.to_owned(), None),
            },
            _ => return Err(format!("there is no filter `{name}`: {known}")),
        })
    }
}

/// A moment as docker takes it, in nanoseconds since 1970: RFC 3339, the same without a zone or without a time of day,
/// in this machine's zone then, or seconds since 1970 with a fraction or without.
fn moment(text: &str) -> Option<i128> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment.as_nanosecond());
    }
    let (seconds, part) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !seconds.is_empty() && is_number(seconds) && is_number(part) {
        let part = format!("{part:0<9}");
        return Some(seconds.parse::<i128>().ok()?.checked_mul(SECOND)? + part.get(..9)?.parse::<i128>().ok()?);
    }
    let local = text.parse::<DateTime>().ok()?;
    Some(TimeZone::system().to_zoned(local).ok()?.timestamp().as_nanosecond())
}

/// A pattern for names.
pub(super) fn pattern(text: &str) -> Result<Pattern, String> {
    Pattern::new(text).map_err(|error| format!("`{text}` is no pattern: {error}"))
}

/// Conditions, with images in them looked up.
pub(super) struct Filters {
    names: Vec<Pattern>,
    /// Nanoseconds since 1970.
    before: Option<i128>,
    since: Option<i128>,
    /// Images that were named: they are neither before nor after themselves, whatever else they are called.
    themselves: Vec<Digest>,
    dangling: Option<bool>,
    labels: Vec<(String, Option<String>)>,
}

impl Filters {
    /// An image that one of them names has to be there.
    pub(super) fn new(context: &Context, names: &[Pattern], all: &[Filter]) -> Result<Self, CommandError> {
        let (names, themselves, labels) = (names.to_vec(), Vec::new(), Vec::new());
        let mut filters = Self { names, before: None, since: None, themselves, dangling: None, labels };
        let earlier = |known: Option<i128>, new: i128| Some(known.map_or(new, |known| known.min(new)));
        for filter in all {
            match filter {
                Filter::Reference(pattern) => filters.names.push(pattern.clone()),
                Filter::Before(image) => {
                    let image = image::named(&context.store, image)?;
                    filters.themselves.push(image.descriptor().digest);
                    filters.before = earlier(filters.before, image.named_at());
                }
                Filter::Since(image) => {
                    let image = image::named(&context.store, image)?;
                    filters.themselves.push(image.descriptor().digest);
                    let at = image.named_at();
                    filters.since = Some(filters.since.map_or(at, |known| known.max(at)));
                }
                Filter::Age(age) => {
                    let age = i128::try_from(age.0.as_nanos()).unwrap_or(i128::MAX);
                    // At that age is old enough.
                    filters.before = earlier(filters.before, image::now_exactly() - age + 1);
                }
                Filter::Moment(at) => filters.before = earlier(filters.before, *at),
                Filter::Dangling(is) if filters.dangling == Some(!is) => {
                    return Err(CommandError::usage("no image is dangling and is not: give `dangling` once"));
                }
                Filter::Dangling(is) => filters.dangling = Some(*is),
                Filter::Label(key, value) => filters.labels.push((key.clone(), value.clone())),
            }
        }
        Ok(filters)
    }

    /// Whether images without a name are asked for, or left out.
    pub(super) fn dangling(&self) -> Option<bool> {
        self.dangling
    }

    /// True if the image meets all conditions; of names, any.
    pub(super) fn take(&self, context: &Context, local: &Local, has_name: bool) -> bool {
        let named = self.names.is_empty() || has_name && self.names.iter().any(|it| matches(it, local.name()));
        let at = local.named_at();
        let label = |(key, value): &(String, Option<String>)| {
            local.images().iter().any(|image| {
                let labels = labels(context, image);
                labels[key].as_str().is_some_and(|found| value.as_ref().is_none_or(|value| found == value))
            })
        };
        named
            && self.before.is_none_or(|before| at < before)
            && self.since.is_none_or(|since| at > since)
            && !self.themselves.contains(&local.descriptor().digest)
            && self.dangling.is_none_or(|dangling| dangling != has_name)
            && self.labels.iter().all(label)
    }
}

/// `rig`, `rig:1`, `team/*` and `registry.example/*/rig` are all ways to say it.
fn matches(pattern: &Pattern, name: &str) -> bool {
    let options = MatchOptions { require_literal_separator: true, ..MatchOptions::new() };
    let bare = name.split('@').next().unwrap_or(name);
    let untagged = match bare.rsplit_once(':') {
        Some((rest, tag)) if !tag.contains('/') => rest,
        _ => bare,
    };
    let ends = |text: &str| {
        let ends = text.match_indices('/').map(|(at, _)| text[at + 1..].to_owned());
        std::iter::once(text.to_owned()).chain(ends).collect::<Vec<_>>()
    };
    [name, bare, untagged].iter().flat_map(|text| ends(text)).any(|text| pattern.matches_with(&text, options))
}

fn labels(context: &Context, image: &LocalImage) -> Value {
    let read = || {
        let manifest = context.store.read_blob(&image.manifest.digest, 16 << 20).ok()?;
        let manifest: Manifest = serde_json::from_slice(&manifest).ok()?;
        let config = context.store.read_blob(&manifest.config.digest, 16 << 20).ok()?;
        let config: Value = serde_json::from_slice(&config).ok()?;
        Some(config["config"]["Labels"].clone())
    };
    read().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_matched_by_what_people_call_them() {
        let name = "registry.example:5000/team/rig:1.2";
        for text in
            [name, "rig", "rig:1.2", "team/rig", "team/*", "r*:1.*", "registry.example:5000/*/rig", "*/team/rig"]
        {
            assert!(matches(&pattern(text).unwrap(), name), "{text}");
        }
        for text in ["rig:1", "ri", "team", "registry.example:5000/*", "*/rig:2"] {
            assert!(!matches(&pattern(text).unwrap(), name), "{text}");
        }
        assert!(matches(&pattern("x").unwrap(), &format!("r.example/x@sha256:{}", "0".repeat(64))));
    }

    #[test]
    fn what_is_no_filter() {
        for bad in ["rig", "name=rig", "until=soon", "dangling=maybe", "reference=[", "until=-1d"] {
            assert!(bad.parse::<Filter>().is_err(), "{bad}");
        }
    }

    #[test]
    fn moments_are_what_docker_takes() {
        let at = 1_767_323_045_000_000_000;
        for (text, moment) in [
            ("2026-01-02T03:04:05Z", at),
            ("2026-01-02T04:04:05+01:00", at),
            ("2026-01-02T03:04:05.5Z", at + 500_000_000),
            ("1767323045", at),
            ("1767323045.25", at + 250_000_000),
        ] {
            let filter = format!("until={text}").parse();
            assert!(matches!(filter, Ok(Filter::Moment(found)) if found == moment), "{text}: {filter:?}");
        }
        // In the zone of whoever asks.
        let day = 86_400 * SECOND;
        for text in ["2026-01-02", "2026-01-02T03:04:05", "2026-01-02T03:04"] {
            let filter = format!("until={text}").parse();
            let near = |found: i128| (at - day..at + day).contains(&found);
            assert!(matches!(filter, Ok(Filter::Moment(found)) if near(found)), "{text}: {filter:?}");
        }
        for text in ["30d", "1h30m", "1.5h", "10m"] {
            assert!(matches!(format!("until={text}").parse(), Ok(Filter::Age(_))), "{text}");
        }
        let told = "until=2026-13-45".parse::<Filter>().unwrap_err();
        assert!(told.contains("or a time: 2026-01-31"), "{told}");
    }
}
