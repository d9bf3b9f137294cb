//! `alloy.lock.yml`: what names stand for, pinned.

mod difference;
mod keys;
mod packages;
mod pin;
mod read;
mod words;
mod write;

use std::collections::BTreeMap;

use layers::digest::Digest;

pub use difference::difference;
pub use keys::{Keys, pins, same};
pub use packages::Packages;
pub use pin::{
    ArchivePin, BasePin, ClosurePin, DebPin, DownloadPin, PackagePin, PackagesPin, PocketPin, ToolchainPin,
    ToolchainSource,
};
pub use read::{Lockfile, logins};
pub use words::unfit;

use crate::op::Secrets;

/// The platform of a lockfile that does not say one.
const DEFAULT_HOST: &str = "linux/amd64";

/// A lockfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// When something in it was resolved last, as it is written.
    pub resolved_at: Option<String>,
    /// The platform whose toolchains stand at the top.
    pub host: String,
    /// Platform to reference to pin.
    pub toolchains: BTreeMap<String, BTreeMap<String, ToolchainPin>>,
    /// Reference of a base to what it was.
    pub base: BTreeMap<String, BasePin>,
    /// URL to pin, for tasks without `sha256`.
    pub downloads: BTreeMap<String, DownloadPin>,
    /// URL of a git repository to revision to commit.
    pub git: BTreeMap<String, BTreeMap<String, String>>,
    /// The same of those that are tags, to the tag's object, or [`crate::op::LIGHTWEIGHT`].
    pub tags: BTreeMap<String, BTreeMap<String, String>>,
    /// The repository that has the packages, should the archive lose them.
    pub mirror: Option<String>,
    /// Platform to task to the packages that it installs.
    pub apt: BTreeMap<String, BTreeMap<String, ClosurePin>>,
    /// What tasks install from the registries of languages.
    pub packages: Packages,
}

impl Default for Lock {
    fn default() -> Self {
        Self {
            resolved_at: None,
            host: DEFAULT_HOST.to_owned(),
            toolchains: BTreeMap::new(),
            base: BTreeMap::new(),
            downloads: BTreeMap::new(),
            git: BTreeMap::new(),
            tags: BTreeMap::new(),
            mirror: None,
            apt: BTreeMap::new(),
            packages: Packages::default(),
        }
    }
}

impl Lock {
    /// The pin of a URL, which may hold markers of secrets: the lock has the templates that its author wrote.
    pub fn download(&self, url: &str) -> Option<Digest> {
        self.downloads.get(&Secrets::as_written(url)).map(|pin| pin.sha256)
    }

    /// The commit of a revision of a git repository, by the URL as it is written.
    pub fn commit(&self, url: &str, revision: &str) -> Option<&str> {
        Some(self.git.get(url)?.get(revision)?)
    }

    /// What is known of the tag that a pinned revision is.
    pub fn tag(&self, url: &str, revision: &str) -> Option<&str> {
        self.commit(url, revision).and_then(|_| Some(self.tags.get(url)?.get(revision)?.as_str()))
    }

    /// Pins a revision, and the tag that it is, where it is one.
    pub fn pin_commit(&mut self, url: &str, revision: &str, commit: String, tag: Option<String>) {
        self.git.entry(url.to_owned()).or_default().insert(revision.to_owned(), commit);
        self.tags.get_mut(url).map(|tags| tags.remove(revision));
        if let Some(tag) = tag {
            self.tags.entry(url.to_owned()).or_default().insert(revision.to_owned(), tag);
        }
        self.tags.retain(|_, tags| !tags.is_empty());
    }

    /// The pin of a reference on a platform; `@stable` and no version are the same.
    pub fn toolchain(&self, platform: &str, reference: &str) -> Option<&ToolchainPin> {
        let pins = self.toolchains.get(platform)?;
        let exact = pins.get(reference);
        exact.or_else(|| pins.iter().find(|(key, pin)| keys::pins(key, pin, reference)).map(|(_, pin)| pin))
    }

    /// What stands where a pin of a reference would, if it is of another version: its version, as far as the lock says it.
    pub fn other_version(&self, platform: &str, reference: &str) -> Option<String> {
        let none = self.toolchain(platform, reference).is_none();
        let (key, pin) = self.toolchains.get(platform)?.iter().find(|(key, _)| none && same(key, reference))?;
        let version = pin.version.as_deref().map(|version| format!(" in version {version}"));
        Some(format!("the lockfile has `{key}`{}", version.unwrap_or_default()))
    }

    /// Bytes of the downloads that it pins, by URL.
    pub fn sizes(&self) -> BTreeMap<String, u64> {
        let downloads = self.downloads.iter().filter_map(|(url, pin)| Some((url.clone(), pin.size?)));
        downloads.chain(self.packages.files().map(|file| (file.url.clone(), file.size))).collect()
    }

