//! `git_clone`: a revision of a git repository.

use super::FieldKind::{Flag, Number, Path, Text, Url};
use super::{Action, Field, Fields, Lowered};
use crate::yaml::Diagnostic;

pub(super) static ACTION: Action = Action {
    name: "git_clone",
    summary: "A revision of a git repository, with its submodules; git must be there. `alloy lock` pins tags and branches to \
              the commit that they are",
    fields: &[
        Field::required("url", Url, "The repository"),
        Field::required("revision", Text, "Commit, tag or branch"),
        Field::required("dest", Path, "The directory to clone into; there is nothing in it before"),
        Field::optional("submodules", Flag, "Whether its submodules come along [default: true]"),
        Field::optional("depth", Number, "How many commits of the history to have [default: all]"),
    ],
    lower,
};

fn lower(fields: &mut Fields<'_>) -> Result<Lowered, Diagnostic> {
    fields.required("url")?;
    fields.required("revision")?;
    let url = fields.git_word("url")?.unwrap_or_default();
    let revision = fields.git_word("revision")?;
    let dest = fields.path("dest")?;
    let mut ops = fields.git_alone(&url, revision.as_deref(), &dest, fields.number("depth")?)?;
    if fields.node("submodules").is_none() || fields.flag("submodules")? {
        ops.push(fields.git_submodules(&dest)?);
    }
    ops.push(fields.git_timeless(&dest)?);
    Ok(Lowered { ops, written: Some(dest) })
}
