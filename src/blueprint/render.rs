//! A task with its variables put in and the block of one architecture merged.

use super::template::{ARCH, TemplateError, expand, expand_env};
use super::variables::is_own_credential;
use super::{Environment, Task};
use crate::yaml::{Diagnostic, Key, MAX_PROBLEMS, Mapping, Node, Sources, Span, Value};

/// Architectures of `per_arch`, in Debian's words.
pub const ARCHITECTURES: [&str; 2] = ["amd64", "arm64"];
/// What an architecture's block may override.
pub const PER_ARCH_FIELDS: [&str; 4] = ["url", "sha256", "command", "source"];

/// Fields whose texts are used and not kept: where a URL in them says who asks, that is a secret.
const SCRIPTS: [&str; 2] = ["command", "skip_if"];
const URLS: [&str; 2] = ["external_tree", "url"];

/// Renders `task` for `arch`. Gives the fields, and whether a `per_arch` lacks this architecture.
/// Fields in `verbatim` keep their `$NAME`.
pub fn render_task(
    task: &Task,
    arch: &str,
    verbatim: &[&str],
    env: &mut Environment,
    sources: &Sources,
) -> Result<(Mapping, bool), Vec<Diagnostic>> {
    let mut errors = Vec::new();
    let (merged, missing) = merge(&task.fields, arch, &mut errors);
    let mut renderer = Renderer { env, arch, sources, errors };
    let mut fields = Mapping::default();
    for (key, node) in merged.entries {
        let from_environment = !verbatim.contains(&key.text.as_str());
        let node = renderer.node(&node, from_environment && matches!(node.value, Value::Scalar { .. }));
        let node = renderer.without_logins(&key.text, node);
        fields.entries.push((key, node));
    }
    if renderer.errors.is_empty() { Ok((fields, missing)) } else { Err(renderer.errors) }
}

fn merge(fields: &Mapping, arch: &str, errors: &mut Vec<Diagnostic>) -> (Mapping, bool) {
    let mut merged = Mapping::default();
    merged.entries.extend(fields.entries.iter().filter(|(key, _)| key.text != "per_arch").cloned());
    let Some(node) = fields.get("per_arch") else { return (merged, false) };
    let blocks = match node.mapping("per_arch") {
        Ok(blocks) => blocks,
        Err(error) => {
            errors.push(error);
            return (merged, false);
        }
    };
    for (key, block) in blocks.entries.iter().take(MAX_PROBLEMS) {
        if !ARCHITECTURES.contains(&key.text.as_str()) {
            let error = Diagnostic::error("per-arch", key.span, format!("`per_arch` does not know `{}`", key.text));
            let known = format!("the architectures are {}", ARCHITECTURES.join(" and "));
            // What uname and Docker's users call them.
            let meant = match key.text.as_str() {
                "x86_64" | "x86-64" | "x64" | "linux/amd64" => "amd64",
                "aarch64" | "armv8" | "linux/arm64" => "arm64",
                other => other,
            };
            errors.push(error.label("unknown architecture").help(known).suggest(meant, ARCHITECTURES));
            continue;
        }
        match block.mapping(&key.text) {
            Ok(block) => errors.extend(block.entries.iter().take(MAX_PROBLEMS).filter_map(|(key, _)| unknown(key))),
            Err(error) => errors.push(error),
        }
    }
    let Some(Value::Mapping(block)) = blocks.get(arch).map(|node| &node.value) else { return (merged, true) };
    for (key, node) in &block.entries {
        merged.entries.retain(|(other, _)| other.text != key.text);
        merged.entries.push((key.clone(), node.clone()));
    }
    (merged, false)
}

fn unknown(key: &Key) -> Option<Diagnostic> {
    let known = PER_ARCH_FIELDS.contains(&key.text.as_str());
    (!known).then(|| {
        Diagnostic::error("per-arch", key.span, format!("`per_arch` cannot override `{}`", key.text))
            .label("not by architecture")
            .help(format!("it overrides {}", PER_ARCH_FIELDS.join(", ")))
            .suggest(&key.text, PER_ARCH_FIELDS)
    })
}

