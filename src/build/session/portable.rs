//! Archives as layers: what was made ahead is used if the world below is as it was assumed to be.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use layers::digest::DiffId;
use layers::store::layer_tree;

use super::{Made, Result, Session, Standing};
use crate::build::Hit;
use crate::build::archives::Job;
use crate::event::{Event, Id};
use crate::plan::{Contents, Facts, PlannedLayer, PortableStep};
use crate::target::facts::{FactsRequest, World};

impl Session<'_> {
    /// What it takes to make `planned` in a world like `facts`.
    pub(super) fn job(
        &self,
        planned: &PlannedLayer,
        facts: Facts,
        index: usize,
        count: usize,
        forced: bool,
    ) -> Option<Job> {
        Job::new(self.resolver, planned, facts, self.inputs, self.directory, index, count, forced)
    }

    /// Makes a layer of an archive; `None` if it has to be unpacked where it goes.
    pub(super) fn portable(
        &mut self,
        planned: &PlannedLayer,
        index: usize,
        count: usize,
        forced: bool,
    ) -> Result<Option<(Made, Hit)>> {
        let Some(step) = &planned.portable else { return Ok(None) };
        let (assumed, mut ready) = match self.archives.take(&planned.key) {
            Some((facts, Some(ready))) => (Some(facts), Some(ready)),
            // It was tried.
            Some((_, None)) => return Ok(None),
            None => (None, None),
        };
        let tops = ready.as_ref().map(|(record, _)| record.tops.clone());
        let facts = match self.world(step, tops)? {
            World::Exists => {
                let (id, name) = (Id::next(), planned.name.clone());
                let reporter = self.resolver.reporter;
                reporter.event(Event::LayerStarted { id, name, index, count });
                let reason = format!("{} exists", step.creates.as_deref().unwrap_or_default());
                let name = planned.steps.last().map(|step| step.name.clone()).unwrap_or_default();
                reporter.event(Event::TaskSkipped { layer: id, name, reason });
                self.ended(id, "no change", None);
                return Ok(Some((Made { blob: None, archive: None }, Hit::Built)));
            }
            World::InPlace => return Ok(None),
            World::Facts(facts) => facts,
        };
        if assumed.as_ref() != Some(&facts) {
            ready = self.job(planned, facts.clone(), index, count, forced).and_then(|job| job.make());
        }
        let Some((record, found)) = ready else { return Ok(None) };
        let hit = if found { self.hit(&record.preimage.key()) } else { Hit::Built };
        if found {
            self.cached(planned, index, count, &hit, Some(&record.layer));
        }
        if let Some(uploads) = &mut self.uploads {
            let entry = record.entry();
            uploads.share(&entry, self.brought.get(&entry.key));
        }
        let archive = Contents::of(step, facts, record.tops);
        Ok(Some((Made { blob: Some(record.layer), archive: Some(archive) }, hit)))
    }

    /// What the world below is like for `step`. Archives below that do not matter to it are not unpacked for that.
    fn world(&mut self, step: &PortableStep, tops: Option<BTreeSet<OsString>>) -> Result<World> {
        let store = self.resolver.store;
        let irrelevant = |standing: &&Standing| {
            store.tree(&layer_tree(standing.blob.diff_id)).is_none()
                && standing.archive.as_ref().is_some_and(|contents| !contents.concerns(step, tops.as_ref()))
        };
        let without: BTreeSet<DiffId> =
            self.made.iter().filter(irrelevant).map(|standing| standing.blob.diff_id).collect();
        let request = FactsRequest::of(step, tops);
        let trees = self.trees(&without)?;
        let target = self.target()?;
        target.begin(trees, BTreeMap::new())?;
        let world = target.facts(request);
        target.discard()?;
        Ok(world?)
    }
}
