//! The builder's side of the image target.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use layers::apply::Absent;
use layers::compress::Compression;
use layers::digest::Digest;
use layers::ids::Exchange;
use layers::store::{Damage, LayerBlob, Store, WorkDir};

use super::Closure;
use super::facts::{FactsRequest, World};
use super::inventory::Inventory;
use super::layer::DEFAULT_EPOCH;
use super::lent::Lent;
use super::passing::Left;
use super::request::{FileSeen, Interactive, Outcome, Reply, Request, Setup, Unpack, Unpacked};
use super::stored::write_held;
use crate::debian::BasePlan;
use crate::op::{Source, Step};
use crate::sandbox::{Bind, Console, Identity, Mode, Needs, SandboxError, Worker, overlay_fits};
use crate::ssh::Loan;
use crate::vars::Vars;

mod reach;
use reach::Reach;

/// A worker at work in the store; ends with everything it runs and has mounted when dropped.
pub struct ImageTarget {
    worker: Worker,
    store: Store,
    vars: Vars,
    reach: Reach,
    // Held, so that no other build takes the directory for left over; deleted by the worker.
    work: WorkDir,
    finished: bool,
}

/// A build that fails leaves no directory behind, least of all on a full disk.
impl Drop for ImageTarget {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let path = self.work.path().to_owned();
        let removed = self.discard().and_then(|()| self.remove(vec![path.clone()]));
        if !matches!(removed, Err(RequestError::Sandbox(SandboxError::WorkerLost { .. }))) {
            return;
        }
        // Its worker was killed: another one may delete what only a worker may. That one has no heir.
        if let Ok(mut heir) = Self::begun(Starting::of(&self.store, &self.vars), true) {
            let own = heir.work.path().to_owned();
            let _ = heir.remove(vec![path, own]);
        }
    }
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The sandbox, or the worker as a process.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The store.
    #[error(transparent)]
    Store(#[from] layers::store::StoreError),
    /// A file that the worker was to write for its caller.
    #[error("cannot write it: {0}")]
    Unwritten(std::io::Error),
    /// The request itself.
    #[error("{message}")]
    Failed {
        /// What was wrong.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
}

/// What a worker is started for.
pub struct Starting<'a> {
    /// Where it has a directory of its own.
    pub store: &'a Store,
    /// The environment, which may say how it is confined.
    pub vars: &'a Vars,
    /// What this machine lends to all commands.
    pub lent: Lent,
    /// `SOURCE_DATE_EPOCH`.
    pub epoch: u64,
    /// What commands are lent besides.
    pub binds: &'a [Bind],
    /// Commands have the groups of who calls.
    pub keep_groups: bool,
}

impl<'a> Starting<'a> {
    /// For work without commands.
    pub fn of(store: &'a Store, vars: &'a Vars) -> Self {
        Self { store, vars, lent: Lent::default(), epoch: DEFAULT_EPOCH, binds: &[], keep_groups: false }
    }
}

impl ImageTarget {
    /// Starts a worker that runs no commands, with a directory of its own in `store`, and clears what killed builds left
    /// there.
    pub fn start(store: &Store, vars: &Vars) -> Result<Self, RequestError> {
        Self::start_lending(Starting::of(store, vars))
    }

    /// The same for commands.
    pub fn start_lending(starting: Starting<'_>) -> Result<Self, RequestError> {
        Self::begun(starting, false)
    }

    /// The same; one that is `finished` from the beginning leaves its directory to its caller, also where it fails.
    fn begun(starting: Starting<'_>, finished: bool) -> Result<Self, RequestError> {
        let Starting { store, vars, lent, epoch, binds, keep_groups } = starting;
        let work = store.work_dir()?;
        let worker = Worker::start(Needs { store: store.root(), work: work.path(), lent: binds, keep_groups, vars })?;
        let mut target =
            Self { worker, store: store.clone(), vars: vars.clone(), reach: Reach::default(), work, finished };
        let (there, work) = (target.below(store.root()), target.below(target.work.path()));
        let (binds, lent) = (lent.binds, Lent { binds: Vec::new(), ..lent });
        target.worker.send(&Setup { store: there, work, lent, epoch })?;
        target.reply(|_| ())?;
        let binds = target.reach_binds(binds)?;
        target.ask(&Request::Lend { binds })?;
        let stale = store.stale()?;
        if !stale.is_empty() {
            target.remove(stale.iter().map(|stale| stale.path.clone()).collect())?;
        }
        Ok(target)
    }

