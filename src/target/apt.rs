//! apt in a root: what is missing there, what apt is asked, and what it answers.

use layers::digest::Digest;
use serde::{Deserialize, Serialize};

use crate::debian::os_release;
use crate::fetch::taken_apart;
use crate::lock::DebPin;
use crate::op::Deb;

mod local;
mod setup;
mod status;

pub use local::LocalDeb;
pub use setup::{ARCHITECTURES, setup};
pub use status::{Status, installed};

/// What dpkg has installed.
pub const STATUS: &str = "var/lib/dpkg/status";
/// What apt has installed by itself.
pub const EXTENDED_STATES: &str = "var/lib/apt/extended_states";

/// What packages come to, as apt decides it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closure {
    /// All that it installs, in its order.
    pub debs: Vec<DebPin>,
    /// The suite of the root.
    pub suite: Option<String>,
}

/// `VERSION_CODENAME` of os-release(5).
pub fn suite(text: &str) -> Option<String> {
    let name = os_release(text, "VERSION_CODENAME")?;
    let fits = name.len() <= 64 && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    fits.then(|| name.to_owned())
}

/// The command that refreshes the index; any source that fails is a failure, not a warning.
pub fn update_command() -> Vec<String> {
    ["apt-get", "update", "-o", "APT::Update::Error-Mode=any"].map(str::to_owned).to_vec()
}

/// What apt is told where another package of the same name and version is there.
const AGAIN: &str = "--reinstall";

/// What apt is told where files are among `packages`: each is wanted in just its version, as `name=version` is.
fn older(packages: &[&str]) -> Option<&'static str> {
    packages.iter().any(|package| package.starts_with('/')).then_some("--allow-downgrades")
}

/// The command that installs `packages`; `again` where another one of the same version may be there.
pub fn install_command(packages: &[&str], recommends: bool, again: bool) -> Vec<String> {
    let recommends = if recommends { "--install-recommends" } else { "--no-install-recommends" };
    let options = older(packages).into_iter().chain(again.then_some(AGAIN));
    let fixed = ["apt-get", "install", "-y", recommends].into_iter().chain(options).chain(["--"]);
    fixed.chain(packages.iter().copied()).map(str::to_owned).collect()
}

/// The command that says which files apt would fetch to install `packages`, `again` as above. Those that it has already
/// count as well.
pub fn uris_command(packages: &[&str], recommends: bool, again: bool) -> Vec<String> {
    let recommends = if recommends { "--install-recommends" } else { "--no-install-recommends" };
    let options = ["Acquire::ForceHash=SHA256", "Dir::Cache::archives=/run/alloy/none/"];
    let options = options.iter().flat_map(|option| ["-o", option]).chain(older(packages)).chain(again.then_some(AGAIN));
    let fixed =
        ["apt-get", "install", "--print-uris", "-qq", "-y", recommends].into_iter().chain(options).chain(["--"]);
    fixed.chain(packages.iter().copied()).map(str::to_owned).collect()
}

/// What that command has printed: `'URL' NAME_VERSION_ARCH.deb SIZE SHA256:HASH`, a line each. `Err` is a line that
/// cannot be pinned.
pub fn uris(printed: &str) -> Result<Vec<DebPin>, String> {
    // Those that alloy has lent are pinned by themselves.
    let lent = |line: &str| line.starts_with("'/") || line.starts_with("'file:/run/alloy/");
    let lines = printed.lines().filter(|line| line.starts_with('\'') && !lent(line));
    lines.map(|line| uri(line).ok_or_else(|| line.to_owned())).collect()
}

fn uri(line: &str) -> Option<DebPin> {
    let (url, rest) = line.strip_prefix('\'')?.split_once("' ")?;
    let url = taken_apart(url).0;
    let url = url.as_str();
    let [name, size, hash] = rest.split_whitespace().collect::<Vec<_>>().try_into().ok()?;
    let mut parts = name.strip_suffix(".deb")?.split('_');
    let (package, version, arch) = (parts.next()?, parts.next()?, parts.next()?);
    // Flat archives have no pool.
    let (archive, filename) = match url.find("/pool/") {
        Some(at) => (&url[..at], &url[at + 1..]),
        None => url.rsplit_once('/')?,
    };
    if !url.starts_with("http") {
        return None;
    }
    Some(DebPin {
        package: package.to_owned(),
        // apt writes the colon of an epoch, and no other, as a URL has it.
        version: version.replace("%3a", ":"),
        arch: arch.to_owned(),
        archive: archive.to_owned(),
        filename: filename.to_owned(),
        sha256: Digest::from_hex(hash.strip_prefix("SHA256:")?).ok()?,
        size: size.parse().ok()?,
    })
}

