//! `build_artifact`: a source archive, configured and made.

use super::FieldKind::{Download, Path, Texts, Words};
use super::{Action, Field, Fields, Lowered};
use crate::op::{Archive, Op, PRIVATE};
use crate::yaml::Diagnostic;

pub(super) static ACTION: Action = Action {
    name: "build_artifact",
    summary: "A source archive, built by ./configure and make",
    fields: &[
        Field::required("artifact_source", Download, "`url` and `sha256` of the source archive"),
        Field::required("make_targets", Texts, "Targets of make, in order"),
        Field::optional("dependencies", Texts, "Packages of the distribution that the build needs"),
        Field::optional("configure_flags", Words, "Arguments of ./configure"),
        Field::optional("destination", Path, "Prefix of the installation"),
    ],
    lower,
};

/// Not part of a layer.
const PLACE: &str = PRIVATE[0];

fn lower(fields: &mut Fields<'_>) -> Result<Lowered, Diagnostic> {
    let archive = Archive::Source(fields.nested_download("artifact_source")?);
    let destination = fields.optional_path("destination")?;
    let mut ops: Vec<Op> = fields.packages("dependencies")?.into_iter().collect();
    ops.extend(fields.own_directory(PLACE)?);
    // Source archives have one directory at their top.
    ops.push(Op::Unpack { archive, dest: PLACE.to_owned(), strip: 1 });
    if let Some(user) = fields.run_as()? {
        let owner = Some(crate::op::Owner::login(user));
        ops.push(Op::SetAttributes { path: PLACE.to_owned(), owner, mode: None, recursive: true });
    }
    let prefix = destination.as_ref().map(|path| format!("--prefix={path}"));
    let flags = fields.words("configure_flags")?;
    let mut configure = vec!["./configure"];
    configure.extend(prefix.as_deref());
    configure.extend(flags.iter().map(String::as_str));
    ops.push(fields.tool(&configure, PLACE)?);
    for (_, target) in fields.texts("make_targets")? {
        // The number of processors is the machine's, and no part of what is built.
        ops.push(fields.tool(&["sh", "-c", "exec make -j\"$(nproc)\" \"$0\"", &target], PLACE)?);
    }
    ops.push(Op::Remove { path: PLACE.to_owned() });
    Ok(Lowered { ops, written: destination.filter(|_| fields.node("owner").or(fields.node("mode")).is_some()) })
}
