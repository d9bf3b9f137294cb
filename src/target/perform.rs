//! Ops at a site: files through the root's handle, commands as the site runs them.

mod begun;
mod copy;
mod ensure;
mod files;
mod packages;
mod shells;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use layers::root::{FileKind, Root};

use super::TargetError;
use super::accounts::{Account, Accounts};
use super::attributes::{self, Attributes};
use super::request::Outcome;
use super::site::Site;
use super::{dangling, not_created};
use begun::Begun;
use shells::Paths;
pub use shells::{MARKER, environment_line};

use crate::op::{Assignment, Command, EnvValue, Op, PACKAGES, Source, Step, script};
use crate::ssh::KAS_CONFIG;

/// Performs steps at one site.
pub struct Performer<'a> {
    /// Where.
    site: &'a mut dyn Site,
    /// Where sources are on this machine.
    files: &'a BTreeMap<Source, PathBuf>,
    /// Takes what commands print.
    output: &'a dyn Fn(&[u8]),
    /// Rules of a package that this step has placed.
    beside: Vec<PathBuf>,
    /// What this step has put there, but for what its commands did.
    written: Vec<PathBuf>,
    /// What stood at the paths that this step wrote to when it had written, as inodes.
    objects: BTreeMap<PathBuf, (u64, u64)>,
    /// What this step has unpacked, as inodes; `None` if it has not.
    unpacked: Option<HashSet<(u64, u64)>>,
    /// What this step has copied; `None` if it has not.
    copied: Option<Vec<copy::Copied>>,
    /// This step gives what it unpacks an owner of its author's choice.
    owned: bool,
    /// Whom this step gives what it writes.
    owner: Option<u32>,
    /// The step's commands have no network.
    offline: bool,
    /// Variables of the step's commands, as their author wrote them.
    assignments: Vec<Assignment>,
    /// What this step's author has to know although it went well.
    warnings: Vec<String>,
    /// Links that others had put where this step writes, and what became of them.
    regained: Vec<String>,
    /// Where the step's commands find the packages that they were lent.
    lent: Option<PathBuf>,
    /// Which of the step's commands are lent an agent.
    ssh: Login,
}

/// Which commands of a step log in by ssh.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Login {
    /// None.
    Never,
    /// Those that clone.
    Cloning,
    /// All.
    Always,
}

impl Login {
    fn of(step: &Step) -> Self {
        match () {
            () if step.ssh => Self::Always,
            () if step.wants_ssh() => Self::Cloning,
            () => Self::Never,
        }
    }

    /// True if `op` is lent an agent.
    fn covers(self, op: &Op) -> bool {
        self == Self::Always || self == Self::Cloning && op.clones()
    }
}

/// A command that ended with another status than 0.
const STATUS: &str = "the command failed";

impl<'a> Performer<'a> {
    /// Performs at `site`; `files` says where sources are on this machine, `output` takes what commands print.
    pub fn new(site: &'a mut dyn Site, files: &'a BTreeMap<Source, PathBuf>, output: &'a dyn Fn(&[u8])) -> Self {
        Self {
            site,
            files,
            output,
            beside: Vec::new(),
            written: Vec::new(),
            objects: BTreeMap::new(),
            unpacked: None,
            copied: None,
            owned: false,
            owner: None,
            offline: false,
            assignments: Vec::new(),
            warnings: Vec::new(),
            regained: Vec::new(),
            lent: None,
            ssh: Login::Never,
        }
    }

    /// Paths that the last step has put there, relative to the root; what its commands did is not known.
    pub fn written(self) -> Vec<PathBuf> {
        self.written
    }