    /// How the worker is confined.
    pub fn mode(&self) -> Mode {
        self.worker.mode()
    }

    /// Why it is not confined by a user namespace, where that comes as a surprise.
    pub fn instead(&self) -> Option<&SandboxError> {
        self.worker.instead()
    }

    fn reply(&mut self, output: impl FnMut(Vec<u8>)) -> Result<Reply, RequestError> {
        match self.worker.receive(output)? {
            Reply::Error { message, hint, unfit, damage } => {
                damage.into_iter().for_each(|damage| self.store.note_damage(damage));
                Err(match self.failed(&message, hint) {
                    RequestError::Failed { message, hint } if unfit => SandboxError::Unfit { message, hint }.into(),
                    error => error,
                })
            }
            Reply::Unwritten(errno) => Err(RequestError::Unwritten(std::io::Error::from_raw_os_error(errno))),
            reply => Ok(reply),
        }
    }

    fn ask(&mut self, request: &Request) -> Result<Reply, RequestError> {
        self.worker.send(request)?;
        self.reply(|_| ())
    }

    /// The worker's process id.
    pub fn id(&self) -> u32 {
        self.worker.id()
    }

    /// Unpacks layers, lowest first, into trees.
    pub fn unpack(&mut self, layers: Vec<Unpack>) -> Result<Unpacked, RequestError> {
        // Trees are for overlays: what cannot be is told before they are made.
        overlay_fits(self.store.root())?;
        match self.ask(&Request::Unpack { layers })? {
            Reply::Unpacked(unpacked) => Ok(unpacked),
            other => Err(unexpected(&other)),
        }
    }

    /// An error if this machine does not let commands be run.
    pub fn try_out(&mut self) -> Result<(), RequestError> {
        overlay_fits(self.store.root())?;
        self.ask(&Request::Try).map(drop)
    }

    /// Keeps `trees` for as long as this lives, also where others delete what they do not need.
    pub fn keep(&self, trees: &[String]) -> Result<(), RequestError> {
        Ok(self.work.uses(trees)?)
    }

    /// Begins a layer on `trees`, topmost first.
    pub fn begin(&mut self, trees: Vec<String>, env: BTreeMap<String, String>) -> Result<(), RequestError> {
        overlay_fits(self.store.root())?;
        self.ask(&Request::Begin { trees, env, lending: true, ids: Exchange::default(), bare: false }).map(drop)
    }

    /// The same on nothing, for a base that makes all its directories itself.
    pub fn begin_base(&mut self) -> Result<(), RequestError> {
        overlay_fits(self.store.root())?;
        let (trees, env, ids) = (Vec::new(), BTreeMap::new(), Exchange::default());
        self.ask(&Request::Begin { trees, env, lending: true, ids, bare: true }).map(drop)
    }

    /// The same, for commands to which this machine lends nothing.
    pub fn begin_alone(&mut self, trees: Vec<String>, env: BTreeMap<String, String>) -> Result<(), RequestError> {
        overlay_fits(self.store.root())?;
        self.ask(&Request::Begin { trees, env, lending: false, ids: Exchange::default(), bare: false }).map(drop)
    }

    /// The same on trees in which `ids` have changed places, as they do for commands.
    pub fn begin_exchanged(
        &mut self,
        trees: Vec<String>,
        env: BTreeMap<String, String>,
        ids: Exchange,
    ) -> Result<(), RequestError> {
        self.ask(&Request::Begin { trees, env, lending: true, ids, bare: false }).map(drop)
    }

