//! One layer while it is being made: the mounted overlay, what commands in it see, and its end.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use layers::compress::Compression;
use layers::diff::DiffOptions;
use layers::digest::Digest;
use layers::ids::Exchange;
use layers::root::{FileKind, Root};
use layers::store::{LayerBlob, Store, layer_tree};

use super::TargetError;
use super::accounts::Account;
use super::apt::Archived;
use super::aptcache::AptCache;
use super::lent::{Lent, PLACE, SSH};
use super::passing::{Left, Passing, really};
use super::request::Interactive;
use super::scratch::{APT_CONF_PATH, Scratch};
use super::site::Site;
use super::stored::write_layer;
use super::surroundings::Surroundings;
use crate::op::{DEFAULT_PATH, Step};
use crate::sandbox::{Bind, Identity, Overlay, RunSpec, SandboxError, Stdio, spawn, spawn_on};
use crate::ssh::{Loan, SOCKET};

/// Seconds since 1970 that programs of a build are told it is, unless `SOURCE_DATE_EPOCH` says otherwise.
pub const DEFAULT_EPOCH: u64 = 1_577_836_800;

/// A layer that was begun.
pub struct Layer {
    overlay: Overlay,
    lowers: Vec<PathBuf>,
    scratch: Scratch,
    /// Scratch space is mounted already, for file operations as well as for commands.
    placed: bool,
    /// `/run` of commands is not the image's.
    apart: bool,
    passing: Passing,
    root: Root,
    env: BTreeMap<String, String>,
    lent: Lent,
    apt: Option<AptCache>,
    index: Option<Digest>,
    offline: bool,
    ids: Exchange,
    epoch: String,
    /// Those that were told of.
    sockets: BTreeSet<PathBuf>,
    /// The agent that commands of the step may be lent.
    ssh: Option<Loan>,
    /// The same, while one of them is lent it.
    agent: Option<Bind>,
}

impl Layer {
    /// Mounts `lowers`, topmost first, with everything that changes below `path`, which must not exist.
    pub fn begin(path: PathBuf, lowers: &[PathBuf], surroundings: Surroundings) -> Result<Self, TargetError> {
        let Surroundings { env, lent, apt, index, epoch } = surroundings;
        let epoch = epoch.to_string();
        let scratch = Scratch::create(path, &lent).map_err(TargetError::scratch)?;
        let overlay = Overlay::mount(lowers, scratch.path())?;
        let root = Root::open(overlay.merged())?;
        // Files that a task places there are for the commands that follow. A base that is still to be made has no such
        // directories, and has to make its own.
        let placed = ["tmp", "run"].iter().all(|name| root.exists(Path::new(name)).unwrap_or_default());
        // Where a link of the image's leads, nothing is left out.
        let apart = !placed || root.metadata(Path::new("run"))?.kind != FileKind::Directory;
        if placed {
            scratch.binds(apart).iter().try_for_each(|bind| overlay.lend(bind))?;
        }
        let run = if apart { scratch.path() } else { overlay.upper() };
        let passing = Passing::new(scratch.path().join("tmp"), run.join("run"));
        let (lowers, offline, ids) = (lowers.to_vec(), false, Exchange::default());
        let sockets = BTreeSet::new();
        let (ssh, agent) = (None, None);
        Ok(Self {
            overlay,
            lowers,
            scratch,
            placed,
            apart,
            passing,
            root,
            env,
            lent,
            apt,
            index,
            offline,
            ids,
            epoch,
            sockets,
            ssh,
            agent,
        })
    }

    /// Says that two users have changed places in the trees below, as they do for commands: what alloy makes beside them
    /// is root's all the same.
    pub fn exchange(&mut self, ids: Exchange) -> Result<(), TargetError> {
        self.ids = ids;
        let given = |path: &Path| std::os::unix::fs::lchown(path, Some(ids.user(0)), Some(ids.group(0)));
        given(self.overlay.merged()).and_then(|()| self.scratch.give(given)).map_err(TargetError::scratch)
    }

    /// Says which agent commands of the next step may be lent.
    pub fn set_ssh(&mut self, ssh: Option<Loan>) {
        self.ssh = ssh;
    }

    /// Runs a command on the terminal that `console` shows, or else with alloy's own input and output.
    pub fn run_interactive(
        &self,
        run: &Interactive,
        account: &Account,
        identity: Identity,
        console: Option<OwnedFd>,
    ) -> Result<i32, TargetError> {
        let mut all = BTreeMap::from([("PATH".to_owned(), DEFAULT_PATH.to_owned())]);
        all.extend(self.env.clone());
        all.insert("HOME".to_owned(), account.home.clone());
        all.extend(run.env.clone());
        let stdio = if console.is_some() { Stdio::Terminal } else { Stdio::Caller };
        let mut spec = self.spec(&run.argv, all, identity, &run.cwd, stdio);
        spec.binds.extend_from_slice(&run.binds);
        spec.keep_groups = run.keep_groups;
        let running = match console {
            Some(console) => spawn_on(&spec, console)?,
            None => spawn(&spec)?,
        };
        Ok(running.wait()?.0)
    }

