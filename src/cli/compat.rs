//! The names and flags that users of the existing tools type, as alloy's own.
//!
//! `alloy-provisioner` and `alloy-host` are Go programs: `-tag` and `--tag` are the same to them. The first began as a
//! program without commands: `-pull -repository NAME` is `install NAME`, and nothing at all is `install`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{Args as ClapArgs, CommandFactory, ValueEnum};

use super::error::CommandError;

/// Answers to the names of the existing tools, alloy-provisioner and alloy-host
///
/// A link of that name to alloy does the same. Flags may have one dash, as those tools take them.
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
    /// Its command, flags and arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    AlloyProvisioner,
    AlloyHost,
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
pub(super) fn arguments(all: Vec<OsString>) -> Result<Vec<OsString>, CommandError> {
    let called = all.first().and_then(|program| Path::new(program).file_name()).and_then(|name| name.to_str());
    let asked = all.get(1).filter(|word| *word == "compat").and(all.get(2)).and_then(|name| name.to_str());
    match (called.and_then(Name::of), asked.and_then(Name::of)) {
        (Some(name), _) => name.translate(&all[1..]),
        (None, Some(name)) => name.translate(&all[3..]),
        (None, None) => Ok(all),
    }
}

impl Name {
    fn of(text: &str) -> Option<Self> {
        [Self::AlloyProvisioner, Self::AlloyHost].into_iter().find(|name| name.text() == text)
    }

    fn text(self) -> &'static str {
        match self {
            Self::AlloyProvisioner => "alloy-provisioner",
            Self::AlloyHost => "alloy-host",
        }
    }

    fn translate(self, typed: &[OsString]) -> Result<Vec<OsString>, CommandError> {
        let mut words = Words::of(typed);
        let asks = |word: &str| words.others.iter().any(|other| other == word);
        if words.command.is_none() && ["--help", "-h", "--version", "-V"].into_iter().any(asks) {
            return Ok([OsString::from("alloy")].into_iter().chain(words.others).collect());
        }
        let asked = words.command.take();
        let command = match (self, asked.as_deref()) {
            (_, Some("version")) => return Ok(vec!["alloy".into(), "--version".into()]),
            (_, Some(command @ ("catalog" | "help"))) => command,
            (Self::AlloyProvisioner, Some(command @ ("install" | "clone"))) => command,
            (Self::AlloyProvisioner, None) => "install",
            (Self::AlloyHost, Some("resolve")) => "lock",
            (Self::AlloyHost, Some("validate")) => "check",
            (Self::AlloyHost, None) => "help",
            (Self::AlloyHost, Some(command)) if MACHINES.contains(&command) || command == "list" => {
                let message = format!("`alloy-host {command}` is about virtual machines, of which alloy has none");
                let hint = "`alloy build` makes an image of a blueprint, `alloy run` runs it, and `alloy install` \
                            installs the blueprint on this machine";
                return Err(CommandError::usage(message).hint(hint));
            }
            (_, Some(command)) => {
                let message = format!("{} has no command `{}`", self.text(), command.escape_debug());
                let known = match self {
                    Self::AlloyProvisioner => "install, clone and catalog",
                    Self::AlloyHost => "catalog, resolve and validate",
                };
                return Err(CommandError::usage(message).hint(format!("the commands are {known}")));
            }
        };
        words.others.retain(|word| word != "--pull");
        // What those commands take as an argument.
        words.unflag("--repository");
        if matches!(command, "lock" | "check") {
            words.unflag("--blueprint-dir");
        }
        // What the existing tool resolves, and nothing else.
        let only = (command == "lock").then(|| OsString::from("--toolchains-only"));
        Ok(["alloy", command].map(OsString::from).into_iter().chain(only).chain(words.others).collect())
    }
}

/// A command line, taken apart.
struct Words {
    command: Option<String>,
    /// The others in their order, flags with two dashes.
    others: Vec<OsString>,
}

impl Words {
    fn of(typed: &[OsString]) -> Self {
        let mut words = Self { command: None, others: Vec::new() };
        let (mut value, mut verbatim) = (false, false);
        let mut valued = BTreeSet::from(["--repository".to_owned()]);
        let alloy = super::Cli::command();
        with_values(&alloy, &mut valued);
        alloy.get_subcommands().filter(|one| REACHED.contains(&one.get_name())).for_each(|one| {
            with_values(one, &mut valued);
            one.get_subcommands().for_each(|one| with_values(one, &mut valued));
        });
        for word in typed {
            let text = word.to_str().unwrap_or_default();
            if std::mem::take(&mut value) || verbatim || text == "--" {
                verbatim |= text == "--";
                words.others.push(word.clone());
            } else if text.starts_with('-') && text.len() > 1 {
                let flag = two_dashes(text);
                value = valued.contains(&flag);
                words.others.push(flag.into());
            } else if words.command.is_none() {
                words.command = Some(word.to_string_lossy().into_owned());
            } else {
                words.others.push(word.clone());
            }
        }
        words
    }

