//! `get_file`: one download to one path.

use super::FieldKind::{Path, Sha256, Url};
use super::{Action, Field, Fields, Lowered};
use crate::op::Op;
use crate::yaml::Diagnostic;

pub(super) static ACTION: Action = Action {
    name: "get_file",
    summary: "One download to one path",
    fields: &[
        Field::required("url", Url, "Where it is"),
        Field::required("dest", Path, "The file to write; its directory is made"),
        Field::optional("sha256", Sha256, "What it must be"),
    ],
    lower,
};

fn lower(fields: &mut Fields<'_>) -> Result<Lowered, Diagnostic> {
    let source = fields.download()?;
    let path = fields.path("dest")?;
    if path == "/" || fields.text("dest")?.ends_with('/') {
        let span = fields.required("dest")?.span;
        return Err(
            Diagnostic::error("path", span, "`dest` must name the file, not a directory").help("add the file's name")
        );
    }
    Ok(Lowered { ops: vec![Op::PlaceBlob { source, path: path.clone() }], written: Some(path) })
}
