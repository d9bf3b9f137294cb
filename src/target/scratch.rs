//! The directories behind one layer while it is being made.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::lent::{AUTH_CONF, Lent, PLACE, Place};
use crate::sandbox::Bind;

/// Keeps services from starting while packages are configured (Debian policy 9.3.3.2, `policy-rc.d`).
const POLICY: &str = "#!/bin/sh\nexit 101\n";

/// What apt is told in every command. `Sandbox::User`: its download user could not write to the lent caches. `Path`: that
/// of packages' scripts, as apt has it, after [`STAND_INS`].
const APT_CONF: &str = "\
APT::Sandbox::User \"root\";
APT::Keep-Downloaded-Packages \"true\";
Acquire::Languages \"none\";
Acquire::Retries \"3\";
Dpkg::Use-Pty \"false\";
DPkg::Path \"/run/alloy/bin:/usr/sbin:/usr/bin:/sbin:/bin\";
Dpkg::Options:: \"--force-confdef\";
Dpkg::Options:: \"--force-confold\";
";

/// Where [`APT_CONF`] appears in the sandbox.
pub const APT_CONF_PATH: &str = "/run/alloy/apt.conf";

/// What stands in for programs that want a running machine, in the directory that apt's settings name.
const STAND_INS: [(&str, &str); 2] = [("udevadm", UDEVADM), ("systemctl", SYSTEMCTL)];

/// No udev runs, and scripts of packages that ask it to read its rules or look at devices ask in vain, or fail where it is
/// not installed. Anything else is the image's own udevadm's, if there is one.
const UDEVADM: &str = "#!/bin/sh
for word; do
    case $word in -*) continue ;; control | trigger | settle | monitor) exit 0 ;; *) break ;; esac
done
for program in /usr/bin/udevadm /bin/udevadm /sbin/udevadm; do
    [ ! -x $program ] || exec $program \"$@\"
done
exit 0
";

/// No systemd runs. The image's own systemctl knows that by SYSTEMD_OFFLINE; without one, services are neither started
/// nor stopped.
const SYSTEMCTL: &str = "#!/bin/sh
for program in /usr/bin/systemctl /bin/systemctl; do
    [ ! -x $program ] || exec $program \"$@\"
done
for word; do
    case $word in
        -*) continue ;;
        start | stop | restart | try-restart | reload | reload-or-restart | try-reload-or-restart | kill) exit 0 ;;
        daemon-reload | daemon-reexec | reset-failed) exit 0 ;;
        *) break ;;
    esac
done
echo \"systemctl: not installed in this image\" >&2
exit 127
";

/// Makes the lowest layer of every build overlay: mount points and files that commands may rely on and no layer
/// ever holds, so that lending something never changes the layer that is being made.
pub fn skeleton(path: &Path) -> io::Result<()> {
    for directory in ["dev", "etc", "proc", "run/alloy", "run/lock", "sys", "tmp", "usr/sbin"] {
        fs::create_dir_all(path.join(directory))?;
    }
    for file in ["etc/resolv.conf", "etc/hosts"] {
        fs::write(path.join(file), "")?;
    }
    let policy = path.join("usr/sbin/policy-rc.d");
    fs::write(&policy, POLICY)?;
    fs::set_permissions(policy, Permissions::from_mode(0o755))?;
    ["tmp", "run/lock"].iter().try_for_each(|name| fs::set_permissions(path.join(name), Permissions::from_mode(0o1777)))
}

/// Where apt keeps its lists and archives: places to mount on where a root has apt.
const APT: [&str; 2] = ["var/lib/apt/lists", "var/cache/apt/archives"];

/// Makes the places that apt's lists and archives are lent at in the skeleton at `path`.
pub fn skeleton_of_apt(path: &Path) -> io::Result<()> {
    APT.iter().try_for_each(|directory| fs::create_dir_all(path.join(directory)))
}

/// `/tmp` and `/run/alloy` of one layer, and a `/run` for those that need one apart: they live as long as its task file
/// runs, and never enter the layer.
pub struct Scratch {
    path: PathBuf,
    lent: Place,
}

impl Scratch {
    /// Makes the directories below `path`, which must not exist yet, and what is lent in `/run/alloy`.
    pub fn create(path: PathBuf, lent: &Lent) -> io::Result<Self> {
        DirBuilder::new().mode(0o700).create(&path)?;
        for (name, mode) in [("tmp", 0o1777), ("run", 0o755), ("run/lock", 0o1777), ("run/alloy", 0o755)] {
            fs::create_dir(path.join(name))?;
            fs::set_permissions(path.join(name), Permissions::from_mode(mode))?;
        }
        // Beside what commands write to: all that they see of it is a mount over `/run/alloy`.
        let place = Place::create(path.join("lent"), lent)?;
        let passwords =
            lent.files.contains_key(AUTH_CONF).then(|| format!("Dir::Etc::netrc \"{PLACE}/{AUTH_CONF}\";\n"));
        place.programs("bin", &STAND_INS)?;
        place.write("apt.conf", &(APT_CONF.to_owned() + &passwords.unwrap_or_default()), 0o644)?;
        Ok(Self { path, lent: place })
    }

    /// Does it to the directories that commands see.
    pub fn give(&self, given: impl Fn(&Path) -> io::Result<()>) -> io::Result<()> {
        ["tmp", "run", "run/lock"].iter().try_for_each(|name| given(&self.path.join(name)))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What appears in [`PLACE`].
    pub fn lent(&self) -> &Place {
        &self.lent
    }

    /// What every command of the layer is lent from here: `/run` as well, where that is `apart` from the image's.
    pub fn binds(&self, apart: bool) -> Vec<Bind> {
        let own = |name: &str| Bind::writable(self.path.join(name), Path::new("/").join(name));
        let run = apart.then(|| own("run"));
        [own("tmp")].into_iter().chain(run).chain([self.lent.bind()]).collect()
    }
}
