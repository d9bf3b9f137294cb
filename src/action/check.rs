//! What can be said about a task's fields from the table alone: all of it, so that one run tells everything.

use super::{COMMON, Field, FieldKind, Fields};
use crate::yaml::{Diagnostic, MAX_PROBLEMS, Node, Span, entry_of};

/// Characters of a path (`PATH_MAX` of Linux), of a user's name, and of any other text that is no file's content.
const MAX_PATH: usize = 4096;
const MAX_USER: usize = 256;
const MAX_TEXT: usize = 8192;

/// The name of the problem that a text is too long to be handed to an action.
pub(super) const LONG: &str = "long";

/// Kinds of entries of the catalog.
const KINDS: [&str; 3] = ["toolchain", "sdk", "tool"];

/// Everything that is wrong with the fields of a task, each by itself.
pub(super) fn check(fields: &Fields<'_>) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    for field in COMMON.iter().chain(fields.task.action.fields) {
        match fields.node(field.name) {
            Some(node) => of_kind(fields, field, node, &mut errors),
            // Whoever asked for this action has seen whether the two are there.
            None if field.required && !matches!(field.name, "name" | "action") => {
                errors.extend(fields.required(field.name).err());
            }
            None => {}
        }
    }
    errors
}

fn of_kind(fields: &Fields<'_>, field: &Field, node: &Node, errors: &mut Vec<Diagnostic>) {
    let name = field.name;
    let most = match field.kind {
        FieldKind::Path => MAX_PATH,
        _ if matches!(name, "run_as" | "owner") => MAX_USER,
        _ => MAX_TEXT,
    };
    if !field.verbatim && node.text(name).is_ok_and(|text| text.len() > most) {
        errors.push(Diagnostic::error(LONG, node.span, format!("`{name}` is longer than {most} bytes")));
        return;
    }
    let wrong = match field.kind {
        FieldKind::Text if field.verbatim => node.text(name).err(),
        FieldKind::Text => fields.text(name).err(),
        FieldKind::Path => fields.path(name).err(),
        FieldKind::Url => fields.text_or_secret(name).err(),
        FieldKind::Sha256 => super::fields::sha256(node).err(),
        FieldKind::Flag => node.boolean(name).err(),
        FieldKind::Number => node.number(name).err(),
        FieldKind::Words => fields.words(name).err(),
        FieldKind::OneOf(words) => fields.one_of(name, words).err(),
        FieldKind::Download => fields.nested_download(name).err(),
        FieldKind::Downloads => fields.downloads(name).err(),
        FieldKind::PerArch => None,
        FieldKind::Env => match node.mapping(name) {
            Ok(mapping) => {
                let wrong = mapping.entries.iter().filter_map(|(key, value)| super::variable(key, value).err());
                errors.extend(wrong.take(MAX_PROBLEMS));
                None
            }
            Err(_) => fields.env().err(),
        },
        FieldKind::Texts => match node.sequence(name) {
            Ok(items) => {
                errors.extend(items.iter().filter_map(|item| item.text(&entry_of(name)).err()).take(MAX_PROBLEMS));
                None
            }
            Err(error) => Some(error),
        },
    };
    errors.extend(wrong);
}

/// Checks the form of a reference of the catalog: `<kind>.<vendor>.<tool>[@version]`.
pub fn check_reference(text: &str, span: Span) -> Result<(), Diagnostic> {
    let wrong = || Diagnostic::error("ref", span, format!("`{text}` is not a reference of the catalog"));
    let fits = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.+".contains(c));
    let (id, version) = text.trim().split_once('@').map_or((text.trim(), None), |(id, version)| (id, Some(version)));
    let parts: Vec<&str> = id.splitn(3, '.').collect();
    if parts.len() < 3 || !parts.iter().all(|part| fits(part)) || !version.is_none_or(fits) {
        return Err(
            wrong().help("write `<kind>.<vendor>.<tool>[@version]`, such as toolchain.arm-gnu.arm-none-eabi@stable")
        );
    }
    if !KINDS.contains(&parts[0]) {
        let error = wrong().label(format!("no kind `{}`", parts[0]));
        return Err(error.help(format!("the kinds are {}", KINDS.join(", "))).suggest(parts[0], KINDS));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::FileId;

    #[test]
    fn references() {
        let check = |text: &str| check_reference(text, Span::start_of(FileId(0)));
        for good in ["toolchain.arm-gnu.arm-none-eabi@stable", "sdk.zephyr.sdk-0.16", "tool.kitware.cmake@3.30.1"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", "gcc", "toolchain.arm", "toolchain..gcc", "toolchain.arm.gcc@", "toolchain.a b.gcc"] {
            assert!(check(bad).is_err(), "{bad}");
        }
        let misspelt = check("toolchian.arm-gnu.arm-none-eabi").unwrap_err();
        assert_eq!(misspelt.help.unwrap(), "did you mean `toolchain`?");
    }
}
