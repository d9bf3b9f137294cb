//! A live host, or the root of one that is not running: steps are performed on it as it is.
//!
//! On `/` commands run directly, with the machine's own apt and its own services. Another root gets namespaces for each
//! command, as layers of an image do, and is lent a resolver; nothing is started or reloaded there.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use layers::digest::Digest;
use layers::root::{Made, Root};
use layers::store::Store;
use tokio::runtime::Handle;

use super::TargetError;
use super::accounts::{Account, Accounts};
use super::lent::Lent;
use super::perform::Performer;
use super::request::Outcome;
use super::site::{Site, read_accounts};
use crate::blueprint::{self, BACKEND};
use crate::op::{DEFAULT_PATH, Op, Source, Step};
use crate::sandbox::{RunSpec, SandboxError, Stdio, spawn, spawn_directly};
use crate::ssh::Ssh;

mod agent;
mod binfmt;
mod elsewhere;
mod fresh;
mod names;
mod packages;
mod points;
mod private;
mod renew;

use agent::Agent;
use elsewhere::Elsewhere;
pub use names::Names;
pub use packages::Packages;
pub use points::clear;
pub use renew::{How, Renew, Verdict, kept_beside, name_to_keep};

/// What apt is told in every command: nobody is there to be asked, and others may be at work with packages.
const APT_CONF: &str = "\
DPkg::Lock::Timeout \"300\";
Dpkg::Use-Pty \"false\";
Dpkg::Options:: \"--force-confdef\";
Dpkg::Options:: \"--force-confold\";
";

/// A machine to install to.
pub struct Host {
    root: Root,
    kind: Kind,
    env: BTreeMap<String, String>,
    /// What commands of the author's have beside that.
    given: BTreeMap<String, String>,
    names: Names,
    /// What apt was set up with when its index was refreshed.
    index: Option<Digest>,
    offline: bool,
    /// Where pinned packages are lent at the moment, relative to the root.
    lent: Option<PathBuf>,
    /// The agent of whoever installs, while a command is lent it.
    ssh: Agent,
}

/// Whose root it is.
enum Kind {
    /// The machine's that alloy runs on; the directory, relative to the root, that has apt's configuration. Users of
    /// tasks read what is in it, and it holds no secrets.
    Own(PathBuf),
    /// Another one.
    Elsewhere(Elsewhere),
}

impl Host {
    /// Opens the root at `path`.
    pub fn root(path: &Path) -> Result<Root, TargetError> {
        let failed = |source| TargetError::Host { path: path.to_owned(), source };
        Ok(Root::shared(&path.canonicalize().map_err(failed)?)?)
    }

    /// An error if this machine does not let commands be run in another root than its own. None is run.
    pub fn try_commands(&mut self) -> Result<(), TargetError> {
        if self.is_own() {
            return Ok(());
        }
        let root = self.users().user("root")?;
        match self.run(&[], &root, &BTreeMap::new(), "/", &|_| ())? {
            0 => Ok(()),
            code => Err(SandboxError::Enter { message: format!("it ended with exit code {code}") }.into()),
        }
    }

    /// The machine with this root, to which nobody else installs: what killed runs have left there is deleted. What is
    /// lent to another root than the machine's is kept in `store`; `process` is the environment of whoever runs alloy: what
    /// of it is theirs, commands on the machine itself have.
    pub fn open(root: Root, store: &Store, process: &BTreeMap<String, String>) -> Result<Self, TargetError> {
        private::sweep(&root)?;
        points::clear(&root)?;
        let (mut env, kind, conf) = if root.path() == Path::new("/") {
            let place = private::directory(&root, "run")?;
            let conf = place.join("apt.conf");
            root.write_file(&conf, &mut APT_CONF.as_bytes(), 0o644)?;
            (Lent::environment(|name| process.get(name).cloned()), Kind::Own(place), Path::new("/").join(conf))
        } else {
            let lent = Lent::by_this_machine(|name| process.get(name).cloned());
            let elsewhere = Elsewhere::prepare(store, &lent, APT_CONF)?;
            (lent.env, Kind::Elsewhere(elsewhere), Path::new(super::lent::PLACE).join("apt.conf"))
        };
        let backend = |name: &str| process.get(name).filter(|value| !value.is_empty()).cloned();
        env.extend(BACKEND.into_iter().filter_map(|name| Some((name.to_owned(), backend(name)?))));
        for (name, value) in [
            ("APT_CONFIG", conf.display().to_string()),
            ("DEBIAN_FRONTEND", "noninteractive".to_owned()),
            ("PATH", DEFAULT_PATH.to_owned()),
        ] {
            env.insert(name.to_owned(), value);
        }
        let given = match kind {
            Kind::Own(_) => {
                let mut given = blueprint::of_commands(process);
                given.retain(|name, _| !env.contains_key(name));
                given
            }
            Kind::Elsewhere(_) => BTreeMap::new(),
        };
        let names = Names::default();
        Ok(Self { root, kind, env, given, names, index: None, offline: false, lent: None, ssh: Agent::default() })
    }

