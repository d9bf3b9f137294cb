//! Strict YAML with positions, and diagnostics as values.
//!
//! `granit-parser` gives events with positions and the text of scalars as it was written; the tree is built here,
//! so that `mode: 0755` keeps its digits and a duplicate key or an alias bomb is an error at its place.

mod characters;
mod diagnostic;
mod parse;
mod plain;
mod position;
mod render;
mod scalar;
mod suggest;
mod terminal;
mod value;
mod window;

pub use diagnostic::{Diagnostic, FileId, MAX_PROBLEMS, Severity, Sources, Span};
pub use parse::{Budget, MAX_FILE, parse, parse_within};
pub use plain::{UNKNOWN, one_line, shows};
pub use render::render;
pub use scalar::{quoted, scalar};
pub use suggest::nearest;
pub use terminal::{json_shown, shown, without_sequences};
pub use value::{Key, Mapping, Node, Value, entry_of};
