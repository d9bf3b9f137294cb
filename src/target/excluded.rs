//! What builds and package managers leave behind and no layer of alloy's holds.

use layers::diff::ExcludeSet;

/// Caches, files that a runtime mounts over, logs, locks and backups of package managers; directories that live only while a system runs; the id that
/// D-Bus gives a machine which has none (dbus-uuidgen(1): it is made where it is missing, and refused where it is empty).
const PATTERNS: &[&str] = &[
    "dev/",
    "etc/.pwd.lock",
    "etc/group-",
    "etc/gshadow-",
    "etc/hosts",
    "etc/passwd-",
    "etc/resolv.conf",
    "etc/shadow-",
    "etc/subgid-",
    "etc/subuid-",
    "home/*/.cache/pip",
    "home/*/.npm/_cacache",
    "home/*/.npm/_logs",
    "home/*/.npm/_update-notifier-last-checked",
    "proc/",
    "root/.cache/pip",
    "root/.npm/_cacache",
    "root/.npm/_logs",
    "root/.npm/_update-notifier-last-checked",
    "run/",
    "sys/",
    "tmp/",
    "var/cache/apt/",
    "var/cache/debconf/*-old",
    "var/cache/ldconfig/",
    "var/lib/apt/lists/",
    "var/lib/dbus/machine-id",
    "var/lib/dpkg/*-old",
    "var/lib/dpkg/lock",
    "var/lib/dpkg/lock-frontend",
    "var/lib/dpkg/triggers/Lock",
    "var/log/alternatives.log",
    "var/log/apt/",
    "var/log/bootstrap.log",
    "var/log/dpkg.log",
    "var/log/fontconfig.log",
];

/// Directories all the same: packages have them, links lead there, and who finds them missing fails.
const DIRECTORIES: &[&str] =
    &["run/lock", "var/cache/apt/archives", "var/cache/apt/archives/partial", "var/lib/apt/lists/partial"];

/// Files whose content is made anew by every machine, and which have to exist empty until then (machine-id(5)).
const EMPTIED: &[&str] = &["etc/machine-id"];

/// What is left out of every layer that alloy builds.
pub const fn excluded() -> ExcludeSet {
    ExcludeSet::new(PATTERNS, DIRECTORIES, EMPTIED)
}

/// What is left out of a root that somebody else has made: nothing, but for what every machine makes anew.
pub const fn as_it_is() -> ExcludeSet {
    ExcludeSet::new(&[], DIRECTORIES, EMPTIED)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_is_left_behind_is_known() {
        for path in [
            "tmp/x",
            "home/ann/.cache/pip",
            "var/lib/dpkg/status-old",
            "etc/passwd-",
            "etc/subuid-",
            "var/lib/dbus/machine-id",
            "var/log/apt/x",
            "root/.npm/_cacache",
            "home/ann/.npm/_logs",
            "etc/hosts",
            "run/lock/x",
            "run/x",
            "var/cache/apt/archives/x.deb",
        ] {
            assert!(excluded().contains(Path::new(path)), "{path}");
            assert!(!as_it_is().contains(Path::new(path)), "{path}");
        }
        for path in [
            "tmp",
            "home/.cache/pip",
            "var/lib/dpkg/status",
            "etc/passwd",
            "var/tmp/x",
            "root/.npm/x",
            "run/lock",
            "var/cache/apt/archives/partial",
        ] {
            assert!(!excluded().contains(Path::new(path)), "{path}");
        }
        assert!(excluded().empties(Path::new("etc/machine-id")));
    }
}