    /// Checks the guards in their order, then performs the ops one by one; the first that fails ends the step.
    pub fn step(&mut self, step: &Step) -> Result<Outcome, TargetError> {
        self.offline = step.offline;
        self.assignments.clone_from(&step.env);
        self.ssh = Login::of(step);
        self.site.set_offline(step.offline);
        let outcome = self.guarded(step);
        self.site.set_offline(false);
        let back = self.lent.take().map_or(Ok(()), |_| self.site.take_back(packages::LENT));
        // What was done to links has to be known, however it ends.
        let outcome = match outcome {
            Ok(Outcome::Ran(warnings)) => Ok(Outcome::Ran(self.regained.drain(..).chain(warnings).collect())),
            other => {
                self.regained.drain(..).for_each(|line| (self.output)(format!("{line}\n").as_bytes()));
                other
            }
        };
        outcome.and_then(|outcome| back.map(|()| outcome))
    }

    fn guarded(&mut self, step: &Step) -> Result<Outcome, TargetError> {
        if let Some(condition) = &step.guards.skip_if {
            let root = self.accounts()?.user("root")?;
            let argv = if step.guards.strict { shells::strict(condition) } else { shell(condition) };
            if self.run(&argv, &root, &step.guards.env, None)? == 0 {
                return Ok(Outcome::Skipped("`skip_if` holds".into()));
            }
        }
        if let (false, Some(path)) = (step.guards.always_run, &step.guards.creates)
            && self.root().exists(Path::new(path))?
        {
            let wanted = step.ops.iter().any(|op| matches!(op, Op::MakeDir { path: made } if made == path));
            let found = self.root().metadata_followed(Path::new(path));
            if wanted && found.is_ok_and(|found| found.kind != FileKind::Directory) {
                return Err(TargetError::NoDirectory { path: path.into() });
            }
            return Ok(Outcome::Skipped(format!("{path} exists")));
        }
        self.beside.clear();
        self.written.clear();
        self.objects.clear();
        self.unpacked = None;
        self.copied = None;
        self.owned = step.ops.iter().any(|op| matches!(op, Op::SetAttributes { owner: Some(_), recursive: true, .. }));
        // Half a task for a user that does not exist is worse than none.
        let accounts = self.accounts()?;
        let commands = step.ops.iter().any(|op| matches!(op, Op::Run { .. } | Op::AptInstall { .. }));
        for op in &step.ops {
            match op {
                Op::Run { user: Some(user), command, .. } => {
                    drop(shells::command_line(&accounts.user(user)?, command, &Paths::default())?);
                }
                // A command may make the owner.
                Op::SetAttributes { owner: Some(owner), .. } if !commands => drop(accounts.owner(owner)?),
                _ => {}
            }
        }
        let owner = step.ops.iter().find_map(|op| match op {
            Op::SetAttributes { owner, .. } => owner.as_ref(),
            _ => None,
        });
        self.owner = owner.and_then(|owner| accounts.owner(owner).ok()).map(|(uid, _)| uid);
        for op in &step.ops {
            if let Op::Expect { path } = op
                && !self.holds_something(Path::new(path))?
            {
                let message = format!("it ended well, and there is nothing in {path}, which its `dest` names");
                return Ok(Outcome::Failed { message, exit: None });
            }
            if let Some(exit) = self.op(op)?.filter(|exit| *exit != 0) {
                return Ok(Outcome::Failed { message: STATUS.into(), exit: Some(exit) });
            }
        }
        if let (false, Some(path)) = (step.guards.always_run, &step.guards.creates)
            && !self.root().exists(Path::new(path))?
        {
            self.warnings.push(not_created(path, dangling(self.root(), path).as_deref()));
        }
        Ok(Outcome::Ran(std::mem::take(&mut self.warnings)))
    }

    fn root(&self) -> &Root {
        self.site.root()
    }

