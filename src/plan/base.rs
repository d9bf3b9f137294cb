//! The base that a manifest names. What is on this machine is, of a blueprint, what lies in its own directory.

use std::path::{Component, Path};

use layers::root::Root;

use crate::blueprint::Blueprint;
use crate::yaml::Diagnostic;

/// The name of the empty base, as Docker has it.
pub const SCRATCH: &str = "scratch";
/// Schemes of bases that are files of this machine.
pub(super) const LOCAL: [&str; 4] = ["oci:", "oci-archive:", "docker-archive:", "rootfs:"];
/// What of an image layout leads on to the rest of it.
const LAYOUT: [&str; 2] = ["index.json", "blobs/sha256"];

/// The base of the manifest, with the path of a local one below the blueprint's directory.
pub(super) fn of(blueprint: &Blueprint) -> Result<Option<String>, Diagnostic> {
    let Some((text, _)) = blueprint.manifest.base() else { return Ok(None) };
    let Some((scheme, path, tag)) = local(text) else { return Ok(Some(text.to_owned())) };
    if path.is_empty() {
        let help = "a `.` is the blueprint's own directory";
        return Err(wrong(blueprint, "needs a path behind the colon", "no path").help(help));
    }
    let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    if !Path::new(path).components().all(inside) {
        return Err(outside(blueprint, "leads out of the blueprint's directory"));
    }
    Ok(Some(format!("{scheme}{}{tag}", blueprint.directory.join(path).display())))
}

/// What is wrong with the manifest's base if links lead out of the blueprint's directory. Looks at the disk; one that
/// is not there is told of when it is read, and so are links that lead out from further inside of it.
pub fn base_leads_out(blueprint: &Blueprint) -> Option<Diagnostic> {
    let (text, _) = blueprint.manifest.base()?;
    let (scheme, path, _) = local(text)?;
    // What is wrong with the path itself is told by lowering.
    of(blueprint).ok()?;
    let top = Root::open(&blueprint.directory).ok()?;
    let out = |path: &Path| top.beneath(path).is_err_and(|error| error.kind() == std::io::ErrorKind::CrossesDevices);
    let led = |path: &Path| out(path) || scheme == "oci:" && LAYOUT.iter().any(|name| out(&path.join(name)));
    // Where the path ends and the name of an image begins, the disk says.
    let ends = path.match_indices([':', '@']).map(|(at, _)| at).chain([path.len()]);
    let led = ends.into_iter().any(|end| led(Path::new(&path[..end])));
    led.then(|| outside(blueprint, "leads out of the blueprint's directory, through a link"))
}

/// A warning where the image is to stand on another base than the blueprint was made for.
pub(super) fn other(blueprint: &Blueprint, base: &str) -> Option<Diagnostic> {
    let bases = &blueprint.manifest.supported_bases;
    let (_, span) = bases.first()?;
    // Which variant of a suite it is makes no other one of it.
    let plain = |text: &str| text.split('?').next().unwrap_or_default().to_owned();
    if bases.iter().any(|(text, _)| plain(text) == plain(base)) {
        return None;
    }
    let list = bases.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>().join(", ");
    let message = format!("the blueprint was made for {list}, and this is {base}");
    let help =
        "packages of that name or version may not be there: build with the base that it was made for, or add this one";
    Some(Diagnostic::warning("supported-bases", *span, message).label("made for these").help(help))
}

/// Scheme, path and tag of a base on this machine. The tag of an image in a layout is not part of its path.
fn local(text: &str) -> Option<(&str, &str, &str)> {
    let scheme = LOCAL.iter().find(|scheme| text.starts_with(**scheme))?;
    let rest = &text[scheme.len()..];
    let tag = rest.rfind(':').filter(|at| *scheme == "oci:" && !rest[*at..].contains('/'));
    let (path, tag) = rest.split_at(tag.unwrap_or(rest.len()));
    Some((scheme, path, tag))
}

fn outside(blueprint: &Blueprint, how: &str) -> Diagnostic {
    let text = blueprint.manifest.base().map_or("", |(text, _)| text);
    let help = format!(
        "put the files into the blueprint's directory, with links that are relative, or build with --base {text}"
    );
    wrong(blueprint, how, "not the blueprint's").help(help)
}

fn wrong(blueprint: &Blueprint, how: &str, label: &str) -> Diagnostic {
    let (text, span) = blueprint.manifest.base().unwrap_or_default();
    let Some(span) = span else {
        return Diagnostic::error(
            "base",
            crate::yaml::Span { file: crate::yaml::FileId(0), start: 0, end: 0, line: 1, column: 1 },
            text,
        );
    };
    Diagnostic::error("base", span, format!("`{text}` {how}")).label(label)
}