    /// Its files.
    pub fn files(&self) -> &Root {
        &self.root
    }

    /// True for the machine that alloy runs on.
    pub fn is_own(&self) -> bool {
        matches!(self.kind, Kind::Own(_))
    }

    /// Learns what is to be performed: what archives bring leads no later task out of where they are unpacked.
    pub fn expect<'s>(&mut self, steps: impl IntoIterator<Item = &'s Step>) {
        let unpacked = |op: &Op| match op {
            Op::Unpack { dest, .. } => Some(PathBuf::from(dest)).filter(|dest| dest != Path::new("/")),
            _ => None,
        };
        self.root.bound(steps.into_iter().flat_map(|step| &step.ops).filter_map(unpacked));
    }

    /// Learns what the tasks have made before, relative to the root: a link that stands there now is of others.
    pub fn remember(&mut self, made: BTreeMap<PathBuf, Made>) {
        self.root.remember(made);
    }

    /// Learns of users and groups that the machine knows from elsewhere than its files.
    pub fn learn(&mut self, names: Names) {
        self.names = names;
    }

    /// Lends the agent `ssh` to commands of steps that clone, or say that they want one.
    pub fn set_ssh(&mut self, ssh: Ssh, runtime: Handle) {
        self.ssh = Agent::of(ssh, runtime);
    }

    /// Its users and groups, as they are now.
    pub fn users(&self) -> Accounts {
        self.names.added_to(read_accounts(&self.root))
    }

    /// Gives the condition of `step`, and a command of its author's, the environment of whoever installs, as far as they do
    /// not have a variable of this name already. What alloy runs by itself does the same whoever installs.
    fn hand_on(&self, step: &mut Step) {
        let fill = |env: &mut BTreeMap<String, String>| {
            for (name, value) in &self.given {
                env.entry(name.clone()).or_insert_with(|| value.clone());
            }
        };
        fill(&mut step.guards.env);
        if step.is_own_commands() {
            for op in &mut step.ops {
                if let Op::Run { env, .. } = op {
                    fill(env);
                }
            }
        }
    }

    /// Performs a step; what its commands print goes to `output`. Gives how it ended, and the paths that it has put
    /// there, relative to the root.
    pub fn perform(
        &mut self,
        step: &Step,
        files: &BTreeMap<Source, PathBuf>,
        output: &dyn Fn(&[u8]),
    ) -> (Result<Outcome, TargetError>, Vec<PathBuf>) {
        let (mut step, private) = match private::realised(&self.root, step) {
            Ok(realised) => realised,
            Err(error) => return (Err(error), Vec::new()),
        };
        self.hand_on(&mut step);
        for op in &step.ops {
            if let Op::WriteFile { path, .. } | Op::PlaceBlob { path, .. } | Op::PlaceRules { path, .. } = op
                && let Err(error) = self.root.sweep(Path::new(path))
            {
                return (Err(error.into()), Vec::new());
            }
        }
        let cloned = fresh::places(&self.root, &step);
        let mut performer = Performer::new(self, files, output);
        let mut outcome = performer.step(&step);
        let mut written = performer.written();
        if matches!(outcome, Err(_) | Ok(Outcome::Failed { .. })) {
            outcome = fresh::clear(&self.root, &cloned).and(outcome);
        }
        let Some(private) = private else { return (outcome, written) };
        written.retain(|path| !path.starts_with(&private));
        let removed = self.root.remove_all(&private).map_err(TargetError::from);
        (outcome.and_then(|outcome| removed.map(|()| outcome)), written)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Kind::Own(place) = &self.kind {
            // What cannot be deleted now is deleted by the next run.
            let _ = self.root.remove_all(place);
        }
    }
}

impl Site for Host {
    fn root(&self) -> &Root {
        &self.root
    }

    fn accounts(&self) -> Result<Accounts, TargetError> {
        Ok(self.users())
    }

    /// The machine's, then the account's.
    fn environment(&self, account: &Account) -> BTreeMap<String, String> {
        let mut env = self.env.clone();
        let login =
            [("HOME", &account.home), ("LOGNAME", &account.name), ("SHELL", &account.shell), ("USER", &account.name)];
        env.extend(login.map(|(name, value)| (name.to_owned(), value.clone())));
        env
    }

