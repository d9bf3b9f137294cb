//! `apt_install`: packages from the distribution's archive.

use super::FieldKind::{Flag, Texts};
use super::{Action, Field, Fields, Lowered};
use crate::op::Op;
use crate::yaml::{Diagnostic, MAX_PROBLEMS};

pub(super) static ACTION: Action = Action {
    name: "apt_install",
    summary: "Packages from the distribution's archive: those that are missing",
    fields: &[
        Field::required(
            "packages",
            Texts,
            "`name`, `name=version` or `name:arch`; an empty list only refreshes the index",
        ),
        Field::optional("recommends", Flag, "Install recommended packages too; false if missing"),
    ],
    lower,
};

fn lower(fields: &mut Fields<'_>) -> Result<Lowered, Diagnostic> {
    let packages = packages(fields, "packages")?;
    let recommends = fields.flag("recommends")?;
    Ok(Lowered { ops: vec![Op::AptInstall { packages, recommends, locked: None }], written: None })
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
            fields.fail(error.help("write `name`, `name=version` or `name:arch` (Debian policy 5.6.1)"));
        }
    }
    packages.sort();
    packages.dedup();
    Ok(packages)
}

/// Debian policy 5.6.1 and 5.6.12, with apt's `:arch` and `=version`.
fn is_package(text: &str) -> bool {
    let (name, version) = text.split_once('=').map_or((text, None), |(name, version)| (name, Some(version)));
    let (name, arch) = name.split_once(':').map_or((name, None), |(name, arch)| (name, Some(arch)));
    let of = |text: &str, more: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    // apt takes a `-` at the end of anything for the wish to remove it (apt-get(8), "install").
    !text.ends_with('-')
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && of(name, "+-._")
        && version.is_none_or(|version| of(version, ".+-:~*"))
        && arch.is_none_or(|arch| of(arch, "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_names() {
        for good in ["g++", "libstdc++-12-dev", "cmake=3.25.1-1", "libc6:armhf", "git=1:2.39.5-0+deb12u2"] {
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
            "vim/sid",
            "vim:amd64:x",
        ] {
            assert!(!is_package(bad), "{bad}");
        }
    }
}
