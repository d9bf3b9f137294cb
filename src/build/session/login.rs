//! What a login shell makes of the environment.

use std::collections::{BTreeMap, BTreeSet};

use super::{Result, Session};
use crate::build::foreign::{self, Need};
use crate::target::image::RequestError;

/// What is said of an image without a login shell.
const NO_SHELL: &str = "alloy: cannot run /bin/sh: No such file";

impl Session<'_> {
    /// What a login shell of `user` changes of `env`.
    pub fn login_environment(&mut self, user: &str, env: BTreeMap<String, String>) -> Result<BTreeMap<String, String>> {
        foreign::ensure(self.resolver, || Need::LoginShell)?;
        let trees = self.trees(&BTreeSet::new())?;
        let target = self.target()?;
        // What this machine lends is no part of the image, however a profile spells it.
        target.begin_alone(trees, env.clone())?;
        let found = target.login_environment(user);
        target.discard()?;
        // Then it sets nothing: an image of files alone has none.
        if matches!(&found, Err(RequestError::Failed { message, .. }) if message.contains(NO_SHELL)) {
            return Ok(BTreeMap::new());
        }
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
