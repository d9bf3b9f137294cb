//! Packages from the registries of languages: what a step asks for, and how it installs what a lockfile pins.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Command, Op, Source, percent_decoded};

/// A language with a registry of packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Wheels and source distributions, by pip.
    Python,
    /// Packages of npm.
    Npm,
    /// Crates, by cargo.
    Rust,
}

impl Language {
    /// All, in the order in which lockfiles have them.
    pub const ALL: [Self; 3] = [Self::Python, Self::Npm, Self::Rust];

    /// Its section of a lockfile.
    pub fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Npm => "npm",
            Self::Rust => "rust",
        }
    }

    /// The name in what a task asks for.
    pub fn bare(self, asked: &str) -> &str {
        let end = match self {
            // A scope begins with `@`.
            Self::Npm => asked.get(1..).and_then(|rest| rest.find('@')).map(|at| at + 1),
            Self::Rust => asked.find('@'),
            Self::Python => asked.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c))),
        };
        &asked[..end.unwrap_or(asked.len())]
    }

    /// A name as registries compare it; those of Python packages have several spellings (PEP 503).
    pub fn normal(self, name: &str) -> String {
        if self != Self::Python {
            return name.to_owned();
        }
        let lower = name.to_ascii_lowercase();
        lower.split(['-', '_', '.']).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
    }
}

/// True for one version of npm or cargo (Semantic Versioning 2.0.0, 2), and not for a range of them.
pub fn is_exact_version(text: &str) -> bool {
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let numbers = core.split('.').filter(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit())).count();
    numbers == 3
        && core.matches('.').count() == 2
        && text.chars().all(|c| c.is_ascii_alphanumeric() || ".-+".contains(c))
}

/// A file that is lent to commands under a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LentFile {
    /// Its name.
    pub name: String,
    /// A download with a pin.
    pub source: Source,
    /// Bytes.
    pub size: u64,
}

/// A package that the lockfile names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where it is.
    pub url: String,
    /// The same, with a pin.
    pub source: Source,
    /// Bytes.
    pub size: u64,
    /// Where it lies below the directory of all packages (npm).
    pub path: Option<String>,
    /// Only another one is built with it.
    pub build: bool,
}

impl Package {
    /// What its file is called where it is lent. pip reads names of files.
    pub fn file(&self, language: Language) -> String {
        match language {
            Language::Python => file_of(&self.url),
            Language::Npm => format!("{}-{}.tgz", self.name.replace('/', "+"), self.version),
            Language::Rust => format!("{}-{}.crate", self.name, self.version),
        }
    }
}

/// The name of the file that a URL leads to.
pub fn file_of(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    percent_decoded(path.rsplit('/').next().unwrap_or_default())
}

/// How far what a step asks for is pinned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pinned {
    /// It is not.
    #[default]
    No,
    /// Its files are all that it takes.
    Whole,
    /// Its files are, and what builds one of them is not: that takes the network.
    Online,
}

/// What a step installs from the registry of a language. Its ops do so with the newest that fits, until it is locked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Whose registry.
    pub language: Language,
    /// What is asked for, as the lockfile has it.
    pub asked: Vec<String>,
    /// What finds out in the root which files that comes to, and leaves it in [`super::ASKED`]. Nothing where alloy
    /// finds out by itself.
    pub ask: Vec<Op>,
    /// What installs files that are lent: an [`Op::Lend`] and commands, of which the last gets words for each.
    pub pinned: Vec<Op>,
    /// What is so far.
    pub locked: Pinned,
}

impl Wanted {
    /// The ops that install `packages`, and nothing else. They are all that an image's root lacks; what a `host` lacks,
    /// its own program is asked.
    pub fn install(&self, packages: &[Package], network: bool, host: bool) -> Vec<Op> {
        let mut ops = self.pinned.clone();
        for op in &mut ops {
            if let Op::Lend { files, network: online } = op {
                let lent = |package: &Package| LentFile {
                    name: package.file(self.language),
                    source: package.source.clone(),
                    size: package.size,
                };
                // One package may lie in several places.
                let mut seen = BTreeSet::new();
                *files = packages.iter().map(lent).filter(|file| seen.insert(file.name.clone())).collect();
                *online = network;
            }
        }
        let commands = ops.iter_mut().filter_map(|op| match op {
            Op::Run { command: Command::Argv(words), .. } => Some(words),
            _ => None,
        });
        if let Some(words) = commands.last() {
            words.extend(self.words(packages, network, host));
        }
        ops
    }