    /// The exit status for an op that is a command.
    fn op(&mut self, op: &Op) -> Result<Option<i32>, TargetError> {
        match op {
            Op::MakeDir { path } => {
                let inode = self.make_dir(Path::new(path))?;
                self.wrote(Path::new(path));
                self.objects.insert(path.into(), inode);
            }
            Op::WriteFile { path, content } => self.write(Path::new(path), content)?,
            Op::PlaceBlob { source, path } => self.place(source, Path::new(path))?,
            Op::Unpack { archive, dest, strip } => self.unpack(archive, Path::new(dest), *strip)?,
            Op::Copy { source, dest, into } => self.copy(source, Path::new(dest), *into)?,
            Op::SetAttributes { owner, mode, .. } if self.copied.is_some() => {
                self.attribute_copied(&self.accounts()?, owner.as_ref(), mode.as_ref())?;
            }
            Op::SetAttributes { path, owner, mode, recursive } => {
                let accounts = self.accounts()?;
                let owner = owner.as_ref().map(|owner| accounts.owner(owner)).transpose()?;
                // Rules that came several in a package stand beside the path they were asked for at.
                let named = [PathBuf::from(path)];
                let paths = if self.beside.is_empty() { named.as_slice() } else { self.beside.as_slice() };
                let attributes = Attributes { owner, mode: mode.as_ref(), recursive: *recursive };
                for path in paths {
                    let made = attributes::Made { top: self.objects.get(path).copied(), below: self.unpacked.as_ref() };
                    attributes::set(self.root(), path, attributes, made)?;
                }
                // Of what earlier tasks have made, this may have changed the owner or the mode.
                if *recursive {
                    let changed = self.root().made_below(Path::new(path));
                    self.written.extend(changed);
                }
            }
            Op::AptInstall { packages, debs, locked: Some(locked), .. } => {
                return self.install_locked(packages, debs, locked).map(Some);
            }
            Op::AptInstall { packages, debs, recommends, .. } => {
                return self.install(packages, debs, *recommends).map(Some);
            }
            Op::Lend { files, network } => self.lend(files, *network)?,
            Op::Run { command, user, env, cwd } => {
                if let Command::Shell(text) | Command::Strict(text) = command {
                    self.index_for(script(text, env), self.offline)?;
                }
                let account = self.accounts()?.user(user.as_deref().unwrap_or("root"))?;
                let agent = if self.ssh.covers(op) { self.site.lend_ssh(&account) } else { Ok(Vec::new()) };
                // Whoever has given kas one of their own goes on with that.
                let own = |name: &str| name == KAS_CONFIG && self.assignments.iter().any(|(other, _)| other == name);
                let agent = agent.map(|mut agent| {
                    agent.retain(|(name, _)| !own(name));
                    agent
                });
                let ran = agent.and_then(|agent| self.command(command, user.as_deref(), env, cwd.as_deref(), &agent));
                let back = self.site.take_back_ssh();
                return ran.and_then(|exit| back.map(|()| Some(exit)));
            }
            Op::PlaceRules { source, path } => self.place_rules(source, Path::new(path))?,
            Op::ReloadUdev => {
                let Some(command) = self.site.udev_reload() else { return Ok(None) };
                return self.as_root(&command).map(Some);
            }
            Op::RegisterBinfmt { architecture, interpreter } => {
                let path = self.site.register_binfmt(architecture, interpreter)?;
                self.wrote(&path);
            }
            Op::Remove { path } => {
                let path = Path::new(path);
                self.root().remove_all(path)?;
                let path = path.strip_prefix("/").unwrap_or(path);
                self.written.retain(|written| !written.starts_with(path));
            }
            Op::Expect { .. } => {}
            Op::EnsureUser { name, uid } => return self.ensure_user(name, *uid).map(Some),
            Op::EnsureGroup { name } => return self.ensure_group(name).map(Some),
        }
        Ok(None)
    }

    /// False where nothing is, or an empty directory.
    fn holds_something(&self, path: &Path) -> Result<bool, TargetError> {
        let root = self.root();
        if !root.exists(path)? {
            return Ok(false);
        }
        let directory = root.metadata_followed(path)?.kind == FileKind::Directory;
        Ok(!directory || !root.read_dir(path)?.is_empty())
    }

