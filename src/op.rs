//! The closed list of what can be done to a root. Actions lower to it, fingerprints encode it, targets perform it.

use std::collections::BTreeMap;

use layers::digest::Digest;
use serde::{Deserialize, Serialize};

mod assignment;
mod automaton;
mod checkout;
mod credential;
mod fingerprint;
mod mask;
mod mode;
mod package;
mod query;
mod reveal;
mod secret;
mod token;
mod userinfo;
mod users;

pub use assignment::{Assignment, EnvValue};
pub use checkout::{Checkout, DEFAULT_REVISION, LIGHTWEIGHT, MOST_OF_A_TAG, is_commit, is_described};
pub use credential::without_credentials;
pub use fingerprint::Fingerprint;
pub use mask::{SHORTEST, percent_encoded};
pub use package::{Language, LentFile, Package, Pinned, Wanted, file_of, is_exact_version};
pub use query::{Parameter, lets_in, parameters, parameters_written, without_tokens};
pub use reveal::{git_helper, script};
pub use secret::{RUN_SCRIPT, Secrets, Stream, marker};
pub use userinfo::{
    passwords_given, passwords_in, passwords_of, passwords_written, percent_decoded, tokens_written, without_logins,
    without_userinfo,
};
pub use users::{Wanted as WantedUser, user, users_wanted};

/// Bytes that exist before the step runs, named by where the author said they come from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Source {
    /// A download. `sha256` is the author's or the lockfile's pin, if there is one.
    Url {
        /// `http`, `https` or, where that is allowed, `file`.
        url: String,
        /// The pin.
        sha256: Option<Digest>,
    },
    /// A file of the blueprint, relative to its directory.
    Local {
        /// With `/` between elements.
        path: String,
    },
    /// A file of the blueprint, or a directory with all below it: as a tar of which every byte follows from names, kinds,
    /// executable bits, link targets and contents.
    Tree {
        /// With `/` between elements; empty for the blueprint itself.
        path: String,
        /// Globs, relative to the directory, of what is left out.
        excludes: Vec<String>,
    },
}

/// Permission bits, as the author's `mode` says them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Mode {
    /// Absolute bits, set-id and sticky included (`0o7777`).
    Octal(u32),
    /// chmod's symbolic form (POSIX.1-2024 `chmod`), applied to what is there; already checked for syntax.
    Symbolic(String),
}

/// `user[:group]`, each a name or a decimal id, looked up in the target's own `/etc/passwd` and `/etc/group`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// User name or id.
    pub user: String,
    /// Group name or id; the group stays as it is when absent, and becomes the user's own when empty (chown(1)).
    pub group: Option<String>,
}

impl Owner {
    /// The user and the group of a login as that user.
    pub fn login(user: String) -> Self {
        Self { user, group: Some(String::new()) }
    }
}

/// Where an archive comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Archive {
    /// Downloaded, or a file of the blueprint.
    Source(Source),
    /// An absolute path inside the target.
    InTarget(String),
}

/// What a `Run` executes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Command {
    /// Text for `bash -c`, or for the login shell of `user`.
    Shell(String),
    /// Text for bash, which ends at the first command that fails, also in a pipe or a `$(…)`.
    Strict(String),
    /// A program, found through `PATH`, and its arguments.
    Argv(Vec<String>),
}

/// A Debian package that the lockfile names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Deb {
    /// Its name.
    pub package: String,
    /// Its version.
    pub version: String,
    /// Debian's name of its architecture, or `all`.
    pub architecture: String,
    /// A download with a pin.
    pub source: Source,
    /// Bytes.
    pub size: u64,
}

/// What a step needs only while it runs: names that actions reserve for it. An image has a `/tmp` of its own that is no
/// part of a layer; on a live host a step gets a new private directory in their place, as `/tmp` is everybody's there.
pub const PRIVATE: [&str; 5] =
    ["/tmp/alloy-build", "/tmp/alloy-cargo", "/tmp/alloy-sdk-installer.sh", "/tmp/alloy-npm", ASKED];

/// Where a step that asks for packages leaves what it found: texts, and below `files` the packages themselves.
pub const ASKED: &str = "/tmp/alloy-packages";

/// The variable by which commands find what they are lent by [`Op::Lend`].
pub const PACKAGES: &str = "ALLOY_PACKAGES";