    fn words(&self, packages: &[Package], network: bool, host: bool) -> Vec<String> {
        match self.language {
            Language::Python => {
                // What builds one of them is looked for elsewhere only if it is not among them.
                let alone = (!network).then(|| "--no-index".to_owned());
                let installed = packages.iter().filter(|package| !package.build);
                let mut installed: Vec<_> =
                    installed.map(|package| format!("{}=={}", package.name, package.version)).collect();
                // Where nothing comes from elsewhere, pip may look for dependencies, and says which of them are missing.
                let whole = (!installed.is_empty() && (network || !host)).then(|| "--no-deps".to_owned());
                if installed.is_empty() {
                    // All of it was there when it was pinned: pip says whether it still is.
                    installed.clone_from(&self.asked);
                }
                whole.into_iter().chain(alone).chain(installed).collect()
            }
            Language::Npm => {
                let pair = |package: &Package| {
                    let path = package.path.clone().unwrap_or_else(|| package.name.clone());
                    [path, package.file(self.language)]
                };
                packages.iter().flat_map(pair).collect()
            }
            Language::Rust => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use layers::digest::Digest;

    use super::*;

    fn package(name: &str, build: bool) -> Package {
        let url = format!("https://a.example/{name}-1%2Blocal-py3-none-any.whl?x=y");
        let source = Source::Url { url: url.clone(), sha256: Some(Digest::of(name)) };
        Package { name: name.into(), version: "1+local".into(), url, source, size: 1, path: None, build }
    }

    #[test]
    fn what_is_pinned_is_lent_and_named() {
        let command = Command::Argv(vec!["pip3".into()]);
        let run = Op::Run { command, user: None, env: BTreeMap::new(), cwd: None };
        let mut wanted = Wanted {
            language: Language::Python,
            asked: vec!["a".into()],
            ask: Vec::new(),
            pinned: vec![Op::Lend { files: Vec::new(), network: false }, run],
            locked: Pinned::No,
        };
        let packages = [package("a", false), package("b", true)];
        let words = |ops: &[Op]| match ops {
            [Op::Lend { files, network }, Op::Run { command: Command::Argv(words), .. }] => {
                assert_eq!(files[1].name, "b-1+local-py3-none-any.whl");
                (*network, words.join(" "))
            }
            other => panic!("{other:?}"),
        };
        let said = |network: bool, host: bool| words(&wanted.install(&packages, network, host));
        assert_eq!(said(false, false), (false, "pip3 --no-deps --no-index a==1+local".to_owned()));
        assert_eq!(said(true, false), (true, "pip3 --no-deps a==1+local".to_owned()));
        assert_eq!(said(false, true), (false, "pip3 --no-index a==1+local".to_owned()), "it says what the host lacks");
        assert_eq!(said(true, true), (true, "pip3 --no-deps a==1+local".to_owned()), "nothing comes from elsewhere");
        wanted.language = Language::Npm;
        let scoped = Package { path: Some("x/node_modules/@s/y".into()), name: "@s/y".into(), ..package("a", false) };
        assert_eq!(
            wanted.words(std::slice::from_ref(&scoped), false, false),
            ["x/node_modules/@s/y", "@s+y-1+local.tgz"]
        );
        let elsewhere = Package { path: Some("z/node_modules/@s/y".into()), ..scoped.clone() };
        let ops = wanted.install(&[scoped, elsewhere], false, false);
        let [Op::Lend { files, .. }, Op::Run { command: Command::Argv(words), .. }] = ops.as_slice() else { panic!() };
        assert_eq!((files.len(), words.len()), (1, 5), "one file, at two places");
    }
}
