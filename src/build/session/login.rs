//! What a login shell makes of the environment.

use std::collections::{BTreeMap, BTreeSet};

use super::{Result, Session};
use crate::build::foreign::{self, Need};

impl Session<'_> {
    /// What a login shell of `user` changes of `env`.
    pub fn login_environment(&mut self, user: &str, env: BTreeMap<String, String>) -> Result<BTreeMap<String, String>> {
        let (resolver, trees) = (self.resolver, self.trees(&BTreeSet::new())?);
        let target = self.target()?;
        // What this machine lends is no part of the image, however a profile spells it.
        target.begin_alone(trees, env.clone())?;
        // An image of files alone has no shell that sets anything, whatever architecture it is for.
        let found = match target.has_shell(user) {
            Ok(false) => Ok(BTreeMap::new()),
            Ok(true) => {
                foreign::ensure(resolver, || Need::LoginShell)?;
                target.login_environment(user)
            }
            Err(error) => Err(error),
        };
        target.discard()?;
        let own: BTreeSet<&str> = [
            "_",
            "APT_CONFIG",
            "DEBIAN_FRONTEND",
            "HOME",
            "HOSTNAME",
            "LOGNAME",
            "MAIL",
            "OLDPWD",
            "PWD",
            "PYTHONHASHSEED",
            "SHELL",
            "SHLVL",
            "SOURCE_DATE_EPOCH",
            "SYSTEMD_OFFLINE",
            "TERM",
            "USER",
        ]
        .into();
        let changed =
            found?.into_iter().filter(|(name, value)| !own.contains(name.as_str()) && env.get(name) != Some(value));
        Ok(changed.collect())
    }
}