/// A package's file as apt fetches it, with the hash of it that the signed index says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived {
    /// Its name in apt's directory.
    pub name: String,
    /// What it is.
    pub sha256: Digest,
    /// Bytes.
    pub size: u64,
}

/// The packages in what [`uris_command`] has printed that have a SHA-256. Others are not kept.
pub fn archived(printed: &str) -> Vec<Archived> {
    let one = |line: &str| {
        let (_, rest) = line.strip_prefix('\'')?.split_once("' ")?;
        let [name, size, hash] = rest.split_whitespace().collect::<Vec<_>>().try_into().ok()?;
        let plain = name.ends_with(".deb") && !name.starts_with('.') && !name.contains('/') && name.len() < 256;
        let sha256 = Digest::from_hex(hash.strip_prefix("SHA256:")?).ok()?;
        plain.then_some(Archived { name: name.to_owned(), sha256, size: size.parse().ok()? })
    };
    printed.lines().filter_map(one).collect()
}

/// A package's file, as apt names it.
pub fn file_name(deb: &Deb) -> String {
    file_named(&deb.package, &deb.version, &deb.architecture)
}

/// The same by name, version and architecture.
pub fn file_named(package: &str, version: &str, architecture: &str) -> String {
    format!("{package}_{}_{architecture}.deb", version.replace(':', "%3a"))
}

/// What apt is told where it has nobody to ask: whatever index there is says nothing of what is pinned.
const ALONE: [&str; 6] =
    ["-o", "Dir::State::lists=/run/alloy/none/", "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache="];

/// The command that installs the packages in `files`, `again` as above. The recommended ones that are wanted are among
/// them.
pub fn local_command(files: &[String], again: bool) -> Vec<String> {
    let fixed = ["apt-get", "install", "-y", "--allow-downgrades", "--no-install-recommends"]
        .into_iter()
        .chain(again.then_some(AGAIN))
        .chain(ALONE)
        .chain(["--"]);
    fixed.map(str::to_owned).chain(files.iter().cloned()).collect()
}

/// What apt is told where nothing that is installed may go for what is to be installed.
const KEEPING: &str = "--no-remove";
/// What apt is told where it is to say what it would do, and to do nothing.
const SIMULATED: &str = "--simulate";

/// `command`, which installs packages, so that it fails where it would remove others.
pub fn keeping(command: &[String]) -> Vec<String> {
    with(command, KEEPING)
}

/// `command`, which installs packages, so that it only says what it would do.
pub fn simulated(command: &[String]) -> Vec<String> {
    with(command, SIMULATED)
}

fn with(command: &[String], option: &str) -> Vec<String> {
    let names = command.iter().position(|word| word == "--").unwrap_or(command.len());
    let (options, names) = command.split_at(names);
    [options, &[option.to_owned()], names].concat()
}

/// The packages that it would remove, as a command that only says what it would do has printed: `Remv NAME …`.
pub fn removed(printed: &str) -> Vec<String> {
    let names = printed.lines().filter_map(|line| line.strip_prefix("Remv ")?.split_whitespace().next());
    names.map(str::to_owned).collect()
}

/// The command that marks packages as installed for the sake of others.
pub fn mark_command(packages: &[String]) -> Vec<String> {
    let fixed = ["apt-mark", "auto", "-qq"].into_iter().chain(ALONE).chain(["--"]);
    fixed.map(str::to_owned).chain(packages.iter().cloned()).collect()
}

/// What apt does without an index, as it looks at what is installed and at its own files, and directories of its.
const WITHOUT_INDEX: [&str; 12] = [
    "archives",
    "autoclean",
    "auto-clean",
    "autopurge",
    "autoremove",
    "auto-remove",
    "check",
    "clean",
    "distclean",
    "lists",
    "purge",
    "remove",
];

/// How a command line uses apt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Not at all, as far as its words say.
    No,
    /// It refreshes the index by itself.
    Refreshing,
    /// It counts on an index that is there.
    Counting,
}

