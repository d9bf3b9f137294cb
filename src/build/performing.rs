//! A step at work, in an image or on a live host: what it prints is shown without secrets, and what comes of it is told.

use std::cell::RefCell;
use std::path::Path;

use super::advice::unspoken;
use super::error::TaskFailure;
use super::output::Lines;
use super::space;
use crate::event::{Event, Id};
use crate::op::{Secrets, Step};
use crate::resolve::Resolver;

/// A step that is being performed.
pub(crate) struct Performing<'a> {
    resolver: &'a Resolver<'a>,
    step: &'a Step,
    secrets: Secrets,
    lines: RefCell<Lines<'a>>,
}

impl<'a> Performing<'a> {
    /// Says that `step` begins, of the layer `id`; nothing of `secrets`, nor of what lets alloy in anywhere, is shown.
    pub(crate) fn begin(resolver: &'a Resolver<'a>, secrets: &Secrets, step: &'a Step, id: Id) -> Self {
        resolver.reporter().event(Event::TaskStarted { layer: id, name: step.name.clone() });
        let secrets = resolver.fetcher().hiding(secrets);
        let lines = RefCell::new(Lines::new(resolver.reporter(), &secrets, id));
        Self { resolver, step, secrets, lines }
    }

    /// `step`, which is this one or a form of it, with the values of secrets in place of their markers.
    pub(crate) fn revealed(&self, step: &Step) -> Step {
        let mut revealed = self.secrets.reveal_step(step);
        self.resolver.fetcher().tell_git(&mut revealed);
        revealed
    }

    /// Takes a piece of what it prints.
    pub(crate) fn take(&self, piece: &[u8]) {
        self.lines.borrow_mut().take(piece);
    }

    /// The step has ended, in one way or another.
    pub(crate) fn ended(self) -> Performed<'a> {
        let Self { resolver, step, secrets, lines } = self;
        let lines = lines.into_inner();
        let remarks = lines.remarks(step);
        Performed { resolver, step, secrets, remarks, output: lines.finish() }
    }
}

/// A step that has ended.
pub(crate) struct Performed<'a> {
    resolver: &'a Resolver<'a>,
    step: &'a Step,
    secrets: Secrets,
    remarks: Vec<String>,
    output: Vec<String>,
}

/// Why a step failed.
pub(crate) struct Why {
    pub(crate) message: String,
    /// Of the command, where one failed.
    pub(crate) exit: Option<i32>,
    pub(crate) hint: Option<String>,
}

impl Performed<'_> {
    /// The last lines that it printed.
    pub(crate) fn output(&self) -> &[String] {
        &self.output
    }

    /// `text` without secrets.
    pub(crate) fn masked(&self, text: &str) -> String {
        self.secrets.mask(text)
    }

    /// It went well: `warnings` are told, and what a user who sees no output has to know. `place` says whose they are.
    pub(crate) fn went_well(&self, place: &str, warnings: &[String]) {
        let warnings = warnings.iter().map(|warning| format!("{place}: {}", self.masked(warning)));
        for warning in warnings.chain(self.remarks.iter().cloned()) {
            self.resolver.reporter().event(Event::Warning(warning));
        }
    }

    /// A command of it failed; `known` is what helps against what it printed, where that is known.
    pub(crate) fn command_failed(&self, message: String, exit: Option<i32>, known: Option<String>) -> Why {
        let hint = known.or_else(|| unspoken(self.step, &self.output, exit));
        Why { message, exit, hint }
    }

    /// The failure of the step, in `layer`: `hints` are told before the one that `why` has. What it changed lies on the
    /// disks of `root` and of `beside`.
    pub(crate) fn failure(
        self,
        layer: &str,
        why: Why,
        mut hints: Vec<String>,
        (root, beside): (Option<&Path>, &[&Path]),
    ) -> TaskFailure {
        hints.extend(why.hint);
        let message = space::told(why.message, &self.output, root, beside);
        let message = self.secrets.mask(&message);
        TaskFailure { exit: why.exit, hints, ..TaskFailure::of(self.step, layer, message, self.output) }
    }
}