    /// `flag VALUE` and `flag=VALUE` become the value alone.
    fn unflag(&mut self, flag: &str) {
        let prefix = format!("{flag}=");
        self.others.retain(|word| word != flag);
        for word in &mut self.others {
            if let Some(value) = word.to_str().and_then(|text| text.strip_prefix(&prefix)) {
                *word = value.into();
            }
        }
    }
}

/// The flags of `command` that have a value behind them.
fn with_values(command: &clap::Command, flags: &mut BTreeSet<String>) {
    for option in command.get_arguments().filter(|one| one.get_action().takes_values()) {
        flags.extend(option.get_long().map(|long| format!("--{long}")));
        flags.extend(option.get_short().map(|short| format!("-{short}")));
    }
}

/// `-tag` as `--tag`; the old `-config` by its new name. `-h` and `-o` stay.
fn two_dashes(text: &str) -> String {
    let name = text.trim_start_matches('-');
    let long = name.len() > 1 && name.starts_with(|c: char| c.is_ascii_lowercase());
    match name {
        "config" => "--blueprint-dir".into(),
        _ => match name.strip_prefix("config=") {
            Some(value) => format!("--blueprint-dir={value}"),
            None if long => format!("--{name}"),
            None => text.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(line: &str) -> Result<String, CommandError> {
        let words = line.split(' ').map(OsString::from).collect();
        let words = arguments(words)?;
        Ok(words.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn what_users_of_the_tools_type() {
        for (typed, expected) in [
            ("alloy-provisioner install community/arm-none-eabi", "alloy install community/arm-none-eabi"),
            ("/usr/bin/alloy-provisioner install --blueprint-dir /bp", "alloy install --blueprint-dir /bp"),
            (
                "alloy-provisioner -blueprint-dir /bp -env-file .env",
                "alloy install --blueprint-dir /bp --env-file .env",
            ),
            ("alloy-provisioner install -blueprint-dir=/bp -dry-run", "alloy install --blueprint-dir=/bp --dry-run"),
            ("alloy-provisioner -config /bp", "alloy install --blueprint-dir /bp"),
            ("alloy-provisioner", "alloy install"),
            ("alloy-provisioner --docker install a/b:1", "alloy install --docker a/b:1"),
            ("alloy-provisioner -pull -repository a/nrf91 -tag 1.0", "alloy install a/nrf91 --tag 1.0"),
            ("alloy-provisioner -pull -repository=a/nrf91", "alloy install a/nrf91"),
            ("alloy-provisioner clone a/b:1 -o dir --list community", "alloy clone a/b:1 -o dir --list community"),
            (
                "alloy-provisioner -root /mnt -var A=b install -dry-run a/b",
                "alloy install --root /mnt --var A=b --dry-run a/b",
            ),
            ("alloy-provisioner -version", "alloy --version"),
            ("alloy-provisioner install -h", "alloy install -h"),
            ("alloy-provisioner catalog search arm", "alloy catalog search arm"),
            (
                "alloy-host catalog update -remote https://a.example/c",
                "alloy catalog update --remote https://a.example/c",
            ),
            ("alloy-host catalog info tool.python.west@stable", "alloy catalog info tool.python.west@stable"),
            ("alloy-host resolve", "alloy lock --toolchains-only"),
            ("alloy-host resolve -blueprint-dir /bp", "alloy lock --toolchains-only /bp"),
            ("alloy-host validate /bp", "alloy check /bp"),
            ("alloy-host", "alloy help"),
            ("alloy compat alloy-host validate", "alloy check"),
            ("./alloy compat alloy-provisioner -tag 1 install x", "alloy install --tag 1 x"),
            // Everything else is as it was: gcc has such flags, too.
            ("alloy run image gcc -print-search-dirs", "alloy run image gcc -print-search-dirs"),
            ("alloy compat", "alloy compat"),
            ("alloy compat other -tag", "alloy compat other -tag"),
        ] {
            assert_eq!(translated(typed).unwrap(), expected, "{typed}");
        }
    }

    #[test]
    fn what_alloy_does_not_do_is_said() {
        for (typed, expected) in [
            ("alloy-host up arm-dev", "`alloy-host up` is about virtual machines"),
            ("alloy-host frobnicate", "alloy-host has no command `frobnicate`"),
            ("alloy-provisioner resolve", "alloy-provisioner has no command `resolve`"),
        ] {
            let error = translated(typed).unwrap_err();
            assert!(error.message.starts_with(expected) && error.code() == 2 && !error.hints.is_empty(), "{error:?}");
        }
    }
}
