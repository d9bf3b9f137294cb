//! `unarchive_from_ref`: a toolchain of the catalog, as the lockfile pins it.

use super::FieldKind::{Number, Path, Text};
use super::{Action, Field, Fields, Lowered};
use crate::op::{Archive, Op};
use crate::yaml::Diagnostic;

pub(super) static ACTION: Action = Action {
    name: "unarchive_from_ref",
    summary: "A toolchain of the catalog, unpacked; the lockfile says where it is",
    fields: &[
        Field::required("ref", Text, "`<kind>.<vendor>.<tool>[@version]`"),
        Field::required("dest", Path, "The directory to unpack into; it is made"),
        Field::optional("strip_components", Number, "Leading path elements to drop"),
    ],
    lower,
};

fn lower(fields: &mut Fields<'_>) -> Result<Lowered, Diagnostic> {
    let reference = fields.text("ref")?;
    let node = fields.required("ref")?;
    super::check_reference(&reference, node.span)?;
    let lookup = fields.lookup();
    let source = lookup.toolchain(reference.trim()).ok_or_else(|| {
        let message = format!("alloy.lock.yml does not pin `{reference}` for {}", lookup.platform());
        Diagnostic::error("lock", node.span, message)
            .label("not pinned")
            .help("add it to `toolchains` of alloy.lock.yml, with `url` and `sha256`")
    })?;
    let dest = fields.path("dest")?;
    let strip = fields.number("strip_components")?;
    let unpack = Op::Unpack { archive: Archive::Source(source), dest: dest.clone(), strip };
    Ok(Lowered { ops: vec![unpack], written: Some(dest) })
}
