//! `build_from_source`: a source archive, unpacked, and a command that builds it there.

use super::FieldKind::{Path, Sha256, Text, Url};
use super::shell::SHELL;
use super::{Action, Field, Fields, Lowered};
use crate::op::{Archive, Op};
use crate::yaml::Diagnostic;

pub(super) static ACTION: Action = Action {
    name: "build_from_source",
    summary: "A source archive, unpacked, and a command run in it",
    fields: &[
        Field::required("url", Url, "The source archive"),
        Field::required("dest", Path, "The directory to unpack into and to build in"),
        Field::required("command", Text, "Builds it").verbatim(),
        SHELL,
        Field::optional("sha256", Sha256, "What the archive must be"),
        Field::optional("strip_components", super::FieldKind::Number, "Leading path elements to drop"),
    ],
    lower,
};

fn lower(fields: &mut Fields<'_>) -> Result<Lowered, Diagnostic> {
    let archive = Archive::Source(fields.download()?);
    let dest = fields.path("dest")?;
    let strip = fields.number("strip_components")?;
    let command = fields.text_or_secret("command")?;
    let command = fields.script("command", command)?;
    let mut ops = vec![Op::Unpack { archive, dest: dest.clone(), strip }];
    let user = fields.run_as()?;
    if let Some(user) = &user {
        let owner = Some(crate::op::Owner::login(user.clone()));
        ops.push(Op::SetAttributes { path: dest.clone(), owner, mode: None, recursive: true });
    }
    let Op::Run { command, user, env, .. } = fields.run(command, user, &[]) else { return Ok(Lowered::default()) };
    ops.push(Op::Run { command, user, env, cwd: Some(dest.clone()) });
    Ok(Lowered { ops, written: Some(dest) })
}
