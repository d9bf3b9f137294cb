//! What all commands share: the store, the reporter, the means to reach the network.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use layers::compress::Compression;
use layers::store::{Lock, Store};

use super::credentials;
use super::error::{CommandError, Kind};
use super::heal;
use super::runtime::runtime;
use super::ui::{self, Progress, TaskOutput};
use crate::cache::Team;
use crate::debian::{BaseOptions, Told};
use crate::event::{Event, Reporter};
use crate::fetch::{Credentials, Fetcher};
use crate::lock::ArchivePin;
use crate::op::Secrets;
use crate::plan::Platform;
use crate::registry::{CertificateFiles, ConfigFiles, Keychain, Registries, Settings};
use crate::resolve::{Kept, Resolver};
use crate::ssh::Ssh;
use crate::tasks::Runtime;

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
    /// How progress is shown
    #[arg(
        help_heading = "Options of every command",
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "HOW"
    )]
    pub(super) progress: Progress,
    /// What is shown of what tasks print; `alloy log` has all of it
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
    /// After so many seconds without a byte, or with less than 64 bytes a second, a server counts as gone
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
    /// Sent with downloads from that server, and to no other one: 'HOST[:PORT]: NAME: value', which may hold $VARIABLE;
    /// ALLOY_HEADERS has one a line
    #[arg(help_heading = "Options of every command", long, global = true, value_name = "HEADER")]
    pub(super) header: Vec<String>,
}

/// An option of commands that perform tasks
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Verbose {
    /// Show all that tasks print, in the live view as well: --task-output all
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
    /// Speak http to this registry, or https with any certificate (http to those on this machine needs no leave)
    #[arg(help_heading = "Registries", long, value_name = "HOST[:PORT]")]
    pub(super) insecure_registry: Vec<String>,
    /// Mirrors, as containers-registries.conf(5) has them [default: $CONTAINERS_REGISTRIES_CONF,
    /// ~/.config/containers/registries.conf, /etc/containers/registries.conf]
    #[arg(help_heading = "Registries", long, value_name = "FILE")]
    pub(super) registry_config: Option<PathBuf>,
    /// Certificates for registries: *.crt, and *.cert with *.key [default: HOST[:PORT] in ~/.config/containers/certs.d,
    /// /etc/containers/certs.d, /etc/docker/certs.d]
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
        })
    }
}

/// An open store and who reports.
pub(super) struct Context {
    pub(super) store: Store,
    pub(super) reporter: Reporter,
    pub(super) runtime: Runtime,
    pub(super) stall: Duration,
    /// The agent that commands that clone are lent.
    pub(super) ssh: Option<Ssh>,
    /// What was said of archives.
    told: Told,
    headers: Vec<String>,
    /// Who this user is to servers of downloads, once that was looked for.
    credentials: OnceLock<Credentials>,
    lock: Mutex<Option<Lock>>,
}

impl Context {
    /// Opens the store; nothing is deleted from it as long as this lives.
    pub(super) fn open(global: &Global) -> Result<Self, CommandError> {
        let context = Self::with(open_store(global)?, global)?;
        context.hold(context.store.enter()?);
        // What the dead were writing. Whoever cannot delete it can work all the same.
        let _ = context.store.sweep_temporaries(false);
        Ok(context)
    }

    /// Opens the store to read what is in it. One that this user may only read, or that can only be read, will do;
    /// nothing is made in it then.
    pub(super) fn reading(global: &Global) -> Result<Self, CommandError> {
        let store = match open_store(global) {
            Ok(store) => store,
            Err(error) => Store::look(store_path(global)?).map_err(|_| error)?,
        };
        let context = Self::with(store, global)?;
        if let Some(lock) = context.store.enter_reading()? {
            context.hold(lock);
        }
        Ok(context)
    }

    /// The store as it is: nothing is made, locked or written.
    pub(super) fn read_only(global: &Global) -> Result<Self, CommandError> {
        Self::with(Store::look(store_path(global)?)?, global)
    }

    /// A context without a lock of the store.
    pub(super) fn with(store: Store, global: &Global) -> Result<Self, CommandError> {
        let reporter = ui::reporter(global.progress, global.quiet, global.task_output);
        if store.was_mended() {
            let told = format!("{} was damaged; it is written anew", store.root().join("version").display());
            reporter.event(Event::Warning(told));
        }
        heal::listen(&store, &reporter);
        let stall = Duration::from_secs(global.stall_timeout);
        let (headers, credentials, lock) = (global.header.clone(), OnceLock::new(), Mutex::new(None));
        let told = Told::default();
        Ok(Self { store, reporter, runtime: runtime()?, stall, ssh: None, told, headers, credentials, lock })
    }

