//! Pinned packages: what would be installed at the point where a task runs.

use super::{Maker, Number, Result};
use crate::build::closures::{Found, Open, Without};
use crate::build::foreign::{self, Need};
use crate::build::output::Lines;
use crate::build::{BuildError, TaskFailure, ensure_agent};
use crate::event::{Event, Id};
use crate::op::{Language, Source, Step};
use crate::plan::{AptTask, LanguageTask, LoweredLayer};
use crate::target::Closure;
use crate::target::image::RequestError;

/// What became of a layer that nothing is kept of.
const ASKED: &str = "asked";

impl Maker<'_> {
    /// Asks on top of everything so far for each of `tasks`, all of `layer`, in their order. What comes
    /// before the last of them in the layer is performed for it, with what was pinned on the way, and kept nowhere. Those
    /// behind one that fails are asked without it, so that all are told at once; but what apt could not be asked for may
    /// be what the others are asked with. What is found until something else fails is in `closures`.
    pub fn closures(
        &mut self,
        layer: &LoweredLayer,
        tasks: &[Open],
        closures: &mut Vec<Found>,
        without: &Without,
    ) -> Result<()> {
        if let Some(need) = layer.steps.iter().find_map(Need::of) {
            foreign::ensure(self.build.resolver, || need)?;
        }
        let last = tasks.last().map_or(0, |task| task.place().1);
        ensure_agent(self.build.resolver.ssh(), &layer.steps[..last])?;
        let number = Number {
            index: tasks.first().map_or(0, |task| task.place().0) + 1,
            count: self.build.lowered.layers.len(),
        };
        let mut layer = [layer.clone()];
        let (mut next, mut without_apt) = (0, without.apt);
        self.begin()?;
        // What its tasks print is shown as that of a layer that is built.
        let id = self.started(&format!("what {} installs", layer[0].name), number);
        for (number, task) in tasks.iter().enumerate() {
            if without_apt && tasks[number..].iter().all(Open::is_of_language) {
                // What stands between them is performed for nobody.
                closures.push(Found::Unasked);
                continue;
            }
            let at = task.place().1;
            for step in (next..at).filter(|step| !without.has(task.place().0, *step)) {
                self.step(&layer[0].steps[step].clone(), &layer[0].name, id)?;
            }
            next = at;
            let found = match task {
                Open::Language(_) if without_apt => Ok(Found::Unasked),
                Open::Apt(task) => self.closure(task, &layer[0].steps[at].clone(), id).map(|closure| {
                    AptTask { layer: 0, ..task.clone() }.lock(&mut layer, &closure.debs);
                    Found::Apt(closure)
                }),
                Open::Language(task) => self.asked(&mut layer[0], &LanguageTask { layer: 0, ..task.clone() }, id),
            };
            let found = found
                .or_else(|error| if error.is_of_task() { Ok(Found::Failed(Box::new(error))) } else { Err(error) })?;
            without_apt |= matches!((task, &found), (Open::Apt(_), Found::Failed(_)));
            // Of a language it was installed to see that it can be; what has no packages cannot be performed.
            let installed =
                matches!((task, &found), (Open::Language(task), Found::Language(_)) if task.language != Language::Rust);
            next += usize::from(installed || matches!(found, Found::Failed(_) | Found::Unasked));
            closures.push(found);
        }
        self.stack.target()?.discard()?;
        self.ended(id, ASKED, None);
        Ok(())
    }

    fn closure(&mut self, task: &AptTask, step: &Step, id: Id) -> Result<Closure> {
        let (files, _copies) = self.files(step)?;
        let reporter = self.build.resolver.reporter();
        reporter.event(Event::TaskStarted { layer: id, name: format!("what {} installs", task.key) });
        let mut lines = Lines::new(reporter, &self.build.lowered.secrets, id);
        let debs: Vec<Source> = task.debs.iter().map(|(source, _)| source.clone()).collect();
        let closure =
            self.stack.target()?.closure((&task.packages, &debs), task.recommends, files, |piece| lines.take(&piece));
        let output = lines.finish();
        let (message, hint) = match closure {
            Ok(closure) => {
                reporter.event(Event::TaskEnded { layer: id });
                return Ok(closure);
            }
            Err(RequestError::Failed { message, hint }) => (message, hint),
            Err(error) => return Err(error.into()),
        };
        let mut failure = TaskFailure::of(step, &task.key, self.build.lowered.secrets.mask(&message), output);
        failure.hints.extend(hint);
        Err(BuildError::Task { failure: Box::new(failure), partial: None })
    }
}
