//! `write_env_file`: a file with literal content.

use super::{Action, Field, Fields, Lowered};
use crate::op::Op;
use crate::yaml::Diagnostic;

pub(super) static ACTION: Action =
    Action { name: "write_env_file", fields: &[Field::required("file"), Field::verbatim("content")], lower };

fn lower(fields: &mut Fields<'_>) -> Result<Lowered, Diagnostic> {
    let path = fields.path("file")?;
    let content = fields.content("content")?.into_bytes();
    Ok(Lowered { ops: vec![Op::WriteFile { path: path.clone(), content }], written: Some(path) })
}
