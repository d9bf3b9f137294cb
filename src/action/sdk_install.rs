//! `sdk_install`: a self-extracting installer, as Yocto makes them.

use super::FieldKind::{Path, Sha256, Url, Words};
use super::{Action, Field, Fields, Lowered};
use crate::op::{Mode, Op, PRIVATE};
use crate::yaml::Diagnostic;

pub(super) static ACTION: Action = Action {
    name: "sdk_install",
    summary: "A self-extracting SDK installer, run as `-y -d DEST` or with `args`",
    fields: &[
        Field::required("url", Url, "The installer"),
        Field::required("sha256", Sha256, "What it must be"),
        Field::required("dest", Path, "The directory to install into"),
        Field::optional(
            "args",
            Words,
            "What the installer is called with in place of `-y -d DEST`: a list, or a text that is cut at blanks. Say \
             there where `dest` is, and what answers its questions",
        ),
    ],
    lower,
};

/// Not part of a layer.
const INSTALLER: &str = PRIVATE[2];

fn lower(fields: &mut Fields<'_>) -> Result<Lowered, Diagnostic> {
    fields.required("sha256")?;
    let source = fields.download()?;
    let dest = fields.path("dest")?;
    let path = INSTALLER.to_owned();
    let mut ops = vec![Op::PlaceBlob { source, path: path.clone() }];
    let mode = Some(Mode::Octal(0o755));
    ops.push(Op::SetAttributes { path: path.clone(), owner: None, mode, recursive: false });
    ops.extend(fields.own_directory(&dest)?);
    let quotes = |text: &str| text.contains(['"', '\'']);
    if let Some(node) = fields.node("args").filter(|node| node.text("args").is_ok_and(quotes)) {
        let error = Diagnostic::error("args", node.span, "quotes mean nothing in `args`: a text is cut at its blanks");
        return Err(error.help("write a list: `args: [--prefix, \"/opt/a b\"]`"));
    }
    // An empty list is for an installer that takes none.
    let args = match fields.node("args") {
        None => ["-y", "-d", &dest].map(str::to_owned).to_vec(),
        Some(_) => fields.words("args")?,
    };
    let words: Vec<&str> = [INSTALLER].into_iter().chain(args.iter().map(String::as_str)).collect();
    ops.push(fields.tool(&words, "/tmp")?);
    ops.push(Op::Remove { path });
    // Installers end well where they wanted an answer, or were told to install elsewhere.
    ops.push(Op::Expect { path: dest.clone() });
    Ok(Lowered { ops, written: Some(dest) })
}
