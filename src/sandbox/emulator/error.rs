//! Why programs of an architecture do not run here, and the one command that would help.

use std::fmt;
use std::path::Path;

/// This machine runs no programs of a platform.
#[derive(Debug, thiserror::Error)]
#[error("this machine cannot run {platform} programs: {reason}")]
pub struct NoEmulator {
    pub(super) platform: String,
    pub(super) reason: Reason,
}

/// What is in the way.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// What its programs look like is not known.
    Unknown,
    /// The kernel's list cannot be seen.
    NotMounted,
    /// The list, or an entry of it.
    Disabled { what: String },
    /// No entry takes such programs.
    NotRegistered { architecture: String },
    /// The interpreter would have to be in the image.
    NotFixed { name: String, interpreter: String },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("alloy does not know the architecture"),
            Self::NotMounted => f.write_str("binfmt_misc, which starts emulators, is not mounted"),
            Self::Disabled { what } if what == "status" => f.write_str("binfmt_misc is switched off"),
            Self::Disabled { what } => write!(f, "its emulator `{what}` is switched off"),
            Self::NotRegistered { .. } => f.write_str("no emulator is registered for them (binfmt_misc)"),
            Self::NotFixed { name, interpreter } => {
                write!(f, "`{name}` is registered without flag F, and {interpreter} is not in the image")
            }
        }
    }
}

impl NoEmulator {
    /// The one command that helps on this machine.
    pub fn hint(&self) -> Option<String> {
        let place = super::BINFMT_MISC;
        let install = install(&std::fs::read_to_string("/etc/os-release").unwrap_or_default(), systemd());
        let command = match &self.reason {
            Reason::Unknown => return None,
            Reason::NotMounted => {
                format!("mount -t binfmt_misc binfmt_misc {place}; then, unless it is there: {install}")
            }
            Reason::Disabled { what } => format!("echo 1 > {place}/{what}"),
            Reason::NotRegistered { architecture } => registers(architecture).unwrap_or(install),
            Reason::NotFixed { name, .. } => format!("echo -1 > {place}/{name}; {install}"),
        };
        Some(format!("as root: {command}"))
    }
}

fn systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// What registers an emulator that is installed.
fn registers(architecture: &str) -> Option<String> {
    let qemu = match architecture {
        "386" => "i386",
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        "loong64" => "loongarch64",
        "mips64le" => "mips64el",
        "mipsle" => "mipsel",
        other => other,
    };
    let names = [format!("qemu-{qemu}.conf"), format!("qemu-{qemu}-static.conf")];
    let file = names.iter().map(|name| Path::new("/usr/lib/binfmt.d").join(name)).find(|path| path.is_file())?;
    Some(match systemd() {
        true => "systemctl restart systemd-binfmt".to_owned(),
        false => format!("cat {} > {}/register", file.display(), super::BINFMT_MISC),
    })
}

/// What installs and registers emulators, by os-release(5).
fn install(os_release: &str, systemd: bool) -> String {
    let words = os_release.lines().filter_map(|line| line.strip_prefix("ID=").or(line.strip_prefix("ID_LIKE=")));
    let known = words.flat_map(|value| value.trim_matches('"').split(' ')).find_map(|id| match id {
        // Without systemd, it takes another package to register what is installed.
        "debian" | "ubuntu" if systemd => Some("apt-get install qemu-user-static"),
        "debian" | "ubuntu" => Some("apt-get install qemu-user-static binfmt-support"),
        "fedora" | "rhel" => Some("dnf install qemu-user-static"),
        "arch" => Some("pacman -S qemu-user-static qemu-user-static-binfmt"),
        "suse" | "opensuse" => Some("zypper install qemu-linux-user"),
        _ => None,
    });
    known.unwrap_or("install qemu-user, statically linked, with its registrations for binfmt_misc").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_that_of_the_distribution() {
        assert_eq!(install("NAME=x\nID=debian\n", true), "apt-get install qemu-user-static");
        assert_eq!(
            install("ID=mint\nID_LIKE=\"ubuntu debian\"\n", false),
            "apt-get install qemu-user-static binfmt-support"
        );
        assert_eq!(install("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", true), "dnf install qemu-user-static");
        assert!(install("", true).starts_with("install qemu-user"));
    }
}