    /// Who `user[:group]` is in the layer that was begun.
    pub fn identity(&mut self, user: &str) -> Result<Identity, RequestError> {
        match self.ask(&Request::Identity { user: user.to_owned() })? {
            Reply::Identity(identity) => Ok(identity),
            other => Err(unexpected(&other)),
        }
    }

    /// The build's own directory, which nobody else on the machine may enter.
    pub fn work(&self) -> &Path {
        self.work.path()
    }

    /// Performs a step; its commands are lent the agent `ssh`, those that clone or all. What they print goes to `output`.
    pub fn perform(
        &mut self,
        step: &Step,
        files: Vec<(Source, PathBuf)>,
        ssh: Option<Loan>,
        output: impl FnMut(Vec<u8>),
    ) -> Result<Outcome, RequestError> {
        let files = self.reach_files(files)?;
        // It lies in the build's own directory, which the worker reaches.
        let ssh = ssh.map(|loan| {
            let socket = self.below(&loan.socket);
            loan.found_at(socket)
        });
        self.worker.send(&Request::Perform { step: Box::new(step.clone()), files, ssh })?;
        match self.reply(output)? {
            Reply::Step(outcome) => Ok(outcome),
            other => Err(unexpected(&other)),
        }
    }

    /// What apt would install now in the layer that was begun; what it prints on its way there goes to `output`.
    pub fn closure(
        &mut self,
        (packages, debs): (&[String], &[Source]),
        recommends: bool,
        files: Vec<(Source, PathBuf)>,
        output: impl FnMut(Vec<u8>),
    ) -> Result<Closure, RequestError> {
        let files = self.reach_files(files)?;
        let (packages, debs) = (packages.to_vec(), debs.to_vec());
        self.worker.send(&Request::Closure { packages, debs, files, recommends })?;
        match self.reply(output)? {
            Reply::Closure(closure) => Ok(closure),
            other => Err(unexpected(&other)),
        }
    }

    /// The files that a directory of the layer that was begun has, and those of directories in it.
    pub fn look(&mut self, directory: PathBuf) -> Result<Vec<FileSeen>, RequestError> {
        match self.ask(&Request::Look { directory })? {
            Reply::Files(files) => Ok(files),
            other => Err(unexpected(&other)),
        }
    }

    /// Looks at the world in the layer that was begun.
    pub fn facts(&mut self, request: FactsRequest) -> Result<World, RequestError> {
        match self.ask(&Request::Facts(Box::new(request)))? {
            Reply::World(world) => Ok(world),
            other => Err(unexpected(&other)),
        }
    }

    /// The packages in the layer that was begun, and below.
    pub fn inventory(&mut self) -> Result<Inventory, RequestError> {
        match self.ask(&Request::Inventory)? {
            Reply::Inventory(inventory) => Ok(*inventory),
            other => Err(unexpected(&other)),
        }
    }

    /// Makes a base from packages.
    pub fn assemble(&mut self, plan: &BasePlan, debs: Vec<PathBuf>) -> Result<(), RequestError> {
        let debs = self.reach_each(debs)?;
        self.ask(&Request::Assemble { plan: Box::new(plan.clone()), debs }).map(drop)
    }

    /// Stores a directory of this machine as a layer; `None` when it is empty.
    pub fn capture(&mut self, source: &impl AsFd, compression: Compression) -> Result<Option<LayerBlob>, RequestError> {
        if self.mode() == Mode::Mapped {
            // Its owners are the machine's, and only root of the machine may read all of it.
            let failed = |error: super::TargetError| RequestError::Failed { message: error.told(), hint: error.hint() };
            return write_held(&self.store, source, compression).map_err(failed);
        }
        self.worker.send_descriptor(&Request::Capture { compression }, source)?;
        match self.reply(|_| ())? {
            Reply::Layer(layer) => Ok(layer),
            other => Err(unexpected(&other)),
        }
    }

