//! What a worker and its commands are lent of the machine.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::io::Errno;
use rustix::process::{Gid, Uid};

use super::Worker;
use crate::sandbox::{Identity, Loan, exchange};

/// The file system of pipes without a name: `PIPEFS_MAGIC` of linux/magic.h.
const PIPES: i64 = 0x5049_5045;

impl Worker {
    /// Opens something of the machine for the worker, to be sent to it; `None` where it reaches it by itself.
    pub fn loan(&self, path: &Path, read_only: bool) -> io::Result<Option<Loan>> {
        self.ids.as_ref().map(|ids| Loan::open(path, ids, read_only)).transpose()
    }

    /// The same, with `user` of the command for the owner that it has here.
    pub fn loan_to(&self, path: &Path, read_only: bool, user: &Identity) -> io::Result<Option<Loan>> {
        let Some(ids) = &self.ids else { return Ok(None) };
        let found = std::fs::metadata(path)?;
        let owner = (found.uid(), found.gid());
        let ids = match owner == (user.uid, user.gid) {
            true => ids.try_clone()?,
            false => exchange::for_loan(self.child.id(), owner, (user.uid, user.gid))?,
        };
        Loan::open(path, &ids, read_only).map(Some)
    }

    /// Lets commands open the pipes that are alloy's own input and output once more, as `/dev/stdout`: opening asks for
    /// the owner. A terminal is left alone: its owner could give it to everybody. Where a container lacks `CAP_CHOWN`, they
    /// write to what they have, and cannot open it.
    pub fn share_pipes(&self) -> io::Result<()> {
        let Some((uid, gid)) = self.root else { return Ok(()) };
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        for fd in [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()] {
            if rustix::fs::fstatfs(fd).is_ok_and(|found| found.f_type == PIPES) {
                match rustix::fs::fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))) {
                    Ok(()) | Err(Errno::PERM) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }
}
