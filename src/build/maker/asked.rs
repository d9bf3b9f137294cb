//! What a task would install from the registry of a language, found out by its own program where it runs.

use std::path::PathBuf;

use super::{Maker, Result};
use crate::build::BuildError;
use crate::build::closures::{Found, crate_of};
use crate::event::{Event, Id};
use crate::lock::{PackagesPin, unfit};
use crate::op::{ASKED, Guards, Language, LentFile, Op, Source, Step};
use crate::plan::{LanguageTask, LoweredLayer};
use crate::resolve::{Asked, Crate};

mod npm;
mod python;

/// Why a crate of a registry for members has to bring its lockfile.
const NO_TOKEN: &str =
    "it has no Cargo.lock, and its registry answers nobody without a token, which alloy lends to no cargo";

impl Maker<'_> {
    /// Asks for `task`, of `layer`, pins the files that it comes to, and installs them, so that it is known that they
    /// are all that it takes. The task of the layer is then locked. The layer is open still where that fails.
    pub(super) fn asked(&mut self, layer: &mut LoweredLayer, task: &LanguageTask, id: Id) -> Result<Found> {
        let step = &layer.steps[task.step];
        let Some(wanted) = &step.wanted else { return Ok(Found::Nothing("it asks for nothing".into())) };
        let (language, mut ask) = (wanted.language, wanted.ask.clone());
        let mut top = None;
        if language == Language::Rust {
            match crate_of(self.build.resolver, task, step)? {
                // cargo, which is to ask for what the crate is built of, has no token.
                Ok(found) if found.for_members => return Ok(Found::Nothing(NO_TOKEN.to_owned())),
                Ok(found) => top = Some(found),
                Err(why) => return Ok(Found::Nothing(why)),
            }
        }
        if let (Some(Crate { top, sha256, .. }), Some(Op::Lend { files, network })) =
            (&top, ask.iter_mut().find(|op| matches!(op, Op::Lend { .. })))
        {
            let source = Source::Url { url: top.url.clone(), sha256: Some(*sha256) };
            *files = vec![LentFile { name: "asked.crate".into(), source, size: 0 }];
            *network = true;
        }
        let name = format!("what {} installs", task.key);
        let ask = Step { name, guards: Guards::default(), offline: false, ops: ask, wanted: None, ..step.clone() };
        let failed = self.tried(&ask, &layer.name, id)?;
        let seen = if failed.is_none() { self.stack.target()?.look(PathBuf::from(ASKED))? } else { Vec::new() };
        let remove = vec![Op::Remove { path: ASKED.to_owned() }];
        self.done(&Step { name: "tidying up".into(), ops: remove, ..Step::default() }, &layer.name, id)?;
        if let Some(failure) = failed {
            return Err(BuildError::Task { failure, partial: None });
        }
        let found = match language {
            Language::Python => python::found(&seen),
            Language::Npm => npm::found(&seen, self.build.resolver.platform.debian_arch()),
            Language::Rust => {
                let lockfile = seen.iter().find(|file| file.name == "Cargo.lock").and_then(|file| file.text.as_deref());
                let found = top.as_ref().zip(lockfile).map(|(top, lockfile)| top.all(lockfile));
                found.unwrap_or_else(|| Err("cargo wrote no Cargo.lock".to_owned()))
            }
        };
        let unfit = |asked: &Asked| {
            let path = asked.path.as_deref();
            unfit(language, &asked.name, &asked.version, &asked.url, path)
        };
        let asked = match found.and_then(|asked| asked.iter().find_map(unfit).map_or(Ok(asked), Err)) {
            Ok(asked) => asked,
            Err(why) => return Ok(Found::Nothing(why)),
        };
        let builds = language == Language::Python && asked.iter().any(Asked::is_built);
        let files = self.build.resolver.pin_packages(&layer.steps[task.step], asked)?;
        if files.is_empty() {
            let note = format!("{}: what it asks for is there already: nothing of it is pinned", task.key);
            self.build.resolver.reporter().event(Event::Note(note));
        }
        let mut pin = PackagesPin { packages: task.asked.clone(), network: false, files };
        let free = layer.steps[task.step].clone();
        task.lock(std::slice::from_mut(layer), &pin);
        if language == Language::Rust {
            // All that is compiled is there; whether it compiles, its build says.
            return Ok(Found::Language(pin));
        }
        let Some(failure) = self.tried(&layer.steps[task.step].clone(), &layer.name, id)? else {
            return Ok(Found::Language(pin));
        };
        if !builds {
            return Err(BuildError::Task { failure, partial: None });
        }
        let note = "what builds its packages is not all pinned, and is taken from the network";
        self.build.resolver.reporter().event(Event::Note(format!("{}: {note}", task.key)));
        pin.network = true;
        layer.steps[task.step] = free;
        task.lock(std::slice::from_mut(layer), &pin);
        self.done(&layer.steps[task.step].clone(), &layer.name, id)?;
        Ok(Found::Language(pin))
    }

    /// Performs a step. Where it fails, the layer is open still, for the tasks behind it.
    fn done(&mut self, step: &Step, layer: &str, id: Id) -> Result<()> {
        let failure = self.tried(step, layer, id)?;
        failure.map_or(Ok(()), |failure| Err(BuildError::Task { failure, partial: None }))
    }
}
