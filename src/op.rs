//! The closed list of what can be done to a root. Actions lower to it, fingerprints encode it, targets perform it.

use std::collections::BTreeMap;

use layers::digest::Digest;

/// Bytes that exist before the step runs, named by where the author said they come from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A download. `sha256` is the author's or the lockfile's pin, if there is one.
    Url { url: String, sha256: Option<Digest> },
    /// A file of the blueprint, relative to its directory.
    Local { path: String },
}

/// Permission bits, as the author's `mode` says them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Absolute bits, set-id and sticky included (`0o7777`).
    Octal(u32),
    /// chmod's symbolic form (POSIX.1-2024 `chmod`), applied to what is there; already checked for syntax.
    Symbolic(String),
}

/// `user[:group]`, each a name or a decimal id, looked up in the target's own `/etc/passwd` and `/etc/group`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// User name or id.
    pub user: String,
    /// Group name or id; the group stays as it is when absent.
    pub group: Option<String>,
}

/// Where an archive comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Archive {
    /// Downloaded, or a file of the blueprint.
    Source(Source),
    /// An absolute path inside the target.
    InTarget(String),
}

/// What a `Run` executes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// Text for `bash -c`, or for the login shell of `user`.
    Shell(String),
    /// A program, found through `PATH`, and its arguments.
    Argv(Vec<String>),
}

/// One change to a root. Paths are absolute inside the target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
    /// Sets owner, then mode, on `path` and, with `recursive`, on everything below a directory. Links are not followed.
    SetAttributes { path: String, owner: Option<Owner>, mode: Option<Mode>, recursive: bool },
    /// Installs what is missing of `packages` (`name`, `name=version`, `name:arch`); empty: refreshes the index only.
    AptInstall { packages: Vec<String>, recommends: bool },
    /// Runs a command as root, or in the login environment of `user`.
    Run { command: Command, user: Option<String>, env: BTreeMap<String, String>, cwd: Option<String> },
    /// Makes the image's own user, with a home and bash, when no user of that name exists.
    EnsureUser { name: String, uid: u32 },
}

/// Conditions checked in the target, in this order: `skip_if`, `always_run`, `creates`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Guards {
    /// A shell expression; exit 0 skips the task.
    pub skip_if: Option<String>,
    /// Runs whatever `creates` says.
    pub always_run: bool,
    /// A path; its existence skips the task.
    pub creates: Option<String>,
}
