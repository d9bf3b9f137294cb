//! The names and flags that users of the existing tools type, as alloy's own.
//!
//! `alloy-provisioner`, `alloy-host` and `alloy-cicd` are Go programs: `-tag` and `--tag` are the same to them. The first began as a
//! program without commands: `-pull -repository NAME` is `install NAME`, and nothing at all is `install`.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{Args as ClapArgs, ValueEnum};

use super::error::CommandError;

mod defaults;
mod help;
mod pipeline;
mod words;

use defaults::Machine;
use words::{REPOSITORY, Words};

/// Acts as one of the existing tools: alloy-provisioner, alloy-host or alloy-cicd
///
/// A link to alloy that has the tool's name does the same. Flags may begin with one dash, as those tools accept them.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  alloy compat alloy-provisioner install -blueprint-dir DIR -env-file .env
  alloy compat alloy-host catalog search arm
  ln -s alloy /usr/local/bin/alloy-provisioner && alloy-provisioner install community/arm-none-eabi")]
pub(super) struct Args {
    /// The tool
    #[arg(value_enum)]
    name: Name,
    /// The tool's command, flags and arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    #[value(name = "alloy-provisioner")]
    Provisioner,
    #[value(name = "alloy-host")]
    Host,
    #[value(name = "alloy-cicd")]
    Cicd,
}

/// What was typed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// Words that alloy understands.
    Words(Vec<OsString>),
    /// A question that is answered by this text: help or version under another name.
    Answer(String),
}

/// Commands of alloy that the tools' names lead to.
const REACHED: [&str; 5] = ["catalog", "check", "clone", "install", "lock"];

/// What `alloy-host` does with virtual machines.
const MACHINES: [&str; 9] = ["check-health", "config", "destroy", "init", "provision", "ssh", "stop", "up", "usb"];

/// Reached when options of alloy's own stand in front; [`arguments`] has translated everything else.
pub(super) fn run(args: &Args) -> Result<ExitCode, CommandError> {
    let name = args.name.text();
    let hint = format!("write `alloy compat {name}` first, and options behind it");
    Err(CommandError::usage(format!("options stand before `compat {name}`")).hint(hint))
}

/// The command line as alloy knows it: the same, unless it was called by another name.
pub(super) fn arguments(all: Vec<OsString>) -> Result<Typed, CommandError> {
    on(all, &Machine::this())
}

fn on(all: Vec<OsString>, machine: &Machine) -> Result<Typed, CommandError> {
    let called = all.first().and_then(|program| Path::new(program).file_name()).and_then(|name| name.to_str());
    let asked = all.get(1).filter(|word| *word == "compat").and(all.get(2)).and_then(|name| name.to_str());
    match (called.and_then(Name::of), asked.and_then(Name::of)) {
        (Some(name), _) => name.translate(&all[1..], machine),
        (None, Some(name)) => name.translate(&all[3..], machine),
        (None, None) => Ok(Typed::Words(all)),
    }
}

impl Name {
    fn of(text: &str) -> Option<Self> {
        [Self::Provisioner, Self::Host, Self::Cicd].into_iter().find(|name| name.text() == text)
    }

