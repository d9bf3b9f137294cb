//! `udev_rules`: rules for devices.

use super::FieldKind::{Sha256, Text, Url};
use super::{Action, Field, Fields, Lowered};
use crate::op::Op;
use crate::yaml::Diagnostic;

pub(super) static ACTION: Action = Action {
    name: "udev_rules",
    summary: "Rules for udev: a text, a download, or those of a downloaded Debian package",
    fields: &[
        Field::required("rule_file", Text, "Path, or a bare name in /etc/udev/rules.d"),
        Field::optional("url", Url, "Where the rules are"),
        Field::optional("sha256", Sha256, "What the download must be"),
        Field::optional("content", Text, "The rules themselves").verbatim(),
    ],
    lower,
};

fn lower(fields: &mut Fields<'_>) -> Result<Lowered, Diagnostic> {
    let name = fields.text("rule_file")?;
    let path = if name.contains('/') { fields.path("rule_file")? } else { format!("/etc/udev/rules.d/{name}") };
    let op = match (fields.node("url"), fields.node("content")) {
        (Some(_), None) => Op::PlaceRules { source: fields.download()?, path: path.clone() },
        (None, Some(_)) => Op::WriteFile { path: path.clone(), content: fields.content("content")?.into_bytes() },
        (Some(_), Some(node)) => {
            return Err(Diagnostic::error("udev-rules", node.span, "`url` and `content` at once")
                .help("the rules come from one of them; remove the other"));
        }
        (None, None) => {
            let error = Diagnostic::error("missing-field", fields.span(), "`udev_rules` needs `url` or `content`");
            return Err(error.label("no rules").help("write the rules below `content: |`, or say where they are"));
        }
    };
    Ok(Lowered { ops: vec![op, Op::ReloadUdev], written: Some(path) })
}
