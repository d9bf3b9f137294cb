//! `buildroot_config`: Buildroot at a release, with a defconfig applied.

use super::FieldKind::{Path, Text, Texts, Url};
use super::{Action, Field, Fields, Lowered};
use crate::op::Op;
use crate::yaml::Diagnostic;

pub(super) static ACTION: Action = Action {
    name: "buildroot_config",
    summary: "Buildroot at a release, with a defconfig applied",
    fields: &[
        Field::required("url", Url, "Buildroot's git repository"),
        Field::required("dest", Path, "The directory to clone into"),
        Field::optional("version", Text, "Commit, tag or branch"),
        Field::optional("defconfig", Text, "Name of the defconfig"),
        Field::optional("external_tree", Url, "Git repository of an external tree, cloned to `external` in `dest`"),
        Field::optional("packages", Texts, "Packages of the distribution, installed first"),
    ],
    lower,
};

fn lower(fields: &mut Fields<'_>) -> Result<Lowered, Diagnostic> {
    fields.required("url")?;
    let url = fields.git_word("url")?.unwrap_or_default();
    let dest = fields.path("dest")?;
    let mut ops: Vec<Op> = fields.packages("packages")?.into_iter().collect();
    let version = fields.git_word("version")?;
    ops.extend(fields.git(&url, version.as_deref(), &dest)?);
    let external = format!("{dest}/external");
    let tree = fields.git_word("external_tree")?;
    if let Some(url) = &tree {
        ops.extend(fields.git(url, None, &external)?);
    }
    ops.push(fields.git_timeless(&dest)?);
    if let Some(defconfig) = fields.git_word("defconfig")? {
        let option = tree.map(|_| format!("BR2_EXTERNAL={external}"));
        let mut make = vec!["make"];
        make.extend(option.as_deref());
        make.push(&defconfig);
        ops.push(fields.tool(&make, &dest)?);
    }
    Ok(Lowered { ops, written: Some(dest) })
}
