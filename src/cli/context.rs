//! Options that commands share, and the context that they ask for.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use layers::store::Store;

use super::credentials;
use super::error::{CommandError, Kind};
use super::heal;
use super::runtime::runtime;
use super::ui::{self, Progress, TaskOutput};
use crate::context::{Context, Reach};
use crate::event::{Event, Reporter};
use crate::fetch::Credentials;
use crate::git::Programs;
use crate::op::Secrets;
use crate::registry::{CertificateFiles, ConfigFiles, Keychain, Registries, Settings};
use crate::vars::Vars;

/// Options of every command
#[derive(Clone, Debug, Args)]
pub(super) struct Global {
    /// Where layers, images and downloads are kept [default: $XDG_DATA_HOME/alloy]
    #[arg(
        help_heading = "Options of every command",
        long,
        global = true,
        value_name = "DIR",
        env = "ALLOY_HOME",
        hide_env_values = true
    )]
    pub(super) store: Option<PathBuf>,
    /// How to show progress
    #[arg(
        help_heading = "Options of every command",
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "HOW"
    )]
    pub(super) progress: Progress,
    /// How much of the tasks' output to show; `alloy log` has all of it
    #[arg(
        help_heading = "Options of every command",
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "WHAT"
    )]
    pub(super) task_output: TaskOutput,
    /// Show warnings and errors only
    #[arg(help_heading = "Options of every command", long, short, global = true)]
    pub(super) quiet: bool,
    /// Give up on a server that has sent nothing, or less than 64 bytes a second, for this many seconds
    #[arg(help_heading = "Options of every command",
        long,
        global = true,
        value_name = "SECONDS",
        env = "ALLOY_STALL_TIMEOUT",
        hide_env_values = true,
        default_value_t = 60,
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    pub(super) stall_timeout: u64,
    /// Send this header to one server with every download, and to no other server: 'HOST[:PORT]: NAME: value'. The
    /// value may contain $VARIABLE; ALLOY_HEADERS holds one header a line
    #[arg(help_heading = "Options of every command", long, global = true, value_name = "HEADER")]
    pub(super) header: Vec<String>,
}

/// An option of commands that perform tasks
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Verbose {
    /// Show everything that tasks print, in the live view too: the same as --task-output all
    #[arg(long, short)]
    verbose: bool,
}

impl Verbose {
    /// The options of every command, as this one has them.
    pub(super) fn of(self, global: &Global) -> Global {
        let task_output = if self.verbose { TaskOutput::All } else { global.task_output };
        Global { task_output, ..global.clone() }
    }
}

/// Options of commands that reach registries
#[derive(Clone, Debug, Default, Args)]
pub(super) struct RegistryArgs {
    /// Use http for this registry, or https without verifying its certificate (registries on this machine may always
    /// use http)
    #[arg(help_heading = "Registries", long, value_name = "HOST[:PORT]")]
    pub(super) insecure_registry: Vec<String>,
    /// A file that names mirrors of registries, in the format of containers-registries.conf(5) [default:
    /// $CONTAINERS_REGISTRIES_CONF, ~/.config/containers/registries.conf, /etc/containers/registries.conf]
    #[arg(help_heading = "Registries", long, value_name = "FILE")]
    pub(super) registry_config: Option<PathBuf>,
    /// A directory with certificates for registries: CAs in *.crt, client certificates in *.cert with *.key [default:
    /// HOST[:PORT] in ~/.config/containers/certs.d, /etc/containers/certs.d, /etc/docker/certs.d]
    #[arg(help_heading = "Registries", long, value_name = "DIR")]
    pub(super) cert_dir: Option<PathBuf>,
    /// Who we are to one registry, whatever the credential files say.
    #[arg(skip)]
    pub(super) user: Option<User>,
}

/// A user of one registry.
#[derive(Clone)]
pub(super) struct User {
    pub(super) registry: String,
    pub(super) name: String,
    pub(super) password: String,
    /// Where that is from.
    pub(super) place: &'static str,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("registry", &self.registry).finish_non_exhaustive()
    }
}

impl RegistryArgs {
    /// Registries as these options and the environment say.
    pub(super) fn registries(&self, stall: Duration) -> Registries {
        let path = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let config_home = path("XDG_CONFIG_HOME").or_else(|| path("HOME").map(|home| home.join(".config")));
        let given = self.registry_config.clone().or_else(|| path("CONTAINERS_REGISTRIES_CONF"));
        let keychain = match self.user.clone() {
            Some(user) => keychain().with_user(&user.registry, user.name, user.password, user.place),
            None => keychain(),
        };
        Registries::new(Settings {
            keychain: keychain.patient(stall),
            insecure: self.insecure_registry.clone(),
            config: ConfigFiles { given, config_home: config_home.clone() },
            certificates: CertificateFiles { given: self.cert_dir.clone(), config_home },
            stall,
            vars: vars(),
        })
    }
}

