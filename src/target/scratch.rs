//! The directories behind one layer while it is being made.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::lent::AUTH_CONF;
use crate::sandbox::Bind;

/// Keeps services from starting while packages are configured (Debian policy 9.3.3.2, `policy-rc.d`).
const POLICY: &str = "#!/bin/sh\nexit 101\n";

/// What apt is told in every command. `Sandbox::User`: its download user could not write to the lent caches.
const APT_CONF: &str = "\
APT::Sandbox::User \"root\";
APT::Keep-Downloaded-Packages \"true\";
Acquire::Languages \"none\";
Acquire::Retries \"3\";
Dpkg::Use-Pty \"false\";
Dpkg::Options:: \"--force-confdef\";
Dpkg::Options:: \"--force-confold\";
";

/// Where what alloy lends appears in the sandbox.
pub const LENT: &str = "/run/alloy";
/// Where [`APT_CONF`] does.
pub const APT_CONF_PATH: &str = "/run/alloy/apt.conf";

/// Makes the lowest layer of every build overlay: mount points and files that commands may rely on and no layer
/// ever holds, so that lending something never changes the layer that is being made.
pub fn skeleton(path: &Path) -> io::Result<()> {
    for directory in ["dev", "etc", "proc", "run", "sys", "tmp", "usr/sbin"] {
        fs::create_dir_all(path.join(directory))?;
    }
    for file in ["etc/resolv.conf", "etc/hosts"] {
        fs::write(path.join(file), "")?;
    }
    let policy = path.join("usr/sbin/policy-rc.d");
    fs::write(&policy, POLICY)?;
    fs::set_permissions(policy, Permissions::from_mode(0o755))?;
    fs::set_permissions(path.join("tmp"), Permissions::from_mode(0o1777))
}

/// `/tmp` and `/run` of one layer: they live as long as its task file runs, and never enter the layer.
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes the directories below `path`, which must not exist yet, and in `/run/alloy` the files `lent`.
    pub fn create(path: PathBuf, lent: &BTreeMap<String, String>) -> io::Result<Self> {
        fs::create_dir(&path)?;
        for (name, mode) in [("tmp", 0o1777), ("run", 0o755), ("run/lock", 0o1777), ("run/alloy", 0o755)] {
            fs::create_dir(path.join(name))?;
            fs::set_permissions(path.join(name), Permissions::from_mode(mode))?;
        }
        let passwords = lent.contains_key(AUTH_CONF).then(|| format!("Dir::Etc::netrc \"{LENT}/{AUTH_CONF}\";\n"));
        fs::write(path.join("run/alloy/apt.conf"), APT_CONF.to_owned() + &passwords.unwrap_or_default())?;
        for (name, content) in lent {
            let file = path.join("run/alloy").join(name);
            fs::write(&file, "")?;
            // Only root runs apt.
            let mode = if name == AUTH_CONF { 0o600 } else { 0o644 };
            fs::set_permissions(&file, Permissions::from_mode(mode))?;
            fs::write(&file, content)?;
        }
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where something is that appears below [`LENT`].
    pub fn lent(&self, name: &str) -> PathBuf {
        self.path.join("run/alloy").join(name)
    }

    /// What every command of the layer is lent from here.
    pub fn binds(&self) -> [Bind; 2] {
        ["tmp", "run"].map(|name| Bind {
            source: self.path.join(name),
            target: Path::new("/").join(name),
            read_only: false,
        })
    }
}
