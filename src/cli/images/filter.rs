//! Which images are listed.

use std::str::FromStr;

use glob::{MatchOptions, Pattern};
use jiff::Timestamp;
use serde_json::Value;

use super::super::amount::{Age, age};
use super::super::context::{Context, now};
use super::super::error::CommandError;
use super::super::named::find;
use crate::image::{Local, LocalImage, Manifest};

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
    /// Named before that moment, in seconds since 1970.
    Moment(i64),
    /// Without a name, or with one.
    Dangling(bool),
    /// Its config has that label, with that value if one is given.
    Label(String, Option<String>),
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = "write reference=GLOB, before=IMAGE, since=IMAGE, until=AGE, dangling=true or label=KEY[=VALUE]";
        let (name, value) = text.split_once('=').ok_or_else(|| format!("`{text}` has no value: {known}"))?;
        Ok(match name {
            "reference" => Self::Reference(pattern(value)?),
            "before" => Self::Before(value.to_owned()),
            "since" | "after" => Self::Since(value.to_owned()),
            "until" => match value.parse::<Timestamp>() {
                Ok(moment) => Self::Moment(moment.as_second()),
                Err(_) => Self::Age(age(value)?),
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

/// A pattern for names.
pub(super) fn pattern(text: &str) -> Result<Pattern, String> {
    Pattern::new(text).map_err(|error| format!("`{text}` is no pattern: {error}"))
}

/// Conditions, with images in them looked up.
pub(super) struct Filters {
    names: Vec<Pattern>,
    /// Seconds since 1970.
    before: Option<i64>,
    since: Option<i64>,
    dangling: Option<bool>,
    labels: Vec<(String, Option<String>)>,
}

impl Filters {
    /// An image that one of them names has to be there.
    pub(super) fn new(context: &Context, names: &[Pattern], all: &[Filter]) -> Result<Self, CommandError> {
        let mut filters = Self { names: names.to_vec(), before: None, since: None, dangling: None, labels: Vec::new() };
        let earlier = |known: Option<i64>, new: i64| Some(known.map_or(new, |known| known.min(new)));
        for filter in all {
            match filter {
                Filter::Reference(pattern) => filters.names.push(pattern.clone()),
                Filter::Before(image) => {
                    filters.before = earlier(filters.before, find(context, image)?.tagged_at());
                }
                Filter::Since(image) => {
                    let at = find(context, image)?.tagged_at();
                    filters.since = Some(filters.since.map_or(at, |known| known.max(at)));
                }
                Filter::Age(age) => {
                    let seconds = i64::try_from(age.0.as_secs()).unwrap_or(i64::MAX);
                    // At that age is old enough.
                    filters.before = earlier(filters.before, now().saturating_sub(seconds).saturating_add(1));
                }
                Filter::Moment(at) => filters.before = earlier(filters.before, *at),
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
        let at = local.tagged_at();
        let label = |(key, value): &(String, Option<String>)| {
            local.images().iter().any(|image| {
                let labels = labels(context, image);
                labels[key].as_str().is_some_and(|found| value.as_ref().is_none_or(|value| found == value))
            })
        };
        named
            && self.before.is_none_or(|before| at < before)
            && self.since.is_none_or(|since| at > since)
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
        assert!(matches!("until=2026-01-02T03:04:05Z".parse(), Ok(Filter::Moment(1_767_323_045))));
    }
}
