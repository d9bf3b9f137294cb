//! One file per action: what fields it takes, and how it lowers to ops. An action never touches the world.
//!
//! A new action is one file and one line in [`ACTIONS`]; the parser and "did you mean" come from that slice.

mod apt_install;
mod cmake_toolchain;
mod common;
mod fields;
mod get_file;
mod mode;
mod python_package;
mod run_command;
mod unarchive_from_url;
mod unpack;
mod write_env_file;

use crate::op::{Op, Step};
use crate::yaml::{Diagnostic, Mapping, Span};

pub use common::{COMMON, lower};
pub use fields::Fields;

/// A field of an action.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its key.
    pub name: &'static str,
    /// Must be there.
    pub required: bool,
    /// Its text belongs to a shell or a file: `$NAME` in it is not expanded.
    pub verbatim: bool,
}

impl Field {
    const fn required(name: &'static str) -> Self {
        Self { name, required: true, verbatim: false }
    }

    const fn optional(name: &'static str) -> Self {
        Self { name, required: false, verbatim: false }
    }

    const fn verbatim(name: &'static str) -> Self {
        Self { name, required: true, verbatim: true }
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
    /// Its own fields, beside the common ones.
    pub fields: &'static [Field],
    /// Checks the fields and lowers them. Warnings may be added to the slice of the fields.
    pub lower: fn(&mut Fields<'_>) -> Result<Lowered, Diagnostic>,
}

/// All actions of this version.
pub static ACTIONS: &[&Action] = &[
    &apt_install::ACTION,
    &cmake_toolchain::ACTION,
    &get_file::ACTION,
    &python_package::ACTION,
    &run_command::ACTION,
    &unarchive_from_url::ACTION,
    &unpack::ACTION,
    &write_env_file::ACTION,
];

/// Actions of the format that this version does not have yet.
pub const NOT_YET: [&str; 13] = [
    "build_artifact",
    "build_from_source",
    "buildroot_config",
    "install_deb_to_sysroot",
    "install_target_lib",
    "mcu_sdk",
    "pkg_config_env",
    "register_binfmt",
    "rust_package",
    "sdk_install",
    "udev_rules",
    "unarchive_from_ref",
    "yocto_manifest",
];

impl Action {
    /// The action of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        ACTIONS.iter().copied().find(|action| action.name == name)
    }

    /// The action called `name` at `span`, or what is wrong with the name.
    pub fn find(name: &str, span: Span) -> Result<&'static Self, Diagnostic> {
        if let Some(action) = Self::named(name) {
            return Ok(action);
        }
        if NOT_YET.contains(&name) {
            return Err(Diagnostic::error("action", span, format!("this version of alloy cannot do `{name}` yet"))
                .label("not available yet")
                .help("take the task out, or `exclude: [docker]` it from image builds"));
        }
        let names = ACTIONS.iter().map(|action| action.name).chain(NOT_YET);
        Err(Diagnostic::error("action", span, format!("there is no action `{name}`"))
            .label("unknown action")
            .help(format!("the actions are {}", ACTIONS.iter().map(|a| a.name).collect::<Vec<_>>().join(", ")))
            .suggest(name, names))
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
}

/// A lowered task and what is to be said about it.
pub type Outcome = (Option<Step>, Vec<Diagnostic>);