    /// Sets up all that a command is confined by, and runs none.
    pub fn try_commands(&self) -> Result<(), TargetError> {
        let spec = self.spec(&[], BTreeMap::new(), Identity::default(), "/", Stdio::Captured);
        match captured(&spec, &|_| ())? {
            0 => Ok(()),
            code => Err(SandboxError::Enter { message: format!("it ended with exit code {code}") }.into()),
        }
    }

    fn spec(
        &self,
        argv: &[String],
        env: BTreeMap<String, String>,
        identity: Identity,
        cwd: &str,
        stdio: Stdio,
    ) -> RunSpec {
        if let Some(apt) = &self.apt {
            apt.prepare(&self.root);
        }
        let mut binds = if self.placed { Vec::new() } else { self.scratch.binds(self.apart) };
        binds.extend(self.apt.iter().flat_map(AptCache::binds));
        binds.extend(self.lent.binds.iter().chain(&self.agent).cloned());
        RunSpec {
            root: self.overlay.merged().to_owned(),
            root_is: None,
            argv: argv.to_vec(),
            env,
            cwd: cwd.to_owned(),
            identity,
            binds,
            network: !self.offline,
            stdio,
            exchange: self.ids,
            keep_groups: false,
            parent: std::process::id(),
        }
    }

    /// Fails if something that was changed cannot be in a layer. Gives the sockets that will not be in it, each once.
    pub fn look(&mut self) -> Result<Vec<PathBuf>, TargetError> {
        let mut sockets = layers::diff::look(&Root::open(self.overlay.upper())?, &self.passing.exclude(&self.lowers))?;
        sockets.retain(|socket| self.sockets.insert(socket.clone()));
        Ok(sockets)
    }

    /// Notes that `step` was performed and has `written` files of its own.
    pub fn note(&mut self, step: &Step, written: Vec<PathBuf>) {
        let written = really(&self.root, written);
        self.passing.note(step, written);
    }

    /// What tasks have put where no layer has anything.
    pub fn left(&self) -> Left {
        self.passing.left(&self.lowers, &self.root)
    }

    /// Unmounts, and writes what was changed as a layer of the store; `None` when nothing was. What was changed becomes
    /// the layer's tree as well: nobody has to unpack what is there already.
    pub fn commit(
        self,
        store: &Store,
        compression: Compression,
        mtime_max: u64,
    ) -> Result<(Option<LayerBlob>, Remains), TargetError> {
        let (lowers, ids, exclude) = (self.lowers.clone(), self.ids, self.passing.exclude(&self.lowers));
        let (remains, upper) = self.ended()?;
        let lowers = lowers.iter().map(|path| Root::open(path)).collect::<Result<Vec<_>, _>>()?;
        let written = write_layer(
            store,
            &upper,
            compression,
            &DiffOptions { mtime_max, exclude: &exclude, lowers: &lowers, ids },
        )?;
        let Some((layer, left_out)) = written else { return Ok((None, remains)) };
        if !ids.is_none() {
            // Its owners are not the layer's: whoever needs the tree unpacks it.
            return Ok((Some(layer), remains));
        }
        let root = Root::open(&upper)?;
        exclude.clear(&root)?;
        // What only this stack has may not become part of a tree that others take for the layer.
        left_out.iter().try_for_each(|path| root.remove_all(path))?;
        // False when another build was first: then it goes with the remains.
        store.publish_tree(&upper, &layer_tree(layer.diff_id))?;
        Ok((Some(layer), remains))
    }

    /// Unmounts; the caller decides when to delete what remains.
    pub fn discard(self) -> Result<Remains, TargetError> {
        Ok(self.ended()?.0)
    }

    /// What remains once nothing is mounted any more, and the directory that holds what was changed.
    fn ended(self) -> Result<(Remains, PathBuf), TargetError> {
        // It holds a directory of the overlay open.
        drop(self.root);
        let upper = self.overlay.unmount()?;
        let path = self.scratch.path().to_owned();
        Ok((Remains { path, apt: self.apt, index: self.index }, upper))
    }
}

impl Site for Layer {
    /// The merged view.
    fn root(&self) -> &Root {
        &self.root
    }

