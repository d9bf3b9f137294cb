//! What is asked of the worker, and what it answers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use layers::apply::Absent;
use layers::compress::Compression;
use layers::digest::{DiffId, Digest};
use layers::ids::Exchange;
use layers::store::{Damage, LayerBlob, TreeNames};
use serde::{Deserialize, Serialize};

use super::Closure;
use super::facts::{FactsRequest, World};
use super::inventory::Inventory;
use super::lent::Lent;
use super::passing::Left;
use crate::debian::BasePlan;
use crate::op::{Source, Step};
use crate::sandbox::{Bind, Identity};
use crate::ssh::Loan;

/// The first request: where the worker works.
#[derive(Debug, Serialize, Deserialize)]
pub struct Setup {
    /// The store's directory.
    pub store: PathBuf,
    /// This build's own directory below it; emptied by the worker, removed by the caller.
    pub work: PathBuf,
    /// What the machine lends; files and directories follow.
    pub lent: Lent,
    /// `SOURCE_DATE_EPOCH` of commands, in seconds since 1970.
    pub epoch: u64,
}

/// One request; each gets one answer.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Unpack layers of the store into trees, for overlays; lowest first.
    Unpack {
        /// The layers.
        layers: Vec<Unpack>,
    },
    /// Mount a fresh layer on `trees` (topmost first), for commands with this environment.
    Begin {
        /// Trees below, topmost first.
        trees: Vec<String>,
        /// Environment of the image so far.
        env: BTreeMap<String, String>,
        /// Whether its commands are lent what the machine lends.
        lending: bool,
        /// Who has changed places in the trees.
        ids: Exchange,
        /// Not even mount points are there: for a base that makes all its directories itself.
        bare: bool,
    },
    /// Set up all that commands are confined by, in a root of its own, and run none.
    Try,
    /// Perform one step in the layer that was begun.
    Perform {
        /// The step.
        step: Box<Step>,
        /// Where its sources are on this machine.
        files: Vec<(Source, PathBuf)>,
        /// The agent that its commands are lent: those that clone, or all where its author says so.
        ssh: Option<Loan>,
    },
    /// Say what apt would install now in the layer that was begun.
    Closure {
        /// What is asked for.
        packages: Vec<String>,
        /// The same, of no archive.
        debs: Vec<Source>,
        /// Where those are on this machine.
        files: Vec<(Source, PathBuf)>,
        /// Whether recommended packages are wanted as well.
        recommends: bool,
    },
    /// Say what files are in a directory of the layer that was begun.
    Look {
        /// Absolute in the layer.
        directory: PathBuf,
    },
    /// Look at the world in the layer that was begun.
    Facts(Box<FactsRequest>),
    /// Say which packages are in the layer that was begun, and below.
    Inventory,
    /// Make a base from Debian packages in the layer that was begun.
    Assemble {
        /// What to make.
        plan: Box<BasePlan>,
        /// The packages, in the order of the plan.
        debs: Vec<PathBuf>,
    },
    /// Store a directory of this machine as a layer, as it is: the one whose descriptor comes along.
    Capture {
        /// How its blob is compressed.
        compression: Compression,
    },
    /// Write the root file system that layers make up as a tar, to the file whose descriptor comes along.
    Export {
        /// The layers' blobs, lowest first.
        blobs: Vec<Digest>,
    },
    /// Lend these to every command from now on.
    Lend {
        /// What the machine lends, where the worker finds it.
        binds: Vec<Bind>,
    },
    /// Attach what is lent and comes along as a descriptor.
    Attach {
        /// Where, in the worker's own place.
        at: PathBuf,
        /// It is a directory.
        directory: bool,
    },
    /// Say what commands have left where no layer has anything.
    Left,
    /// End the layer and store it.
    Commit {
        /// How its blob is compressed.
        compression: Compression,
        /// Times later than this (seconds since 1970) become this.
        mtime_max: u64,
    },
    /// End the layer and forget it.
    Discard,
    /// Say whether `user` has a login shell in the layer that was begun.
    HasShell {
        /// Name or id.
        user: String,
    },
    /// The environment that a login shell of `user` ends up with.
    LoginEnvironment {
        /// Name or id.
        user: String,
    },
    /// Say who a user (or id, with `:GROUP`) is in the layer that was begun.
    Identity {
        /// `user[:group]`.
        user: String,
    },
    /// Run a command of the user's in the layer that was begun, on alloy's own terminal.
    Run(Box<Interactive>),
    /// Look at trees, whoever owns what is in them.
    ExamineTrees {
        /// Names, each with the layer that the content is compared with.
        trees: Vec<(String, Option<Digest>)>,
        /// What is damaged is put aside.
        repair: bool,
    },
    /// Delete directories of the store, whoever owns what is in them.
    Remove {
        /// Absolute paths below the store.
        paths: Vec<PathBuf>,
    },
}

