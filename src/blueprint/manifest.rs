//! `manifest.yml`, field by field.

use super::hosts::{platform, platforms_of};
use super::{ImageFields, Variable, Variables};
use crate::action::check_reference;
use crate::yaml::{Diagnostic, MAX_PROBLEMS, Mapping, Node, Span, UNKNOWN, entry_of, nearest};

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
    /// Platforms among the `targets`: what is made for every host is made for these where no host is said to be supported.
    /// What else stands there, boards and chips, is for people.
    pub targets: Vec<String>,
    /// Bases that it was made for, the one first that is meant where `image` names none.
    pub supported_bases: Vec<(String, Span)>,
    pub image: ImageFields,
    /// `shell: strict`: what tasks have that say nothing of their shell.
    pub strict_shell: bool,
    pub run_order: Vec<(String, Span)>,
}

impl Manifest {
    /// Platforms that a lockfile, or a published blueprint, is for.
    pub fn hosts(&self) -> &[String] {
        if self.supported_hosts.is_empty() { &self.targets } else { &self.supported_hosts }
    }

    /// The base that it means, and where it says so.
    pub fn base(&self) -> Option<(&str, Option<Span>)> {
        let named = self.image.base.as_ref().map(|(base, span)| (base.as_str(), *span));
        named.or_else(|| self.supported_bases.first().map(|(base, span)| (base.as_str(), Some(*span))))
    }
}

const FIELDS: [&str; 15] = [
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
    "supported_bases",
    "targets",
    "image",
    "shell",
    "run_order",
];

/// Entries of a list of the manifest that are looked at.
pub(super) const MAX_ITEMS: usize = 10_000;

pub(super) type Result<T> = std::result::Result<T, Diagnostic>;

/// Collects what is wrong, so that everything is reported at once.
pub(super) struct Collector<'e>(pub(super) &'e mut Vec<Diagnostic>);

impl Collector<'_> {
    pub(super) fn take<T>(&mut self, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.0.push(error)).ok()
    }

    pub(super) fn optional<T>(&mut self, node: Option<&Node>, read: impl FnOnce(&Node) -> Result<T>) -> Option<T> {
        node.and_then(|node| self.take(read(node)))
    }

    /// Says which fields nobody knows; `elsewhere` says where what they mean is written, if it is.
    pub(super) fn known(
        &mut self,
        mapping: &Mapping,
        known: &[&str],
        of: &str,
        elsewhere: impl Fn(&str) -> Option<String>,
    ) {
        for (key, _) in mapping.entries.iter().take(MAX_PROBLEMS) {
            if !known.contains(&key.text.as_str()) {
                let error = Diagnostic::error("unknown-field", key.span, format!("{of} has no field `{}`", key.text));
                let error = error.label("unknown field").help(format!("the fields are {}", known.join(", ")));
                self.0.push(match elsewhere(&key.text) {
                    Some(help) => error.help(help),
                    None => error.suggest(&key.text, known.iter().copied()),
                });
            }
        }
    }

    /// A field that is not there; one whose name is misspelt has been told already.
    fn missing(&mut self, field: &str, mapping: &Mapping, node: &Node) {
        let mut unknown = mapping.entries.iter().map(|(key, _)| key.text.as_str()).filter(|key| !FIELDS.contains(key));
        if !unknown.any(|key| nearest(key, FIELDS) == Some(field)) {
            self.0.push(missing(field, mapping, node));
        }
    }
}

/// Where it is written what somebody writes as a field of the manifest itself, as other tools would have it.
fn elsewhere(field: &str) -> Option<String> {
    let field = field.to_ascii_lowercase();
    let image = match field.as_str() {
        "from" => "base",
        "environment" => "env",
        "label" => "labels",
        "working_dir" | "workingdir" => "workdir",
        other => other,
    };
    if super::image::IMAGE_FIELDS.contains(&image) {
        return Some(format!("it is `image.{image}`: write `{image}:` below `image:`"));
    }
    let said = match field.as_str() {
        "task" | "tasks" | "steps" | "layers" | "files" | "include" | "includes" => {
            "tasks are written in files of their own, and `run_order` lists these"
        }
        "vars" | "args" | "arg" => "they are `variables:`",
        "platform" | "platforms" | "arch" | "architectures" => "it is `supported_hosts: [linux/amd64, …]`",
        _ => return None,
    };
    Some(said.to_owned())
}

/// What belongs into the manifest itself, and stands below `image`.
pub(super) fn outside_image(field: &str) -> Option<String> {
    FIELDS.contains(&field).then(|| format!("`{field}:` is a field of the manifest itself, beside `image:`"))
}