/// One change to a root. Paths are absolute inside the target.
#[expect(missing_docs, reason = "the fields say what they are")]
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Op {
    /// `mkdir -p`: root-owned 0755 for what is made, nothing changed where it exists.
    MakeDir { path: String },
    /// Writes a file whole, through a temporary name; parents are made; left alone when the content is the same.
    /// A new file is root-owned 0644.
    WriteFile { path: String, content: Vec<u8> },
    /// The same from a source.
    PlaceBlob { source: Source, path: String },
    /// Unpacks an archive into `dest`, dropping `strip` leading path elements. Entries are owned by root unless
    /// the archive's own ids are asked for by a later `SetAttributes`.
    Unpack { archive: Archive, dest: String, strip: u32 },
    /// Puts a file or directory of the blueprint at `dest`, with `into` in the directory `dest`. Nothing is deleted, and
    /// no directory replaced. Files are 0644 or 0755, directories that are made 0755.
    Copy { source: Source, dest: String, into: bool },
    /// Sets owner, then mode, on `path` and, with `recursive`, on everything below a directory. Links are not followed.
    SetAttributes { path: String, owner: Option<Owner>, mode: Option<Mode>, recursive: bool },
    /// Installs what is missing of `packages` (`name`, `name=version`, `name/suite`, `name:arch`); empty: refreshes the index only.
    /// `debs` are packages of no archive, with what they depend on out of one. With `locked`, these packages and no
    /// others, and nobody is asked: then an empty list does nothing.
    AptInstall { packages: Vec<String>, debs: Vec<Source>, recommends: bool, locked: Option<Vec<Deb>> },
    /// Lends files to the commands that follow in the step, in the directory of [`PACKAGES`]. They get no network,
    /// unless `network` says so.
    Lend { files: Vec<LentFile>, network: bool },
    /// Runs a command as root, or in the login environment of `user`.
    Run { command: Command, user: Option<String>, env: BTreeMap<String, String>, cwd: Option<String> },
    /// Writes udev rules: `source` itself to `path`, or, if it is a Debian package, its `*.rules`: a single one to
    /// `path`, several beside it under their own names.
    PlaceRules { source: Source, path: String },
    /// Asks udev to read its rules again; only where one runs that is not an image's.
    ReloadUdev,
    /// Lets the kernel start programs of another architecture with `interpreter` (binfmt_misc). Never in an image:
    /// it is the machine that is changed.
    RegisterBinfmt { architecture: String, interpreter: String },
    /// Deletes `path` with all below it. Nothing there is fine.
    Remove { path: String },
    /// Fails where nothing is at `path`, or an empty directory: what a command was run for is not there.
    Expect { path: String },
    /// Makes the image's own user, with a home and bash, when no user of that name exists.
    EnsureUser { name: String, uid: u32 },
    /// Makes the group of the image's own user, when no group of that name exists.
    EnsureGroup { name: String },
}

/// Programs that get repositories, and run nothing of what is in them.
const CLONING: [&str; 3] = ["git", "kas", "west"];

impl Op {
    /// True for a command that gets repositories, in a step that checks something out. A script of alloy's own counts if
    /// it is told of which: what tidies up runs when programs of a repository may have changed what git does there.
    pub fn clones(&self) -> bool {
        let Self::Run { command: Command::Argv(words), .. } = self else { return false };
        match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["sh", "-c", _, told @ ..] => !told.is_empty(),
            [program, ..] => CLONING.contains(program),
            [] => false,
        }
    }
}

/// `PATH` where an image has none: what Docker and Podman give their commands.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Conditions checked in the target, in this order: `skip_if`, `always_run`, `creates`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Guards {
    /// A shell expression; exit 0 skips the task.
    pub skip_if: Option<String>,
    /// The first command of `skip_if` that fails ends it: it does not hold.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strict: bool,
    /// Variables that `skip_if` has in its environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Runs whatever `creates` says.
    pub always_run: bool,
    /// A path; its existence skips the task.
    pub creates: Option<String>,
}

/// Which network the commands of a task reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// None but a loopback interface of their own.
    None,
    /// The machine's.
    Host,
}

/// A task, lowered: all that is done, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The task's name.
    pub name: String,
    /// The action it came from.
    pub action: String,
    /// The task file, relative to the blueprint.
    pub file: String,
    /// The task's line in it, from 1.
    pub line: usize,
    /// The task's fields as its author has them, variables put in: to say what changed. Not part of the fingerprint.
    #[serde(default)]
    pub fields: serde_json::Value,
    /// When it is skipped.
    pub guards: Guards,
    /// What its author says of the network.
    #[serde(default)]
    pub network: Option<Network>,
    /// Its commands get no network, whoever said so.
    #[serde(default)]
    pub offline: bool,
    /// Its commands are lent the agent of whoever builds.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ssh: bool,
    /// Variables that its commands have, each as its author wrote it, in the order in which they may refer to each other.
    #[serde(default)]
    pub env: Vec<Assignment>,
    /// What its commands take out of git repositories. Not part of the fingerprint: the commands say it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checkouts: Vec<Checkout>,
    /// What it installs from the registry of a language. Not part of the fingerprint: its ops say what is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<Box<Wanted>>,
    /// What it does, in order.
    pub ops: Vec<Op>,
}

