//! `apt_install` in a root: what is missing, the index refreshed once, and caches that outlive the build.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::sandbox::Bind;

/// More builds than this on one base at once go without a shared cache of packages.
const SLOTS: u32 = 64;

/// apt's lists and archives, kept by alloy and lent to a build. apt locks both directories, so a build takes a slot
/// of its own: the first that no other build holds.
pub struct AptCache {
    path: PathBuf,
    _lock: File,
}

impl AptCache {
    /// Takes a slot below `path`, a directory for one base: lists of other distributions would be cleaned away.
    pub fn take(path: &Path) -> io::Result<Self> {
        for slot in 0..SLOTS {
            let path = path.join(slot.to_string());
            for directory in ["lists/partial", "archives/partial"] {
                fs::create_dir_all(path.join(directory))?;
            }
            let lock = File::create(path.join("lock"))?;
            match lock.try_lock() {
                Ok(()) => return Ok(Self { path, _lock: lock }),
                Err(fs::TryLockError::WouldBlock) => {}
                Err(fs::TryLockError::Error(error)) => return Err(error),
            }
        }
        Err(io::Error::other(format!("{SLOTS} builds at once hold {}", path.display())))
    }

    /// True when no index was ever fetched into this slot.
    pub fn is_empty(&self) -> bool {
        let Ok(entries) = fs::read_dir(self.path.join("lists")) else { return true };
        !entries.flatten().any(|entry| entry.file_name().to_string_lossy().contains("Release"))
    }

    /// Lent to every command of the build.
    pub fn binds(&self) -> [Bind; 2] {
        [("lists", "/var/lib/apt/lists"), ("archives", "/var/cache/apt/archives")].map(|(name, target)| Bind {
            source: self.path.join(name),
            target: target.into(),
            read_only: false,
        })
    }
}

/// Those of `packages` that dpkg's `status` does not have installed. `name=version` counts only in that version,
/// `name:arch` only in that architecture.
pub fn missing<'a>(packages: &'a [String], status: &str) -> Vec<&'a str> {
    let installed: Vec<Installed<'_>> = status.split("\n\n").filter_map(parse).collect();
    packages.iter().map(String::as_str).filter(|wanted| !installed.iter().any(|has| has.satisfies(wanted))).collect()
}

/// Versions of what dpkg's `status` has installed, by name; with `:arch` for one of another architecture than `native`.
pub fn installed(status: &str, native: &str) -> BTreeMap<String, String> {
    let all = status.split("\n\n").filter_map(parse).map(|has| {
        let own = has.architecture == native || has.architecture == "all";
        let name = if own { has.package.to_owned() } else { format!("{}:{}", has.package, has.architecture) };
        (name, has.version.to_owned())
    });
    all.collect()
}

struct Installed<'a> {
    package: &'a str,
    version: &'a str,
    architecture: &'a str,
}

fn parse(stanza: &str) -> Option<Installed<'_>> {
    let field = |name: &str| stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::trim);
    // deb822, dpkg's status: "want flag state".
    field("Status")?.ends_with(" installed").then_some(())?;
    Some(Installed { package: field("Package")?, version: field("Version")?, architecture: field("Architecture")? })
}

impl Installed<'_> {
    fn satisfies(&self, wanted: &str) -> bool {
        let (name, version) = wanted.split_once('=').map_or((wanted, None), |(name, version)| (name, Some(version)));
        let (name, architecture) = name.split_once(':').map_or((name, None), |(name, arch)| (name, Some(arch)));
        name == self.package
            && version.is_none_or(|version| version == self.version)
            && architecture.is_none_or(|arch| arch == self.architecture)
    }
}

/// The command that refreshes the index; any source that fails is a failure, not a warning.
pub fn update_command() -> Vec<String> {
    ["apt-get", "update", "-o", "APT::Update::Error-Mode=any"].map(str::to_owned).to_vec()
}

/// The command that installs `packages`.
pub fn install_command(packages: &[&str], recommends: bool) -> Vec<String> {
    let recommends = if recommends { "--install-recommends" } else { "--no-install-recommends" };
    let fixed = ["apt-get", "install", "-y", recommends, "--"];
    fixed.iter().chain(packages).map(|word| (*word).to_owned()).collect()
}

/// True for a command line that wants apt's index to be there.
pub fn mentions_apt(command: &str) -> bool {
    command
        .split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_')))
        .any(|word| matches!(word, "apt" | "apt-get" | "apt-cache" | "aptitude"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Package: cmake\nStatus: install ok installed\nArchitecture: amd64\nVersion: 3.25.1-1\n\n\
                          Package: git\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1:2.39\n";

    #[test]
    fn only_what_is_missing_is_installed() {
        let packages = ["cmake", "cmake=3.25.1-1", "cmake=3.26", "cmake:amd64", "cmake:arm64", "git", "ninja-build"];
        let packages = packages.map(str::to_owned);
        assert_eq!(missing(&packages, STATUS), ["cmake=3.26", "cmake:arm64", "git", "ninja-build"]);
    }

    #[test]
    fn what_is_installed_has_a_version() {
        assert_eq!(installed(STATUS, "amd64"), BTreeMap::from([("cmake".into(), "3.25.1-1".into())]));
        assert_eq!(installed(STATUS, "arm64").keys().collect::<Vec<_>>(), ["cmake:amd64"]);
    }

    #[test]
    fn builds_at_once_take_different_slots() {
        let directory = tempfile::tempdir().unwrap();
        let first = AptCache::take(directory.path()).unwrap();
        let second = AptCache::take(directory.path()).unwrap();
        assert_ne!(first.path, second.path);
        let place = first.path.clone();
        drop(first);
        assert_eq!(AptCache::take(directory.path()).unwrap().path, place);
    }

    #[test]
    fn apt_is_a_word_of_its_own() {
        assert!(mentions_apt("set -e; apt-get install -y foo"));
        assert!(mentions_apt("/usr/bin/apt install x"));
        assert!(!mentions_apt("echo adapt; ./apt-mirror-tool"));
    }
}
