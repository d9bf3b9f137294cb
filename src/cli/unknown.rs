//! Commands and flags that others have, and what they are called here.

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::Cli;
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

/// Flags that other tools have, those of no command named or of the one that is, and what to say.
const FLAGS: &[(&str, &[&str], &str)] = &[
    (
        "build",
        &["-f", "--file"],
        "a blueprint is a directory, and its manifest.yml names its task files: `alloy build DIR -t NAME`",
    ),
    ("build", &["--build-arg"], "`--var NAME=VALUE` gives a variable of the blueprint its value"),
    (
        "build",
        &["--target", "--stage"],
        "a blueprint has no stages: one for each, whose `image.base` names the other's image",
    ),
    (
        "build",
        &["--secret"],
        "a variable of `required_env` with `secret: true`, from the environment or `--env-file FILE`",
    ),
    ("build", &["--squash"], "`--layers file` makes one layer of each task file"),
    ("build", &["--load"], "the store has every image that is built: `alloy images`, `alloy run`"),
    ("build", &["--label"], "`labels` of `image` in the manifest"),
    ("build", &["--iidfile"], "`--metadata-file FILE` writes digests and names as JSON"),
    (
        "run",
        &["-p", "-P", "--publish", "--expose"],
        "the command has this machine's network: where it listens, it is reached",
    ),
    ("run", &["--name", "-d", "--detach", "--restart"], "a container is the command: it has no name, and ends with it"),
    ("run", &["--mount", "--tmpfs"], "`-v HOST:PATH[:ro]` lends a file or directory"),
    (
        "run",
        &["--privileged", "--cap-add", "--security-opt"],
        "no command has more rights than who starts alloy: `--device DEVICE` lends one",
    ),
    ("run", &["--net"], "`--network host|none`"),
    ("run", &["--gpus"], "`--device DEVICE` lends each of its devices"),
    (
        "run",
        &[
            "--cpus",
            "--cpu-shares",
            "--cpuset-cpus",
            "-m",
            "--memory",
            "--memory-swap",
            "--pids-limit",
            "--ulimit",
            "--shm-size",
        ],
        "a command has the limits of who starts alloy: set them there, with `ulimit`, `taskset` or `systemd-run --scope`",
    ),
    ("run", &["--hostname"], "the host name of every command is `alloy`, wherever it runs"),
    (
        "run",
        &["--env-file"],
        "`-e NAME=VALUE` sets a variable, and `-e NAME` hands on that of this shell: `set -a; . ./FILE; set +a` reads a file \
         into it",
    ),
    ("run", &["--pull"], "`alloy pull IMAGE` brings an image into the store, or its newest version"),
    (
        "prune",
        &["-f", "--force", "-y", "--yes"],
        "`alloy prune` asks nothing: `--dry-run` says before what it would delete",
    ),
    (
        "prune",
        &["-a"],
        "`alloy prune` deletes whatever no named image needs; `--all` takes the names of all images away first",
    ),
    (
        "prune",
        &["--filter", "--volumes"],
        "`--older-than AGE`, `--keep-storage SIZE` and `--kind KIND` choose what goes",
    ),
    (
        "untag",
        &["-f", "--force"],
        "`alloy untag NAME` asks nothing; `alloy prune NAME` deletes as well what that image alone needed",
    ),
    ("push", &["--all-tags", "-a"], "name each: `alloy push NAME:TAG`"),
    ("pull", &["-a", "--all-tags"], "name each: `alloy pull NAME:TAG`"),
];

/// What to say of a flag that a command does not have, if other tools have one of that name.
pub(super) fn flag(error: &clap::Error, words: &[String]) -> Option<CommandError> {
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let Some(ContextValue::String(given)) = error.get(ContextKind::InvalidArg) else { return None };
    let name = given.split('=').next().unwrap_or(given);
    let typed = words.iter().skip(1).find(|word| !word.starts_with('-'))?;
    // It may have been called by another of its names.
    let cli = Cli::command();
    let command = cli.find_subcommand(typed)?.get_name();
    let (_, _, tip) = FLAGS.iter().find(|(of, names, _)| *of == command && names.contains(&name))?;
    Some(
        CommandError::usage(format!("`alloy {command}` has no `{name}`"))
            .hint(*tip)
            .hint(format!("`alloy {command} --help` lists what it has")),
    )
}

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

    use super::*;

    #[test]
    fn no_tip_hides_a_flag() {
        let cli = Cli::command();
        for (command, names, _) in FLAGS {
            let command = cli.find_subcommand(command).unwrap();
            for name in *names {
                let taken = command.get_arguments().any(|argument| match name.strip_prefix("--") {
                    Some(long) => argument.get_long_and_visible_aliases().is_some_and(|all| all.contains(&long)),
                    None => argument.get_short().is_some_and(|short| name[1..].starts_with(short)),
                });
                assert!(!taken, "{} {name}", command.get_name());
            }
        }
    }

    #[test]
    fn a_flag_of_another_tool_is_told_what_does_it_here() {
        for (words, part) in [
            (["alloy", "build", "-f", "Dockerfile"], "names its task files"),
            (["alloy", "build", "--build-arg=A=b", "."], "--var NAME=VALUE"),
            (["alloy", "run", "-p", "80:80"], "this machine's network"),
            (["alloy", "run", "--cpus=2", "x"], "limits"),
            (["alloy", "rmi", "-f", "x"], "asks nothing"),
        ] {
            let error = Cli::command().try_get_matches_from(words).unwrap_err();
            let told = flag(&error, &words.map(str::to_owned)).unwrap();
            assert!(told.hints[0].contains(part), "{told:?}");
        }
        let words = ["alloy", "build", "--no-such"];
        let error = Cli::command().try_get_matches_from(words).unwrap_err();
        assert!(flag(&error, &words.map(str::to_owned)).is_none());
    }

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
