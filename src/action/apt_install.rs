//! `apt_install`: packages from the distribution's archive.

use super::FieldKind::{Downloads, Flag, Texts};
use super::{Action, Field, Fields, Lowered};
use crate::op::{Command, Op, Secrets};
use crate::yaml::{Diagnostic, MAX_PROBLEMS};

pub(super) static ACTION: Action = Action {
    name: "apt_install",
    summary: "Packages from the distribution's archive, and packages of their own with what they depend on: those that \
              are missing",
    fields: &[
        Field::optional(
            "packages",
            Texts,
            "`name`, `name=version`, `name/suite` or `name:arch`; an empty list only refreshes the index",
        ),
        Field::optional(
            "debs",
            Downloads,
            "Packages of no archive, each a URL, a file of the blueprint, or `url`, `sha256` and `arch` in a mapping; what \
             they depend on comes from the archive",
        ),
        Field::optional("recommends", Flag, "Install recommended packages too; false if missing"),
        Field::optional("debconf", Texts, "Answers before packages ask: `package question type value` each"),
    ],
    lower,
};

fn lower(fields: &mut Fields<'_>) -> Result<Lowered, Diagnostic> {
    if fields.node("packages").or(fields.node("debs")).is_none() {
        fields.required("packages")?;
    }
    let packages = match fields.node("packages") {
        Some(_) => packages(fields, "packages")?,
        None => Vec::new(),
    };
    let debs = fields.downloads("debs")?;
    if packages.is_empty() && fields.node("debs").is_some_and(|_| debs.is_empty()) && fields.node("packages").is_none()
    {
        // All of them are for other architectures.
        return Ok(Lowered::default());
    }
    let recommends = fields.flag("recommends")?;
    let mut ops: Vec<Op> = answers(fields)?.into_iter().collect();
    ops.push(Op::AptInstall { packages, debs, recommends, locked: None });
    Ok(Lowered { ops, written: None })
}

/// Types of questions (debconf-devel(7), "The templates file").
const TYPES: [&str; 7] = ["string", "boolean", "select", "multiselect", "note", "text", "password"];

/// Hands over its arguments line by line.
const ANSWER: &str = "printf '%s\\n' \"$@\" | debconf-set-selections";

/// What tells debconf the answers of the field, if it is there.
fn answers(fields: &mut Fields<'_>) -> Result<Option<Op>, Diagnostic> {
    if fields.node("debconf").is_none() {
        return Ok(None);
    }
    let mut words: Vec<String> = ["bash", "-o", "pipefail", "-c", ANSWER, "debconf"].map(str::to_owned).to_vec();
    for (node, text) in fields.texts("debconf")? {
        let mut parts = text.split_whitespace();
        let (package, question, kind) = (parts.next(), parts.next(), parts.next());
        let wrong = match (package, question, kind) {
            _ if text.contains('\n') || Secrets::in_text(&text) => {
                Some("it is one line, and no secret: the image keeps it")
            }
            (Some(_), Some(question), Some(kind)) if question.contains('/') && TYPES.contains(&kind) => None,
            _ => Some("write `package package/question type value`, as debconf-set-selections(1) takes it"),
        };
        match wrong {
            Some(help) => {
                let message = format!("`{}` is no answer for debconf", Secrets::as_written(&text));
                fields.fail(Diagnostic::error("debconf", node.span, message).help(help));
            }
            None => words.push(text),
        }
    }
    Ok(Some(fields.run(Command::Argv(words), None, &[])))
}

/// The packages of a field, sorted.
pub(super) fn packages(fields: &mut Fields<'_>, name: &str) -> Result<Vec<String>, Diagnostic> {
    let mut packages = Vec::new();
    for (node, text) in fields.texts(name)? {
        if is_package(&text) {
            packages.push(text);
        } else if fields.warnings.len() < MAX_PROBLEMS {
            let message = format!("`{text}` is not the name of a package");
            let error = Diagnostic::error("package", node.span, message);
            if text.ends_with('-') {
                fields.fail(error.help("no name ends in `-`: apt would remove what it is the name of otherwise"));
                continue;
            }
            fields.fail(error.help("write `name`, `name=version`, `name/suite` or `name:arch` (Debian policy 5.6.1)"));
        }
    }
    packages.sort();
    packages.dedup();
    Ok(packages)
}

/// Debian policy 5.6.1 and 5.6.12, with apt's `:arch` and `=version`.
fn is_package(text: &str) -> bool {
    let (name, version) = text.split_once('=').map_or((text, None), |(name, version)| (name, Some(version)));
    let (name, suite) = match version {
        None => name.split_once('/').map_or((name, None), |(name, suite)| (name, Some(suite))),
        Some(_) => (name, None),
    };
    let (name, arch) = name.split_once(':').map_or((name, None), |(name, arch)| (name, Some(arch)));
    let of = |text: &str, more: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    // apt takes a `-` at the end of anything for the wish to remove it (apt-get(8), "install").
    !text.ends_with('-')
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && of(name, "+-._")
        && version.is_none_or(|version| of(version, ".+-:~*"))
        && suite.is_none_or(|suite| of(suite, ".-_") && suite.starts_with(|c: char| c.is_ascii_alphanumeric()))
        && arch.is_none_or(|arch| of(arch, "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_names() {
        for good in [
            "cmake/bookworm-backports",
            "cmake:arm64/stable",
            "g++",
            "libstdc++-12-dev",
            "cmake=3.25.1-1",
            "libc6:armhf",
            "git=1:2.39.5-0+deb12u2",
        ] {
            assert!(is_package(good), "{good}");
        }
        for bad in [
            "",
            "-y",
            "a b",
            "git;reboot",
            "git=",
            "=1",
            "--allow-unauthenticated",
            "x:",
            "vim-",
            "vim:amd64-",
            "vim=1-",
            "vim/",
            "vim/sid=1",
            "vim/-t",
            "vim/sid/x",
            "vim:amd64:x",
        ] {
            assert!(!is_package(bad), "{bad}");
        }
    }
}