    /// `old` with all that this one pins and `old` does not.
    #[must_use]
    pub fn added_to(&self, old: &Self) -> Self {
        let mut all = old.clone();
        for (platform, pins) in &self.toolchains {
            let own = all.toolchains.entry(platform.clone()).or_default();
            for (reference, pin) in pins.iter().filter(|(reference, _)| old.toolchain(platform, reference).is_none()) {
                own.insert(reference.clone(), pin.clone());
            }
        }
        for (reference, pin) in &self.base {
            match (all.base.get_mut(reference), pin) {
                (None, pin) => drop(all.base.insert(reference.clone(), pin.clone())),
                (Some(BasePin::Archive(own)), BasePin::Archive(new)) => {
                    for (platform, pin) in new {
                        own.entry(platform.clone()).or_insert_with(|| pin.clone());
                    }
                }
                (Some(_), _) => {}
            }
        }
        for (url, pin) in &self.downloads {
            all.downloads.entry(url.clone()).or_insert_with(|| pin.clone());
        }
        for (url, commits) in &self.git {
            for (name, commit) in commits.iter().filter(|(name, _)| old.commit(url, name).is_none()) {
                all.pin_commit(url, name, commit.clone(), self.tag(url, name).map(str::to_owned));
            }
        }
        // A task's list is for what the task asks for now.
        for (platform, tasks) in &self.apt {
            all.apt.entry(platform.clone()).or_default().extend(tasks.clone());
        }
        for (language, platform, task, pin) in self.packages.all() {
            all.packages.insert(language, platform, task.clone(), pin.clone());
        }
        all
    }

    /// True if both pin the same, whenever that was.
    pub fn pins_as(&self, other: &Self) -> bool {
        let Self { resolved_at: _, host, toolchains, base, downloads, git, tags, mirror, apt, packages } = self;
        // A platform without pins is one that is not there.
        let full = |pins: &BTreeMap<String, BTreeMap<String, ToolchainPin>>| {
            pins.clone().into_iter().filter(|(_, pins)| !pins.is_empty()).collect::<Vec<_>>()
        };
        *host == other.host
            && full(toolchains) == full(&other.toolchains)
            && *base == other.base
            && *downloads == other.downloads
            && *git == other.git
            && *tags == other.tags
            && *mirror == other.mirror
            && *apt == other.apt
            && *packages == other.packages
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{FileId, parse};

    #[test]
    fn both_spellings_of_a_key() {
        let digits = "a".repeat(64);
        for key in ["toolchain.arm-gnu.arm-none-eabi@stable", "toolchain.arm-gnu.arm-none-eabi"] {
            let text = format!(
                "host: linux/amd64\ntoolchains:\n  {key}: {{url: https://a.example/x, sha256: {digits}}}\n\
                 downloads:\n  https://a.example/y: {{sha256: {digits}, size: 1}}\n"
            );
            let lock = Lock::read(&parse(FileId(0), &text).unwrap()).unwrap();
            for asked in ["toolchain.arm-gnu.arm-none-eabi", "toolchain.arm-gnu.arm-none-eabi@stable"] {
                assert_eq!(lock.toolchain("linux/amd64", asked).unwrap().url(), Some("https://a.example/x"));
            }
            assert!(lock.toolchain("linux/arm64", key).is_none());
            assert_eq!(lock.download("https://a.example/y").unwrap().hex(), digits);
        }
    }

    #[test]
    fn what_was_found_is_added_and_nothing_is_taken_away() {
        let digits = |digit: &str| digit.repeat(64);
        let lock = |text: &str| Lock::read(&parse(FileId(0), text).unwrap()).unwrap();
        let old = lock(&format!(
            "downloads:\n  https://a.example/x: {{sha256: {a}}}\nbase:\n  debian:12: {{digest: 'sha256:{a}'}}\n\
             apt:\n  linux/amd64:\n    a: {{packages: [x], closure: []}}\n",
            a = digits("a")
        ));
        let new = lock(&format!(
            "downloads:\n  https://a.example/x: {{sha256: {b}}}\n  https://a.example/y: {{sha256: {b}}}\n\
             base:\n  debian:12: {{digest: 'sha256:{b}'}}\ngit:\n  https://a.example/g: {{v1: {c}}}\n",
            b = digits("b"),
            c = "0a".repeat(20)
        ));
        let all = new.added_to(&old);
        assert_eq!(all.download("https://a.example/x").unwrap().hex(), digits("a"));
        assert_eq!(all.download("https://a.example/y").unwrap().hex(), digits("b"));
        assert_eq!((&all.base, &all.apt), (&old.base, &old.apt));
        assert!(all.commit("https://a.example/g", "v1").is_some());
        assert_eq!(old.added_to(&old), old);
    }

    #[test]
    fn a_secret_in_a_url_is_pinned_as_it_is_written() {
        let digits = "a".repeat(64);
        let text = format!("downloads:\n  'https://a.example/x?t={{{{.Vars.A_TOKEN}}}}': {{sha256: {digits}}}\n");
        let node = parse(FileId(0), &text).unwrap();
        let url = format!("https://a.example/x?t={}", crate::op::marker("A_TOKEN"));
        assert_eq!(Lock::read(&node).unwrap().download(&url).unwrap().hex(), digits);
    }
}
