//! How the worker comes to what lies outside of its place: paths of the store are named as it sees them, all else is
//! lent to it. A worker that has no place of its own reaches everything where it is.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::super::request::Request;
use super::{ImageTarget, RequestError};
use crate::op::Source;
use crate::sandbox::Bind;

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
        let Some(place) = self.worker.place().map(Path::to_owned) else { return Ok(path.to_owned()) };
        if path.starts_with(self.store.root()) {
            return Ok(self.below(path));
        }
        let key = (path.to_owned(), read_only);
        if let Some(at) = self.reach.loans.get(&key) {
            return Ok(at.clone());
        }
        let Some(loan) = self.worker.loan(path, read_only).map_err(failed)? else { return Ok(path.to_owned()) };
        self.reach.count += 1;
        // All of one length: none is the beginning of another.
        let name = format!("{:08}", self.reach.count);
        if loan.file && read_only && !loan.owned {
            // Its owner is nobody there, and it may be for its owner only.
            let copy = self.work.path().join(format!("lent-{name}"));
            std::fs::copy(path, &copy).map_err(failed)?;
            let at = self.below(&copy);
            self.reach.loans.insert(key, at.clone());
            return Ok(at);
        }
        let at = place.join(name);
        self.worker.send_with(&Request::Attach { at: at.clone(), directory: loan.directory }, &loan)?;
        self.reply(|_| ())?;
        self.reach.loans.insert(key, at.clone());
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
