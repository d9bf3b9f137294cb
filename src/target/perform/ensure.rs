//! Users and groups that have to be there.

use super::Performer;
use crate::target::TargetError;

impl Performer<'_> {
    pub(super) fn ensure_user(&mut self, name: &str, uid: u32) -> Result<i32, TargetError> {
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
        self.as_root(&argv)
    }

    pub(super) fn ensure_group(&mut self, name: &str) -> Result<i32, TargetError> {
        let accounts = self.accounts()?;
        if accounts.gid(name).is_ok() {
            return Ok(0);
        }
        self.as_root(&["groupadd".to_owned(), name.to_owned()])
    }
}
