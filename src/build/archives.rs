//! Portable layers on their way: archives become layers on threads of their own, while whatever comes before them in
//! the blueprint runs. What the world below will be like is assumed to be the usual; whoever uses the layer checks.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use layers::portable::{Place, PortableError, portable};
use layers::store::{Store, StoreError};
use layers::tar::{Entry, plain_directory};

use crate::cache::{self, PortableRecord};
use crate::event::{Event, Id};
use crate::fetch::{Download, FetchError, Fetcher};
use crate::op::Source;
use crate::plan::{Facts, Inputs, LayerKey, PlannedLayer, PortablePreimage, PortableStep};
use crate::resolve::{Resolver, local};

/// Why a job gave no layer.
#[derive(Debug, thiserror::Error)]
enum JobError {
    #[error(transparent)]
    Archive(#[from] PortableError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    File(#[from] std::io::Error),
}

/// Archives at work at once: each keeps two cores busy, and takes its memory.
fn parallel() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get).div_ceil(4).min(4)
}

/// A layer, and whether it was there.
pub(super) type Ready = (PortableRecord, bool);

/// A portable layer that is being made for an assumed world.
struct Started {
    facts: Facts,
    made: Receiver<Option<Ready>>,
}

/// All that are being made.
#[derive(Default)]
pub(super) struct Archives {
    started: BTreeMap<LayerKey, Started>,
    queue: Arc<Queue>,
}

/// Jobs that wait, first come first served, and how many are at work.
#[derive(Default)]
struct Queue {
    waiting: Mutex<(VecDeque<Waiting>, usize)>,
}

type Waiting = (Job, Sender<Option<Ready>>);

impl Queue {
    fn lock(&self) -> MutexGuard<'_, (VecDeque<Waiting>, usize)> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job for a thread that has done one; none left ends it.
    fn next(&self) -> Option<Waiting> {
        let mut state = self.lock();
        let next = state.0.pop_front();
        state.1 -= usize::from(next.is_none());
        next
    }
}

/// All that making one layer needs, to be sent to a thread.
#[derive(Clone)]
pub(super) struct Job {
    step: PortableStep,
    facts: Facts,
    preimage: PortablePreimage,
    inputs: Inputs,
    fetcher: Fetcher,
    store: Store,
    runtime: tokio::runtime::Handle,
    directory: PathBuf,
    name: String,
    task: String,
    index: usize,
    count: usize,
    /// Made anew, though it may be there.
    forced: bool,
}

impl Job {
    /// A job for `planned` in a world like `facts`; `None` if it cannot be known before.
    #[expect(clippy::too_many_arguments, reason = "all of it is what a layer is")]
    pub(super) fn new(
        resolver: &Resolver<'_>,
        planned: &PlannedLayer,
        facts: Facts,
        inputs: &Inputs,
        directory: &Path,
        index: usize,
        count: usize,
        forced: bool,
    ) -> Option<Self> {
        let step = planned.portable.clone()?;
        Some(Self {
            preimage: step.preimage(&facts, inputs)?,
            step,
            facts,
            inputs: inputs.clone(),
            fetcher: resolver.fetcher.clone(),
            store: resolver.store.clone(),
            runtime: resolver.runtime.clone(),
            directory: directory.to_owned(),
            name: planned.name.clone(),
            task: planned.steps.last().map(|step| step.name.clone()).unwrap_or_default(),
            index,
            count,
            forced,
        })
    }

    /// The layer, from the store or made now. `None` if the archive has to be unpacked where it goes, or cannot be:
    /// doing so then tells what is wrong with it.
    pub(super) fn make(&self) -> Option<Ready> {
        match self.try_make() {
            Ok(ready) => Some(ready),
            Err(JobError::Archive(PortableError::Unsuited(reason))) => {
                let note = format!("{} becomes a layer where it is unpacked: {reason}", self.name);
                self.fetcher.reporter().event(Event::Note(note));
                None
            }
            Err(_) => None,
        }
    }

    fn try_make(&self) -> Result<Ready, JobError> {
        let key = self.preimage.key();
        let found = || if self.forced { Ok(None) } else { cache::find_portable(&self.store, &key) };
        if let Some(record) = found()? {
            return Ok((record, true));
        }
        let path = self.file()?;
        // Another build may be making the same one.
        let _lock = self.store.lock(&format!("portable-{}", key.hex()))?;
        if let Some(record) = found()? {
            return Ok((record, true));
        }
        let (reporter, id) = (self.fetcher.reporter(), Id::next());
        let (index, count) = (self.index, self.count);
        reporter.event(Event::LayerStarted { id, name: self.name.clone(), index, count });
        reporter.event(Event::TaskStarted { layer: id, name: self.task.clone() });
        let made = self.stream(&path);
        reporter.event(Event::TaskEnded { layer: id });
        let (outcome, size) = match &made {
            Ok(record) => ("built", Some(record.layer.descriptor.size)),
            Err(_) => ("given up", None),
        };
        reporter.event(Event::LayerEnded { id, outcome, size });
        let record = made?;
        self.store.note_layer(&record.layer)?;
        cache::keep_portable(&self.store, &key, &record)?;
        Ok((record, false))
    }

    fn file(&self) -> Result<PathBuf, JobError> {
        Ok(match &self.step.archive {
            Source::Local { path } => local(&self.directory, path)?,
            Source::Url { url, .. } => {
                let sha256 = self.inputs.sources.get(&self.step.archive).copied();
                let download = Download { url: url.clone(), sha256, size: None, part_of: None };
                let fetched = self.runtime.block_on(self.fetcher.fetch(&download))?;
                self.fetcher.path(&fetched.digest)
            }
        })
    }

    fn stream(&self, path: &Path) -> Result<PortableRecord, JobError> {
        let file = layers::regular::open(path)?;
        let ancestors: Vec<Entry> = self
            .facts
            .ancestors
            .iter()
            .map(|known| Entry {
                mode: known.mode,
                uid: known.uid,
                gid: known.gid,
                xattrs: known.xattrs.clone(),
                ..plain_directory(&known.path)
            })
            .collect();
        let mode =
            self.step.mode.as_ref().map(|mode| move |before: u32, directory: bool| mode.apply(before, directory));
        let place = Place {
            dest: &self.facts.dest,
            ancestors: &ancestors,
            strip: self.step.strip,
            owner: self.facts.owner,
            mode: mode.as_ref().map(|mode| mode as &dyn Fn(u32, bool) -> u32),
            mtime_max: self.inputs.epoch,
        };
        let made = portable(file, &place, self.store.layer_writer(self.inputs.compression)?)?;
        Ok(PortableRecord { layer: made.blob, tops: made.tops, preimage: self.preimage.clone() })
    }
}

impl Archives {
    /// Begins a job for the layer of that key.
    pub(super) fn start(&mut self, layer: LayerKey, job: Job) {
        let (to, made) = channel();
        self.started.insert(layer, Started { facts: job.facts.clone(), made });
        let mut state = self.queue.lock();
        state.0.push_back((job, to));
        if state.1 == parallel() {
            return;
        }
        state.1 += 1;
        let queue = Arc::clone(&self.queue);
        std::thread::spawn(move || {
            while let Some((job, to)) = queue.next() {
                // Nobody waits any more when the build has failed.
                let _ = to.send(job.make());
            }
        });
    }

    /// What was made for the layer of that key, once it is made, and the world that was assumed.
    pub(super) fn take(&mut self, layer: &LayerKey) -> Option<(Facts, Option<Ready>)> {
        let started = self.started.remove(layer)?;
        let made = started.made.recv().unwrap_or_default();
        Some((started.facts, made))
    }
}