/// Opens the store; nothing is deleted from it as long as the context lives. Commands that ask servers say how.
pub(super) fn open(global: &Global, registries: Option<&RegistryArgs>) -> Result<Context, CommandError> {
    let context = with(open_store(global)?, global, registries)?;
    context.hold(context.store.enter()?);
    // What the dead were writing. Whoever cannot delete it can work all the same.
    let _ = context.store.sweep_temporaries(false);
    Ok(context)
}

/// Opens the store to read what is in it. One that this user may only read, or that can only be read, will do;
/// nothing is made in it then.
pub(super) fn reading(global: &Global, registries: Option<&RegistryArgs>) -> Result<Context, CommandError> {
    let store = match open_store(global) {
        Ok(store) => store,
        Err(error) => Store::look(store_path(global)?).map_err(|_| error)?,
    };
    let context = with(store, global, registries)?;
    if let Some(lock) = context.store.enter_reading()? {
        context.hold(lock);
    }
    Ok(context)
}

/// The store as it is: nothing is made, locked or written.
pub(super) fn read_only(global: &Global, registries: Option<&RegistryArgs>) -> Result<Context, CommandError> {
    with(Store::look(store_path(global)?)?, global, registries)
}

/// A context without a lock of the store.
pub(super) fn with(store: Store, global: &Global, registries: Option<&RegistryArgs>) -> Result<Context, CommandError> {
    let reporter = ui::reporter(global.progress, global.quiet, global.task_output);
    if store.was_mended() {
        let told = format!("{} was damaged; it is written anew", store.root().join("version").display());
        reporter.event(Event::Warning(told));
    }
    heal::listen(&store, &reporter);
    let stall = Duration::from_secs(global.stall_timeout);
    let nobody = RegistryArgs::default().registries(stall);
    let reach = Reach { registries: nobody, credentials: Credentials::default(), stall, vars: vars() };
    let mut context = Context::new(store, reporter, runtime()?, reach);
    context.git = git_programs();
    registries.map_or(Ok(()), |registries| reach_servers(&mut context, global, registries))?;
    Ok(context)
}

/// From now on, servers are asked as these options say, and are told who this user is.
pub(super) fn reach_servers(
    context: &mut Context,
    global: &Global,
    registries: &RegistryArgs,
) -> Result<(), CommandError> {
    let credentials = credentials(global, context.reporter())?;
    context.reach(registries.registries(context.stall()), credentials);
    Ok(())
}

/// How whoever runs alloy has git start ssh.
pub(super) fn git_programs() -> Programs {
    let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    Programs { ssh_command: var("GIT_SSH_COMMAND"), ssh: var("GIT_SSH") }
}

/// Who this user is to servers of downloads. What lets them in is shown nowhere.
fn credentials(global: &Global, reporter: &Reporter) -> Result<Credentials, CommandError> {
    let known = credentials::read(&global.header, reporter)?;
    let mut hidden = Secrets::default();
    known.secrets().iter().for_each(|secret| hidden.hide(secret));
    ui::hide(&hidden);
    Ok(known)
}

/// Keeps a log from here on; `what` says of what.
pub(super) fn keep_log(context: &mut Context, what: &str) {
    if context.store.is_writable() {
        let reporter = context.reporter().clone();
        context.report_to(ui::logging(reporter, context.store.root(), what, jiff::Timestamp::now()));
    }
}

pub(super) fn open_store(global: &Global) -> Result<Store, CommandError> {
    Ok(Store::open(store_path(global)?)?)
}

pub(super) fn store_path(global: &Global) -> Result<PathBuf, CommandError> {
    if let Some(path) = &global.store {
        return Ok(path.clone());
    }
    let no_home = |_| {
        CommandError::new(Kind::Failed, "there is no home directory to keep layers in")
            .hint("name a directory with --store or ALLOY_HOME")
    };
    let base = etcetera::base_strategy::Xdg::new().map_err(no_home)?;
    let data = etcetera::BaseStrategy::data_dir(&base);
    // `sudo -E` keeps the home of whoever calls: what root made there would be in that user's way.
    let foreign = rustix::process::geteuid().is_root() && owner(&data).is_some_and(|owner| owner != 0);
    Ok(if foreign { Path::new(ROOTS).join("alloy") } else { data.join("alloy") })
}

/// Where root keeps data, whose home it is that the environment names.
const ROOTS: &str = "/root/.local/share";

/// Who owns the directory `path`, or the nearest one above that is there.
fn owner(path: &Path) -> Option<u32> {
    path.ancestors().find_map(|path| path.metadata().ok()).map(|found| found.uid())
}

/// The environment of this process.
pub(super) fn vars() -> Vars {
    Vars::new(std::env::vars_os())
}

/// The credentials of whoever runs alloy.
pub(super) fn keychain() -> Keychain {
    Keychain::of_this_user(|name| std::env::var(name).ok())
}
