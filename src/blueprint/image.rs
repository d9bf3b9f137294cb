//! `image:` of the manifest.

use std::collections::BTreeMap;

use super::manifest::{Collector, MAX_ITEMS, Result, filled};
use crate::action::{absolute_path, variable};
use crate::op::Assignment;
use crate::yaml::{Diagnostic, Node, Span, Value, entry_of};

/// `image:`, as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageFields {
    /// Reference of the base, and where it is.
    pub base: Option<(String, Option<Span>)>,
    /// Added to the config's environment.
    pub env: Vec<Assignment>,
    /// Where the values stand.
    pub env_places: Vec<Span>,
    /// Take over what a login shell sets; `None` is yes.
    pub env_from_profile: Option<bool>,
    /// Config `User`.
    pub user: Option<String>,
    /// Config `WorkingDir`.
    pub workdir: Option<String>,
    /// Config `Entrypoint`.
    pub entrypoint: Option<Vec<String>>,
    /// Config `Cmd`.
    pub cmd: Option<Vec<String>>,
    /// Config `Labels`.
    pub labels: BTreeMap<String, String>,
}

/// Its fields.
pub(super) const IMAGE_FIELDS: [&str; 8] =
    ["base", "env", "env_from_profile", "user", "workdir", "entrypoint", "cmd", "labels"];

/// Reads the fields of `image`.
pub(super) fn image(node: &Node, errors: &mut Collector<'_>) -> ImageFields {
    let Some(mapping) = errors.take(node.mapping("image")) else { return ImageFields::default() };
    errors.known(mapping, &IMAGE_FIELDS, "`image`", super::manifest::outside_image);
    mapping.entries.iter().for_each(|(_, node)| templates(node, errors));
    ImageFields {
        base: errors.optional(mapping.get("base"), |node| Ok((filled(node, "base")?.to_owned(), Some(node.span)))),
        env_places: mapping.get("env").map(places).unwrap_or_default(),
        env: mapping.get("env").map(|node| environment(node, errors)).unwrap_or_default(),
        env_from_profile: errors.optional(mapping.get("env_from_profile"), |node| node.boolean("env_from_profile")),
        user: errors.optional(mapping.get("user"), user),
        workdir: errors.optional(mapping.get("workdir"), absolute),
        entrypoint: errors.optional(mapping.get("entrypoint"), |node| words(node, "entrypoint")),
        cmd: errors.optional(mapping.get("cmd"), |node| words(node, "cmd")),
        labels: errors.optional(mapping.get("labels"), |node| texts(node, "labels")).unwrap_or_default(),
    }
}

/// Says where somebody expects a variable to be put in.
fn templates(node: &Node, errors: &mut Collector<'_>) {
    match &node.value {
        Value::Scalar { text, .. } => {
            let vars =
                |rest: &str| rest.trim_start_matches(|c: char| c == '-' || c.is_whitespace()).starts_with(".Vars.");
            if text.split("{{").skip(1).any(vars) {
                let error =
                    Diagnostic::error("template", node.span, "variables are put into tasks, and not into `image`");
                errors
                    .0
                    .push(error.help("write the value itself; in `env`, `$NAME` and `${NAME}` refer to other entries"));
            }
        }
        Value::Sequence(items) => items.iter().for_each(|item| templates(item, errors)),
        Value::Mapping(mapping) => mapping.entries.iter().for_each(|(_, node)| templates(node, errors)),
    }
}

/// An error unless `text` can be the user of an image.
pub fn check_user(text: &str) -> std::result::Result<(), &'static str> {
    let (name, group) = text.split_once(':').map_or((text, None), |(name, group)| (name, Some(group)));
    let fits = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-')
            && name.len() <= 32
    };
    if fits(name) && group.is_none_or(fits) { Ok(()) } else { Err("lower-case letters, digits, `_` and `-`") }
}

/// Names that `useradd` takes (Debian's rule: policy 9.2, adduser.conf(5)), or an id.
fn user(node: &Node) -> Result<String> {
    let text = node.text("user")?;
    check_user(text).map(|()| text.to_owned()).map_err(|help| {
        Diagnostic::error("user", node.span, format!("`{text}` cannot be the name of a user")).help(help)
    })
}

fn absolute(node: &Node) -> Result<String> {
    let text = node.text("workdir")?;
    absolute_path(text)
        .map_err(|(message, help)| Diagnostic::error("path", node.span, format!("`workdir` {message}")).help(help))
}

/// Variables, in the order in which they may refer to each other.
fn environment(node: &Node, errors: &mut Collector<'_>) -> Vec<Assignment> {
    let entries = errors.take(node.mapping("env")).map_or(&[][..], |mapping| &mapping.entries);
    entries.iter().take(MAX_ITEMS).filter_map(|(key, node)| errors.take(variable(key, node))).collect()
}

fn places(node: &Node) -> Vec<Span> {
    node.mapping("env").map_or(Vec::new(), |env| env.entries.iter().map(|(_, value)| value.span).collect())
}

fn texts(node: &Node, what: &str) -> Result<BTreeMap<String, String>> {
    let entry = |(key, node): &(crate::yaml::Key, Node)| {
        let text = if node.is_null() { String::new() } else { node.text(&key.text)?.to_owned() };
        Ok((key.text.clone(), text))
    };
    node.mapping(what)?.entries.iter().map(entry).collect()
}

fn words(node: &Node, what: &str) -> Result<Vec<String>> {
    let items = node.sequence(what).map_err(|error| error.help("a list, such as `[/bin/bash, -l]`"))?;
    items.iter().map(|item| item.text(&entry_of(what)).map(str::to_owned)).collect()
}
