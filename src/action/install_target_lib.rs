//! `install_target_lib`: a library for the target, in a sysroot.

use super::FieldKind::{Path, Sha256, Url};
use super::{Action, Field, Fields, Lowered};
use crate::op::{Archive, Op};
use crate::yaml::Diagnostic;

pub(super) static ACTION: Action = Action {
    name: "install_target_lib",
    summary: "A library package for the target, in a sysroot",
    fields: &[
        Field::required("url", Url, "The package"),
        Field::optional("sha256", Sha256, "What it must be"),
        Field::optional("sysroot", Path, "The sysroot; else `dest`, else the variable SDK_SYSROOT"),
        Field::optional("dest", Path, "The same as `sysroot`"),
    ],
    lower,
};

fn lower(fields: &mut Fields<'_>) -> Result<Lowered, Diagnostic> {
    let archive = Archive::Source(fields.download()?);
    let named = fields.optional_path("sysroot")?.map_or_else(|| fields.optional_path("dest"), |path| Ok(Some(path)))?;
    let dest = match named.or_else(|| fields.lookup().sysroot().filter(|path| path.starts_with('/'))) {
        Some(dest) => dest,
        None => {
            return Err(fields.required("sysroot").err().map_or_else(
                || Diagnostic::error("missing-field", fields.span(), "no sysroot"),
                |error| error.help("add `sysroot`, or set the variable SDK_SYSROOT to an absolute path"),
            ));
        }
    };
    Ok(Lowered { ops: vec![Op::Unpack { archive, dest: dest.clone(), strip: 0 }], written: Some(dest) })
}
