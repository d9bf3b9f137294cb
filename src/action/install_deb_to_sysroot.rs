//! `install_deb_to_sysroot`: the files of a Debian package, in a sysroot.

use super::FieldKind::{Path, Sha256, Url};
use super::{Action, Field, Fields, Lowered};
use crate::op::{Archive, Op};
use crate::yaml::Diagnostic;

pub(super) static ACTION: Action = Action {
    name: "install_deb_to_sysroot",
    summary: "The files of a Debian package, in a sysroot; no maintainer scripts",
    fields: &[
        Field::required("url", Url, "The package"),
        Field::required("sha256", Sha256, "What it must be"),
        Field::required("sysroot", Path, "The sysroot"),
    ],
    lower,
};

fn lower(fields: &mut Fields<'_>) -> Result<Lowered, Diagnostic> {
    fields.required("sha256")?;
    let archive = Archive::Source(fields.download()?);
    let dest = fields.path("sysroot")?;
    Ok(Lowered { ops: vec![Op::Unpack { archive, dest: dest.clone(), strip: 0 }], written: Some(dest) })
}
