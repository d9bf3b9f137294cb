//! `manifest.yml`, field by field.

use std::collections::BTreeMap;

use super::{Variable, Variables};
use crate::yaml::{Diagnostic, Mapping, Node, Span};

/// A catalog reference of `toolchains`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    /// `<kind>.<vendor>.<tool>[@version]`.
    pub reference: String,
    /// Prefix of the variables it gives.
    pub alias: Option<String>,
    /// Where it is asked for.
    pub span: Span,
}

/// A variable the environment must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequiredEnv {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Its value is never shown or kept.
    pub secret: bool,
    /// Where it is asked for.
    pub span: Span,
}

/// `image:`, as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageFields {
    /// Reference of the base, and where it is.
    pub base: Option<(String, Option<Span>)>,
    /// Added to the config's environment.
    pub env: BTreeMap<String, String>,
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

/// The manifest.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields are those of the format")]
pub struct Manifest {
    pub name: String,
    pub version: String,
    pub description: Option<String>,
    pub authors: Vec<String>,
    pub vendor: Option<String>,
    pub licenses: Option<String>,
    pub variables: Variables,
    pub toolchains: Vec<Toolchain>,
    pub required_env: Vec<RequiredEnv>,
    pub supported_hosts: Vec<String>,
    /// Where `supported_hosts` stands.
    pub supported_hosts_span: Option<Span>,
    pub image: ImageFields,
    pub run_order: Vec<(String, Span)>,
}

const FIELDS: [&str; 12] = [
    "name",
    "version",
    "description",
    "authors",
    "vendor",
    "licenses",
    "variables",
    "toolchains",
    "required_env",
    "supported_hosts",
    "image",
    "run_order",
];

const IMAGE_FIELDS: [&str; 8] = ["base", "env", "env_from_profile", "user", "workdir", "entrypoint", "cmd", "labels"];

type Result<T> = std::result::Result<T, Diagnostic>;

/// Collects what is wrong, so that everything is reported at once.
struct Collector<'e>(&'e mut Vec<Diagnostic>);

impl Collector<'_> {
    fn take<T>(&mut self, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.0.push(error)).ok()
    }

    fn optional<T>(&mut self, node: Option<&Node>, read: impl FnOnce(&Node) -> Result<T>) -> Option<T> {
        node.and_then(|node| self.take(read(node)))
    }

    fn known(&mut self, mapping: &Mapping, known: &[&str], of: &str) {
        for (key, _) in &mapping.entries {
            if !known.contains(&key.text.as_str()) {
                let error = Diagnostic::error("unknown-field", key.span, format!("{of} has no field `{}`", key.text));
                let error = error.label("unknown field").help(format!("the fields are {}", known.join(", ")));
                self.0.push(error.suggest(&key.text, known.iter().copied()));
            }
        }
    }
}

impl Manifest {
    /// Reads the tree of a manifest; `None` if it is no mapping at all.
    pub(super) fn read(node: &Node, errors: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut errors = Collector(errors);
        let mapping = errors.take(node.mapping("manifest.yml"))?;
        errors.known(mapping, &FIELDS, "the manifest");
        let mut manifest = Self::default();
        for (field, target) in [("name", &mut manifest.name), ("version", &mut manifest.version)] {
            match mapping.get(field) {
                Some(node) => *target = errors.take(node.text(field)).unwrap_or_default().to_owned(),
                None => errors.0.push(missing(field, node)),
            }
        }
        let owned = |field: &'static str| move |node: &Node| node.text(field).map(str::to_owned);
        manifest.description = errors.optional(mapping.get("description"), owned("description"));
        manifest.vendor = errors.optional(mapping.get("vendor"), owned("vendor"));
        manifest.licenses = errors.optional(mapping.get("licenses"), owned("licenses"));
        manifest.authors = errors.optional(mapping.get("authors"), authors).unwrap_or_default();
        if let Some(node) = mapping.get("variables") {
            manifest.variables = variables(node, "variables", errors.0);
        }
        manifest.toolchains = list(mapping, "toolchains", toolchain, &mut errors);
        manifest.required_env = list(mapping, "required_env", required_env, &mut errors);
        manifest.supported_hosts_span = mapping.get("supported_hosts").map(|node| node.span);
        manifest.supported_hosts = list(mapping, "supported_hosts", platform, &mut errors);
        manifest.run_order = list(
            mapping,
            "run_order",
            |node| node.text("run_order").map(|text| (text.to_owned(), node.span)),
            &mut errors,
        );
        if mapping.get("run_order").is_none() {
            errors.0.push(missing("run_order", node));
        }
        if let Some(node) = mapping.get("image") {
            manifest.image = image(node, &mut errors);
        }
        Some(manifest)
    }
}

fn missing(field: &str, node: &Node) -> Diagnostic {
    let span = Span { end: node.span.start, ..node.span };
    Diagnostic::error("missing-field", span, format!("the manifest needs `{field}`")).label(format!("no `{field}`"))
}

fn list<T>(mapping: &Mapping, field: &str, read: impl Fn(&Node) -> Result<T>, errors: &mut Collector<'_>) -> Vec<T> {
    let items = errors.optional(mapping.get(field), |node| node.sequence(field).map(<[Node]>::to_vec));
    items.unwrap_or_default().iter().filter_map(|item| errors.take(read(item))).collect()
}

