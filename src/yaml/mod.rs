//! Strict YAML with positions, and diagnostics as values.
//!
//! `granit-parser` gives events with positions and the text of scalars as it was written; the tree is built here,
//! so that `mode: 0755` keeps its digits and a duplicate key or an alias bomb is an error at its place.

mod diagnostic;
mod parse;
mod render;
mod suggest;
mod value;

pub use diagnostic::{Diagnostic, FileId, Severity, Sources, Span};
pub use parse::{MAX_FILE, parse};
pub use render::render;
pub use suggest::nearest;
pub use value::{Key, Mapping, Node, Value};
