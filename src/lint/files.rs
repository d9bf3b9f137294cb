//! Files of a blueprint that its tasks name.

use std::path::Path;

use crate::blueprint::Blueprint;
use crate::op::{Archive, Op, Source, Step};
use crate::plan::Lowered;
use crate::resolve::{self, Member};
use crate::target::LocalDeb;
use crate::yaml::{Diagnostic, Node, Span};

/// Files of the blueprint that a task wants and that are not there.
pub(super) fn missing(blueprint: &Blueprint, lowered: &Lowered) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for step in lowered.layers.iter().flat_map(|layer| &layer.steps) {
        for op in &step.ops {
            if let Op::Copy { source: Source::Tree { path, excludes }, .. } = op {
                match resolve::members(&blueprint.directory, path, excludes) {
                    Ok(members) if members.get(Path::new("")) == Some(&Member::File) && !excludes.is_empty() => {
                        let span = place_of(blueprint, step, "excludes");
                        let message = format!("`excludes` means nothing here: `{path}` is a file");
                        found.extend(span.map(|span| Diagnostic::warning("glob", span, message)));
                    }
                    Ok(_) => {
                        let span = place_of(blueprint, step, "excludes");
                        for pattern in resolve::unused(&blueprint.directory, path, excludes) {
                            let message = format!("`{pattern}` in `excludes` leaves nothing out");
                            let help = "a pattern is for paths inside of `source`: `*.o`, `build`, `src/*.o`";
                            found.extend(span.map(|span| Diagnostic::warning("glob", span, message).help(help)));
                        }
                    }
                    Err(error) => {
                        let span = source_of(blueprint, step);
                        found.extend(span.map(|span| not_copied(path, &error, span)));
                    }
                }
                continue;
            }
            let (sources, field) = match op {
                Op::Unpack { archive: Archive::Source(source), .. } => (std::slice::from_ref(source), "source"),
                Op::AptInstall { debs, .. } => (debs.as_slice(), "debs"),
                _ => continue,
            };
            if let Op::AptInstall { debs, .. } = op {
                found.extend(same_package(blueprint, step, debs));
            }
            let local = |source: &Source| match source {
                Source::Local { path } => missing_file(blueprint, step, path, field),
                _ => None,
            };
            found.extend(sources.iter().filter_map(local));
        }
    }
    found
}

/// What is wrong with a file of the blueprint that a task's `field` names.
fn missing_file(blueprint: &Blueprint, step: &Step, path: &str, field: &'static str) -> Option<Diagnostic> {
    let message = match blueprint.directory.join(path).canonicalize() {
        Ok(real) if !real.starts_with(&blueprint.directory) => {
            format!("`{path}` leads out of the blueprint, through a link")
        }
        Ok(real) if real.is_file() => return None,
        Ok(_) => format!("`{path}` is not a file"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            format!("there is no file `{path}` in the blueprint")
        }
        Err(error) => format!("cannot read `{path}`: {error}"),
    };
    let help = match field {
        "source" => "name a file inside the blueprint's directory, or an absolute path in the image",
        _ => "name a file inside the blueprint's directory, or a URL",
    };
    Some(Diagnostic::error("source", place_of(blueprint, step, field)?, message).help(help))
}

/// An error where files of the blueprint are packages of one name, of which only one can be installed.
fn same_package(blueprint: &Blueprint, step: &Step, debs: &[Source]) -> Option<Diagnostic> {
    let mut named: Vec<LocalDeb> = Vec::new();
    for (at, source) in debs.iter().enumerate() {
        let Source::Local { path } = source else { continue };
        let place = blueprint.directory.join(path).canonicalize().ok();
        let place = place.filter(|place| place.starts_with(&blueprint.directory) && place.is_file());
        // What is no package, the build tells.
        let deb = place.and_then(|place| LocalDeb::read(source, &place).ok());
        let Some(deb) = deb.filter(|_| !debs[..at].contains(source)) else { continue };
        if let Err(error) = named.iter().try_for_each(|other| deb.beside(other)) {
            return Some(Diagnostic::error("package", place_of(blueprint, step, "debs")?, error.to_string()));
        }
        named.push(deb);
    }
    None
}

/// What is wrong with what a task copies.
fn not_copied(path: &str, error: &std::io::Error, span: Span) -> Diagnostic {
    if error.kind() == std::io::ErrorKind::NotFound {
        return Diagnostic::error("source", span, format!("there is no `{path}` in the blueprint"))
            .help("name a file or directory inside the blueprint's directory, relative to it");
    }
    Diagnostic::error("source", span, format!("cannot copy `{path}`: {error}"))
        .help("what is copied is the same wherever the blueprint is: files, directories, and links from one to another")
}

fn source_of(blueprint: &Blueprint, step: &Step) -> Option<Span> {
    place_of(blueprint, step, "source")
}

/// The place of a step's `field`, or of the step.
fn place_of(blueprint: &Blueprint, step: &Step, field: &str) -> Option<Span> {
    let file = blueprint.files.iter().find(|file| file.path == step.file)?;
    let task = file.tasks.iter().find(|task| task.span.line == step.line)?;
    Some(task.fields.get(field).map_or(task.span, |node: &Node| node.span))
}
