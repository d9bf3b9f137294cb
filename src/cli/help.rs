//! The first help: commands in groups, and how alloy is told what to do.

use clap::builder::Resettable;
use clap::{Arg, Command, CommandFactory};

use super::Cli;

/// By which key a team's entries must be signed.
const VERIFY_KEY: &str = "ALLOY_CACHE_VERIFY_KEY";

/// Headings, and the commands below each.
pub(super) const GROUPS: [(&str, &[&str]); 6] = [
    ("Build", &["build", "plan", "check", "lock", "outdated", "verify"]),
    ("Images", &["images", "run", "inspect", "sbom", "provenance", "tag", "untag", "manifest", "log"]),
    ("Share", &["push", "pull", "cache", "publish", "clone", "catalog", "login", "logout"]),
    ("Hosts", &["install", "drift"]),
    ("Upkeep", &["du", "prune", "store"]),
    ("Authors and shells", &["actions", "schema", "completions", "man", "compat"]),
];

/// The command line, with its commands in groups.
pub(super) fn command() -> Command {
    let command = Cli::command();
    let mut text = String::new();
    for (heading, names) in GROUPS {
        text += &format!("\n{heading}:\n");
        for name in names {
            let about = command.find_subcommand(name).and_then(Command::get_about).map(ToString::to_string);
            text += &format!("  {name:<12}{}\n", about.unwrap_or_default());
        }
    }
    let template = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n{text}\n`alloy COMMAND --help` says all of a command.\n\n\
         {{options}}{{after-help}}"
    );
    filled(command.help_template(template).arg_required_else_help(true))
}

/// Variables for which an empty value is none at all: CI services hand on empty what nobody has set. Of a key by which
/// others are to be trusted, that is an error: nobody wants to be without it by mistake.
fn filled(command: Command) -> Command {
    let empty = |arg: &Arg| {
        let name = arg.get_env().filter(|name| *name != VERIFY_KEY);
        name.and_then(std::env::var_os).is_some_and(|value| value.is_empty())
    };
    let command = command.mut_args(|arg| if empty(&arg) { arg.env(Resettable::Reset) } else { arg });
    command.mut_subcommands(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_one_group() {
        let command = Cli::command();
        let mut all: Vec<&str> =
            command.get_subcommands().filter(|one| !one.is_hide_set()).map(Command::get_name).collect();
        let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        all.sort_unstable();
        grouped.sort_unstable();
        assert_eq!(all, grouped);
        let help = super::command().render_help().to_string();
        assert!(help.contains("\nShare:\n  push        Pushes"), "{help}");
    }
}
