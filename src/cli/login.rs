//! `alloy login`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args as ClapArgs;

use super::context::{Global, RegistryArgs};
use super::error::CommandError;
use super::interrupt::{self, CtrlC};
use super::runtime::runtime;
use super::{password, ui};
use crate::event::Event;
use crate::registry::{Checked, Credentials, Reference};

/// Logs in to a registry, and stores the password if the registry accepts it
///
/// The password is stored where Docker, podman and skopeo find it: in $REGISTRY_AUTH_FILE, or else in config.json in
/// $DOCKER_CONFIG or ~/.docker. If that file names a credential helper (`credsStore` or `credHelpers`), the helper
/// stores it.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  alloy login registry.example
  printenv TOKEN | alloy login registry.example -u ann --password-stdin")]
pub(super) struct Args {
    /// The registry
    #[arg(value_name = "REGISTRY")]
    registry: String,
    /// The user who logs in [default: alloy asks]
    #[arg(long, short, value_name = "NAME")]
    username: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
    #[command(flatten)]
    options: RegistryArgs,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    let registry = named(&args.registry)?;
    if !(args.password_stdin || password::can_ask()) {
        return Err(CommandError::usage("there is no terminal to ask for a password on")
            .hint(format!("printenv TOKEN | alloy login {registry} -u NAME --password-stdin")));
    }
    let username = match &args.username {
        Some(username) => username.clone(),
        None if password::can_ask() => password::ask_name()?,
        None => return Err(CommandError::usage("who logs in?").hint("say so with --username NAME")),
    };
    if username.contains(':') {
        return Err(CommandError::usage(format!("a user name has no colon: {username}")));
    }
    let secret = if args.password_stdin { password::from_stdin()? } else { password::ask_password()? };

    let reporter = ui::reporter(global.progress, global.quiet, global.task_output);
    let runtime = runtime()?;
    interrupt::obey(&runtime, CtrlC::Ours)?;
    let registries = args.options.registries(Duration::from_secs(global.stall_timeout));
    if runtime.block_on(registries.check(&registry, &username, &secret))? == Checked::NotAsked {
        let text = format!("{registry} asks for no password: whether this one is right will show");
        reporter.event(Event::Warning(text));
    }
    let keychain = registries.keychain();
    let kept = keychain.store(&registry, &username, &secret)?;
    // What is asked first may be another file.
    let any: Option<Reference> = format!("{registry}/any").parse().ok();
    let found = any.map(|any| keychain.find(&any)).transpose()?;
    let ours = Credentials::Basic { username: username.clone(), password: secret };
    if let Some(other) = found.filter(|found| found.credentials != ours).and_then(|found| found.used) {
        reporter.event(Event::Warning(format!("{other} come first, and will be used")));
    }
    drop(reporter);
    ui::tell(&format!("logged in to {registry} as {username}; kept in {kept}\n"));
    Ok(ExitCode::SUCCESS)
}

/// A registry as people write it.
pub(super) fn named(text: &str) -> Result<String, CommandError> {
    let bare = text.trim_end_matches('/');
    let bare = bare.strip_prefix("https://").unwrap_or(bare);
    let registry = if bare == "index.docker.io" { "docker.io" } else { bare };
    let reference: Option<Reference> = format!("{registry}/any").parse().ok();
    match reference.filter(|any| any.names_registry() && any.registry == registry) {
        Some(_) => Ok(registry.to_owned()),
        None => {
            Err(CommandError::usage(format!("`{text}` is not a registry: HOST or HOST:PORT, with a dot or a port")))
        }
    }
}