    /// Writes the root file system that layers make up, lowest first, as a tar to `file`. Gives what of them is not in it.
    pub fn export(&mut self, blobs: Vec<Digest>, file: &impl AsFd) -> Result<Absent, RequestError> {
        self.worker.send_descriptor(&Request::Export { blobs }, file)?;
        match self.reply(|_| ())? {
            Reply::Exported(absent) => Ok(absent),
            other => Err(unexpected(&other)),
        }
    }

    /// What tasks have put where no layer has anything.
    pub fn left(&mut self) -> Result<Left, RequestError> {
        match self.ask(&Request::Left)? {
            Reply::Left(left) => Ok(left),
            other => Err(unexpected(&other)),
        }
    }

    /// Ends the layer and stores it; `None` when nothing was changed.
    pub fn commit(&mut self, compression: Compression, mtime_max: u64) -> Result<Option<LayerBlob>, RequestError> {
        match self.ask(&Request::Commit { compression, mtime_max })? {
            Reply::Layer(layer) => Ok(layer),
            other => Err(unexpected(&other)),
        }
    }

    /// Ends the layer and forgets it.
    pub fn discard(&mut self) -> Result<(), RequestError> {
        self.ask(&Request::Discard).map(drop)
    }

    /// True if `user` has a login shell in the layer that was begun.
    pub fn has_shell(&mut self, user: &str) -> Result<bool, RequestError> {
        match self.ask(&Request::HasShell { user: user.to_owned() })? {
            Reply::Is(so) => Ok(so),
            other => Err(unexpected(&other)),
        }
    }

    /// The environment of a login shell in the layer that was begun, and what its profiles said.
    pub fn login_environment(&mut self, user: &str) -> Result<(BTreeMap<String, String>, String), RequestError> {
        match self.ask(&Request::LoginEnvironment { user: user.to_owned() })? {
            Reply::Environment { env, said } => Ok((env, said)),
            other => Err(unexpected(&other)),
        }
    }

    /// Runs a command on the terminal; returns its exit code.
    pub fn run(&mut self, run: Interactive) -> Result<i32, RequestError> {
        let user = self.identity(&run.user)?;
        let binds = self.reach_all(run.binds, &user, run.as_caller)?;
        let failed = |error| SandboxError::setup("lend input and output to commands", error);
        self.worker.share_pipes().map_err(failed)?;
        let mut console = Console::open().map_err(failed)?;
        let request = Request::Run(Box::new(Interactive { binds, terminal: console.is_some(), ..run }));
        match &mut console {
            Some(console) => self.worker.send_descriptor(&request, &console.theirs().map_err(failed)?)?,
            None => self.worker.send(&request)?,
        }
        let reply = self.reply(|_| ());
        // First, the terminal is as it was.
        drop(console);
        match reply? {
            Reply::Exit(code) => Ok(code),
            other => Err(unexpected(&other)),
        }
    }

    /// Looks at trees, each with the layer that its content is compared with; those that are damaged are put aside if
    /// `repair`. Gives what is wrong.
    pub fn examine_trees(
        &mut self,
        trees: Vec<(String, Option<Digest>)>,
        repair: bool,
    ) -> Result<Vec<Damage>, RequestError> {
        match self.ask(&Request::ExamineTrees { trees, repair })? {
            Reply::Damage(damage) => {
                damage.iter().filter(|_| repair).for_each(|damage| self.store.note_damage(damage.clone()));
                Ok(damage)
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Deletes directories of the store.
    pub fn remove(&mut self, paths: Vec<PathBuf>) -> Result<(), RequestError> {
        let paths = paths.iter().map(|path| self.below(path)).collect();
        self.ask(&Request::Remove { paths }).map(drop)
    }

    /// Deletes the build's directory and ends the worker.
    pub fn finish(mut self) -> Result<(), RequestError> {
        let path = self.work.path().to_owned();
        self.finished = true;
        self.remove(vec![path])
    }
}

fn unexpected(reply: &Reply) -> RequestError {
    RequestError::Failed { message: format!("the worker answered out of turn: {reply:?}"), hint: None }
}
