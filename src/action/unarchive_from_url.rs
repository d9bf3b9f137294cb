//! `unarchive_from_url`: a downloaded archive, unpacked.

use super::{Action, Field, Fields, Lowered};
use crate::op::{Archive, Op};
use crate::yaml::Diagnostic;

pub(super) static ACTION: Action = Action {
    name: "unarchive_from_url",
    fields: &[
        Field::required("url"),
        Field::required("dest"),
        Field::optional("sha256"),
        Field::optional("strip_components"),
    ],
    lower,
};

fn lower(fields: &mut Fields<'_>) -> Result<Lowered, Diagnostic> {
    let archive = Archive::Source(fields.download()?);
    let dest = fields.path("dest")?;
    let strip = fields.number("strip_components")?;
    Ok(Lowered { ops: vec![Op::Unpack { archive, dest: dest.clone(), strip }], written: Some(dest) })
}