/// A flat map of scalars.
pub(super) fn variables(node: &Node, what: &str, errors: &mut Vec<Diagnostic>) -> Variables {
    let mut errors = Collector(errors);
    let Some(mapping) = errors.take(node.mapping(what)) else { return Variables::new() };
    let mut variables = Variables::new();
    for (key, node) in &mapping.entries {
        if !is_name(&key.text) {
            let message = format!("`{}` cannot be the name of a variable", key.text);
            errors.0.push(Diagnostic::error("variable", key.span, message).help("letters, digits and `_`"));
            continue;
        }
        // A variable with nothing behind it is empty.
        let text = if node.is_null() { Some("") } else { errors.take(node.text(&key.text)) };
        if let Some(text) = text {
            variables.insert(key.text.clone(), Variable { value: text.to_owned(), span: node.span });
        }
    }
    variables
}

/// True for names that templates and shells know (POSIX.1-2024, 3.216 "Name").
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn authors(node: &Node) -> Result<Vec<String>> {
    match node.text("authors") {
        Ok(text) => Ok(vec![text.to_owned()]),
        Err(_) => node.sequence("authors")?.iter().map(|item| item.text("authors").map(str::to_owned)).collect(),
    }
}

fn toolchain(node: &Node) -> Result<Toolchain> {
    let mapping = node.mapping("toolchains")?;
    let reference = mapping.get("ref").ok_or_else(|| {
        Diagnostic::error("missing-field", node.span, "a toolchain needs `ref`").help("`ref: <kind>.<vendor>.<tool>`")
    })?;
    let alias = mapping.get("alias").map(|node| node.text("alias").map(str::to_owned)).transpose()?;
    Ok(Toolchain { reference: reference.text("ref")?.to_owned(), alias, span: reference.span })
}

fn required_env(node: &Node) -> Result<RequiredEnv> {
    let mapping = node.mapping("required_env")?;
    let name = mapping
        .get("name")
        .ok_or_else(|| Diagnostic::error("missing-field", node.span, "an entry of `required_env` needs `name`"))?;
    let text = name.text("name")?;
    if !is_name(text) {
        return Err(Diagnostic::error("variable", name.span, format!("`{text}` cannot be the name of a variable")));
    }
    let secret = mapping.get("secret").map(|node| node.boolean("secret")).transpose()?.unwrap_or_default();
    Ok(RequiredEnv {
        name: text.to_owned(),
        description: mapping.get("description").map(|node| node.text("description").map(str::to_owned)).transpose()?,
        secret: secret || crate::op::Secrets::is_secret_name(text),
        span: name.span,
    })
}

fn platform(node: &Node) -> Result<String> {
    let text = node.text("supported_hosts")?;
    if text.split('/').filter(|part| !part.is_empty()).count() < 2 {
        return Err(Diagnostic::error("platform", node.span, format!("`{text}` is not a platform"))
            .help("write `os/arch`, such as `linux/amd64`"));
    }
    Ok(text.to_owned())
}

fn image(node: &Node, errors: &mut Collector<'_>) -> ImageFields {
    let Some(mapping) = errors.take(node.mapping("image")) else { return ImageFields::default() };
    errors.known(mapping, &IMAGE_FIELDS, "`image`");
    ImageFields {
        base: errors.optional(mapping.get("base"), |node| Ok((node.text("base")?.to_owned(), Some(node.span)))),
        env: errors.optional(mapping.get("env"), |node| texts(node, "env")).unwrap_or_default(),
        env_from_profile: errors.optional(mapping.get("env_from_profile"), |node| node.boolean("env_from_profile")),
        user: errors.optional(mapping.get("user"), user),
        workdir: errors.optional(mapping.get("workdir"), absolute),
        entrypoint: errors.optional(mapping.get("entrypoint"), |node| words(node, "entrypoint")),
        cmd: errors.optional(mapping.get("cmd"), |node| words(node, "cmd")),
        labels: errors.optional(mapping.get("labels"), |node| texts(node, "labels")).unwrap_or_default(),
    }
}

/// Names that `useradd` takes (Debian's rule: policy 9.2, adduser.conf(5)), or an id.
fn user(node: &Node) -> Result<String> {
    let text = node.text("user")?;
    let (name, group) = text.split_once(':').map_or((text, None), |(name, group)| (name, Some(group)));
    let fits = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-')
            && name.len() <= 32
    };
    if fits(name) && group.is_none_or(fits) {
        return Ok(text.to_owned());
    }
    Err(Diagnostic::error("user", node.span, format!("`{text}` cannot be the name of a user"))
        .help("lower-case letters, digits, `_` and `-`"))
}

fn absolute(node: &Node) -> Result<String> {
    let text = node.text("workdir")?;
    if text.starts_with('/') {
        return Ok(text.to_owned());
    }
    Err(Diagnostic::error("path", node.span, format!("`workdir` must be an absolute path, not `{text}`")))
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
    items.iter().map(|item| item.text(what).map(str::to_owned)).collect()
}
