//! Ops at a site: files through the root's handle, commands as the site runs them.

mod packages;
mod shells;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use layers::apply::Ownership;
use layers::regular;
use layers::root::Root;
use layers::unpack::{UnpackOptions, unpack};

use super::accounts::{Account, Accounts};
use super::attributes;
use super::request::Outcome;
use super::site::Site;
use super::{TargetError, apt, rules};
pub use shells::login_shell;

use crate::op::{Archive, Command, Op, Source, Step, script};

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
    /// This step gives what it unpacks an owner of its author's choice.
    owned: bool,
    /// What this step's author has to know although it went well.
    warnings: Vec<String>,
}

/// A command that ended with another status than 0.
const STATUS: &str = "the command failed";

impl<'a> Performer<'a> {
    /// Performs at `site`; `files` says where sources are on this machine, `output` takes what commands print.
    pub fn new(site: &'a mut dyn Site, files: &'a BTreeMap<Source, PathBuf>, output: &'a dyn Fn(&[u8])) -> Self {
        Self { site, files, output, beside: Vec::new(), written: Vec::new(), owned: false, warnings: Vec::new() }
    }

    /// Paths that the last step has put there, relative to the root; what its commands did is not known.
    pub fn written(self) -> Vec<PathBuf> {
        self.written
    }

    /// Checks the guards in their order, then performs the ops one by one; the first that fails ends the step.
    pub fn step(&mut self, step: &Step) -> Result<Outcome, TargetError> {
        self.site.set_offline(step.offline);
        let outcome = self.guarded(step);
        self.site.set_offline(false);
        outcome
    }

    fn guarded(&mut self, step: &Step) -> Result<Outcome, TargetError> {
        if let Some(condition) = &step.guards.skip_if {
            let root = self.accounts()?.user("root")?;
            if self.run(&shell(condition), &root, &step.guards.env, None)? == 0 {
                return Ok(Outcome::Skipped("`skip_if` holds".into()));
            }
        }
        if let (false, Some(path)) = (step.guards.always_run, &step.guards.creates)
            && self.root().exists(Path::new(path))?
        {
            return Ok(Outcome::Skipped(format!("{path} exists")));
        }
        self.beside.clear();
        self.written.clear();
        self.owned = step.ops.iter().any(|op| matches!(op, Op::SetAttributes { owner: Some(_), recursive: true, .. }));
        // Half a task for a user that does not exist is worse than none.
        let accounts = self.accounts()?;
        let commands = step.ops.iter().any(|op| matches!(op, Op::Run { .. } | Op::AptInstall { .. }));
        for op in &step.ops {
            match op {
                Op::Run { user: Some(user), command, .. } => {
                    drop(shells::command_line(&accounts.user(user)?, command)?);
                }
                // A command may make the owner.
                Op::SetAttributes { owner: Some(owner), .. } if !commands => drop(accounts.owner(owner)?),
                _ => {}
            }
        }
        for op in &step.ops {
            if let Some(exit) = self.op(op)?.filter(|exit| *exit != 0) {
                return Ok(Outcome::Failed { message: STATUS.into(), exit: Some(exit) });
            }
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
                self.root().create_dir_all(Path::new(path), 0o755)?;
                self.wrote(Path::new(path));
            }
            Op::WriteFile { path, content } => self.write(Path::new(path), content)?,
            Op::PlaceBlob { source, path } => self.place(source, Path::new(path))?,
            Op::Unpack { archive, dest, strip } => self.unpack(archive, Path::new(dest), *strip)?,
            Op::SetAttributes { path, owner, mode, recursive } => {
                let accounts = self.accounts()?;
                let owner = owner.as_ref().map(|owner| accounts.owner(owner)).transpose()?;
                // Rules that came several in a package stand beside the path they were asked for at.
                let named = [PathBuf::from(path)];
                let paths = if self.beside.is_empty() { named.as_slice() } else { self.beside.as_slice() };
                for path in paths {
                    attributes::set(self.root(), path, owner, mode.as_ref(), *recursive)?;
                }
            }
            Op::AptInstall { packages, locked: Some(debs), .. } => {
                return self.install_locked(packages, debs).map(Some);
            }
            Op::AptInstall { packages, recommends, .. } => return self.install(packages, *recommends).map(Some),
            Op::Run { command, user, env, cwd } => {
                if matches!(command, Command::Shell(text) if apt::wants_index(script(text, env))) {
                    self.ensure_index()?;
                }
                return self.command(command, user.as_deref(), env, cwd.as_deref()).map(Some);
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
            Op::EnsureUser { name, uid } => return self.ensure_user(name, *uid).map(Some),
        }
        Ok(None)
    }

    fn accounts(&self) -> Result<Accounts, TargetError> {
        self.site.accounts()
    }

    /// Notes a path that is of this step's making.
    fn wrote(&mut self, path: &Path) {
        self.written.push(path.strip_prefix("/").unwrap_or(path).to_owned());
    }

    fn write(&mut self, path: &Path, content: &[u8]) -> Result<(), TargetError> {
        self.wrote(path);
        let root = self.root();
        // One byte more than expected is enough to tell.
        if root.exists(path)? && root.read(path, content.len() as u64 + 1).is_ok_and(|has| has == content) {
            return Ok(());
        }
        self.make_parent(path)?;
        Ok(root.write_file(path, &mut &content[..], 0o644)?)
    }