impl Use {
    /// By the words of `command`.
    pub fn of(command: &str) -> Self {
        let apart = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        let words: Vec<&str> = command.split(apart).filter(|word| !word.is_empty()).collect();
        let uses = |word: &str| matches!(word, "apt" | "apt-get" | "apt-cache" | "aptitude");
        // What follows each.
        let all: Vec<&[&str]> =
            words.iter().enumerate().filter(|(_, word)| uses(word)).map(|(at, _)| &words[at + 1..]).collect();
        match all.first() {
            Some(rest) if rest.contains(&"update") => Self::Refreshing,
            _ if all.iter().all(|rest| asked(rest).is_some_and(|asked| WITHOUT_INDEX.contains(&asked))) => Self::No,
            _ => Self::Counting,
        }
    }
}

/// What apt is asked for by the words that follow its name.
fn asked<'w>(words: &[&'w str]) -> Option<&'w str> {
    words.iter().find(|word| !word.starts_with('-')).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_apt_would_fetch() {
        let hash = "a".repeat(64);
        let printed = format!(
            "Reading package lists...\n\
             'http://a.example/debian/pool/main/g/git/git_2.39.5-0%2bdeb12u2_amd64.deb' git_1%3a2.39.5-0+deb12u2_amd64.deb 12 SHA256:{hash}\n\
             'https://b.example/flat/x_1_all.deb' x_1_all.deb 3 SHA256:{hash}\n"
        );
        let debs = uris(&printed).unwrap();
        assert_eq!(
            (debs[0].version.as_str(), debs[0].archive.as_str()),
            ("1:2.39.5-0+deb12u2", "http://a.example/debian")
        );
        assert_eq!(debs[0].filename, "pool/main/g/git/git_2.39.5-0%2bdeb12u2_amd64.deb");
        assert_eq!((debs[1].url().as_str(), debs[1].size), ("https://b.example/flat/x_1_all.deb", 3));
        for bad in ["'file:/srv/x_1_all.deb' x_1_all.deb 3 SHA256:", "'http://a.example/x_1_all.deb' x_1_all.deb 3 "] {
            let line = if bad.ends_with(':') { format!("{bad}{hash}") } else { bad.to_owned() };
            assert_eq!(uris(&line), Err(line.clone()));
        }
    }

    #[test]
    fn packages_that_apt_names_with_a_hash() {
        let hash = "a".repeat(64);
        let line = |name: &str, hash: &str| format!("'http://a.example/x' {name} 7 {hash}\n");
        let sha256 = format!("SHA256:{hash}");
        let printed = [
            line("x_1%3a2_all.deb", &sha256),
            line("../x_1_all.deb", &sha256),
            line("y_1_all.deb", ""),
            line("y_1_all.deb", "MD5Sum:1234"),
            line("lock", &sha256),
            "Reading package lists...\n".to_owned(),
        ];
        let found = archived(&printed.concat());
        assert_eq!(found.iter().map(|one| (one.name.as_str(), one.size)).collect::<Vec<_>>(), [("x_1%3a2_all.deb", 7)]);
    }

    #[test]
    fn what_apt_would_remove() {
        let command = install_command(&["git"], false, false);
        assert_eq!(keeping(&command)[4..], ["--no-remove", "--", "git"]);
        assert_eq!(
            simulated(&local_command(&["/x.deb".into()], true)).iter().filter(|word| *word == "--simulate").count(),
            1
        );
        let printed =
            "NOTE: This is only a simulation!\nRemv git [1:2.39.5-0+deb12u2]\nRemv x:i386 [1]\nInst foo (1 x)\n";
        assert_eq!(removed(printed), ["git", "x:i386"]);
        assert!(removed("Reading package lists...\nInst foo (1 x)\n").is_empty());
    }

    #[test]
    fn apt_is_a_word_of_its_own() {
        for (command, expected) in [
            ("set -e; apt-get install -y foo", Use::Counting),
            ("apt-get clean && rm -rf /var/lib/apt/lists/*", Use::No),
            ("apt-get -y autoremove --purge; apt-get clean", Use::No),
            ("apt-get clean; apt-get install -y foo", Use::Counting),
            ("apt-get", Use::Counting),
            ("/usr/bin/apt install x", Use::Counting),
            ("./update && apt-get install -y foo", Use::Counting),
            ("echo adapt; ./apt-mirror-tool", Use::No),
            ("apt-get -qq update && apt-get install -y foo", Use::Refreshing),
        ] {
            assert_eq!(Use::of(command), expected, "{command}");
        }
    }
}
