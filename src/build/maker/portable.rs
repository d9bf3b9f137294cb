//! Archives as layers: what was made ahead is used if the world below is as it was assumed to be.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use layers::digest::DiffId;
use layers::portable::PortableError;
use layers::store::layer_tree;

use super::{Made, Maker, Number, Result};
use crate::build::archives::{Job, JobError, Ready};
use crate::build::stack::Standing;
use crate::build::{BuildError, Hit, TaskFailure};
use crate::cache::Way;
use crate::event::Event;
use crate::fetch::FetchError;
use crate::plan::{Contents, Facts, PlannedLayer, PortableStep};
use crate::target::TargetError;
use crate::target::facts::{FactsRequest, World};
use crate::target::not_created;

impl Maker<'_> {
    /// What it takes to make `planned` in a world like `facts`.
    pub(super) fn job(&self, planned: &PlannedLayer, facts: Facts, number: Number) -> Option<Job> {
        Job::new(&self.build, self.inputs, planned, facts, number)
    }

    /// Makes a layer of an archive; `None` if it has to be unpacked where it goes.
    pub(super) fn portable(&mut self, planned: &PlannedLayer, number: Number) -> Result<Option<(Made, Hit)>> {
        let Some(step) = &planned.portable else { return Ok(None) };
        let (assumed, mut ready) = match self.ahead(planned, step, number) {
            Some((facts, made)) => match made.map_err(|error| self.told(planned, error))? {
                Some(ready) => (Some(facts), Some(ready)),
                // It was tried.
                None => return Ok(None),
            },
            None => (None, None),
        };
        let tops = ready.as_ref().map(|(record, _)| record.tops.clone());
        let facts = match self.world(step, tops)? {
            World::Exists => {
                let id = self.started(&planned.name, number);
                let reporter = self.build.resolver.reporter();
                let reason = format!("{} exists", step.creates.as_deref().unwrap_or_default());
                let name = planned.steps.last().map(|step| step.name.clone()).unwrap_or_default();
                reporter.event(Event::TaskSkipped { layer: id, name, reason });
                self.ended(id, "no change", None);
                return Ok(Some((Made { blob: None, archive: None, way: None }, Hit::Built)));
            }
            World::InPlace => return Ok(None),
            World::Facts(facts) => facts,
        };
        if assumed.as_ref() != Some(&facts) {
            let job = self.job(planned, facts.clone(), number);
            ready = job.map_or(Ok(None), |job| job.make_now()).map_err(|error| self.told(planned, error))?;
        }
        let Some((record, found)) = ready else { return Ok(None) };
        let hit = if found { self.hit(&record.preimage.key()) } else { Hit::Built };
        if let (false, Some(path), Some(task)) = (found, step.not_created(&record.tops), planned.steps.last()) {
            let warning = format!("{}: {}: {}", planned.name, task.name, not_created(path, None));
            self.build.resolver.reporter().event(Event::Warning(self.build.lowered.secrets.mask(&warning)));
        }
        if found {
            self.cached(planned, number, &hit, Some(&record.layer));
        }
        if let Some(uploads) = &mut self.uploads {
            let entry = record.entry();
            uploads.share(&entry, self.brought.get(&entry.key));
        }
        let archive = Contents::of(step, facts, record.tops);
        Ok(Some((Made { blob: Some(record.layer), archive: Some(archive), way: Some(Way::Streamed) }, hit)))
    }

    /// What was made for the usual world, ahead or now. It is made in any case: what is in the archive decides whether it
    /// can be a layer in this world, and what it comes to must not depend on who came first.
    fn ahead(
        &mut self,
        planned: &PlannedLayer,
        step: &PortableStep,
        number: Number,
    ) -> Option<(Facts, std::result::Result<Option<Ready>, JobError>)> {
        self.archives.take(&planned.key).or_else(|| {
            let facts = step.usual(self.build.lowered.image.user.as_deref())?;
            let job = self.job(planned, facts.clone(), number)?;
            Some((facts, job.make_now()))
        })
    }

    /// Why an archive's layer could not be made, as what its task failed of.
    fn told(&self, planned: &PlannedLayer, error: JobError) -> BuildError {
        let step = planned.steps.last();
        let task = step.map(|step| step.name.clone()).unwrap_or_default();
        let (file, line) = step.map(|step| (step.file.clone(), step.line)).unwrap_or_default();
        let error = match error {
            JobError::Store(error) | JobError::Archive(PortableError::Store(error)) => return error.into(),
            JobError::Fetch(error) => return BuildError::Download { task, file, line, error },
            JobError::File { path, source } => {
                let error = FetchError::Local { path: path.display().to_string(), source };
                return BuildError::Download { task, file, line, error };
            }
            JobError::Archive(PortableError::Unpack(error)) => match &planned.portable {
                Some(portable) => TargetError::unpack(&portable.archive, error),
                None => error.into(),
            },
            error @ (JobError::Archive(_) | JobError::Thread(_) | JobError::Stopped) => {
                TargetError::Layer(error.to_string())
            }
        };
        let (message, hint) = error.failure();
        let told =
            |step| self.build.resolver.told_of_archives(step, &self.inputs.sources, self.build.directory, &message);
        let mut hints = match step.map(told).transpose() {
            Ok(hints) => hints.unwrap_or_default(),
            Err(error) => return error.into(),
        };
        hints.extend(hint);
        let failure = TaskFailure {
            task,
            action: step.map(|step| step.action.clone()).unwrap_or_default(),
            layer: planned.name.clone(),
            file,
            line,
            message: self.build.lowered.secrets.mask(&message),
            exit: None,
            output: Vec::new(),
            hints,
            image: None,
            looked_into: false,
        };
        BuildError::Task { failure: Box::new(failure), partial: None }
    }

    /// What the world below is like for `step`. Archives below that do not matter to it are not unpacked for that.
    fn world(&mut self, step: &PortableStep, tops: Option<BTreeSet<OsString>>) -> Result<World> {
        let store = self.build.resolver.store;
        let irrelevant = |standing: &&Standing| {
            store.tree(&layer_tree(standing.blob.diff_id)).is_none()
                && standing.archive.as_ref().is_some_and(|contents| !contents.concerns(step, tops.as_ref()))
        };
        let without: BTreeSet<DiffId> =
            self.stack.above().iter().filter(irrelevant).map(|standing| standing.blob.diff_id).collect();
        let request = FactsRequest::of(step, tops);
        let trees = self.stack.trees(&without)?;
        let target = self.stack.target()?;
        target.begin(trees, BTreeMap::new())?;
        let world = target.facts(request);
        target.discard()?;
        Ok(world?)
    }
}