struct Renderer<'a> {
    env: &'a mut Environment,
    /// In Debian's words.
    arch: &'a str,
    sources: &'a Sources,
    errors: Vec<Diagnostic>,
}

impl Renderer<'_> {
    fn node(&mut self, node: &Node, from_environment: bool) -> Node {
        let value = match &node.value {
            Value::Scalar { text, plain } => {
                let (text, plain) = (self.text(text, node.span, from_environment), *plain);
                // A variable's value is a text even where it reads `null` or `true`.
                let plain = plain && matches!(&node.value, Value::Scalar { text: before, .. } if *before == text);
                Value::Scalar { text, plain }
            }
            Value::Sequence(items) => Value::Sequence(items.iter().map(|item| self.node(item, false)).collect()),
            Value::Mapping(mapping) => {
                let entries = mapping.entries.iter().map(|(key, node)| (key.clone(), self.node(node, false))).collect();
                Value::Mapping(Mapping { entries })
            }
        };
        Node { span: node.span, value }
    }

    /// The field `name` with markers in place of user and password in its URLs, where they are used and not kept.
    fn without_logins(&mut self, name: &str, node: Node) -> Node {
        let value = match node.value {
            Value::Scalar { text, plain } if SCRIPTS.contains(&name) => {
                Value::Scalar { text: self.env.secrets.logins_of_script(&text), plain }
            }
            Value::Scalar { text, plain } if URLS.contains(&name) => {
                let text = self.env.secrets.logins_of_value(&text);
                Value::Scalar { text: self.env.secrets.tokens_of_url(&text), plain }
            }
            Value::Mapping(mapping) => {
                let inner = mapping.entries.into_iter().map(|(key, node)| {
                    let node = self.without_logins(&key.text, node);
                    (key, node)
                });
                Value::Mapping(Mapping { entries: inner.collect() })
            }
            Value::Sequence(items) if name == "debs" => {
                // Each is a URL, or a mapping with one.
                let inner = items.into_iter().map(|item| match item.value {
                    Value::Mapping(_) => self.without_logins(name, item),
                    _ => self.without_logins(URLS[0], item),
                });
                Value::Sequence(inner.collect())
            }
            other => other,
        };
        Node { span: node.span, value }
    }

    fn text(&mut self, text: &str, span: Span, from_environment: bool) -> String {
        if self.errors.len() >= MAX_PROBLEMS {
            return String::new();
        }
        if text.contains('\0') {
            self.errors.push(
                Diagnostic::error("nul", span, "a NUL character cannot be part of a text").help("remove the `\\0`"),
            );
        }
        let named = |name: &str| if name == ARCH { Some(self.arch.to_owned()) } else { self.env.inserted(name) };
        let expanded = match expand(text, named) {
            Ok(text) => text,
            Err(errors) => {
                for error in errors.into_iter().take(MAX_PROBLEMS) {
                    let place = nth(self.sources, span, "{{", error.nth());
                    let error = self.explain(error, place);
                    self.errors.push(error);
                }
                return String::new();
            }
        };
        let given = text;
        let expanded = match from_environment && expanded.contains('$') {
            false => expanded,
            true => expand_env(&expanded, |name| self.env.inserted(name)).unwrap_or_else(|errors| {
                for error in errors.into_iter().take(MAX_PROBLEMS) {
                    // A dollar sign of a variable's value has no place of its own.
                    let place = if given.contains('$') { nth(self.sources, span, "$", error.nth()) } else { span };
                    self.errors.extend(unset(&error, place, self.env));
                }
                String::new()
            }),
        };
        if self.env.inserted_too_much() {
            self.errors.push(
                Diagnostic::error("size", span, "the variables of this blueprint expand to too much")
                    .help("write what is long into a file of its own"),
            );
            return String::new();
        }
        expanded
    }

    fn explain(&self, error: TemplateError, span: Span) -> Diagnostic {
        match error {
            TemplateError::Undefined { name, .. } => {
                if self.env.is_undeclared(&name) {
                    return undeclared(&name, span);
                }
                // What a pin would give is not misspelt.
                let code = if self.env.unpinned(&name).is_some() { "unpinned" } else { "variable" };
                let error = Diagnostic::error(code, span, format!("there is no variable `{name}`"));
                if let Some(why) = self.env.is_without(&name) {
                    return error.label("undefined").help(why.to_owned());
                }
                let help = match (self.env.unpinned(&name), self.env.nearest(&name)) {
                    (Some(reference), _) => {
                        format!("it comes from alloy.lock.yml, which does not pin {reference}: alloy lock")
                    }
                    (None, Some(near)) => format!("did you mean `{near}`?"),
                    (None, None) => {
                        format!(
                            "give it in variables.yml, in the manifest's `variables` or `required_env`, or with --var {name}=…"
                        )
                    }
                };
                error.label("undefined").help(help)
            }
            TemplateError::Construct { text, .. } => {
                let message = format!("`{{{{{text}}}}}` is not a template that alloy knows");
                let meant = text.rsplit(['.', '$']).next().filter(|name| super::manifest::is_name(name));
                let single = !text.contains(char::is_whitespace) && !matches!(text.as_str(), "end" | "else");
                let help = match meant.filter(|_| single) {
                    Some(name) => format!("did you mean `{{{{.Vars.{name}}}}}`? There is no other construct"),
                    None => "the only constructs are `{{.Vars.NAME}}` and `{{ arch }}`".to_owned(),
                };
                Diagnostic::error("template", span, message).label("not known").help(help)
            }
            TemplateError::Open { .. } => {
                Diagnostic::error("template", span, "`{{` without `}}`").help("write `{{.Vars.NAME}}`")
            }
        }
    }
}

