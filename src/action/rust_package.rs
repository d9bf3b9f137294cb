//! `rust_package`: one crate, by cargo.

use super::FieldKind::{Text, Words};
use super::{Action, Field, Fields, Lowered};
use crate::yaml::Diagnostic;

pub(super) static ACTION: Action = Action {
    name: "rust_package",
    summary: "One crate, built and installed by cargo, which must be there",
    fields: &[
        Field::required("package", Text, "Its name"),
        Field::required("version", Text, "The exact version"),
        Field::optional("features", Words, "Features to switch on"),
    ],
    lower,
};

fn lower(fields: &mut Fields<'_>) -> Result<Lowered, Diagnostic> {
    fields.required("package")?;
    fields.required("version")?;
    let package = fields.git_word("package")?.unwrap_or_default();
    let version = fields.git_word("version")?.unwrap_or_default();
    let features = fields.words("features")?.join(",");
    let mut words = vec!["cargo", "install", "--locked", "--version", &version];
    if !features.is_empty() {
        words.extend(["--features", &features]);
    }
    words.push(&package);
    Ok(Lowered { ops: vec![fields.tool(&words, "/")?], written: None })
}