    /// The image's, what the machine lends, then the account's.
    fn environment(&self, account: &Account) -> BTreeMap<String, String> {
        let mut env = BTreeMap::from([("PATH".to_owned(), DEFAULT_PATH.to_owned())]);
        env.extend(self.env.clone());
        env.extend(self.lent.env.clone());
        env.extend(
            [
                ("APT_CONFIG", APT_CONF_PATH),
                ("DEBIAN_FRONTEND", "noninteractive"),
                ("HOME", &account.home),
                ("LOGNAME", &account.name),
                ("PYTHONHASHSEED", "0"),
                ("SHELL", &account.shell),
                ("SOURCE_DATE_EPOCH", &self.epoch),
                // No systemd runs: systemctl says so and goes on, as a package's script expects of a chroot (systemd's
                // ENVIRONMENT.md).
                ("SYSTEMD_OFFLINE", "1"),
                ("USER", &account.name),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        env
    }

    fn base_path(&self) -> Option<&str> {
        self.env.get("PATH").map(String::as_str)
    }

    fn run(
        &mut self,
        argv: &[String],
        account: &Account,
        extra: &BTreeMap<String, String>,
        cwd: &str,
        output: &dyn Fn(&[u8]),
    ) -> Result<i32, TargetError> {
        let identity = self.accounts()?.identity(account);
        let mut env = self.environment(account);
        env.extend(extra.clone());
        captured(&self.spec(argv, env, identity, cwd, Stdio::Captured), output)
    }

    fn set_offline(&mut self, offline: bool) {
        self.offline = offline;
    }

    fn run_offline(
        &mut self,
        argv: &[String],
        account: &Account,
        extra: &BTreeMap<String, String>,
        cwd: &str,
        output: &dyn Fn(&[u8]),
    ) -> Result<i32, TargetError> {
        let identity = self.accounts()?.identity(account);
        let mut env = self.environment(account);
        env.extend(extra.clone());
        let spec = self.spec(argv, env, identity, cwd, Stdio::Captured);
        captured(&RunSpec { network: false, ..spec }, output)
    }

    fn lend(&mut self, directory: &str, files: &[(String, PathBuf)]) -> Result<PathBuf, TargetError> {
        self.scratch.lent().add(directory, files).map_err(TargetError::Lend)?;
        Ok(Path::new(PLACE).join(directory))
    }

    fn take_back(&mut self, directory: &str) -> Result<(), TargetError> {
        self.scratch.lent().remove(directory).map_err(TargetError::scratch)
    }

    /// Without a network there is nobody to log in to.
    fn lend_ssh(&mut self, _: &Account) -> Result<Vec<(String, String)>, TargetError> {
        let Some(loan) = self.ssh.as_ref().filter(|_| !self.offline) else { return Ok(Vec::new()) };
        let place = Path::new(PLACE).join(SSH);
        self.scratch.lent().add_loan(SSH, &loan.files(&place), SOCKET).map_err(TargetError::Lend)?;
        self.agent = Some(Bind::lent(&loan.socket, place.join(SOCKET)));
        Ok(Loan::env(&place).to_vec())
    }

    fn take_back_ssh(&mut self) -> Result<(), TargetError> {
        let lent = self.agent.take();
        lent.map_or(Ok(()), |_| self.scratch.lent().remove(SSH)).map_err(TargetError::scratch)
    }

    fn keeps_archives(&self) -> bool {
        self.apt.is_some()
    }

    fn lend_archives(&mut self, archives: &[Archived]) -> Result<(), TargetError> {
        self.apt.as_ref().map_or(Ok(()), |apt| apt.lend_archives(archives)).map_err(TargetError::scratch)
    }

    fn keep_archives(&mut self, archives: &[Archived]) -> Result<(), TargetError> {
        self.apt.as_ref().map_or(Ok(()), |apt| apt.keep_archives(archives)).map_err(TargetError::scratch)
    }

    fn index(&self) -> Option<Digest> {
        self.index
    }

    fn index_refreshed(&mut self, setup: Digest) {
        self.index = Some(setup);
    }

    fn lend_index(&mut self) {
        if let Some(apt) = &self.apt {
            apt.prepare(&self.root);
            apt.lend_lists();
        }
    }

    fn forget_index(&mut self) {
        self.index = None;
        if let Some(apt) = &self.apt {
            apt.forget_lists();
        }
    }

    fn register_binfmt(&mut self, _: &str, _: &str) -> Result<PathBuf, TargetError> {
        Err(TargetError::NotInAnImage { what: "register_binfmt" })
    }
}

/// Runs a command to its end. Returns its exit status.
fn captured(spec: &RunSpec, output: &dyn Fn(&[u8])) -> Result<i32, TargetError> {
    let mut running = spawn(spec)?;
    if let Some(mut pipe) = running.output.take() {
        let mut buffer = vec![0; 64 << 10];
        loop {
            match pipe.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => output(&buffer[..length]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(TargetError::scratch(error)),
            }
        }
    }
    Ok(running.wait()?.0)
}

/// What is left of a layer that has ended.
pub struct Remains {
    /// Its directory, to be deleted.
    pub path: PathBuf,
    /// The package cache, for the next layer.
    pub apt: Option<AptCache>,
    /// What the index was refreshed for.
    pub index: Option<Digest>,
}
