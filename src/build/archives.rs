//! Portable layers on their way: archives become layers on threads of their own, while whatever comes before them in
//! the blueprint runs. What the world below will be like is assumed to be the usual; whoever uses the layer checks.
//!
//! Downloads are tasks of the runtime, and the threads know nothing of it. A build that ends gives up the ones, and
//! tells the others to stop and waits for them: nothing of it is at work afterwards.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use layers::portable::{Place, PortableError, portable};
use layers::stop::Stop;
use layers::store::{Lock, Store, StoreError};
use layers::tar::Entry;

use super::Build;
use super::maker::Number;
use crate::cache::{self, PortableRecord};
use crate::event::{Event, Id, Wait};
use crate::fetch::{Download, FetchError, Fetcher, Wanted};
use crate::op::Source;
use crate::plan::{Ancestor, Facts, Inputs, LayerKey, PlannedLayer, PortablePreimage, PortableStep};
use crate::resolve::{local, taken};
use crate::target::excluded;
use crate::tasks::Task;

/// How often one looks whether another build has made the same layer.
const POLL: Duration = Duration::from_millis(50);

/// Why a job gave no layer.
#[derive(Debug, thiserror::Error)]
pub(super) enum JobError {
    /// The archive.
    #[error(transparent)]
    Archive(#[from] PortableError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The download.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A file of this machine.
    #[error("cannot read {path}: {source}")]
    File { path: PathBuf, source: io::Error },
    /// There was nobody to do it.
    #[error("cannot start a thread for the archive: {0}")]
    Thread(io::Error),
    /// It was told to stop.
    #[error("the archive's layer was given up")]
    Stopped,
}

/// Archives at work at once: each keeps two cores busy, and takes its memory.
fn parallel() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get).div_ceil(4).min(4)
}

/// A layer, and whether it was there.
pub(super) type Ready = (PortableRecord, bool);

/// What a job comes to; no layer if the archive has to be unpacked where it goes.
type Answer = Result<Option<Ready>, JobError>;

/// A portable layer that is being made for an assumed world.
struct Started {
    facts: Facts,
    made: Receiver<Answer>,
    _download: Task<()>,
}

/// All that are being made.
#[derive(Default)]
pub(super) struct Archives {
    started: BTreeMap<LayerKey, Started>,
    crew: Arc<Crew>,
}

/// The threads, and the jobs whose archives are there: first come first served.
#[derive(Default)]
struct Crew {
    state: Mutex<State>,
    stop: Stop,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    working: usize,
    threads: Vec<JoinHandle<()>>,
}

type Waiting = (Job, PathBuf, Sender<Answer>);

impl Crew {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job for a thread that has done one; none left ends it.
    fn next(&self) -> Option<Waiting> {
        let mut state = self.lock();
        let next = if self.stop.is_told() { None } else { state.waiting.pop_front() };
        state.working -= usize::from(next.is_none());
        next
    }

    /// Has a job done, by a new thread if there may be one more.
    fn put(self: &Arc<Self>, waiting: Waiting) {
        let mut state = self.lock();
        state.waiting.push_back(waiting);
        if self.stop.is_told() || state.working == parallel() {
            return;
        }
        let crew = Arc::clone(self);
        let work = move || {
            while let Some((job, path, to)) = crew.next() {
                // Nobody waits any more when the build has failed.
                let _ = to.send(job.make(&path, &crew.stop));
            }
        };
        match std::thread::Builder::new().name("archive".into()).spawn(work) {
            Ok(thread) => {
                state.working += 1;
                state.threads.push(thread);
            }
            // Those at work do it; if there are none, nobody does.
            Err(_) if state.working > 0 => {}
            Err(error) => {
                if let Some((_, _, to)) = state.waiting.pop_back() {
                    let _ = to.send(Err(JobError::Thread(error)));
                }
            }
        }
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
    wanted: Wanted,
    index: usize,
    count: usize,
    /// Made anew, though it may be there.
    forced: bool,
}

impl Job {
    /// A job for `planned` in a world like `facts`; `None` if it cannot be known before.
    pub(super) fn new(
        build: &Build<'_>,
        inputs: &Inputs,
        planned: &PlannedLayer,
        facts: Facts,
        Number { index, count }: Number,
    ) -> Option<Self> {
        let (resolver, forced) = (build.resolver, build.options.no_cache.covers(planned));
        let step = planned.portable.clone()?;
        let wanted = planned.steps.last().and_then(|task| Wanted::of(task, &step.archive)).unwrap_or(Wanted::Archive);
        Some(Self {
            preimage: step.preimage(&facts, inputs)?,
            step,
            facts,
            inputs: inputs.clone(),
            fetcher: resolver.fetcher().clone(),
            store: resolver.store.clone(),
            runtime: resolver.runtime().clone(),
            directory: build.directory.to_owned(),
            name: planned.name.clone(),
            task: planned.steps.last().map(|step| step.name.clone()).unwrap_or_default(),
            wanted,
            index,
            count,
            forced,
        })
    }

    /// The layer, from the store or made now.
    pub(super) fn make_now(&self) -> Answer {
        match self.found()? {
            Some(record) => Ok(Some((record, true))),
            None => self.make(&self.runtime.block_on(self.file())?, &Stop::default()),
        }
    }

    fn found(&self) -> Result<Option<PortableRecord>, StoreError> {
        if self.forced { Ok(None) } else { cache::find_portable(&self.store, &self.preimage.key()) }
    }

