//! `unarchive_from_ref`: a toolchain of the catalog, as the lockfile pins it.

use super::FieldKind::{Number, Path, Text};
use super::{Action, Field, Fields, Lowered, NoArchive};
use crate::op::{Archive, Op, Source};
use crate::yaml::{Diagnostic, Span, UNKNOWN};

pub(super) static ACTION: Action = Action {
    name: "unarchive_from_ref",
    summary: "A toolchain of the catalog, unpacked; the lockfile says where it is",
    fields: &[
        Field::required("ref", Text, "`<kind>.<vendor>.<tool>[@version]`"),
        Field::required("dest", Path, "The directory to unpack into; it is made"),
        Field::optional("strip_components", Number, "Leading path elements to drop"),
    ],
    lower,
};

fn lower(fields: &mut Fields<'_>) -> Result<Lowered, Diagnostic> {
    let reference = fields.text("ref")?;
    let node = fields.required("ref")?;
    super::check_reference(&reference, node.span)?;
    let lookup = fields.lookup();
    let unpinned = |say: fn(&'static str, Span, String) -> Diagnostic| {
        let message = format!("alloy.lock.yml does not pin `{reference}` for {}", lookup.platform());
        say("unpinned", node.span, message)
            .label("not pinned")
            .help("list it in `toolchains` of manifest.yml, and pin it: alloy lock")
    };
    let source = match lookup.toolchain(reference.trim()) {
        Some(source) => source,
        None if lookup.looks_only() => {
            fields.warn(unpinned(Diagnostic::warning));
            Ok(Source::Url { url: UNKNOWN.to_owned(), sha256: None })
        }
        None => return Err(unpinned(Diagnostic::error)),
    };
    let source = source.map_err(|other| {
        let (what, help) = match other {
            NoArchive::Package(package) => (
                format!("the package `{package}` of pip"),
                format!("install it by python_package: `package: {package}`"),
            ),
            NoArchive::Repository(url) => (
                format!("the git repository {url}"),
                "check it out by git_clone, or by mcu_sdk with `method: git`".into(),
            ),
        };
        Diagnostic::error("lock", node.span, format!("`{reference}` is {what}, and not an archive"))
            .label("nothing to unpack")
            .help(help)
    })?;
    let dest = fields.path("dest")?;
    let strip = fields.number("strip_components")?;
    let unpack = Op::Unpack { archive: Archive::Source(source), dest: dest.clone(), strip };
    Ok(Lowered { ops: vec![unpack], written: Some(dest) })
}
