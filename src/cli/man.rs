//! `alloy man`.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, Args as ClapArgs, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::environment::VARIABLES;
use super::error::{CommandError, Kind};
use crate::sink::{Sink, Staged};

/// Where alloy keeps and finds things: places, and what is there.
pub(super) const FILES: [(&str, &str); 7] = [
    ("$XDG_DATA_HOME/alloy, ~/.local/share/alloy", "The store: layers, images, downloads, logs, the catalog."),
    ("manifest.yml, *.yml, alloy.lock.yml", "A blueprint: its manifest, its task files, what its names are pinned to."),
    ("alloy.state.yml", "What an installation has done; `alloy install --state` names another."),
    ("$XDG_CONFIG_HOME/alloy/config.yml", "Headers of downloads, by the server they are for."),
    ("~/.docker/config.json, $XDG_RUNTIME_DIR/containers/auth.json", "Credentials of registries."),
    ("~/.ssh/known_hosts, /etc/ssh/ssh_known_hosts", "Hosts whose keys are known, for `--ssh`."),
    ("/etc/subuid, /etc/subgid", "Ids that an ordinary user may give to files of images."),
];

/// Writes man pages: one for alloy, and one for each command
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example: alloy man ~/.local/share/man/man1")]
pub(super) struct Args {
    /// The directory to write them to; it is created if it does not exist
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

pub(super) fn run(args: &Args, command: Command) -> Result<ExitCode, CommandError> {
    let failed =
        |error| CommandError::new(Kind::Failed, format!("cannot write to {}: {error}", args.directory.display()));
    fs::create_dir_all(&args.directory).map_err(failed)?;
    let staged = Staged::within(&args.directory, OsStr::new("man")).map_err(failed)?;
    // Those that clap adds say only how to ask for others.
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    collect(&command, "alloy", &mut pages).map_err(failed)?;
    for (name, text) in &pages {
        fs::write(staged.path().join(name), text).map_err(failed)?;
    }
    for (name, text) in &pages {
        Sink::at(&args.directory.join(name))?.write_all(text)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The pages of a command and of those below it.
fn collect(command: &Command, name: &str, pages: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    pages.push((format!("{name}.1"), page(command, name)?));
    for one in command.get_subcommands().filter(|one| !one.is_hide_set()) {
        collect(one, &format!("{name}-{}", one.get_name()), pages)?;
    }
    Ok(())
}

fn page(command: &Command, name: &str) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone().display_name(name.to_owned()).version(env!("CARGO_PKG_VERSION"))).title(name);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    synopsis(command, name).to_writer(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.get_subcommands().next().is_some() {
        man.render_subcommands_section(&mut page)?;
    }
    after(command).to_writer(&mut page)?;
    if name == "alloy" {
        environment().to_writer(&mut page)?;
        let mut files = Roff::new();
        files.control("SH", ["FILES"]);
        for (place, what) in FILES {
            entry(&mut files, place, what);
        }
        files.to_writer(&mut page)?;
    } else {
        variables(command).to_writer(&mut page)?;
    }
    related(command, name).to_writer(&mut page)?;
    man.render_version_section(&mut page)?;
    Ok(page)
}

/// An item of a list.
fn entry(roff: &mut Roff, what: &str, text: &str) {
    roff.control("TP", []).text([bold(what)]).text([roman(text)]);
}

/// All options with what they take.
fn synopsis(command: &Command, name: &str) -> Roff {
    let shown = |arg: &&Arg| !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str());
    let mut line = vec![bold(name.replacen('-', " ", name.matches('-').count())), roman(" ")];
    for arg in command.get_arguments().filter(shown) {
        let values: Vec<String> = arg.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect();
        let takes = arg.get_action().takes_values();
        let values = if takes { values.join(" ") } else { String::new() };
        let many = matches!(arg.get_action(), clap::ArgAction::Append)
            || arg.get_num_args().is_some_and(|n| n.max_values() > 1);
        let dots = if many { "…" } else { "" };
        let (open, close) = if arg.is_required_set() { ("", " ") } else { ("[", "] ") };
        line.push(roman(open));
        match (arg.get_long(), arg.get_short()) {
            (Some(long), _) => line.push(bold(format!("--{long}"))),
            (None, Some(short)) => line.push(bold(format!("-{short}"))),
            (None, None) => line.push(roman(values.clone())),
        }
        if takes && !arg.is_positional() {
            let equals = if arg.is_require_equals_set() { "=" } else { " " };
            line.push(roman(format!("{equals}{values}")));
        }
        line.push(roman(format!("{dots}{close}")));
    }
    if command.get_subcommands().next().is_some() {
        line.push(roman("COMMAND"));
    }
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]).text(line);
    roff
}

/// What the help ends with, under its own name.
fn after(command: &Command) -> Roff {
    let mut roff = Roff::new();
    let Some(text) = command.get_after_long_help().or_else(|| command.get_after_help()) else { return roff };
    let text = text.to_string();
    let heading = match text.split([' ', ':', '\n']).next() {
        Some("Example" | "Examples") => "EXAMPLES",
        Some("Exit") => "EXIT STATUS",
        _ => "NOTES",
    };
    let text = text.strip_prefix("Examples:\n").or_else(|| text.strip_prefix("Exit codes:\n")).unwrap_or(&text);
    roff.control("SH", [heading]).control("nf", []);
    for line in text.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff
}

/// All variables of the environment.
fn environment() -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["ENVIRONMENT"]);
    for variables in &VARIABLES {
        entry(&mut roff, &variables.names.join(", "), variables.meaning);
    }
    roff
}

/// Variables of the environment that stand for options.
fn variables(command: &Command) -> Roff {
    let mut roff = Roff::new();
    let all = command.get_arguments().filter_map(|arg| Some((arg.get_env()?.to_string_lossy().into_owned(), arg)));
    let mut all: Vec<(String, &Arg)> = all.collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    if all.is_empty() {
        return roff;
    }
    roff.control("SH", ["ENVIRONMENT"]);
    for (name, arg) in all {
        let option = arg.get_long().map_or_else(|| arg.get_id().to_string(), |long| format!("--{long}"));
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        entry(&mut roff, &name, &format!("Stands for {option}: {help}."));
    }
    roff
}

/// Pages beside this one.
fn related(command: &Command, name: &str) -> Roff {
    let mut pages: Vec<String> = command
        .get_subcommands()
        .filter(|one| !one.is_hide_set())
        .map(|one| format!("{name}-{}(1)", one.get_name()))
        .collect();
    if let Some((above, _)) = name.rsplit_once('-') {
        pages.insert(0, format!("{above}(1)"));
    }
    let mut roff = Roff::new();
    if !pages.is_empty() {
        roff.control("SH", ["SEE ALSO"]).text([roman(pages.join(", "))]);
    }
    roff
}