    /// Alone: another build may be making the same one.
    fn alone(&self, stop: &Stop) -> Result<Lock, JobError> {
        let name = format!("portable-{}", self.preimage.key().hex());
        let mut wait = None;
        // Not waited for in the kernel, where a build that ends could not be told.
        while !stop.is_told() {
            match self.store.try_lock(&name)? {
                Some(lock) => return Ok(lock),
                None => {
                    wait.get_or_insert_with(|| Wait::for_build(self.fetcher.reporter(), &self.name));
                    std::thread::sleep(POLL);
                }
            }
        }
        Err(JobError::Stopped)
    }

    /// The layer of the archive `path`, unless it is there by now.
    fn make(&self, path: &Path, stop: &Stop) -> Answer {
        let _lock = self.alone(stop)?;
        if let Some(record) = self.found()? {
            return Ok(Some((record, true)));
        }
        let (reporter, id) = (self.fetcher.reporter(), Id::next());
        let (index, count) = (self.index, self.count);
        reporter.event(Event::LayerStarted { id, name: self.name.clone(), index, count });
        reporter.event(Event::TaskStarted { layer: id, name: self.task.clone() });
        let made = self.stream(path, stop);
        reporter.event(Event::TaskEnded { layer: id });
        let (outcome, size) = match &made {
            Ok(record) => ("built", Some(record.layer.descriptor.size)),
            Err(_) => ("given up", None),
        };
        reporter.event(Event::LayerEnded { id, outcome, size });
        let record = match made {
            Err(JobError::Archive(PortableError::Unsuited(reason))) => {
                let note = format!("{} becomes a layer where it is unpacked: {reason}", self.name);
                reporter.event(Event::Note(note));
                return Ok(None);
            }
            // It was the reason, whatever was said.
            Err(_) if stop.is_told() => return Err(JobError::Stopped),
            made => made?,
        };
        self.store.note_layer(&record.layer)?;
        cache::keep_portable(&self.store, &self.preimage.key(), &record)?;
        Ok(Some((record, false)))
    }

    async fn file(&self) -> Result<PathBuf, JobError> {
        Ok(match &self.step.archive {
            Source::Local { path } | Source::Tree { path, .. } => {
                local(&self.directory, path).map_err(|source| JobError::File { path: path.into(), source })?
            }
            Source::Url { url, sha256: pin } => {
                let sha256 = self.inputs.sources.get(&self.step.archive).copied();
                let download = Download { url: url.clone(), sha256, size: None, part_of: None };
                let fetched = self.fetcher.fetch(&download).await?;
                self.fetcher.is_a(self.wanted, url, &fetched, pin.is_some())?;
                self.fetcher.path(&fetched.digest)
            }
        })
    }

    fn stream(&self, path: &Path, stop: &Stop) -> Result<PortableRecord, JobError> {
        let failed = |source| JobError::File { path: path.to_owned(), source };
        let file = match (&self.step.archive, self.inputs.sources.get(&self.step.archive)) {
            (Source::Local { path }, Some(digest)) => {
                taken(&self.store, &self.directory, path, digest).map_err(failed)?.into_file()
            }
            _ => layers::regular::open(path).map_err(failed)?,
        };
        let ancestors: Vec<Entry> = self.facts.ancestors.iter().map(Ancestor::entry).collect();
        let mode =
            self.step.mode.as_ref().map(|mode| move |before: u32, directory: bool| mode.apply(before, directory));
        let place = Place {
            dest: &self.facts.dest,
            ancestors: &ancestors,
            strip: self.step.strip,
            owner: self.facts.owner,
            mode: mode.as_ref().map(|mode| mode as &dyn Fn(u32, bool) -> u32),
            mtime_max: self.inputs.epoch,
            exclude: &excluded(),
            stop,
        };
        let made = portable(file, &place, self.store.layer_writer(self.inputs.compression)?)?;
        for remark in made.remarks {
            let warning = format!("{}: {}: {remark}", self.name, self.task);
            self.fetcher.reporter().event(Event::Warning(warning));
        }
        Ok(PortableRecord { layer: made.blob, tops: made.tops, preimage: self.preimage.clone() })
    }
}

impl Archives {
    /// Begins a job for the layer of that key.
    pub(super) fn start(&mut self, layer: LayerKey, job: Job) {
        let (to, made) = channel();
        let (facts, runtime, crew) = (job.facts.clone(), job.runtime.clone(), Arc::clone(&self.crew));
        let download = Task::start(&runtime, async move {
            let answer = match job.found() {
                Ok(Some(record)) => Ok(Some((record, true))),
                Ok(None) => match job.file().await {
                    Ok(path) => return crew.put((job, path, to)),
                    Err(error) => Err(error),
                },
                Err(error) => Err(error.into()),
            };
            // Nobody waits any more when the build has failed.
            let _ = to.send(answer);
        });
        self.started.insert(layer, Started { facts, made, _download: download });
    }

    /// What was made for the layer of that key, once it is made, and the world that was assumed.
    pub(super) fn take(&mut self, layer: &LayerKey) -> Option<(Facts, Answer)> {
        let started = self.started.remove(layer)?;
        let made = started.made.recv().unwrap_or(Err(JobError::Stopped));
        Some((started.facts, made))
    }
}

impl Drop for Archives {
    fn drop(&mut self) {
        self.crew.stop.tell();
        // Their downloads with them: nothing more is put.
        self.started.clear();
        let threads = {
            let mut state = self.crew.lock();
            state.waiting.clear();
            std::mem::take(&mut state.threads)
        };
        for thread in threads {
            let _ = thread.join();
        }
    }
}