    /// The same with another store, of which nothing is kept.
    pub(super) fn elsewhere(&self, store: Store) -> Result<Self, CommandError> {
        Ok(Self {
            store,
            reporter: self.reporter.clone(),
            runtime: runtime()?,
            stall: self.stall,
            ssh: self.ssh.clone(),
            told: self.told.clone(),
            headers: self.headers.clone(),
            credentials: self.credentials.clone(),
            lock: Mutex::new(None),
        })
    }

    /// Keeps a log from here on; `what` says of what.
    pub(super) fn keep_log(&mut self, what: &str) {
        if self.store.is_writable() {
            let reporter = self.reporter.clone();
            self.reporter = ui::logging(reporter, self.store.root(), what, jiff::Timestamp::now());
        }
    }

    /// Holds the lock as long as this lives, or until another takes its place.
    pub(super) fn hold(&self, lock: Lock) {
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = Some(lock);
    }

    /// Lets others delete from the store what nobody holds.
    pub(super) fn leave(&self) {
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// A fetcher into the store, which says who this user is to the servers that the user names.
    pub(super) fn fetcher(&self, secrets: Secrets, allow_file_urls: bool) -> Result<Fetcher, CommandError> {
        let known = match self.credentials.get() {
            Some(known) => known.clone(),
            None => {
                let read = credentials::read(&self.headers, &self.reporter)?;
                let mut hidden = Secrets::default();
                read.secrets().iter().for_each(|secret| hidden.hide(secret));
                ui::hide(&hidden);
                read
            }
        };
        let known = self.credentials.get_or_init(|| known).clone();
        Ok(Fetcher::new(self.store.clone(), self.reporter.clone(), secrets, allow_file_urls, self.stall, known))
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

/// Seconds since 1970.
pub(super) fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX)
}

/// The credentials of whoever runs alloy.
pub(super) fn keychain() -> Keychain {
    Keychain::of_this_user(|name| std::env::var(name).ok())
}

/// What resolving needs beside the store.
pub(super) struct Network<'a> {
    context: &'a Context,
    pub(super) fetcher: Fetcher,
    registries: Registries,
    pub(super) archive: BaseOptions,
    platform: Platform,
    pub(super) compression: Compression,
    /// Ask again, whatever was learnt before.
    pub(super) pull: bool,
    /// Refuse what nothing pins.
    pub(super) locked: bool,
    /// What the lockfile says of a base that is made from packages.
    pub(super) pin: Option<ArchivePin>,
    /// Where packages are that the archive has lost, as the lockfile says.
    pub(super) mirror: Option<String>,
    /// What of it was needed.
    kept: Kept,
    /// The directory that a base on this machine has to be in; `None` where the command line names it.
    pub(super) base_within: Option<PathBuf>,
    /// The store, as whoever trusts the team's key sees it.
    store: Store,
    /// Who shares caches.
    team: Team,
}

impl<'a> Network<'a> {
    pub(super) fn new(context: &'a Context, args: &RegistryArgs, platform: Platform) -> Result<Self, CommandError> {
        let fetcher = context.fetcher(Secrets::default(), false)?;
        let archive = BaseOptions { told: context.told.clone(), ..BaseOptions::default() };
        let registries = args.registries(context.stall);
        let (compression, team) = (Compression::default(), Team::default());
        Ok(Self {
            context,
            store: context.store.clone(),
            fetcher,
            registries,
            archive,
            platform,
            compression,
            pull: false,
            locked: false,
            pin: None,
            mirror: None,
            kept: Kept::default(),
            base_within: None,
            team,
        })
    }

    /// Shares caches with `team`. What the store knows from others who were not asked for a signature, and what was
    /// made on top of that, is not known to those who ask for one.
    pub(super) fn share(&mut self, team: Team) {
        self.store = team.believing(&self.context.store);
        self.team = team;
    }

    /// The team.
    pub(super) fn team(&self) -> &Team {
        &self.team
    }

    pub(super) fn resolver(&'a self) -> Resolver<'a> {
        Resolver {
            store: &self.store,
            fetcher: &self.fetcher,
            runtime: self.context.runtime.handle(),
            reporter: &self.context.reporter,
            registries: &self.registries,
            archive: &self.archive,
            platform: &self.platform,
            compression: self.compression,
            pull: self.pull,
            locked: self.locked,
            pin: self.pin.as_ref(),
            mirror: self.mirror.as_deref(),
            kept: &self.kept,
            base_within: self.base_within.as_deref(),
            team: &self.team,
            ssh: self.context.ssh.as_ref(),
            now: now(),
        }
    }
}

impl Drop for Network<'_> {
    /// Says what servers have lost.
    fn drop(&mut self) {
        let mirror = self.mirror.as_deref().unwrap_or_default();
        for (server, files) in self.kept.sums() {
            let files = ui::count(files, "file");
            self.context.reporter.event(Event::Note(format!("{files} of {server} came from {mirror}")));
        }
    }
}
