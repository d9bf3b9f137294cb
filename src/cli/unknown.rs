//! Commands that others have, and what they are called here.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::error::CommandError;

/// What is typed, and what to say. No command has one of these names.
const OTHERS: &[(&[&str], &str)] = &[
    (
        &["ps", "container", "containers", "stop", "kill", "rm", "start"],
        "a container of `alloy run` ends with its command: none is left to list or delete",
    ),
    (&["exec", "enter"], "`alloy run IMAGE COMMAND…` starts a command in an image"),
    (&["shell", "sh", "bash", "attach"], "`alloy run -v .:/work -w /work IMAGE bash`"),
    (
        &["create", "from", "mount", "unmount"],
        "`alloy run IMAGE COMMAND…` runs in an image, `alloy build -o type=dir,dest=DIR` unpacks one",
    ),
    (&["commit"], "`alloy run --rw IMAGE` keeps what a command changes"),
    (
        &["ls", "list", "image", "ps-images"],
        "`alloy images` lists those of the store, `alloy untag` takes names away, `alloy prune` deletes",
    ),
    (&["remove", "delete"], "`alloy untag NAME` takes a name away, `alloy prune` deletes what no image needs"),
    (
        &["history", "layers", "show"],
        "`alloy inspect IMAGE` has the layers and who made them, `alloy provenance IMAGE` what they were made from",
    ),
    (&["save", "export"], "`alloy build -o type=oci-archive|docker-archive|tar,dest=FILE`"),
    (&["load", "import"], "an image in a file is a base: `alloy build --base oci-archive:FILE`, `docker-archive:FILE`"),
    (
        &["copy", "cp"],
        "`alloy pull` and `alloy push` bring images from and to registries; in a blueprint, the action `copy` takes files",
    ),
    (&["buildx", "bud", "buildah", "compose", "make"], "`alloy build DIR -t NAME`"),
    (
        &["init", "new", "scaffold"],
        "a blueprint is a directory with a manifest.yml: begin with a copy of examples/hello, `alloy actions` has the tasks",
    ),
    (&["version", "info"], "`alloy --version`; `alloy du` says what the store holds"),
    (&["system", "df", "usage", "disk"], "`alloy du` says what the store holds, `alloy prune` deletes from it"),
    (&["gc", "clean", "purge"], "`alloy prune`"),
    (&["logs"], "`alloy log`"),
    (&["search"], "`alloy catalog search` finds toolchains, `alloy clone --list` blueprints"),
    (&["lint", "validate", "test"], "`alloy check`"),
    (
        &["diff", "status"],
        "`alloy drift` compares a host, `alloy verify` an image with a second build, `alloy plan` says what a build would do",
    ),
    (&["update", "upgrade"], "`alloy outdated` says what is newer, `alloy lock --update` pins it"),
    (&["apply", "up"], "`alloy install` does a blueprint on this machine"),
    (&["sign"], "`alloy build --push --sign-key FILE` and `alloy push --sign-key FILE`"),
    (&["attest"], "`alloy sbom IMAGE`, `alloy provenance IMAGE`; `--push` attaches them"),
    (&["scan"], "`alloy sbom IMAGE` is what scanners read"),
];

/// What to say of a command that there is not, if others have one of that name.
pub(super) fn command(error: &clap::Error) -> Option<CommandError> {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    let Some(ContextValue::String(name)) = error.get(ContextKind::InvalidSubcommand) else { return None };
    let (_, tip) = OTHERS.iter().find(|(names, _)| names.contains(&name.as_str()))?;
    Some(
        CommandError::usage(format!("there is no command `{name}`"))
            .hint(*tip)
            .hint("`alloy --help` lists all commands"),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn no_tip_hides_a_command_and_each_names_one() {
        let cli = Cli::command();
        let own: BTreeSet<&str> = cli.get_subcommands().flat_map(|one| one.get_name_and_visible_aliases()).collect();
        let mut seen = BTreeSet::new();
        for (names, tip) in OTHERS {
            for name in *names {
                assert!(!own.contains(name) && seen.insert(name), "{name}");
            }
            let mut named = tip.match_indices("alloy ").map(|(at, _)| &tip[at + 6..]).peekable();
            assert!(named.peek().is_some(), "{tip}");
            for rest in named {
                let word = rest.split(|c: char| !c.is_ascii_lowercase() && c != '-').next().unwrap();
                assert!(own.contains(word) || word.starts_with("--"), "{tip}: {word}");
            }
        }
    }
}
