//! Where a build is to write, looked at before anything is built.

use std::path::{Path, PathBuf};

use layers::store::Store;

use super::super::error::CommandError;
use super::super::inputs::Prepared;
use super::Args;
use crate::blueprint::{Blueprint, OWN_FILES};
use crate::image::{BaseRef, Destination, Files, archive_place};
use crate::op::Source;
use crate::plan::{self, Platform};
use crate::resolve::copies;
use crate::sink::{Sink, Taken, clash};

/// Where the outputs of a build go.
pub(super) struct Places {
    pub(super) outputs: Vec<Destination>,
    metadata: Option<Sink>,
}

impl Places {
    /// Looks at all of them, before anything is built.
    pub(super) fn look(args: &Args, store: &Store, prepared: &[Prepared]) -> Result<Self, CommandError> {
        let platforms: Vec<&Platform> = prepared.iter().map(|one| &one.platform).collect();
        let outputs = args.output.iter().map(|output| output.look(store, &platforms)).collect::<Result<Vec<_>, _>>()?;
        let metadata = args.metadata_file.as_deref().map(Sink::at).transpose()?;
        let all: Vec<Taken> =
            outputs.iter().flat_map(Destination::taken).chain(metadata.as_ref().and_then(Sink::taken)).collect();
        if let Some((one, other)) = clash(&all) {
            let (one, other) = (one.name(), other.name());
            let message = if one == other {
                format!("two things would be written to {one}")
            } else {
                format!("one thing would be written to {one}, and another to {other}")
            };
            let hint = "name a place of its own for each --output and --metadata-file";
            return Err(CommandError::usage(message).hint(hint));
        }
        if all.iter().any(|taken| *taken != Taken::Output) {
            let read = Read::of(store, prepared);
            all.iter().try_for_each(|taken| read.is_left_alone_by(taken))?;
        }
        Ok(Self { outputs, metadata })
    }

    /// True if standard output is one of them: nothing else is printed there.
    pub(super) fn take_output(&self) -> bool {
        self.outputs.iter().any(Destination::is_output) || self.metadata.as_ref().is_some_and(Sink::is_output)
    }

    /// Where `--metadata-file` goes.
    pub(super) fn metadata(&self) -> Option<&Sink> {
        self.metadata.as_ref()
    }
}

/// What is in a root file system that is the base.
const IN_BASE: &str = "in the base";

/// What a build reads, and would not find any more after it was written over.
struct Read {
    store: PathBuf,
    /// Files, and what they are.
    files: Vec<(PathBuf, &'static str)>,
    /// Directories of which all counts but for what is excluded, and what they are.
    trees: Vec<(PathBuf, Vec<String>, &'static str)>,
}

impl Read {
    fn of(store: &Store, prepared: &[Prepared]) -> Self {
        let mut read = Self { store: store.root().to_owned(), files: Vec::new(), trees: Vec::new() };
        let real = |path: &Path| path.canonicalize().ok();
        for one in prepared {
            let Blueprint { directory, .. } = &*one.blueprint;
            let own = "a file of the blueprint";
            // Those that are not there yet would be read by the next build.
            read.files.extend(OWN_FILES.iter().map(|name| (directory.join(name), own)));
            let texts = one.blueprint.texts().filter_map(|(name, _)| real(&directory.join(name)));
            read.files.extend(texts.map(|path| (path, own)));
            let steps = one.lowered.layers.iter().flat_map(|layer| &layer.steps);
            let mut sources = plan::files_read(&one.blueprint).unwrap_or_default();
            sources.extend(steps.flat_map(|step| step.sources().cloned()));
            for source in sources {
                match source {
                    Source::Local { path } => {
                        read.files.extend(real(&directory.join(path)).map(|path| (path, "a file that a task reads")));
                    }
                    Source::Tree { path, excludes } => {
                        let found = real(&directory.join(path));
                        read.trees.extend(found.map(|path| (path, excludes, "in what a task copies")));
                    }
                    Source::Url { .. } => {}
                }
            }
            match one.lowered.base.parse::<BaseRef>() {
                Ok(BaseRef::OciArchive(text) | BaseRef::DockerArchive(text)) => {
                    let (path, _) = archive_place(Files::default(), &text);
                    read.files.extend(real(&path).map(|path| (path, "the base")));
                }
                Ok(BaseRef::Rootfs(path)) => {
                    // Of all of a machine everything is a part: nothing could be written.
                    let found = real(&path).filter(|path| path.parent().is_some());
                    read.trees.extend(found.map(|path| (path, Vec::new(), IN_BASE)));
                }
                _ => {}
            }
        }
        read
    }

    /// An error if something of it would be written over, or would have more in it with the next build.
    fn is_left_alone_by(&self, taken: &Taken) -> Result<(), CommandError> {
        let refused = |path: &Path, what: &str, hint: &str| {
            let message = format!("cannot write {}: it is {what}", path.display());
            Err(CommandError::usage(message).hint(hint))
        };
        let (path, all) = match taken {
            Taken::Output => return Ok(()),
            Taken::Path(path) => (path, false),
            Taken::Tree(path) => (path, true),
        };
        if path.starts_with(&self.store) || all && self.store.starts_with(path) {
            return refused(path, "in the store, which alloy alone writes", "name a place outside of the store");
        }
        let elsewhere = "an output would be read by the next build: name another place";
        if let Some((_, what)) = self.files.iter().find(|(file, _)| file == path || all && file.starts_with(path)) {
            return refused(path, what, elsewhere);
        }
        let copied = |(tree, excludes, _): &&(PathBuf, Vec<String>, &str)| match path.strip_prefix(tree) {
            Ok(inside) => copies(excludes, inside),
            Err(_) => all && tree.starts_with(path),
        };
        match self.trees.iter().find(copied) {
            Some((.., what)) => {
                let hint = match *what {
                    IN_BASE => elsewhere.to_owned(),
                    _ => format!("{elsewhere}, or leave it out by the task's `excludes`"),
                };
                refused(path, what, &hint)
            }
            None => Ok(()),
        }
    }
}