impl Manifest {
    /// Reads the tree of a manifest; `None` if it is no mapping at all.
    pub(super) fn read(node: &Node, errors: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut errors = Collector(errors);
        let needs = "it needs `name`, `version` and `run_order`";
        let mapping = errors.take(match node.is_null() {
            true => Err(Diagnostic::error("empty", node.span, "the manifest is empty").help(needs)),
            false => node.mapping("manifest.yml").map_err(|error| error.help(needs)),
        })?;
        errors.known(mapping, &FIELDS, "the manifest", elsewhere);
        let mut manifest = Self::default();
        for (field, target) in [("name", &mut manifest.name), ("version", &mut manifest.version)] {
            match mapping.get(field) {
                Some(node) => *target = errors.take(filled(node, field)).unwrap_or_default().to_owned(),
                None => errors.missing(field, mapping, node),
            }
        }
        let owned = |field: &'static str| move |node: &Node| node.text(field).map(str::to_owned);
        manifest.description = errors.optional(mapping.get("description"), owned("description"));
        manifest.vendor = errors.optional(mapping.get("vendor"), owned("vendor"));
        manifest.licenses = errors.optional(mapping.get("licenses"), owned("licenses"));
        manifest.authors = errors.optional(mapping.get("authors"), |node| texts(node, "authors")).unwrap_or_default();
        if let Some(node) = mapping.get("variables") {
            manifest.variables = variables(node, "variables", errors.0).unwrap_or_default();
        }
        manifest.toolchains = list(mapping, "toolchains", toolchain, &mut errors);
        manifest.required_env = list(mapping, "required_env", required_env, &mut errors);
        let targets: Option<Vec<String>> = errors.optional(mapping.get("targets"), |node| texts(node, "targets"));
        if let Some(node) = mapping.get("targets").filter(|_| targets.is_some()) {
            manifest.targets = platforms_of(node, errors.0);
        }
        let wrong = errors.0.len();
        manifest.supported_hosts =
            list(mapping, "supported_hosts", |node| platform(node, "supported_hosts"), &mut errors);
        // Nothing is held against a list that is itself wrong.
        manifest.supported_hosts_span =
            mapping.get("supported_hosts").filter(|_| errors.0.len() == wrong).map(|node| node.span);
        let base = |node: &Node| Ok((filled(node, &entry_of("supported_bases"))?.to_owned(), node.span));
        manifest.supported_bases = list(mapping, "supported_bases", base, &mut errors);
        let file = |node: &Node| node.text(&entry_of("run_order")).map(|text| (text.to_owned(), node.span));
        manifest.run_order = list(mapping, "run_order", file, &mut errors);
        if mapping.get("run_order").is_none() {
            errors.missing("run_order", mapping, node);
        }
        manifest.strict_shell = errors.optional(mapping.get("shell"), shell).unwrap_or_default();
        if let Some(node) = mapping.get("image") {
            manifest.image = super::image::image(node, &mut errors);
        }
        Some(manifest)
    }
}

/// True for `strict`.
fn shell(node: &Node) -> Result<bool> {
    match node.text("shell")? {
        "strict" => Ok(true),
        "plain" => Ok(false),
        text => Err(Diagnostic::error("word", node.span, format!("`shell` cannot be `{text}`"))
            .help("`strict`: the first command that fails ends a task's script; `plain`: the last one decides")
            .suggest(text, ["strict", "plain"])),
    }
}

fn missing(field: &str, mapping: &Mapping, node: &Node) -> Diagnostic {
    let (span, label) = match mapping.bare(field) {
        Some(span) => (span, "nothing stands behind it".to_owned()),
        None => (Span { end: node.span.start, ..node.span }, format!("no `{field}`")),
    };
    let help = match field {
        "run_order" => "name the task files in the order they run: `run_order: [00-system.yml]`",
        "version" => "add a line such as `version: 1.0.0`",
        _ => "add a line such as `name: My environment`",
    };
    Diagnostic::error("missing-field", span, format!("the manifest needs `{field}`")).label(label).help(help)
}

pub(super) fn filled<'n>(node: &'n Node, field: &str) -> Result<&'n str> {
    let text = node.text(field)?;
    if text.trim().is_empty() {
        return Err(Diagnostic::error("empty", node.span, format!("`{field}` is empty")));
    }
    Ok(text)
}

fn list<T>(mapping: &Mapping, field: &str, read: impl Fn(&Node) -> Result<T>, errors: &mut Collector<'_>) -> Vec<T> {
    let Some(node) = mapping.get(field) else { return Vec::new() };
    let items = node.sequence(field).map_err(|error| match field {
        "toolchains" => error.help(TOOLCHAIN_HELP),
        "required_env" => error.help(REQUIRED_HELP),
        _ => error,
    });
    let Some(items) = errors.take(items) else { return Vec::new() };
    if items.is_empty() && matches!(field, "run_order" | "supported_hosts" | "supported_bases") {
        let error = Diagnostic::error("empty", node.span, format!("`{field}` is empty"));
        errors.0.push(error.help(match field {
            "run_order" => "name at least one task file",
            "supported_bases" => "name a base, such as `deb:jammy`; without the field, every base will do",
            _ => "name a platform, such as `linux/amd64`; without the field, every platform is supported",
        }));
    }
    items.iter().take(MAX_ITEMS).filter_map(|item| errors.take(read(item))).collect()
}