    fn run(
        &mut self,
        argv: &[String],
        account: &Account,
        extra: &BTreeMap<String, String>,
        cwd: &str,
        output: &dyn Fn(&[u8]),
    ) -> Result<i32, TargetError> {
        let mut env = self.environment(account);
        env.extend(extra.clone());
        let identity = self.users().identity(account);
        let Kind::Elsewhere(elsewhere) = &self.kind else {
            return Ok(spawn_directly(argv, &env, cwd, &identity, !self.offline)?.finish(true, output)?.0);
        };
        let _points = elsewhere.mount_points(&self.root)?;
        let running = spawn(&RunSpec {
            root: self.root.path().to_owned(),
            root_is: Some(self.root.metadata(Path::new(""))?.inode),
            argv: argv.to_vec(),
            env,
            cwd: cwd.to_owned(),
            identity,
            binds: elsewhere.binds().iter().chain(self.ssh.bind()).cloned().collect(),
            network: !self.offline,
            stdio: Stdio::Captured,
            exchange: layers::ids::Exchange::default(),
            keep_groups: false,
            parent: std::process::id(),
        })?;
        Ok(running.finish(false, output)?.0)
    }

    fn set_offline(&mut self, offline: bool) {
        self.offline = offline;
    }

    /// A host's own packages start services, which would be left without its network.
    fn run_offline(
        &mut self,
        argv: &[String],
        account: &Account,
        extra: &BTreeMap<String, String>,
        cwd: &str,
        output: &dyn Fn(&[u8]),
    ) -> Result<i32, TargetError> {
        self.run(argv, account, extra, cwd, output)
    }

    fn lend(&mut self, directory: &str, files: &[(String, PathBuf)]) -> Result<PathBuf, TargetError> {
        let place = private::directory(&self.root, directory)?;
        self.lent = Some(place.clone());
        for (name, path) in files {
            let failed = |source| TargetError::Host { path: path.clone(), source };
            let mut content = layers::regular::open(path).map_err(failed)?;
            self.root.write_file(&place.join(name), &mut content, 0o644)?;
        }
        // Users of tasks look for what is in it.
        if let (Some(above), Some(name)) = (place.parent(), place.file_name()) {
            self.root.directory(above)?.set_mode(name, 0o755)?;
        }
        Ok(Path::new("/").join(place))
    }

    fn take_back(&mut self, _: &str) -> Result<(), TargetError> {
        Ok(self.lent.take().map_or(Ok(()), |place| self.root.remove_all(&place))?)
    }

    fn lend_ssh(&mut self, account: &Account) -> Result<Vec<(String, String)>, TargetError> {
        if self.offline {
            return Ok(Vec::new());
        }
        match &self.kind {
            Kind::Own(_) => self.ssh.lend_to(&self.root, account),
            Kind::Elsewhere(elsewhere) => self.ssh.lend_in(elsewhere),
        }
    }

    fn take_back_ssh(&mut self) -> Result<(), TargetError> {
        match &self.kind {
            Kind::Own(_) => self.ssh.take_back(&self.root),
            Kind::Elsewhere(elsewhere) => self.ssh.take_back_from(elsewhere),
        }
    }

    fn index(&self) -> Option<Digest> {
        self.index
    }

    fn index_refreshed(&mut self, setup: Digest) {
        self.index = Some(setup);
    }

    fn keeps_packages(&self) -> bool {
        true
    }

    fn udev_reload(&self) -> Option<Vec<String>> {
        let runs = self.is_own() && Path::new("/run/udev/control").exists();
        let script = "udevadm control --reload && udevadm trigger";
        runs.then(|| ["sh", "-c", script].map(str::to_owned).to_vec())
    }

    fn register_binfmt(&mut self, architecture: &str, interpreter: &str) -> Result<PathBuf, TargetError> {
        let failed = |error: io::Error| TargetError::Binfmt { architecture: architecture.to_owned(), source: error };
        let rule = binfmt::rule(architecture, interpreter)
            .ok_or_else(|| failed(io::Error::other("its programs have no known magic number")))?;
        let place = PathBuf::from(format!("etc/binfmt.d/{}.conf", binfmt::name(architecture)));
        self.root.create_dir_all(Path::new("etc/binfmt.d"), 0o755)?;
        self.root.write_file(&place, &mut format!("{rule}\n").as_bytes(), 0o644)?;
        // A machine that does not run registers it when it starts.
        if self.is_own() {
            binfmt::register(architecture, interpreter, &rule).map_err(failed)?;
        }
        Ok(place)
    }
}
