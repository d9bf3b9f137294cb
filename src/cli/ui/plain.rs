//! Steady lines for logs: one for each start and end, and a sign of life when a task takes long.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::text::{bytes, duration};
use crate::event::{Event, Id, Report};

/// How long a task may be silent before a line says that it still runs.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// Transfers smaller than this are not worth a line.
const WORTH_A_LINE: u64 = 1 << 20;

/// One line an event, to standard error.
pub struct Plain(Mutex<State>);

#[derive(Default)]
struct State {
    layers: HashMap<Id, Layer>,
    transfers: HashMap<Id, Transfer>,
    /// What every label begins with.
    platform: String,
}

struct Layer {
    label: String,
    started: Instant,
    task: Option<(String, Instant)>,
    next_beat: Instant,
}

struct Transfer {
    name: String,
    done: u64,
    started: Instant,
}

impl Plain {
    /// A printer, with its heartbeat; the beat stops when the printer is dropped.
    pub fn start() -> Arc<Self> {
        let plain = Arc::new(Self(Mutex::new(State::default())));
        let weak = Arc::downgrade(&plain);
        // Without the thread there is no heartbeat, and nothing else is lost.
        let _ = std::thread::Builder::new().name("heartbeat".into()).spawn(move || beat(&weak));
        plain
    }
}

fn beat(plain: &Weak<Plain>) {
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let Some(plain) = plain.upgrade() else { return };
        let now = Instant::now();
        let mut state = plain.0.lock().unwrap_or_else(PoisonError::into_inner);
        for layer in state.layers.values_mut().filter(|layer| layer.next_beat <= now) {
            layer.next_beat = now + HEARTBEAT;
            let (name, since) = match &layer.task {
                Some((name, since)) => (name.as_str(), *since),
                None => ("working", layer.started),
            };
            errln!("{} … {name} ({})", layer.label, duration(now - since));
        }
    }
}

impl Report for Plain {
    fn event(&self, event: Event) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.event(event);
    }
}

impl State {
    fn event(&mut self, event: Event) {
        match event {
            Event::Note(text) => errln!("{text}"),
            Event::Warning(text) => errln!("warning: {text}"),
            Event::Platform(name) => self.platform = format!("{name} "),
            Event::TransferStarted { id, name, .. } => {
                self.transfers.insert(id, Transfer { name, done: 0, started: Instant::now() });
            }
            Event::TransferProgress { id, done } => {
                if let Some(transfer) = self.transfers.get_mut(&id) {
                    transfer.done = done;
                }
            }
            Event::TransferEnded { id } => {
                if let Some(Transfer { name, done, started }) = self.transfers.remove(&id)
                    && done >= WORTH_A_LINE
                {
                    errln!("{name}: {} in {}", bytes(done), duration(started.elapsed()));
                }
            }
            Event::LayerStarted { id, name, index, count } => {
                let platform = &self.platform;
                let label =
                    if index == 0 { format!("[{platform}base]") } else { format!("[{platform}{index}/{count}]") };
                errln!("{label} {name}");
                let now = Instant::now();
                self.layers.insert(id, Layer { label, started: now, task: None, next_beat: now + HEARTBEAT });
            }
            Event::TaskStarted { layer, name } => self.task(layer, name),
            Event::TaskSkipped { layer, name, reason } => {
                if let Some(layer) = self.layers.get(&layer) {
                    errln!("{}   {name}: skipped, {reason}", layer.label);
                }
            }
            Event::TaskOutput { layer, .. } => {
                if let Some(layer) = self.layers.get_mut(&layer) {
                    layer.next_beat = Instant::now() + HEARTBEAT;
                }
            }
            Event::TaskEnded { layer } => {
                if let Some(layer) = self.layers.get_mut(&layer)
                    && let Some((name, since)) = layer.task.take()
                {
                    errln!("{}   {name}: done in {}", layer.label, duration(since.elapsed()));
                }
            }
            Event::LayerEnded { id, outcome, size } => {
                if let Some(layer) = self.layers.remove(&id) {
                    let size = size.map(|size| format!(", {}", bytes(size))).unwrap_or_default();
                    errln!("{} {outcome}{size} ({})", layer.label, duration(layer.started.elapsed()));
                }
            }
        }
    }

    fn task(&mut self, layer: Id, name: String) {
        if let Some(layer) = self.layers.get_mut(&layer) {
            errln!("{}   {name}", layer.label);
            let now = Instant::now();
            layer.next_beat = now + HEARTBEAT;
            layer.task = Some((name, now));
        }
    }
}

/// `--quiet`: warnings, and nothing else.
pub struct WarningsOnly;

impl Report for WarningsOnly {
    fn event(&self, event: Event) {
        if let Event::Warning(text) = event {
            errln!("warning: {text}");
        }
    }
}