/// A layer to be unpacked.
#[derive(Debug, Serialize, Deserialize)]
pub struct Unpack {
    /// The layer's blob.
    pub blob: Digest,
    /// What its tree may be called.
    pub tree: TreeNames,
    /// Trees below, topmost first.
    pub parents: Vec<TreeNames>,
    /// What its tar must be.
    pub diff_id: DiffId,
    /// That was found out here before: then it is not computed once more.
    pub verified: bool,
    /// Who has changed places in the tree.
    pub ids: Exchange,
    /// Somebody else made it: what is wrong with it is their fault.
    pub foreign: bool,
}

/// What came of unpacking layers.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Unpacked {
    /// What tasks do not see of them.
    pub absent: Absent,
    /// Blobs that are not what they were claimed to be.
    pub wrong: Vec<(Digest, Wrong)>,
}

/// What is wrong with a layer.
#[derive(Debug, Serialize, Deserialize)]
pub enum Wrong {
    /// Its content is another than was claimed.
    DiffId(DiffId),
    /// It is no layer.
    Content(String),
}

/// What `alloy run` asks for.
#[derive(Debug, Serialize, Deserialize)]
pub struct Interactive {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Variables on top of the image's.
    pub env: BTreeMap<String, String>,
    /// Working directory.
    pub cwd: String,
    /// `user[:group]`.
    pub user: String,
    /// What is lent beside the usual.
    pub binds: Vec<Bind>,
    /// The image's user is the one who calls, or the owner of what is lent.
    pub as_caller: bool,
    /// With the groups of an ordinary user who calls.
    pub keep_groups: bool,
    /// No network but a loopback interface of its own.
    pub offline: bool,
    /// On a terminal of its own; the request comes with the console that shows it.
    pub terminal: bool,
}

/// A file that commands have left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSeen {
    /// Its path below the directory that was looked at.
    pub name: String,
    /// What it is.
    pub sha256: Digest,
    /// Bytes.
    pub size: u64,
    /// What stands in it, if it is directly in the directory and small enough.
    pub text: Option<String>,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It ran; with what its author has to know all the same.
    Ran(Vec<String>),
    /// A guard held it back; the text says which.
    Skipped(String),
    /// It failed.
    Failed {
        /// What failed: a phrase without the step's name.
        message: String,
        /// Exit status of the command, where it was one.
        exit: Option<i32>,
    },
}

/// An answer.
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    /// Done; nothing to say.
    Done,
    /// How the step ended.
    Step(Outcome),
    /// What apt would install.
    Closure(Closure),
    /// What was left, by the task, with its place, whose commands left it.
    Left(Left),
    /// The stored layer; `None` when nothing was changed.
    Layer(Option<LayerBlob>),
    /// What came of unpacking layers.
    Unpacked(Unpacked),
    /// What the root file system that was written has not.
    Exported(Absent),
    /// What files there are.
    Files(Vec<FileSeen>),
    /// What the world is like.
    World(World),
    /// What is installed.
    Inventory(Box<Inventory>),
    /// Whether it is so.
    Is(bool),
    /// A login environment.
    Environment {
        /// Its variables.
        env: BTreeMap<String, String>,
        /// What profiles said.
        said: String,
    },
    /// Who a user is.
    Identity(Identity),
    /// The exit code of the user's command.
    Exit(i32),
    /// What is damaged.
    Damage(Vec<Damage>),
    /// The file that came with the request could not be written, and the kernel said why.
    Unwritten(i32),
    /// The request failed.
    Error {
        /// What was wrong, causes included.
        message: String,
        /// What to do.
        hint: Option<String>,
        /// It is this machine that cannot do it.
        unfit: bool,
        /// What of the store was found damaged.
        damage: Vec<Damage>,
    },
}