fn unset(error: &TemplateError, place: Span, env: &Environment) -> Option<Diagnostic> {
    let TemplateError::Undefined { name, .. } = error else { return None };
    if env.is_undeclared(name) {
        return Some(undeclared(name, place));
    }
    let error = Diagnostic::error("variable", place, format!("`${name}` is not set in the environment"));
    Some(error.label("not set").help("set it, or write `$$` for a dollar sign"))
}

/// The environment has more than what a blueprint is to see.
fn undeclared(name: &str, place: Span) -> Diagnostic {
    if is_own_credential(name) {
        let message = format!("{name} is a credential of alloy's own, which no blueprint can have");
        return Diagnostic::error("own-credential", place, message).help("use a variable of another name");
    }
    let message = format!("{name} is set in the environment, but the blueprint does not declare it");
    let help = format!("add it to `required_env:` in manifest.yml, or pass --var {name}=…");
    Diagnostic::error("undeclared", place, message).label("not declared").help(help)
}

/// The place of the `index`-th `pattern` within `span`; the whole of it when the text was escaped away.
fn nth(sources: &Sources, span: Span, pattern: &str, index: usize) -> Span {
    let source = sources.slice(span);
    let Some((at, _)) = source.match_indices(pattern).nth(index) else { return span };
    let rest = &source[at..];
    // Of a long line, nobody looks for the end.
    let rest = &rest[..rest.char_indices().nth(4096).map_or(rest.len(), |(at, _)| at)];
    let line = rest.find(['\n', '\r']).unwrap_or(rest.len());
    let length = match rest.find("}}") {
        Some(end) if pattern == "{{" => end + 2,
        _ if pattern == "$" => {
            let end = rest[1..].find(|c: char| !(c.is_ascii_alphanumeric() || "_{}".contains(c)));
            end.map_or(rest.len(), |end| end + 1)
        }
        // The quote at the end is not part of the text.
        _ => rest[..line].trim_end_matches(['"', '\'']).len(),
    };
    span.part(source, at, at + length.min(line))
}
