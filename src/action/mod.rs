//! One file per action: what fields it takes, and how it lowers to ops. An action never touches the world.
//!
//! A new action is one file and one line in `actions!`: the parser, the reference, the schema and "did you mean" come
//! from the slice that it makes.

mod check;
mod common;
mod fields;
mod foreign;
mod git;
mod mode;
mod shell;
mod synonyms;
mod unknown;

use crate::op::{Assignment, Op, Source, Step};
use crate::yaml::{Diagnostic, Mapping, Span};

/// Declares the file of each action and the slice of all.
macro_rules! actions {
    ($($name:ident)*) => {
        $(mod $name;)*

        /// All actions.
        pub static ACTIONS: &[&Action] = &[$(&$name::ACTION),*];
    };
}

actions! {
    apt_install
    build_artifact
    build_from_source
    buildroot_config
    cmake_toolchain
    copy
    get_file
    git_clone
    install_deb_to_sysroot
    install_target_lib
    mcu_sdk
    npm_package
    pkg_config_env
    python_package
    register_binfmt
    run_command
    rust_package
    sdk_install
    udev_rules
    unarchive_from_ref
    unarchive_from_url
    unpack
    write_env_file
    yocto_manifest
}

pub use check::check_reference;
pub use common::{COMMON, lower};
pub use fields::{Fields, absolute_path, variable};
pub use git::{REPO_REVISION, REPO_URL};

/// A field of an action.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its key.
    pub name: &'static str,
    /// What it may hold.
    pub kind: FieldKind,
    /// What it is for.
    pub summary: &'static str,
    /// Must be there.
    pub required: bool,
    /// Its text belongs to a shell or a file: `$NAME` in it is not expanded.
    pub verbatim: bool,
}

/// What a field may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// A text.
    Text,
    /// An absolute path in the image.
    Path,
    /// `http` or `https`.
    Url,
    /// 64 hexadecimal digits.
    Sha256,
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Number,
    /// A list of texts.
    Texts,
    /// A list of texts, or one text of words.
    Words,
    /// A mapping of architectures to fields.
    PerArch,
    /// `url` and `sha256` in a mapping of their own.
    Download,
    /// A list of downloads: each a URL or a file of the blueprint, or `url`, `sha256` and `arch` in a mapping.
    Downloads,
    /// A mapping of names to texts: variables of the environment.
    Env,
    /// One of these words.
    OneOf(&'static [&'static str]),
}

impl Field {
    const fn required(name: &'static str, kind: FieldKind, summary: &'static str) -> Self {
        Self { name, kind, summary, required: true, verbatim: false }
    }

    const fn optional(name: &'static str, kind: FieldKind, summary: &'static str) -> Self {
        Self { name, kind, summary, required: false, verbatim: false }
    }

    const fn verbatim(self) -> Self {
        Self { verbatim: true, ..self }
    }
}

/// What an action lowers to.
#[derive(Debug, Default)]
pub struct Lowered {
    /// What is done, in order.
    pub ops: Vec<Op>,
    /// What it wrote: `owner` and `mode` apply to it.
    pub written: Option<String>,
}

/// One action.
#[derive(Debug)]
pub struct Action {
    /// Its name in task files.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Its own fields, beside the common ones.
    pub fields: &'static [Field],
    /// Checks the fields and lowers them. Warnings may be added to the slice of the fields.
    pub lower: fn(&mut Fields<'_>) -> Result<Lowered, Diagnostic>,
}

impl Action {
    /// The action of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        ACTIONS.iter().copied().find(|action| action.name == name)
    }

    /// What to say to somebody who wants an action of that name, where it is known what is meant.
    pub fn meant(name: &str) -> Option<String> {
        let near = || crate::yaml::nearest(name, ACTIONS.iter().map(|action| action.name));
        synonyms::help(name).or_else(|| Some(format!("did you mean `{}`?", near()?)))
    }

    /// The action called `name` at `span`, or what is wrong with the name.
    pub fn find(name: &str, span: Span) -> Result<&'static Self, Diagnostic> {
        if let Some(action) = Self::named(name) {
            return Ok(action);
        }
        let names = ACTIONS.iter().map(|action| action.name);
        let error = Diagnostic::error("action", span, format!("there is no action `{name}`"))
            .label("unknown action")
            .help(format!("the actions are {}", ACTIONS.iter().map(|a| a.name).collect::<Vec<_>>().join(", ")));
        Err(match synonyms::help(name) {
            Some(help) => error.help(help),
            None => error.suggest(name, names),
        })
    }
}

/// What surrounds a task when it is lowered.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    /// Its action.
    pub action: &'static Action,
    /// Its fields, rendered, the block of this architecture merged in.
    pub fields: &'a Mapping,
    /// Where the task stands.
    pub span: Span,
    /// Its file, relative to the blueprint.
    pub file: &'a str,
    /// The architecture the blueprint is lowered for, in Debian's words.
    pub arch: &'a str,
    /// True if the task has a `per_arch` that lacks this architecture.
    pub arch_missing: bool,
    /// Unknown fields and missing reasons are errors.
    pub strict: bool,
    /// Variables that commands have in their environment.
    pub env: &'a std::collections::BTreeMap<String, String>,
    /// What the manifest's `image.env` sets: it holds for tasks as well.
    pub image_env: &'a [Assignment],
    /// The manifest says `shell: strict`.
    pub strict_shell: bool,
    /// The blueprint around it.
    pub lookup: &'a dyn Lookup,
}

/// What actions may ask of the blueprint around a task.
pub trait Lookup {
    /// What is built for, os/arch[/variant].
    fn platform(&self) -> &str;

    /// The archive that the lockfile has for a toolchain reference on that platform, or what it has in place of one.
    fn toolchain(&self, reference: &str) -> Option<Result<Source, NoArchive>>;

    /// True where the blueprint is only looked at: what is not pinned is no error yet.
    fn looks_only(&self) -> bool {
        false
    }

    /// The commit that the lockfile has for a revision of a git repository, by its URL as it is written there.
    fn commit(&self, url: &str, revision: &str) -> Option<String>;

    /// What the lockfile has of the tag that a revision is, beside its commit.
    fn tag(&self, _url: &str, _revision: &str) -> Option<String> {
        None
    }

    /// The variable `SDK_SYSROOT`.
    fn sysroot(&self) -> Option<String>;
}

/// A toolchain that is not unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoArchive {
    /// pip installs it: the name of its package.
    Package(String),
    /// It is a git repository: its URL.
    Repository(String),
}

impl std::fmt::Debug for dyn Lookup + '_ {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lookup")
    }
}

/// A lowered task and what is to be said about it.
pub type Outcome = (Option<Step>, Vec<Diagnostic>);
