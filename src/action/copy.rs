//! `copy`: a file or a directory of the blueprint.

use super::FieldKind::{Path, Text, Words};
use super::{Action, Field, Fields, Lowered};
use crate::op::{Op, Source};
use crate::yaml::Diagnostic;

pub(super) static ACTION: Action = Action {
    name: "copy",
    summary: "A file or a directory of the blueprint, copied; nothing is deleted. Files become 0644, or 0755 where they \
              are executable, directories 0755; `mode` is for the files, `owner` for all that is made. Links stay links, \
              and may not lead out of the directory. `.git`, alloy.lock.yml, alloy.state.yml and \
              .alloy-clone.json are left out, and so is a `.env` beside the manifest",
    fields: &[
        Field::required("source", Text, "The file or directory, relative to the blueprint's directory"),
        Field::required(
            "dest",
            Path,
            "The file or directory to make of it; with `/` at its end, the directory to put it in",
        ),
        Field::optional(
            "excludes",
            Words,
            "Globs of what to leave out, relative to `source`: `*.o`, `docs/**`, `**/*.orig`",
        ),
    ],
    lower,
};

fn lower(fields: &mut Fields<'_>) -> Result<Lowered, Diagnostic> {
    let text = fields.text("source")?;
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if text.starts_with('/') || parts.contains(&"..") {
        let span = fields.required("source")?.span;
        return Err(Diagnostic::error("path", span, format!("`{text}` leads out of the blueprint"))
            .help("name a file or directory inside the blueprint's directory, relative to it"));
    }
    let dest = fields.path("dest")?;
    let into = fields.text("dest")?.ends_with('/');
    let mut excludes = fields.words("excludes")?;
    for pattern in &mut excludes {
        if pattern.starts_with('!') {
            let span = fields.required("excludes")?.span;
            let message = format!("`{pattern}` in `excludes` leaves nothing out: no pattern takes back another");
            return Err(
                Diagnostic::error("glob", span, message).help("list what is left out; what no pattern names is copied")
            );
        }
        // As .dockerignore and .gitignore have them, they begin at the source, with `/` or without.
        *pattern = pattern.trim_start_matches("./").trim_matches('/').to_owned();
        if let Err(error) = glob::Pattern::new(pattern) {
            let span = fields.required("excludes")?.span;
            let message = format!("`{pattern}` in `excludes` is not a glob: {}", error.msg);
            return Err(Diagnostic::error("glob", span, message)
                .help("`*` and `?` stand for parts of a name, `[a-z]` for one letter, `**` for any directories"));
        }
    }
    excludes.sort();
    excludes.dedup();
    let source = Source::Tree { path: parts.join("/"), excludes };
    Ok(Lowered { ops: vec![Op::Copy { source, dest: dest.clone(), into }], written: Some(dest) })
}
