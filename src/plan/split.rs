//! Task files into layers: one each, but for archives, which become layers of their own.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::{LoweredLayer, PortableStep};
use crate::op::{Op, Step};

/// How task files become layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Layering {
    /// Archives are layers of their own, shared with every blueprint that unpacks them
    #[default]
    Portable,
    /// One layer for each task file
    File,
}

/// Splits task files into layers, of which there are at most `room`: container runtimes stop at 127 in all.
pub fn split(files: Vec<LoweredLayer>, layering: Layering, room: usize) -> Vec<LoweredLayer> {
    if layering == Layering::Portable {
        let layers: Vec<LoweredLayer> = files.iter().flat_map(pieces).collect();
        if layers.len() <= room {
            return layers;
        }
    }
    merge(files, room)
}

/// A task file as one layer. One that is an archive and nothing else is what it would be as an archive's layer: it has the
/// same key.
fn whole(file: LoweredLayer) -> LoweredLayer {
    match <[LoweredLayer; 1]>::try_from(pieces(&file)) {
        Ok([piece]) => piece,
        Err(_) => file,
    }
}

fn pieces(file: &LoweredLayer) -> Vec<LoweredLayer> {
    let mut pieces: Vec<(Vec<Step>, Option<PortableStep>)> = Vec::new();
    let mut pending: Vec<Step> = Vec::new();
    for step in &file.steps {
        let Some(portable) = PortableStep::of(step) else {
            pending.push(step.clone());
            continue;
        };
        // Directories that the archive's layer makes anyway.
        let theirs = pending.iter().rposition(|step| !only_makes(step, &portable.dest)).map_or(0, |at| at + 1);
        let mut steps = pending.split_off(theirs);
        if !pending.is_empty() {
            pieces.push((std::mem::take(&mut pending), None));
        }
        steps.push(step.clone());
        pieces.push((steps, Some(portable)));
    }
    // A file without tasks is a layer too: it has a line in the history.
    if !pending.is_empty() || pieces.is_empty() {
        pieces.push((pending, None));
    }
    let single = pieces.len() == 1;
    let mut parts = 0;
    let name = |(steps, portable): (Vec<Step>, Option<PortableStep>)| {
        parts += usize::from(portable.is_none());
        let name = match (&portable, steps.last()) {
            (Some(_), Some(step)) if !single => format!("{}: {}", file.name, step.name),
            (None, _) if parts > 1 => format!("{} ({parts})", file.name),
            _ => file.name.clone(),
        };
        LoweredLayer { name, files: file.files.clone(), steps, portable }
    };
    pieces.into_iter().map(name).collect()
}

/// True for a step that makes nothing but `dest`, or directories above it.
fn only_makes(step: &Step, dest: &str) -> bool {
    let above = |op: &Op| match op {
        Op::MakeDir { path } => {
            dest == path || dest.strip_prefix(path.as_str()).is_some_and(|rest| rest.starts_with('/'))
        }
        _ => false,
    };
    step.guards.skip_if.is_none() && step.guards.creates.is_none() && step.ops.iter().all(above)
}

/// Puts neighbours together until there is room.
fn merge(files: Vec<LoweredLayer>, room: usize) -> Vec<LoweredLayer> {
    let size = files.len().div_ceil(room.max(1));
    if size <= 1 {
        return files.into_iter().map(whole).collect();
    }
    let group = |group: &[LoweredLayer]| {
        if let [file] = group {
            return whole(file.clone());
        }
        let (first, last) = (&group[0].name, &group[group.len() - 1].name);
        LoweredLayer {
            name: format!("{first} to {last}"),
            files: group.iter().flat_map(|layer| layer.files.clone()).collect(),
            steps: group.iter().flat_map(|layer| layer.steps.clone()).collect(),
            portable: None,
        }
    };
    files.chunks(size).map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{Archive, Command, Source};

    fn step(name: &str, ops: Vec<Op>) -> Step {
        Step { name: name.into(), file: "a.yml".to_owned(), line: 1, ops, ..Step::default() }
    }

    fn unpack(name: &str, dest: &str) -> Step {
        let source = Source::Url { url: format!("https://a.example/{name}"), sha256: None };
        step(name, vec![Op::Unpack { archive: Archive::Source(source), dest: dest.into(), strip: 0 }])
    }

    fn run(name: &str) -> Step {
        let env = std::collections::BTreeMap::new();
        step(name, vec![Op::Run { command: Command::Shell(name.into()), user: None, env, cwd: None }])
    }

    fn make(path: &str) -> Step {
        step("make", vec![Op::MakeDir { path: path.into() }])
    }

    fn file(name: &str, steps: Vec<Step>) -> LoweredLayer {
        LoweredLayer { name: name.into(), files: vec![name.into()], steps, portable: None }
    }

    fn shape(layers: &[LoweredLayer]) -> Vec<(&str, usize, bool)> {
        layers.iter().map(|layer| (layer.name.as_str(), layer.steps.len(), layer.portable.is_some())).collect()
    }

    #[test]
    fn archives_are_layers_of_their_own() {
        let steps = vec![
            run("one"),
            make("/opt/x"),
            unpack("gcc", "/opt/x"),
            run("two"),
            make("/srv"),
            unpack("gdb", "/opt/y"),
            run("three"),
        ];
        let layers = split(
            vec![file("a.yml", steps), file("b.yml", vec![unpack("zig", "/opt/z")]), file("c.yml", vec![])],
            Layering::Portable,
            100,
        );
        let expected = [
            ("a.yml", 1, false),
            ("a.yml: gcc", 2, true),
            ("a.yml (2)", 2, false),
            ("a.yml: gdb", 1, true),
            ("a.yml (3)", 1, false),
            ("b.yml", 1, true),
            ("c.yml", 0, false),
        ];
        assert_eq!(shape(&layers), expected);
    }

    #[test]
    fn what_has_one_key_is_made_one_way() {
        let files =
            || vec![file("a.yml", vec![make("/opt/z"), unpack("zig", "/opt/z")]), file("b.yml", vec![run("x")])];
        let layers = split(files(), Layering::File, 100);
        assert_eq!(shape(&layers), [("a.yml", 2, true), ("b.yml", 1, false)]);
        assert_eq!(shape(&layers), shape(&split(files(), Layering::Portable, 100)));
        let odd = [files(), vec![file("c.yml", vec![unpack("gcc", "/opt/x")])]].concat();
        assert_eq!(shape(&split(odd, Layering::Portable, 2)), [("a.yml to b.yml", 3, false), ("c.yml", 1, true)]);
    }

    #[test]
    fn a_shell_condition_has_to_be_run() {
        let mut step = unpack("gcc", "/opt/x");
        step.guards.skip_if = Some("true".into());
        assert_eq!(shape(&split(vec![file("a.yml", vec![step])], Layering::Portable, 100)), [("a.yml", 1, false)]);
    }

    #[test]
    fn there_is_never_more_than_room() {
        let files: Vec<LoweredLayer> =
            (0..250).map(|n| file(&format!("{n}.yml"), vec![run("one"), unpack("gcc", "/opt/x")])).collect();
        let layers = split(files.clone(), Layering::Portable, 300);
        assert_eq!((layers.len(), layers[0].steps.len()), (250, 2), "archives are given up first");
        let layers = split(files, Layering::Portable, 100);
        assert_eq!(shape(&layers)[0], ("0.yml to 2.yml", 6, false));
        assert!(layers.len() <= 100);
        assert_eq!(layers.iter().map(|layer| layer.files.len()).sum::<usize>(), 250);
    }
}
