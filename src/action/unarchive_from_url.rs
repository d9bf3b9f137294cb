//! `unarchive_from_url`: a downloaded archive, unpacked.

use super::FieldKind::{Number, Path, Sha256, Url};
use super::{Action, Field, Fields, Lowered};
use crate::op::{Archive, Op};
use crate::yaml::Diagnostic;

pub(super) static ACTION: Action = Action {
    name: "unarchive_from_url",
    summary: "A downloaded archive, unpacked: tar in any compression, zip, deb",
    fields: &[
        Field::required("url", Url, "Where it is"),
        Field::required("dest", Path, "The directory to unpack into; it is made"),
        Field::optional("sha256", Sha256, "What it must be"),
        Field::optional("strip_components", Number, "Leading path elements to drop"),
    ],
    lower,
};

fn lower(fields: &mut Fields<'_>) -> Result<Lowered, Diagnostic> {
    let archive = Archive::Source(fields.download()?);
    let dest = fields.path("dest")?;
    let strip = fields.number("strip_components")?;
    Ok(Lowered { ops: vec![Op::Unpack { archive, dest: dest.clone(), strip }], written: Some(dest) })
}
