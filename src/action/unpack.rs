//! `unpack`: an archive of the blueprint (a relative path) or of the target (an absolute one).

use super::FieldKind::{Number, Path, Text};
use super::{Action, Field, Fields, Lowered};
use crate::op::{Archive, Op, Source};
use crate::yaml::Diagnostic;

pub(super) static ACTION: Action = Action {
    name: "unpack",
    summary: "An archive of the blueprint, or of the image, unpacked",
    fields: &[
        Field::required("source", Text, "Absolute: in the image; relative: in the blueprint's directory"),
        Field::required("dest", Path, "The directory to unpack into; it is made"),
        Field::optional("strip_components", Number, "Leading path elements to drop"),
    ],
    lower,
};

fn lower(fields: &mut Fields<'_>) -> Result<Lowered, Diagnostic> {
    let text = fields.text("source")?;
    let archive = if text.starts_with('/') {
        Archive::InTarget(fields.path("source")?)
    } else {
        let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        if parts.is_empty() || parts.contains(&"..") {
            let span = fields.required("source")?.span;
            return Err(Diagnostic::error("path", span, format!("`{text}` leads out of the blueprint"))
                .help("name a file inside the blueprint's directory, or an absolute path in the image"));
        }
        Archive::Source(Source::Local { path: parts.join("/") })
    };
    let dest = fields.path("dest")?;
    let strip = fields.number("strip_components")?;
    Ok(Lowered { ops: vec![Op::Unpack { archive, dest: dest.clone(), strip }], written: Some(dest) })
}
