//! Where ops are performed: a layer of an image that is being made, or a machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use layers::digest::Digest;
use layers::root::Root;

use super::TargetError;
use super::accounts::{Account, Accounts};
use super::apt::Archived;

/// A root, and the means to run commands in it.
pub trait Site {
    /// Its files.
    fn root(&self) -> &Root;

    /// Its users and groups, as they are now.
    fn accounts(&self) -> Result<Accounts, TargetError> {
        Ok(read_accounts(self.root()))
    }

    /// The usual environment of a command of `account`.
    fn environment(&self, account: &Account) -> BTreeMap<String, String>;

    /// The `PATH` of the image below, if it has one: its directories are for login shells too, as they are in the image
    /// that is made.
    fn base_path(&self) -> Option<&str> {
        None
    }

    /// Runs a command as `account`, with `extra` over the usual environment; what it prints goes to `output` piece by
    /// piece. Returns its exit status.
    fn run(
        &mut self,
        argv: &[String],
        account: &Account,
        extra: &BTreeMap<String, String>,
        cwd: &str,
        output: &dyn Fn(&[u8]),
    ) -> Result<i32, TargetError>;

    /// Says whether the commands that follow get no network but a loopback interface of their own.
    fn set_offline(&mut self, offline: bool);

    /// Runs a command that needs no network, without one where that does no harm.
    fn run_offline(
        &mut self,
        argv: &[String],
        account: &Account,
        extra: &BTreeMap<String, String>,
        cwd: &str,
        output: &dyn Fn(&[u8]),
    ) -> Result<i32, TargetError>;

    /// Lends copies of files of this machine, by their names in a directory. What commands do to them is done to nothing
    /// else. Gives the directory, as commands see it.
    fn lend(&mut self, directory: &str, files: &[(String, PathBuf)]) -> Result<PathBuf, TargetError>;

    /// Deletes what was lent so.
    fn take_back(&mut self, directory: &str) -> Result<(), TargetError>;

    /// Lends the agent of whoever builds, if there is one to lend, to the command of `account` that is run next. Gives the
    /// variables by which that finds it.
    fn lend_ssh(&mut self, account: &Account) -> Result<Vec<(String, String)>, TargetError>;

    /// Takes it back: no command that follows reaches it.
    fn take_back_ssh(&mut self) -> Result<(), TargetError>;

    /// True where nothing that is installed may be removed for what a task installs: it is somebody's.
    fn keeps_packages(&self) -> bool {
        false
    }

    /// True where packages are kept for other builds, as files of alloy's own.
    fn keeps_archives(&self) -> bool {
        false
    }

    /// Gives apt copies of those of `archives` that are kept.
    fn lend_archives(&mut self, _archives: &[Archived]) -> Result<(), TargetError> {
        Ok(())
    }

    /// Keeps those of `archives` that apt has fetched, if they are what it said they would be.
    fn keep_archives(&mut self, _archives: &[Archived]) -> Result<(), TargetError> {
        Ok(())
    }

    /// What apt was set up with when its index was refreshed in this run.
    fn index(&self) -> Option<Digest>;

    /// Notes that the index was refreshed for that setup.
    fn index_refreshed(&mut self, setup: Digest);

    /// Gives apt the lists of other builds, before it asks for newer ones.
    fn lend_index(&mut self) {}

    /// Takes them back when nobody could be asked: they are no index of today's.
    fn forget_index(&mut self) {}

    /// The command that makes udev read its rules again, where one runs.
    fn udev_reload(&self) -> Option<Vec<String>> {
        None
    }

    /// Lets the kernel start programs of `architecture` with `interpreter`. Gives the path of what says so.
    fn register_binfmt(&mut self, architecture: &str, interpreter: &str) -> Result<PathBuf, TargetError>;
}

/// The users and groups in the files of a root.
pub fn read_accounts(root: &Root) -> Accounts {
    let read = |path: &str| root.read(Path::new(path), 16 << 20).unwrap_or_default();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Accounts::parse(&text(read("etc/passwd")), &text(read("etc/group")))
}