    fn accounts(&self) -> Result<Accounts, TargetError> {
        self.site.accounts()
    }

    /// Notes a path that is of this step's making.
    fn wrote(&mut self, path: &Path) {
        self.written.push(path.strip_prefix("/").unwrap_or(path).to_owned());
    }

    fn command(
        &mut self,
        command: &Command,
        user: Option<&str>,
        env: &BTreeMap<String, String>,
        cwd: Option<&str>,
        agent: &[(String, String)],
    ) -> Result<i32, TargetError> {
        let mut env = env.clone();
        env.extend(agent.iter().cloned());
        let env = &env;
        let accounts = self.accounts()?;
        let Some(user) = user else {
            let root = accounts.user("root")?;
            let argv = match command {
                Command::Shell(text) => shell(text),
                Command::Strict(text) => shells::strict(text),
                Command::Argv(argv) => argv.clone(),
            };
            return self.run(&argv, &root, env, cwd);
        };
        let account = accounts.user(user)?;
        let (argv, marked) = shells::command_line(&account, command, &self.paths())?;
        // As su has it: an account may have a home that is not there.
        let there =
            |home: &str| self.root().metadata_followed(Path::new(home)).is_ok_and(|it| it.kind == FileKind::Directory);
        let home = || Some(account.home.as_str()).filter(|home| there(home));
        let cwd = cwd.or_else(home).unwrap_or("/").to_owned();
        if !marked {
            return self.run(&argv, &account, env, Some(&cwd));
        }
        let output = self.output;
        let begun = Begun::new(output);
        let exit = self.run_to(&argv, &account, env, Some(&cwd), &|piece| begun.take(piece));
        match (exit, begun.end()) {
            (Ok(0), false) => Err(TargetError::Unbegun { user: account.name }),
            (exit, _) => exit,
        }
    }

    fn run(
        &mut self,
        argv: &[String],
        account: &Account,
        env: &BTreeMap<String, String>,
        cwd: Option<&str>,
    ) -> Result<i32, TargetError> {
        self.run_to(argv, account, env, cwd, self.output)
    }

    fn run_to(
        &mut self,
        argv: &[String],
        account: &Account,
        env: &BTreeMap<String, String>,
        cwd: Option<&str>,
        output: &dyn Fn(&[u8]),
    ) -> Result<i32, TargetError> {
        let mut extra = self.assigned(account)?;
        extra.extend(env.clone());
        extra.extend(self.lent.iter().map(|place| (PACKAGES.to_owned(), place.display().to_string())));
        self.site.run(argv, account, &extra, cwd.unwrap_or("/"), output)
    }

    /// The variables of the step, with what they refer to.
    fn assigned(&self, account: &Account) -> Result<BTreeMap<String, String>, TargetError> {
        let mut assigned = BTreeMap::new();
        if self.assignments.is_empty() {
            return Ok(assigned);
        }
        let usual = self.site.environment(account);
        for (name, value) in &self.assignments {
            let lookup = |name: &str| assigned.get(name).or_else(|| usual.get(name)).map(String::as_str);
            let unset = |wanted| TargetError::Unset { name: name.clone(), wanted };
            let value = EnvValue::read(value).map_err(unset)?.expand(&lookup).map_err(unset)?;
            assigned.insert(name.clone(), value);
        }
        Ok(assigned)
    }

    /// What is said of `PATH` again after a profile has set it.
    fn paths(&self) -> Paths<'_> {
        let set = self.assignments.iter().filter(|(name, _)| name == "PATH");
        Paths { base: self.site.base_path(), set: set.filter_map(|(_, value)| EnvValue::read(value).ok()).collect() }
    }
}

fn shell(text: &str) -> Vec<String> {
    ["bash", "-c", text].map(str::to_owned).to_vec()
}
