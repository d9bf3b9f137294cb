//! How the worker comes to what lies outside of its place: paths of the store are named as it sees them, all else is
//! lent to it. A worker that has no place of its own reaches everything where it is.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, mknodat};

use super::super::request::Request;
use super::{ImageTarget, RequestError};
use crate::op::Source;
use crate::sandbox::{Bind, Identity, Loan, Mode};

/// Loans so far.
#[derive(Default)]
pub(super) struct Reach {
    /// Where each is in the worker's place, by its path here and whether it is read-only.
    loans: BTreeMap<(PathBuf, bool), PathBuf>,
    count: usize,
}

impl ImageTarget {
    /// A path of the store as the worker sees it.
    pub(super) fn below(&self, path: &Path) -> PathBuf {
        match (self.worker.store(), path.strip_prefix(self.store.root())) {
            (Some(store), Ok(rest)) if rest.as_os_str().is_empty() => store,
            (Some(store), Ok(rest)) => store.join(rest),
            _ => path.to_owned(),
        }
    }

    /// Where the worker finds `path`, which is lent to it if need be.
    fn reach(&mut self, path: &Path, read_only: bool) -> Result<PathBuf, RequestError> {
        let failed = |error: io::Error| {
            let message = format!("cannot read {}: {error}", path.display());
            RequestError::Failed { message, hint: None }
        };
        if self.worker.place().is_none() {
            return Ok(path.to_owned());
        }
        if path.starts_with(self.store.root()) {
            return Ok(self.below(path));
        }
        let key = (path.to_owned(), read_only);
        if let Some(at) = self.reach.loans.get(&key) {
            return Ok(at.clone());
        }
        let Some(loan) = self.worker.loan(path, read_only).map_err(failed)? else { return Ok(path.to_owned()) };
        if loan.file && read_only && !loan.owned {
            // Its owner is nobody there, and it may be for its owner only.
            self.reach.count += 1;
            let copy = self.work.path().join(format!("lent-{:08}", self.reach.count));
            std::fs::copy(path, &copy).map_err(failed)?;
            let at = self.below(&copy);
            self.reach.loans.insert(key, at.clone());
            return Ok(at);
        }
        self.attach(path, read_only, &loan)
    }

    /// Attaches what is lent in the worker's place.
    fn attach(&mut self, path: &Path, read_only: bool, loan: &Loan) -> Result<PathBuf, RequestError> {
        self.reach.count += 1;
        // All of one length: none is the beginning of another.
        let name = format!("{:08}", self.reach.count);
        let at = self.worker.place().unwrap_or(Path::new("/")).join(name);
        self.worker.send_with(&Request::Attach { at: at.clone(), directory: loan.directory }, loan)?;
        self.reply(|_| ())?;
        self.reach.loans.insert((path.to_owned(), read_only), at.clone());
        Ok(at)
    }

    /// The same for several.
    pub(super) fn reach_each(&mut self, paths: Vec<PathBuf>) -> Result<Vec<PathBuf>, RequestError> {
        paths.iter().map(|path| self.reach(path, true)).collect()
    }

    /// The same for sources of a step.
    pub(super) fn reach_files(
        &mut self,
        files: Vec<(Source, PathBuf)>,
    ) -> Result<Vec<(Source, PathBuf)>, RequestError> {
        files.into_iter().map(|(source, path)| Ok((source, self.reach(&path, true)?))).collect()
    }

    /// The same for what commands are lent.
    pub(super) fn reach_binds(&mut self, binds: Vec<Bind>) -> Result<Vec<Bind>, RequestError> {
        let reached = binds.into_iter().map(|bind| {
            let source = self.reach(&bind.source, bind.read_only)?;
            Ok(Bind { source, ..bind })
        });
        reached.collect()
    }

    /// The same for what a command of `user` is lent. If it is to be the owner of that, to root of the machine the two
    /// have changed places in it; an ordinary user's command is the owner already.
    pub(super) fn reach_all(
        &mut self,
        binds: Vec<Bind>,
        user: &Identity,
        as_owner: bool,
    ) -> Result<Vec<Bind>, RequestError> {
        let mut reached = Vec::new();
        for bind in binds {
            if bind.device && self.mode() != Mode::Rootless {
                let source = self.node(&bind.source, user)?;
                reached.push(Bind { source, ..bind });
            } else if as_owner && self.mode() == Mode::Mapped {
                let source = self.reach_for(&bind, user)?;
                reached.push(Bind { source, ..bind });
            } else {
                reached.append(&mut self.reach_binds(vec![bind])?);
            }
        }
        Ok(reached)
    }

    fn reach_for(&mut self, bind: &Bind, user: &Identity) -> Result<PathBuf, RequestError> {
        let failed = |error: io::Error| {
            let message = format!("cannot lend {}: {error}", bind.source.display());
            RequestError::Failed { message, hint: None }
        };
        let loan = self.worker.loan_to(&bind.source, bind.read_only, user).map_err(failed)?;
        let Some(loan) = loan.filter(|loan| loan.owned) else { return self.reach(&bind.source, bind.read_only) };
        self.attach(&bind.source, bind.read_only, &loan)
    }

    /// A device of the machine's once more, as `user`'s: root of a user namespace is nobody to its owner, and it may be for
    /// a group that the image does not have. It lies where nobody else can enter, and goes with the build's directory.
    fn node(&mut self, device: &Path, user: &Identity) -> Result<PathBuf, RequestError> {
        let failed = |error: io::Error| {
            let message = format!("cannot lend the device {}: {error}", device.display());
            RequestError::Failed { message, hint: None }
        };
        self.reach.count += 1;
        let path = self.work.path().join(format!("device-{:08}", self.reach.count));
        let found = rustix::fs::stat(device).map_err(|error| failed(error.into()))?;
        let kind = FileType::from_raw_mode(found.st_mode);
        mknodat(CWD, &path, kind, rustix::fs::Mode::from_raw_mode(0o600), found.st_rdev)
            .map_err(|error| failed(error.into()))?;
        std::os::unix::fs::chown(&path, Some(user.uid), Some(user.gid)).map_err(failed)?;
        Ok(self.below(&path))
    }

    /// A failure that the worker tells, with paths as they are here.
    pub(super) fn failed(&self, message: &str, hint: Option<String>) -> RequestError {
        let mut message = message.to_owned();
        for ((path, _), at) in &self.reach.loans {
            message = message.replace(&at.display().to_string(), &path.display().to_string());
        }
        if let Some(store) = self.worker.store() {
            message = message.replace(&store.display().to_string(), &self.store.root().display().to_string());
        }
        RequestError::Failed { message, hint }
    }
}
