//! `write_env_file`: a file with literal content.

use super::FieldKind::{Path, Text};
use super::{Action, Field, Fields, Lowered};
use crate::op::Op;
use crate::yaml::Diagnostic;

pub(super) static ACTION: Action = Action {
    name: "write_env_file",
    summary: "A file with literal content",
    fields: &[
        Field::required("file", Path, "Where to write it"),
        Field::required("content", Text, "What it holds").verbatim(),
    ],
    lower,
};

fn lower(fields: &mut Fields<'_>) -> Result<Lowered, Diagnostic> {
    let path = fields.path("file")?;
    let content = fields.content("content")?.into_bytes();
    Ok(Lowered { ops: vec![Op::WriteFile { path: path.clone(), content }], written: Some(path) })
}
