//! What one process works with, whatever it is asked for: the store, held against `prune`; who hears of what happens; the
//! runtime; and the ways to servers. Every platform and every request of the process shares its connections, tokens
//! and trust.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use layers::store::{Lock, Store};

use crate::debian::Told;
use crate::event::Reporter;
use crate::fetch::{Credentials, Fetcher};
use crate::git::Programs;
use crate::registry::Registries;
use crate::ssh::Ssh;
use crate::tasks::Runtime;
use crate::vars::Vars;

/// How servers are reached, and who this user is to them.
pub struct Reach {
    /// Registries.
    pub registries: Registries,
    /// Who this user is to servers of downloads.
    pub credentials: Credentials,
    /// Without a byte for so long, a transfer counts as broken.
    pub stall: Duration,
    /// The environment: proxies, what commands are lent, and how they are confined.
    pub vars: Vars,
}

/// What one process works with.
pub struct Context {
    /// Layers, images, downloads and records.
    pub store: Store,
    /// Runs what waits for the network.
    pub runtime: Arc<Runtime>,
    /// The agent that commands that clone are lent.
    pub ssh: Option<Ssh>,
    /// How git starts ssh.
    pub git: Programs,
    reporter: Reporter,
    registries: Arc<Registries>,
    credentials: Credentials,
    stall: Duration,
    vars: Vars,
    fetcher: OnceLock<Fetcher>,
    told: Told,
    lock: Mutex<Option<Lock>>,
}

impl Context {
    /// A context that holds no lock of the store.
    pub fn new(store: Store, reporter: Reporter, runtime: Runtime, reach: Reach) -> Self {
        let Reach { registries, credentials, stall, vars } = reach;
        Self {
            store,
            runtime: Arc::new(runtime),
            ssh: None,
            git: Programs::default(),
            reporter,
            registries: Arc::new(registries),
            credentials,
            stall,
            vars,
            fetcher: OnceLock::new(),
            told: Told::default(),
            lock: Mutex::new(None),
        }
    }

    /// The same with another store, of which nothing is kept.
    #[must_use]
    pub fn elsewhere(&self, store: Store) -> Self {
        Self { store, ..self.beside() }
    }

    /// The same with other ways to registries.
    #[must_use]
    pub fn reaching(&self, registries: Registries) -> Self {
        Self { registries: Arc::new(registries), ..self.beside() }
    }

    /// From here on, servers are reached like this.
    pub fn reach(&mut self, registries: Registries, credentials: Credentials) {
        self.registries = Arc::new(registries);
        self.credentials = credentials;
        self.fetcher = OnceLock::new();
    }

    /// The same, without its lock.
    fn beside(&self) -> Self {
        Self {
            store: self.store.clone(),
            runtime: Arc::clone(&self.runtime),
            ssh: self.ssh.clone(),
            git: self.git.clone(),
            reporter: self.reporter.clone(),
            registries: Arc::clone(&self.registries),
            credentials: self.credentials.clone(),
            stall: self.stall,
            vars: self.vars.clone(),
            fetcher: OnceLock::new(),
            told: self.told.clone(),
            lock: Mutex::new(None),
        }
    }

    /// Who hears of what happens.
    pub fn reporter(&self) -> &Reporter {
        &self.reporter
    }

    /// From here on, `reporter` hears of what happens.
    pub fn report_to(&mut self, reporter: Reporter) {
        self.reporter = reporter;
        self.fetcher = OnceLock::new();
    }

    /// Holds the lock as long as this lives, or until another takes its place: nothing is deleted from the store meanwhile.
    pub fn hold(&self, lock: Lock) {
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = Some(lock);
    }

    /// Lets others delete from the store what nobody holds.
    pub fn leave(&self) {
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Registries.
    pub fn registries(&self) -> &Registries {
        &self.registries
    }

    /// Without a byte for so long, a transfer counts as broken.
    pub fn stall(&self) -> Duration {
        self.stall
    }

    /// The environment.
    pub fn vars(&self) -> &Vars {
        &self.vars
    }

    /// What was said of archives, which is not said again.
    pub fn told(&self) -> &Told {
        &self.told
    }

    /// A fetcher into the store, which says who this user is to the servers that the user names.
    pub fn fetcher(&self) -> &Fetcher {
        self.fetcher.get_or_init(|| {
            let (credentials, vars) = (self.credentials.clone(), self.vars.clone());
            Fetcher::new(self.store.clone(), self.reporter.clone(), self.stall, credentials, vars)
        })
    }
}

/// Seconds since 1970.
pub fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX)
}
