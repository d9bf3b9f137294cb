//! What is asked for: the values that another platform, or another blueprint, has others of.

use std::path::PathBuf;

use layers::compress::Compression;
use layers::store::Store;

use super::Resolver;
use super::kept::Kept;
use crate::cache::Team;
use crate::context::Context;
use crate::debian::BaseOptions;
use crate::fetch::Fetcher;
use crate::lock::ArchivePin;
use crate::plan::Platform;

/// What is asked for, and with which leave.
pub struct Request {
    /// What the image is for.
    pub platform: Platform,
    /// The context's fetcher, with what the blueprint and its lockfile add to it.
    pub fetcher: Fetcher,
    /// Where distributions are.
    pub archive: BaseOptions,
    /// How layers are compressed that are made from root file systems.
    pub compression: Compression,
    /// Ask again, whatever was learnt before.
    pub pull: bool,
    /// Refuse downloads that have no digest.
    pub locked: bool,
    /// What the lockfile says of a base that is made from packages.
    pub pin: Option<ArchivePin>,
    /// Where packages are that the archive has lost, as the lockfile says.
    pub mirror: Option<String>,
    /// The directory that a base on this machine has to be in; `None` where whoever runs alloy names the base.
    pub base_within: Option<PathBuf>,
    /// What of the mirror was needed.
    pub(super) kept: Kept,
    /// The store, as whoever trusts the team's key sees it.
    store: Store,
    /// Who shares caches.
    team: Team,
}

impl Request {
    /// A request for `platform` that pins nothing and shares nothing.
    pub fn new(context: &Context, platform: Platform) -> Self {
        Self {
            platform,
            fetcher: context.fetcher().clone(),
            archive: BaseOptions { told: context.told().clone(), ..BaseOptions::default() },
            compression: Compression::default(),
            pull: false,
            locked: false,
            pin: None,
            mirror: None,
            base_within: None,
            kept: Kept::new(context.reporter().clone()),
            store: context.store.clone(),
            team: Team::default(),
        }
    }

    /// Shares caches with `team`. What the store knows from others who were not asked for a signature, and what was
    /// made on top of that, is not known to those who ask for one.
    pub fn share(&mut self, team: Team) {
        self.store = team.believing(&self.store);
        self.team = team;
    }

    /// The team.
    pub fn team(&self) -> &Team {
        &self.team
    }

    /// Who resolves it.
    pub fn resolver<'a>(&'a self, context: &'a Context) -> Resolver<'a> {
        Resolver { context, request: self, store: &self.store, platform: &self.platform }
    }
}
