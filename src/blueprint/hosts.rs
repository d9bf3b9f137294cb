//! Platforms that a manifest names.

use crate::yaml::{Diagnostic, Node, Value, entry_of, nearest};

type Result<T> = std::result::Result<T, Diagnostic>;

/// Operating systems and architectures as Go names them (go.dev/doc/install/source, "Environment variables"), and what
/// uname calls the two that everybody has.
const SYSTEMS: [&str; 6] = ["linux", "darwin", "windows", "freebsd", "netbsd", "openbsd"];
const PROCESSORS: [&str; 14] = [
    "amd64", "arm64", "arm", "386", "riscv64", "ppc64le", "ppc64", "s390x", "mips64le", "mips64", "mipsle", "mips",
    "x86_64", "aarch64",
];

/// A platform that a blueprint names in the list `field`.
pub(super) fn platform(node: &Node, field: &str) -> Result<String> {
    let text = node.text(&entry_of(field))?;
    let parts: Vec<&str> = text.split('/').collect();
    let wrong = || Diagnostic::error("platform", node.span, format!("`{text}` is not a platform"));
    let (system, processor) = match parts.as_slice() {
        [system, processor] => (*system, *processor),
        [system, processor, variant] if variant.starts_with('v') && (2..=3).contains(&variant.len()) => {
            (*system, *processor)
        }
        _ => return Err(wrong().help("write `os/arch`, such as `linux/amd64`")),
    };
    if SYSTEMS.contains(&system) && PROCESSORS.contains(&processor) {
        return Ok(text.to_owned());
    }
    let near = |word: &str, known: &[&'static str]| {
        if known.contains(&word) {
            Some(word.to_owned())
        } else {
            nearest(word, known.iter().copied()).map(str::to_owned)
        }
    };
    let help = match (near(system, &SYSTEMS), near(processor, &PROCESSORS)) {
        (Some(system), Some(processor)) => format!("did you mean `{system}/{processor}`?"),
        _ => "write `os/arch` in Go's words, such as `linux/amd64`".to_owned(),
    };
    Err(wrong().help(help))
}

/// Platforms among the entries of `targets`; the others are boards and chips. What begins as a platform is meant as one.
pub(super) fn platforms_of(node: &Node, errors: &mut Vec<Diagnostic>) -> Vec<String> {
    let one = std::slice::from_ref(node);
    let entries = if let Value::Sequence(items) = &node.value { items.as_slice() } else { one };
    let mut found = Vec::new();
    for entry in entries {
        let text = entry.text("targets").unwrap_or_default();
        if !text.split_once('/').is_some_and(|(system, _)| SYSTEMS.contains(&system)) {
            continue;
        }
        match platform(entry, "targets") {
            Ok(platform) => found.push(platform),
            Err(error) => errors.push(error),
        }
    }
    found
}
