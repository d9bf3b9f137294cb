//! `yocto_manifest`: Yocto layers, checked out by kas.

use super::FieldKind::{OneOf, Path, Text, Url};
use super::{Action, Field, Fields, Lowered};
use crate::yaml::Diagnostic;

const TOOLS: &[&str] = &["kas"];

pub(super) static ACTION: Action = Action {
    name: "yocto_manifest",
    summary: "Yocto layers, checked out by kas, which must be there",
    fields: &[
        Field::required("url", Url, "Git repository of the kas configuration"),
        Field::required("dest", Path, "The directory to check out into"),
        Field::optional("commit_hash", Text, "The commit"),
        Field::optional("version", Text, "Tag or branch, where no commit is given"),
        Field::optional("kas_file", Text, "The configuration, relative to the repository"),
        Field::optional("file", Text, "The same as `kas_file`"),
        Field::optional("tool", OneOf(TOOLS), "Always kas"),
    ],
    lower,
};

fn lower(fields: &mut Fields<'_>) -> Result<Lowered, Diagnostic> {
    fields.required("url")?;
    if fields.node("tool").is_some() {
        fields.one_of("tool", TOOLS)?;
    }
    let url = fields.git_word("url")?.unwrap_or_default();
    let dest = fields.path("dest")?;
    let revision = fields.git_word("commit_hash")?.map_or_else(|| fields.git_word("version"), |hash| Ok(Some(hash)))?;
    let mut ops = fields.git(&url, revision.as_deref(), &dest)?;
    let file = fields.git_word("kas_file")?.map_or_else(|| fields.git_word("file"), |file| Ok(Some(file)))?;
    if let Some(file) = file {
        ops.extend(fields.git_layers(&file, &dest)?);
    }
    ops.push(fields.git_timeless(&dest)?);
    Ok(Lowered { ops, written: Some(dest) })
}
