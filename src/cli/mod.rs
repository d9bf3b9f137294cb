//! Commands: one file each. Results go to standard output, everything else to standard error through [`ui`].

#[macro_use]
pub mod ui;

mod actions;
mod amount;
mod attach;
mod build;
mod cache;
mod catalog;
mod check;
mod clone;
mod compat;
mod completions;
mod context;
mod credentials;
mod documents;
mod drift;
mod du;
mod env_file;
mod environment;
mod error;
mod exit_codes;
mod failure;
mod heal;
mod help;
mod hub;
mod image_name;
mod images;
mod inputs;
mod inspect;
mod install;
mod interrupt;
mod located;
mod lock;
mod log;
mod login;
mod logout;
mod man;
mod manifest;
mod meant;
mod outdated;
mod password;
mod place;
mod plan;
mod provenance;
mod prune;
mod publish;
mod pull;
mod push;
#[cfg(test)]
mod reference;
mod report;
mod room;
mod run;
mod runtime;
mod sbom;
mod schema;
mod ssh;
mod store;
mod tag;
mod team;
mod unknown;
mod verify;

use std::process::ExitCode;

use clap::{FromArgMatches, Parser, Subcommand};

use compat::Typed;
pub use error::{CommandError, Kind};

/// Builds OCI images from blueprints: daemonless, rootless, cached layer by layer
#[derive(Debug, Parser)]
#[command(name = "alloy", version, after_help = exit_codes::help(), max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: context::Global,
}

#[derive(Debug, Subcommand)]
enum Command {
    Build(build::Args),
    Plan(plan::Args),
    Install(install::Args),
    Drift(drift::Args),
    Verify(verify::Args),
    #[command(visible_alias = "resolve")]
    Lock(lock::Args),
    Outdated(outdated::Args),
    Check(check::Args),
    Actions(actions::Args),
    Schema(schema::Args),
    Push(push::Args),
    Pull(pull::Args),
    Publish(publish::Args),
    Clone(clone::Args),
    Login(login::Args),
    Logout(logout::Args),
    Manifest(manifest::Args),
    Sbom(sbom::Args),
    Provenance(provenance::Args),
    Run(run::Args),
    Images(images::Args),
    Du(du::Args),
    Tag(tag::TagArgs),
    #[command(visible_alias = "rmi")]
    Untag(tag::UntagArgs),
    Log(log::Args),
    Inspect(inspect::Args),
    Cache(cache::Args),
    Store(store::Args),
    Prune(prune::Args),
    Catalog(catalog::Args),
    Completions(completions::Args),
    Man(man::Args),
    Compat(compat::Args),
}

/// Variables that name places.
const PLACES: [&str; 5] =
    ["ALLOY_CACHE_FROM", "ALLOY_CACHE_TO", "ALLOY_CATALOG_REMOTE", "ALLOY_MIRROR", "ALLOY_REGISTRY"];

/// Parses the command line, runs the command, prints its failure, and gives the exit code.
pub fn main() -> ExitCode {
    let places = PLACES.iter().filter_map(|name| std::env::var(name).ok());
    ui::hide_given(std::env::args_os().map(|word| word.to_string_lossy().into_owned()).chain(places));
    let arguments = match compat::arguments(std::env::args_os().collect()) {
        Ok(Typed::Words(words)) => words,
        Ok(Typed::Answer(text)) => {
            ui::out(&text);
            return ended(Ok(ExitCode::SUCCESS));
        }
        Err(error) => {
            ui::failure(&error);
            return ExitCode::from(error.code());
        }
    };
    let words: Vec<String> = arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let parsed = help::command().try_get_matches_from(arguments);
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            if let Some(error) = unknown::command(&error).or_else(|| unknown::flag(&error, &words)) {
                return ended(Err(error));
            }
            let text = error.render();
            // Help and version are no errors.
            if !error.use_stderr() {
                ui::out(&if ui::color_out() { text.ansi().to_string() } else { text.to_string() });
                return ended(Ok(ExitCode::SUCCESS));
            }
            // It quotes what was given.
            ui::note(&if ui::color() { text.ansi().to_string() } else { text.to_string() });
            return ExitCode::from(Kind::Usage as u8);
        }
    };
    let global = &cli.global;
    ui::begin(global.progress, global.quiet);
    if let Err(error) = crate::sandbox::needed_calls() {
        return ended(Err(error.into()));
    }
    let result = match &cli.command {
        Command::Build(args) => heal::healed(|| build::run(args, global)),
        Command::Plan(args) => plan::run(args, global),
        Command::Install(args) => install::run(args, global),
        Command::Drift(args) => drift::run(args, global),
        Command::Verify(args) => heal::healed(|| verify::run(args, global)),
        Command::Lock(args) => heal::healed(|| lock::run(args, global)),
        Command::Outdated(args) => outdated::run(args, global),
        Command::Check(args) => check::run(args),
        Command::Actions(args) => actions::run(args),
        Command::Schema(args) => schema::run(args),
        Command::Push(args) => push::run(args, global),
        Command::Pull(args) => pull::run(args, global),
        Command::Publish(args) => publish::run(args, global),
        Command::Clone(args) => clone::run(args, global),
        Command::Login(args) => login::run(args, global),
        Command::Logout(args) => logout::run(args),
        Command::Manifest(args) => manifest::run(args, global),
        Command::Sbom(args) => sbom::run(args, global),
        Command::Provenance(args) => provenance::run(args, global),
        Command::Run(args) => heal::healed(|| run::run(args, global)),
        Command::Log(args) => log::run(args, global),
        Command::Images(args) => images::run(args, global),
        Command::Du(args) => du::run(args, global),
        Command::Tag(args) => tag::tag(args, global),
        Command::Untag(args) => tag::untag(args, global),
        Command::Inspect(args) => inspect::run(args, global),
        Command::Cache(args) => cache::run(args, global),
        Command::Store(args) => store::run(args, global),
        Command::Prune(args) => prune::run(args, global),
        Command::Catalog(args) => catalog::run(args, global),
        Command::Completions(args) => completions::run(args, help::command()),
        Command::Man(args) => man::run(args, help::command()),
        Command::Compat(args) => compat::run(args),
    };
    ended(result.map_err(|error| room::told(error, global).with_environment()))
}

/// The exit code for how a command ended, after its failure was printed.
fn ended(result: Result<ExitCode, CommandError>) -> ExitCode {
    let unprinted = ui::unprinted().map(|error| CommandError::new(Kind::Failed, format!("cannot print: {error}")));
    match result.and_then(|code| unprinted.map_or(Ok(code), Err)) {
        Ok(code) => code,
        Err(error) => {
            ui::failure(&error);
            ExitCode::from(error.code())
        }
    }
}