impl Step {
    /// Its name, and its place in the blueprint.
    pub fn placed(&self) -> String {
        format!("{} ({}:{})", self.name, self.file, self.line)
    }

    /// True if its commands are the author's own.
    pub fn is_own_commands(&self) -> bool {
        self.action == "run_command"
    }

    /// True if it runs programs of the image: it needs a machine, or an emulator, of the image's architecture.
    pub fn runs_programs(&self) -> bool {
        self.guards.skip_if.is_some() || self.works_by_programs()
    }

    /// True if programs of the image do its work.
    pub fn works_by_programs(&self) -> bool {
        let runs = |op: &Op| {
            matches!(op, Op::AptInstall { .. } | Op::Run { .. } | Op::EnsureUser { .. } | Op::EnsureGroup { .. })
        };
        self.ops.iter().any(runs)
    }

    /// True if it takes something out of git repositories, or says that its commands want an agent.
    pub fn wants_ssh(&self) -> bool {
        self.ssh || !self.checkouts.is_empty()
    }

    /// The package that `source` is, if it is one that the lockfile names.
    pub fn deb(&self, source: &Source) -> Option<&Deb> {
        let debs = self.ops.iter().filter_map(|op| match op {
            Op::AptInstall { locked, .. } => locked.as_ref(),
            _ => None,
        });
        debs.flatten().find(|deb| deb.source == *source)
    }

    /// True if `source` is an archive that it unpacks.
    pub fn unpacks(&self, source: &Source) -> bool {
        self.ops
            .iter()
            .any(|op| matches!(op, Op::Unpack { archive: Archive::Source(archive), .. } if archive == source))
    }

    /// True if it unpacks an archive of the root.
    pub fn unpacks_in_root(&self) -> bool {
        self.ops.iter().any(|op| matches!(op, Op::Unpack { archive: Archive::InTarget(_), .. }))
    }

    /// True if `source` is a Debian package that it installs, and that no archive of the distribution's has.
    pub fn installs(&self, source: &Source) -> bool {
        self.ops.iter().any(|op| matches!(op, Op::AptInstall { debs, .. } if debs.contains(source)))
    }

    /// True if `source` is an installer that it runs.
    pub fn runs(&self, source: &Source) -> bool {
        self.ops
            .iter()
            .any(|op| matches!(op, Op::PlaceBlob { source: placed, path } if placed == source && path == PRIVATE[2]))
    }

    /// Bytes of the package that `source` is, if the lockfile names it.
    pub fn package(&self, source: &Source) -> Option<u64> {
        let lent = self.ops.iter().filter_map(|op| match op {
            Op::Lend { files, .. } => Some(files),
            _ => None,
        });
        let lent = lent.flatten().find(|file| file.source == *source).map(|file| file.size);
        lent.or_else(|| self.deb(source).map(|deb| deb.size))
    }

    /// Everything that has to be fetched before the step can run.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        self.ops.iter().flat_map(|op| {
            let (sources, debs) = match op {
                Op::PlaceBlob { source, .. }
                | Op::PlaceRules { source, .. }
                | Op::Copy { source, .. }
                | Op::Unpack { archive: Archive::Source(source), .. } => (std::slice::from_ref(source), None),
                Op::AptInstall { debs, locked, .. } => (debs.as_slice(), locked.as_deref()),
                _ => (&[][..], None),
            };
            let lent = match op {
                Op::Lend { files, .. } => files.as_slice(),
                _ => &[],
            };
            let debs = debs.into_iter().flatten().map(|deb| &deb.source);
            sources.iter().chain(debs).chain(lent.iter().map(|file| &file.source))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gets_repositories_is_told_which() {
        let clones = |words: &[&str]| {
            let command = Command::Argv(words.iter().map(|word| (*word).to_owned()).collect());
            Op::Run { command, user: None, env: BTreeMap::new(), cwd: None }.clones()
        };
        assert!(clones(&["git", "clone", "x"]) && clones(&["west", "update"]) && clones(&["kas", "checkout", "x"]));
        assert!(clones(&["sh", "-c", "git fetch \"$0\"", "ssh://git@git.example/x"]));
        assert!(!clones(&["sh", "-c", "git read-tree HEAD"]), "what tidies up");
        assert!(!clones(&["./install.sh", "git"]) && !clones(&["make"]) && !clones(&[]));
        let command = Command::Shell("git clone x".into());
        assert!(!Op::Run { command, user: None, env: BTreeMap::new(), cwd: None }.clones());
    }
}
