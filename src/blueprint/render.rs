//! A task with its variables put in and the block of one architecture merged.

use super::template::{TemplateError, expand, expand_env};
use super::{Environment, Task};
use crate::yaml::{Diagnostic, Key, Mapping, Node, Sources, Span, Value};

/// Architectures of `per_arch`, in Debian's words.
pub const ARCHITECTURES: [&str; 2] = ["amd64", "arm64"];
/// What an architecture's block may override.
pub const PER_ARCH_FIELDS: [&str; 4] = ["url", "sha256", "command", "source"];

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
    let mut renderer = Renderer { env, sources, errors };
    let mut fields = Mapping::default();
    for (key, node) in merged.entries {
        let from_environment = !verbatim.contains(&key.text.as_str());
        let node = renderer.node(&node, from_environment && matches!(node.value, Value::Scalar { .. }));
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
    for (key, block) in &blocks.entries {
        if !ARCHITECTURES.contains(&key.text.as_str()) {
            let error = Diagnostic::error("per-arch", key.span, format!("`per_arch` does not know `{}`", key.text));
            errors.push(error.help(format!("the architectures are {}", ARCHITECTURES.join(" and "))));
            continue;
        }
        match block.mapping(&key.text) {
            Ok(block) => errors.extend(block.entries.iter().filter_map(|(key, _)| unknown(key))),
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
            .help(format!("it overrides {}", PER_ARCH_FIELDS.join(", ")))
            .suggest(&key.text, PER_ARCH_FIELDS)
    })
}

struct Renderer<'a> {
    env: &'a mut Environment,
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

    fn text(&mut self, text: &str, span: Span, from_environment: bool) -> String {
        let given = text;
        if text.contains('\0') {
            self.errors.push(Diagnostic::error("nul", span, "a NUL character cannot be part of a text"));
        }
        let expanded = match expand(text, |name| self.env.variable(name)) {
            Ok(text) => text,
            Err(error) => {
                let place = nth(self.sources, span, "{{", error.nth());
                let error = self.explain(error, place);
                self.errors.push(error);
                return String::new();
            }
        };
        if !from_environment || !expanded.contains('$') {
            return expanded;
        }
        expand_env(&expanded, |name| self.env.variable(name)).unwrap_or_else(|error| {
            // A dollar sign of a variable's value has no place of its own.
            let place = if given.contains('$') { nth(self.sources, span, "$", error.nth()) } else { span };
            let TemplateError::Undefined { name, .. } = error else { return String::new() };
            let error = Diagnostic::error("variable", place, format!("`${name}` is not set in the environment"));
            self.errors.push(error.help("set it, or write `$$` for a dollar sign"));
            String::new()
        })
    }

    fn explain(&self, error: TemplateError, span: Span) -> Diagnostic {
        match error {
            TemplateError::Undefined { name, .. } => {
                let error = Diagnostic::error("variable", span, format!("there is no variable `{name}`"));
                let help = match self.env.nearest(&name) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("give it in variables.yml, in the manifest's `variables`, or with --var {name}=…"),
                };
                error.label("undefined").help(help)
            }
            TemplateError::Construct { text, .. } => {
                Diagnostic::error("template", span, format!("`{{{{{text}}}}}` is not a template that alloy knows"))
                    .help("the only construct is `{{.Vars.NAME}}`")
            }
            TemplateError::Open { .. } => {
                Diagnostic::error("template", span, "`{{` without `}}`").help("write `{{.Vars.NAME}}`")
            }
        }
    }
}

/// The place of the `index`-th `pattern` within `span`; the whole of it when the text was escaped away.
fn nth(sources: &Sources, span: Span, pattern: &str, index: usize) -> Span {
    let source = sources.slice(span);
    let Some((at, _)) = source.match_indices(pattern).nth(index) else { return span };
    let rest = &source[at..];
    let line_end = rest.find('\n').unwrap_or(rest.len());
    let length = match rest.find("}}") {
        Some(end) if pattern == "{{" => (end + 2).min(line_end),
        _ if pattern == "$" => {
            let end = rest[1..].find(|c: char| !(c.is_ascii_alphanumeric() || "_{}".contains(c)));
            end.map_or(rest.len(), |end| end + 1).min(line_end)
        }
        _ => line_end,
    };
    let before = &source[..at];
    let line = span.line + before.matches('\n').count();
    let column = match before.rfind('\n') {
        Some(end) => before[end + 1..].chars().count() + 1,
        None => span.column + before.chars().count(),
    };
    Span { file: span.file, start: span.start + at, end: span.start + at + length, line, column }
}