    fn place(&mut self, source: &Source, path: &Path) -> Result<(), TargetError> {
        self.wrote(path);
        let mut file = self.open(source)?;
        if self.root().metadata_followed(path).is_ok() && self.same(&mut file, path)? {
            return Ok(());
        }
        self.make_parent(path)?;
        Ok(self.root().write_file(path, &mut file, 0o644)?)
    }

    /// True if `path` holds what `file` holds. Both are read once, side by side.
    fn same(&self, file: &mut File, path: &Path) -> Result<bool, TargetError> {
        let failed = |error| TargetError::Unpack(layers::unpack::UnpackError::Read(error));
        let Ok(there) = self.root().open_file(path) else { return Ok(false) };
        let length = |file: &File| file.metadata().map(|metadata| metadata.len()).map_err(failed);
        if length(file)? != length(&there)? {
            return Ok(false);
        }
        let (mut one, mut other) = (BufReader::new(&*file).bytes(), BufReader::new(there).bytes());
        let mut same = true;
        while let (true, Some(byte)) = (same, one.next()) {
            same = matches!((byte, other.next()), (Ok(a), Some(Ok(b))) if a == b);
        }
        file.rewind().map_err(failed)?;
        Ok(same)
    }

    fn place_rules(&mut self, source: &Source, path: &Path) -> Result<(), TargetError> {
        let Some(rules) = rules::of_package(self.open(source)?)? else { return self.place(source, path) };
        let single = rules.len() == 1;
        for (name, content) in rules {
            let path = if single { path.to_owned() } else { path.with_file_name(name) };
            self.write(&path, &content)?;
            self.beside.push(path);
        }
        Ok(())
    }

    fn make_parent(&self, path: &Path) -> Result<(), TargetError> {
        match path.parent() {
            Some(parent) => Ok(self.root().create_dir_all(parent, 0o755)?),
            None => Ok(()),
        }
    }

    fn open(&self, source: &Source) -> Result<File, TargetError> {
        let path = self.files.get(source).ok_or_else(|| TargetError::NoSource { wanted: source.clone() })?;
        regular::open(path).map_err(|source| TargetError::Host { path: path.clone(), source })
    }

    fn unpack(&mut self, archive: &Archive, dest: &Path, strip: u32) -> Result<(), TargetError> {
        let file = match archive {
            Archive::Source(source) => self.open(source)?,
            Archive::InTarget(path) => self.root().open_file(Path::new(path))?,
        };
        self.root().create_dir_all(dest, 0o755)?;
        let options = UnpackOptions { strip, ownership: Ownership::Root, owned: self.owned };
        let unpacked = unpack(file, self.root(), dest, &options)?;
        self.written.extend(unpacked.made);
        if !unpacked.devices.is_empty() {
            self.warnings.push(format!("device nodes of the archive are left out: {}", listed(&unpacked.devices)));
        }
        Ok(())
    }

    fn command(
        &mut self,
        command: &Command,
        user: Option<&str>,
        env: &BTreeMap<String, String>,
        cwd: Option<&str>,
    ) -> Result<i32, TargetError> {
        let accounts = self.accounts()?;
        let Some(user) = user else {
            let root = accounts.user("root")?;
            let argv = match command {
                Command::Shell(text) => shell(text),
                Command::Argv(argv) => argv.clone(),
            };
            return self.run(&argv, &root, env, cwd);
        };
        let account = accounts.user(user)?;
        let argv = shells::command_line(&account, command)?;
        let cwd = cwd.unwrap_or(&account.home).to_owned();
        self.run(&argv, &account, env, Some(&cwd))
    }

    fn run(
        &mut self,
        argv: &[String],
        account: &Account,
        env: &BTreeMap<String, String>,
        cwd: Option<&str>,
    ) -> Result<i32, TargetError> {
        self.site.run(argv, account, env, cwd.unwrap_or("/"), self.output)
    }

    fn ensure_user(&mut self, name: &str, uid: u32) -> Result<i32, TargetError> {
        let accounts = self.accounts()?;
        if accounts.user(name).is_ok_and(|account| account.name == name) {
            return Ok(0);
        }
        let mut argv: Vec<String> = ["useradd", "--create-home", "--shell", "/bin/bash"].map(str::to_owned).to_vec();
        let taken = accounts.user(&uid.to_string()).is_ok_and(|account| account.name != uid.to_string());
        if !taken {
            argv.extend(["--uid".to_owned(), uid.to_string()]);
        }
        argv.push(name.to_owned());
        let root = accounts.user("root")?;
        self.run(&argv, &root, &BTreeMap::new(), None)
    }
}

/// The first few, and how many more there are.
fn listed(paths: &[PathBuf]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<String> = paths.iter().take(SHOWN).map(|path| path.display().to_string()).collect();
    let more = paths.len().saturating_sub(SHOWN);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{more}", shown.join(", "))
}

fn shell(text: &str) -> Vec<String> {
    ["bash", "-c", text].map(str::to_owned).to_vec()
}