    fn text(self) -> &'static str {
        match self {
            Self::Provisioner => "alloy-provisioner",
            Self::Host => "alloy-host",
            Self::Cicd => "alloy-cicd",
        }
    }

    fn translate(self, typed: &[OsString], machine: &Machine) -> Result<Typed, CommandError> {
        let mut words = Words::of(typed);
        let asks = |word: &&str| words.others.iter().any(|other| other == word);
        if words.command.is_none() && ["--help", "-h"].iter().any(asks) {
            return Ok(Typed::Answer(self.help().to_owned()));
        }
        if words.command.is_none() && ["--version", "-V"].iter().any(asks) {
            return Ok(Typed::Answer(self.version()));
        }
        let asked = words.command.take();
        let command = match (self, asked.as_deref()) {
            (_, Some("version")) => return Ok(Typed::Answer(self.version())),
            (_, Some("help")) | (Self::Host | Self::Cicd, None) => return Ok(Typed::Answer(self.help().to_owned())),
            (_, Some(command @ "catalog")) => command,
            (Self::Provisioner, Some(command @ ("install" | "clone"))) => command,
            (Self::Provisioner, None) => "install",
            (Self::Host | Self::Cicd, Some("resolve")) => "lock",
            (Self::Host | Self::Cicd, Some("validate")) => "check",
            (Self::Cicd, Some("pipeline")) => {
                return Err(pipeline::refused(&words));
            }
            (Self::Host, Some(command)) if MACHINES.contains(&command) || command == "list" => {
                let message = format!("`alloy-host {command}` is about virtual machines, of which alloy has none");
                let hint = "`alloy build` makes an image of a blueprint, `alloy run` runs it, and `alloy install` \
                            installs the blueprint on this machine";
                return Err(CommandError::usage(message).hint(hint));
            }
            (_, Some(command)) => {
                let message = format!("{} has no command `{}`", self.text(), command.escape_debug());
                let known = match self {
                    Self::Provisioner => "install, clone and catalog",
                    Self::Host => "catalog, resolve and validate",
                    Self::Cicd => "validate, resolve and catalog",
                };
                return Err(CommandError::usage(message).hint(format!("the commands are {known}")));
            }
        };
        if command == "install" && words.has("--pull") && words.name.is_none() {
            let message = "-pull is about a published blueprint, and none is named";
            return Err(CommandError::usage(message).hint("name it: -repository NAME"));
        }
        words.others.retain(|word| word != "--pull");
        // What those commands take as an argument.
        words.unflag(REPOSITORY);
        if matches!(command, "lock" | "check") {
            words.unflag("--blueprint-dir");
            words.unflag("--dir");
            words.rename("--catalog-dir", "--catalog");
            words.rename("--host-platform", "--platform");
        }
        words.defaults(command, machine);
        // What the existing tool resolves, and nothing else: that anew, whatever was pinned.
        let anew = command == "lock" && !["--update", "--check"].iter().any(|flag| words.has(flag));
        let only = (command == "lock").then_some("--toolchains-only").into_iter().chain(anew.then_some("--update"));
        let only = only.map(OsString::from);
        let translated = ["alloy", command].map(OsString::from).into_iter().chain(only).chain(words.others);
        Ok(Typed::Words(translated.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(line: &str) -> Result<String, CommandError> {
        let words = line.split(' ').map(OsString::from).collect();
        Ok(joined(on(words, &Machine::default())?))
    }

    fn joined(typed: Typed) -> String {
        match typed {
            Typed::Words(words) => words.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" "),
            Typed::Answer(text) => text.lines().next().unwrap().to_owned(),
        }
    }

    #[test]
    fn what_users_of_the_tools_type() {
        for (typed, expected) in [
            (
                "alloy-provisioner install community/arm-none-eabi",
                "alloy install community/arm-none-eabi --default-registry api.alloy-it.io",
            ),
            ("/usr/bin/alloy-provisioner install --blueprint-dir /bp", "alloy install --blueprint-dir /bp"),
            (
                "alloy-provisioner -blueprint-dir /bp -env-file .env",
                "alloy install --blueprint-dir /bp --env-file .env",
            ),
            ("alloy-provisioner install -blueprint-dir=/bp -dry-run", "alloy install --blueprint-dir=/bp --dry-run"),
            ("alloy-provisioner -config /bp", "alloy install --blueprint-dir /bp"),
            ("alloy-provisioner -docker=true -wsl2=false -config /bp", "alloy install --docker --blueprint-dir /bp"),
            ("alloy-cicd resolve --dir bp --dry-run", "alloy lock --toolchains-only --update bp --dry-run"),
            ("alloy-host resolve --check", "alloy lock --toolchains-only --check"),
            ("alloy-provisioner", "alloy install"),
            (
                "alloy-provisioner --docker install a/b:1",
                "alloy install --docker a/b:1 --default-registry api.alloy-it.io",
            ),
            (
                "alloy-provisioner -pull -repository a/nrf91 -tag 1.0",
                "alloy install a/nrf91 --tag 1.0 --default-registry api.alloy-it.io",
            ),
            ("alloy-provisioner -pull -repository=a/nrf91", "alloy install a/nrf91 --default-registry api.alloy-it.io"),
            (
                "alloy-provisioner clone a/b:1 -o dir --list community",
                "alloy clone a/b:1 -o dir --list community --default-registry api.alloy-it.io",
            ),
            (
                "alloy-provisioner -root /mnt -var A=b install -dry-run a/b",
                "alloy install --root /mnt --var A=b --dry-run a/b --default-registry api.alloy-it.io",
            ),
            ("alloy-provisioner -version", concat!("alloy-provisioner ", env!("CARGO_PKG_VERSION"), " (alloy)")),
            ("alloy-cicd version", concat!("alloy-cicd ", env!("CARGO_PKG_VERSION"), " (alloy)")),
            (
                "alloy-provisioner -h",
                "alloy-provisioner: installs blueprints on this machine. alloy answers to this name.",
            ),
            ("alloy-cicd help", "alloy-cicd: checks and pins blueprints in pipelines. alloy answers to this name."),
            ("alloy-provisioner install -h", "alloy install -h"),
            ("alloy-provisioner catalog search arm", "alloy catalog search arm"),
            (
                "alloy-host catalog update -remote https://a.example/c",
                "alloy catalog update --remote https://a.example/c",
            ),
            ("alloy-host catalog info tool.python.west@stable", "alloy catalog info tool.python.west@stable"),
            ("alloy-host resolve", "alloy lock --toolchains-only --update"),
            ("alloy-host resolve -blueprint-dir /bp", "alloy lock --toolchains-only --update /bp"),
            ("alloy-host validate /bp", "alloy check /bp"),
            ("alloy-host", "alloy-host: looks after blueprints and the catalog. alloy answers to this name."),
            ("alloy compat alloy-host validate", "alloy check"),
            (
                "./alloy compat alloy-provisioner -tag 1 install x",
                "alloy install --tag 1 x --default-registry api.alloy-it.io",
            ),
            // Everything else is as it was: gcc has such flags, too.
            ("alloy run image gcc -print-search-dirs", "alloy run image gcc -print-search-dirs"),
            ("alloy compat", "alloy compat"),
            ("alloy compat other -tag", "alloy compat other -tag"),
        ] {
            assert_eq!(translated(typed).unwrap(), expected, "{typed}");
        }
    }

    #[test]
    fn what_nobody_says_is_what_those_tools_take() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(".alloy-it").join(name);
        std::fs::create_dir_all(at("catalog")).unwrap();
        std::fs::write(at("manifest.yml"), "").unwrap();
        let machine = Machine { home: Some(home.path().to_owned()), ..Machine::default() };
        let (own, catalog) = (at("").display().to_string(), at("catalog").display().to_string());
        let clones = at("blueprints").display().to_string();
        for (typed, expected) in [
            ("alloy-provisioner", format!("alloy install --blueprint-dir {own}")),
            ("alloy-provisioner -blueprint-dir /bp", "alloy install --blueprint-dir /bp".into()),
            (
                "alloy-provisioner clone community/nordic/nrf91 -tag 1.1.3",
                format!(
                    "alloy clone community/nordic/nrf91 --tag 1.1.3 --output {clones}/community/nordic/nrf91 --update \
                     --default-registry api.alloy-it.io"
                ),
            ),
            (
                "alloy-provisioner clone r.example:5000/a/b:1 -blueprint-dir /d -registry r.example",
                "alloy clone r.example:5000/a/b:1 --registry r.example --output /d/blueprints/a/b --update".into(),
            ),
            (
                "alloy-provisioner clone --list community",
                "alloy clone --list community --default-registry api.alloy-it.io".into(),
            ),
            (
                "alloy-provisioner install --blueprint-dir /config a/b",
                "alloy install --blueprint-dir /config a/b --default-registry api.alloy-it.io".into(),
            ),
            (
                "alloy-cicd resolve --dir bp --catalog-dir c --host-platform linux/arm64",
                "alloy lock --toolchains-only --update bp --catalog c --platform linux/arm64".into(),
            ),
            ("alloy-cicd validate --dir=bp", "alloy check bp".into()),
            ("alloy-host catalog search gcc", format!("alloy catalog search gcc --catalog {catalog}")),
            (
                "alloy-host catalog update",
                format!(
                    "alloy catalog update --catalog {catalog} --remote https://github.com/alloy-it/alloy-catalog.git"
                ),
            ),
            ("alloy-host catalog update --catalog c --remote r", "alloy catalog update --catalog c --remote r".into()),
            ("alloy-host resolve bp", format!("alloy lock --toolchains-only --update bp --catalog {catalog}")),
        ] {
            let words = typed.split(' ').map(OsString::from).collect();
            assert_eq!(joined(on(words, &machine).unwrap()), expected, "{typed}");
        }
    }

    #[test]
    fn what_alloy_does_not_do_is_said() {
        for (typed, expected) in [
            ("alloy-host up arm-dev", "`alloy-host up` is about virtual machines"),
            ("alloy-host frobnicate", "alloy-host has no command `frobnicate`"),
            ("alloy-provisioner resolve", "alloy-provisioner has no command `resolve`"),
            ("alloy-provisioner -pull", "-pull is about a published blueprint"),
            ("alloy-cicd pipeline --blueprint bp", "`alloy-cicd pipeline` is several commands of alloy"),
        ] {
            let error = translated(typed).unwrap_err();
            assert!(error.message.starts_with(expected) && error.code() == 2 && !error.hints.is_empty(), "{error:?}");
        }
    }
}
