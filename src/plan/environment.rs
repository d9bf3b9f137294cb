//! What is wrong with environments that a blueprint sets: references to variables that nobody has set, and a `PATH` on
//! which there is no command.

use std::collections::BTreeSet;

use super::locked::task_of;
use super::{ImageSpec, LoweredLayer};
use crate::blueprint::{Blueprint, ImageFields};
use crate::op::EnvValue;
use crate::yaml::{Diagnostic, Span, Value};

/// What every command of an image build has, beside what the image and the machine give.
const ALWAYS: [&str; 10] = [
    "APT_CONFIG",
    "DEBIAN_FRONTEND",
    "HOME",
    "LOGNAME",
    "PATH",
    "PYTHONHASHSEED",
    "SHELL",
    "SOURCE_DATE_EPOCH",
    "SYSTEMD_OFFLINE",
    "USER",
];

/// Where a system has its commands.
const COMMANDS: [&str; 2] = ["/bin", "/usr/bin"];

/// What `image.env` refers to without that being set, on a base whose environment is known: it has a `PATH`.
pub(super) fn unset(fields: &ImageFields, image: &ImageSpec) -> Option<Diagnostic> {
    let (name, wanted) = image.environment(Vec::new()).err()?;
    let at = fields.env.iter().position(|(other, _)| *other == name)?;
    Some(refers_to_nothing(&name, &wanted, *fields.env_places.get(at)?))
}

/// The same of the `env` of tasks, which knows that of the image as well.
pub(super) fn unset_in_tasks(blueprint: &Blueprint, layers: &[LoweredLayer]) -> Vec<Diagnostic> {
    let of_image = || blueprint.manifest.image.env.iter();
    let known: BTreeSet<&str> = of_image().map(|(name, _)| name.as_str()).chain(ALWAYS).collect();
    let mut found = Vec::new();
    for step in layers.iter().flat_map(|layer| &layer.steps) {
        let mut known = known.clone();
        for (name, value) in &step.env {
            // What is wrong with that is told of the manifest.
            if of_image().any(|(other, same)| other == name && same == value) {
                continue;
            }
            let value = EnvValue::read(value).ok();
            let wanted = value.as_ref().and_then(|value| {
                value
                    .needs()
                    .into_iter()
                    .find(|wanted| !known.contains(wanted) && !may_be_lent(wanted))
                    .map(str::to_owned)
            });
            if let Some(wanted) = wanted {
                let task = task_of(blueprint, step);
                let field = task.and_then(|task| task.fields.get("env")).and_then(|node| match &node.value {
                    Value::Mapping(mapping) => mapping.get(name),
                    _ => None,
                });
                let span = field.map(|node| node.span).or_else(|| task.map(|task| task.span));
                found.extend(span.map(|span| refers_to_nothing(name, &wanted, span)));
            }
            known.insert(name);
        }
    }
    found
}

fn refers_to_nothing(name: &str, wanted: &str, span: Span) -> Diagnostic {
    let error = Diagnostic::error("reference", span, format!("`{name}` refers to `${wanted}`, which is not set"));
    error.label(format!("no `{wanted}` before")).help(
        "a value may refer to variables of the base and to those above it; write `\\$` for a dollar that stands for itself",
    )
}

/// True of what the machine hands on to commands, where it has it: proxies, certificates, indexes of packages.
pub(super) fn may_be_lent(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["proxy", "cert", "ca_", "cainfo", "index", "registry", "alloy_"].iter().any(|part| name.contains(part))
        || ["pip_", "npm_", "cargo_"].iter().any(|start| name.starts_with(start))
}

/// A warning for each `PATH` on which no command would be found.
pub(super) fn without_commands(blueprint: &Blueprint) -> Vec<Diagnostic> {
    let image = &blueprint.manifest.image;
    let mut found: Vec<Diagnostic> = Vec::new();
    let of_image = image.env.iter().zip(&image.env_places).map(|((name, value), span)| ((name, value.as_str()), *span));
    for ((name, value), span) in of_image {
        found.extend(no_commands(name, value, span));
    }
    for task in blueprint.files.iter().flat_map(|file| &file.tasks) {
        let Some(Value::Mapping(env)) = task.fields.get("env").map(|node| &node.value) else { continue };
        for (key, node) in &env.entries {
            found.extend(node.text("env").ok().and_then(|value| no_commands(&key.text, value, node.span)));
        }
    }
    found
}

fn no_commands(name: &str, value: &str, span: Span) -> Option<Diagnostic> {
    let has = |path: &str| COMMANDS.contains(&path.trim_end_matches('/'));
    if name != "PATH" || value.contains(['$', '{']) || value.split(':').any(has) {
        return None;
    }
    let message = "this `PATH` has none of the directories in which a system has its commands";
    let warning = Diagnostic::warning("path", span, message).label("neither /usr/bin nor `$PATH`");
    Some(warning.help(format!("add to the one there is: `PATH: {value}:$PATH`")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::FileId;

    #[test]
    fn a_path_without_commands_is_told() {
        let wrong = |name: &str, value: &str| no_commands(name, value, Span::start_of(FileId(0))).is_some();
        assert!(wrong("PATH", "/opt/x/bin") && wrong("PATH", ""));
        for (name, value) in [
            ("PATH", "/opt/x:$PATH"),
            ("PATH", "/opt/x:/usr/bin"),
            ("PATH", "/bin/"),
            ("OTHER", "/opt"),
            ("PATH", "${A:-b}"),
        ] {
            assert!(!wrong(name, value), "{name}={value}");
        }
    }

    #[test]
    fn what_a_machine_may_lend_is_not_missing() {
        for name in ["http_proxy", "HTTPS_PROXY", "SSL_CERT_FILE", "PIP_INDEX_URL", "GIT_SSL_CAINFO", "ALLOY_BACKEND"] {
            assert!(may_be_lent(name), "{name}");
        }
        assert!(!may_be_lent("NOPE") && !may_be_lent("TOOLS"));
    }
}
