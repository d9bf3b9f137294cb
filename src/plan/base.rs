//! The base that a manifest names. What is on this machine is, of a blueprint, what lies in its own directory.

use std::path::{Component, Path};

use crate::blueprint::Blueprint;
use crate::yaml::Diagnostic;

/// Schemes of bases that are files of this machine.
pub(super) const LOCAL: [&str; 4] = ["oci:", "oci-archive:", "docker-archive:", "rootfs:"];

/// The base of the manifest, with the path of a local one below the blueprint's directory.
pub(super) fn of(blueprint: &Blueprint) -> Result<Option<String>, Diagnostic> {
    let Some((text, _)) = &blueprint.manifest.image.base else { return Ok(None) };
    let Some((scheme, path)) = local(text) else { return Ok(Some(text.clone())) };
    let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    if !Path::new(path).components().all(inside) {
        return Err(outside(blueprint, "leads out of the blueprint's directory"));
    }
    Ok(Some(format!("{scheme}{}", blueprint.directory.join(path).display())))
}

/// What is wrong with the manifest's base if links lead out of the blueprint's directory. Looks at the disk; one that
/// is not there is told of when it is read.
pub fn base_leads_out(blueprint: &Blueprint) -> Option<Diagnostic> {
    let (text, _) = blueprint.manifest.image.base.as_ref()?;
    let (scheme, path) = local(text)?;
    // The tag of an image in a layout is not part of its path.
    let untagged = path.rsplit_once(':').filter(|(_, tag)| scheme == "oci:" && !tag.contains('/'));
    let real = blueprint.directory.join(untagged.map_or(path, |(path, _)| path)).canonicalize().ok()?;
    let top = blueprint.directory.canonicalize().ok()?;
    (!real.starts_with(top)).then(|| outside(blueprint, "leads out of the blueprint's directory, through a link"))
}

fn local(text: &str) -> Option<(&str, &str)> {
    let scheme = LOCAL.iter().find(|scheme| text.starts_with(**scheme))?;
    Some((scheme, &text[scheme.len()..]))
}

fn outside(blueprint: &Blueprint, how: &str) -> Diagnostic {
    let (text, span) = blueprint.manifest.image.base.as_ref().map_or(("", None), |(text, span)| (text, *span));
    let Some(span) = span else {
        return Diagnostic::error(
            "base",
            crate::yaml::Span { file: crate::yaml::FileId(0), start: 0, end: 0, line: 1, column: 1 },
            text,
        );
    };
    Diagnostic::error("base", span, format!("`{text}` {how}"))
        .label("not the blueprint's")
        .help(format!("put the files into the blueprint's directory, or build with --base {text}"))
}
