//! `mcu_sdk`: a vendor's SDK, by west or git.

use super::FieldKind::{OneOf, Path, Text, Texts, Url, Words};
use super::{Action, Field, Fields, Lowered};
use crate::op::Op;
use crate::yaml::Diagnostic;

const METHODS: &[&str] = &["west", "git"];

pub(super) static ACTION: Action = Action {
    name: "mcu_sdk",
    summary: "A vendor's SDK: a west workspace, or a git repository with its submodules; with `owner`, git of that user works in it (\"dubious ownership\")",
    fields: &[
        Field::required("method", OneOf(METHODS), "By which tool; it must be there"),
        Field::required("url", Url, "The repository"),
        Field::required("version", Text, "Commit, tag or branch"),
        Field::required("dest", Path, "The directory to make"),
        Field::optional("file", Text, "An installer of the SDK, relative to `dest`, run at the end"),
        Field::optional("install_args", Words, "Its arguments"),
        Field::optional("packages", Texts, "Packages of the distribution, installed first"),
    ],
    lower,
};

fn lower(fields: &mut Fields<'_>) -> Result<Lowered, Diagnostic> {
    let method = fields.one_of("method", METHODS)?;
    fields.required("url")?;
    fields.required("version")?;
    let url = fields.git_word("url")?.unwrap_or_default();
    let version = fields.git_word("version")?.unwrap_or_default();
    let dest = fields.path("dest")?;
    let mut ops: Vec<Op> = fields.packages("packages")?.into_iter().collect();
    if method == "west" {
        ops.extend(fields.git_workspace(&url, &version, &dest)?);
    } else {
        ops.extend(fields.git(&url, Some(&version), &dest)?);
    }
    let arguments = fields.words("install_args")?;
    if let Some(file) = fields.optional("file")? {
        let program = format!("./{}", file.trim_start_matches("./"));
        let mut words = vec![program.as_str()];
        words.extend(arguments.iter().map(String::as_str));
        ops.push(fields.git_tool(&words, &dest)?);
    }
    ops.push(fields.git_timeless(&dest)?);
    Ok(Lowered { ops, written: Some(dest) })
}