/// A flat map of scalars; `None` if it is no map.
pub(super) fn variables(node: &Node, what: &str, errors: &mut Vec<Diagnostic>) -> Option<Variables> {
    let mut errors = Collector(errors);
    let mapping = errors.take(node.mapping(what).map_err(|error| error.help("write a line `NAME: value` for each")))?;
    let mut variables = Variables::new();
    for (key, node) in &mapping.entries {
        if !is_name(&key.text) {
            let message = format!("`{}` cannot be the name of a variable", key.text);
            errors.0.push(Diagnostic::error("variable", key.span, message).help(NAME_HELP));
            continue;
        }
        // A variable with nothing behind it is empty. Of one that is wrong, no task is to say that it is missing.
        let text = if node.is_null() { Some("") } else { errors.take(node.text(&key.text)) };
        let value = text.unwrap_or(UNKNOWN).to_owned();
        variables.insert(key.text.clone(), Variable { value, span: node.span });
    }
    Some(variables)
}

const TOOLCHAIN_HELP: &str = "write `- ref: <kind>.<vendor>.<tool>` for each";
const REQUIRED_HELP: &str = "write `- name: SOME_VARIABLE` for each";
const NAME_HELP: &str = "letters, digits and `_`; no digit in front";

/// True for names that templates and shells know (POSIX.1-2024, 3.216 "Name").
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A text, or a list of texts.
fn texts(node: &Node, field: &str) -> Result<Vec<String>> {
    match node.text(field) {
        Ok(text) => Ok(vec![text.to_owned()]),
        Err(_) => match node.sequence(field) {
            Ok(items) => items.iter().map(|item| item.text(&entry_of(field)).map(str::to_owned)).collect(),
            Err(error) => Err(error.help("a text, or a list such as `[Somebody]`")),
        },
    }
}

/// A field that is nearly one of those there are, in a mapping that may hold others.
fn misspelt(mapping: &Mapping, known: &[&'static str]) -> Result<()> {
    for (key, _) in mapping.entries.iter().filter(|(key, _)| !known.contains(&key.text.as_str())) {
        if let Some(near) = nearest(&key.text, known.iter().copied()) {
            let error = Diagnostic::error("unknown-field", key.span, format!("there is no field `{}` here", key.text));
            return Err(error.label("unknown field").help(format!("did you mean `{near}`?")));
        }
    }
    Ok(())
}

fn toolchain(node: &Node) -> Result<Toolchain> {
    let help = TOOLCHAIN_HELP;
    let mapping = node.mapping(&entry_of("toolchains")).map_err(|error| error.help(help))?;
    misspelt(mapping, &["ref", "alias"])?;
    let reference = mapping
        .get("ref")
        .ok_or_else(|| Diagnostic::error("missing-field", node.span, "a toolchain needs `ref`").help(help))?;
    let text = reference.text("ref")?;
    check_reference(text, reference.span)?;
    let alias = mapping.get("alias").map(|node| variable_name(node, "alias")).transpose()?;
    Ok(Toolchain { reference: text.to_owned(), alias, span: reference.span })
}

fn variable_name(node: &Node, field: &str) -> Result<String> {
    let text = node.text(field)?;
    if is_name(text) {
        return Ok(text.to_owned());
    }
    let message = format!("`{text}` cannot be the name of a variable");
    Err(Diagnostic::error("variable", node.span, message).help(NAME_HELP))
}

fn required_env(node: &Node) -> Result<RequiredEnv> {
    let help = REQUIRED_HELP;
    let mapping = node.mapping(&entry_of("required_env")).map_err(|error| error.help(help))?;
    misspelt(mapping, &["name", "description", "secret"])?;
    let name = mapping.get("name").ok_or_else(|| {
        Diagnostic::error("missing-field", node.span, "an entry of `required_env` needs `name`").help(help)
    })?;
    let text = variable_name(name, "name")?;
    let secret = mapping.get("secret").map(|node| node.boolean("secret")).transpose()?.unwrap_or_default();
    Ok(RequiredEnv {
        description: mapping.get("description").map(|node| node.text("description").map(str::to_owned)).transpose()?,
        secret: secret || crate::op::Secrets::is_secret_name(&text),
        name: text,
        span: name.span,
    })
}
