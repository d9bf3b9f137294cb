//! `sdk_install`: a self-extracting installer, as Yocto makes them.

use super::FieldKind::{Path, Sha256, Url};
use super::{Action, Field, Fields, Lowered};
use crate::op::{Mode, Op, PRIVATE};
use crate::yaml::Diagnostic;

pub(super) static ACTION: Action = Action {
    name: "sdk_install",
    summary: "A self-extracting SDK installer, run as `-y -d DEST`",
    fields: &[
        Field::required("url", Url, "The installer"),
        Field::required("sha256", Sha256, "What it must be"),
        Field::required("dest", Path, "The directory to install into"),
    ],
    lower,
};

/// Not part of a layer.
const INSTALLER: &str = PRIVATE[2];

fn lower(fields: &mut Fields<'_>) -> Result<Lowered, Diagnostic> {
    fields.required("sha256")?;
    let source = fields.download()?;
    let dest = fields.path("dest")?;
    let path = INSTALLER.to_owned();
    let mut ops = vec![Op::PlaceBlob { source, path: path.clone() }];
    let mode = Some(Mode::Octal(0o755));
    ops.push(Op::SetAttributes { path: path.clone(), owner: None, mode, recursive: false });
    ops.extend(fields.own_directory(&dest)?);
    ops.push(fields.tool(&[INSTALLER, "-y", "-d", &dest], "/tmp")?);
    ops.push(Op::Remove { path });
    Ok(Lowered { ops, written: Some(dest) })
}
