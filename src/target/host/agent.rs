//! The agent of whoever installs, lent to one command at a time.
//!
//! On the machine itself commands run as they are, and what one of them leaves behind goes on running: the socket is made
//! for the command's own user alone, and is gone, with all its connections, when the command has ended.

use std::path::{Path, PathBuf};

use layers::root::Root;
use tokio::runtime::Handle;

use super::super::TargetError;
use super::super::accounts::Account;
use super::super::lent::{PLACE, SSH};
use super::elsewhere::Elsewhere;
use super::private;
use crate::sandbox::Bind;
use crate::ssh::{Loan, Proxy, SOCKET, Ssh};

/// What there is to lend, and what is lent.
#[derive(Default)]
pub(super) struct Agent {
    known: Option<(Ssh, Handle)>,
    lent: Option<Lent>,
}

struct Lent {
    /// Ends the loan when it is dropped.
    proxy: Option<Proxy>,
    /// On the machine itself: the directory, relative to its root.
    place: Option<PathBuf>,
    /// In another root: how the command is lent the socket.
    bind: Option<Bind>,
}

type Variables = Vec<(String, String)>;

impl Agent {
    pub(super) fn of(ssh: Ssh, runtime: Handle) -> Self {
        Self { known: Some((ssh, runtime)), lent: None }
    }

    /// What the command that is run next is lent beside the usual.
    pub(super) fn bind(&self) -> Option<&Bind> {
        self.lent.as_ref()?.bind.as_ref()
    }

    /// Lends it to a command on the machine with this root, which is its own.
    pub(super) fn lend_to(&mut self, root: &Root, account: &Account) -> Result<Variables, TargetError> {
        let Some((ssh, runtime)) = &self.known else { return Ok(Vec::new()) };
        let relative = private::directory(root, "ssh")?;
        let place = root.path().join(&relative);
        // From here on it is taken back, whatever fails.
        let lent = self.lent.insert(Lent { proxy: None, place: Some(relative.clone()), bind: None });
        let proxy = ssh.lend_to(&place, (account.uid, account.gid), runtime).map_err(TargetError::Lend)?;
        let files = ssh.loan(proxy.socket().to_owned()).files(&place);
        lent.proxy = Some(proxy);
        for (name, text) in files {
            root.write_file(&relative.join(name), &mut text.as_bytes(), 0o644)?;
        }
        Ok(Loan::env(&place).to_vec())
    }

    /// Lends it to a command in another root.
    pub(super) fn lend_in(&mut self, elsewhere: &Elsewhere) -> Result<Variables, TargetError> {
        let Some((ssh, runtime)) = &self.known else { return Ok(Vec::new()) };
        let proxy = ssh.lend_in(elsewhere.work().join(SSH), runtime).map_err(TargetError::Lend)?;
        let place = Path::new(PLACE).join(SSH);
        let loan = ssh.loan(proxy.socket().to_owned());
        elsewhere.place().add_loan(SSH, &loan.files(&place), SOCKET).map_err(TargetError::Lend)?;
        let bind = Some(Bind::lent(loan.socket, place.join(SOCKET)));
        self.lent = Some(Lent { proxy: Some(proxy), place: None, bind });
        Ok(Loan::env(&place).to_vec())
    }

    /// Takes it back from a command on the machine itself.
    pub(super) fn take_back(&mut self, root: &Root) -> Result<(), TargetError> {
        let Some(Lent { proxy, place, .. }) = self.lent.take() else { return Ok(()) };
        drop(proxy);
        Ok(place.map_or(Ok(()), |place| root.remove_all(&place))?)
    }

    /// Takes it back from a command in another root.
    pub(super) fn take_back_from(&mut self, elsewhere: &Elsewhere) -> Result<(), TargetError> {
        let Some(Lent { proxy, .. }) = self.lent.take() else { return Ok(()) };
        drop(proxy);
        elsewhere.place().remove(SSH).map_err(TargetError::scratch)
    }
}
