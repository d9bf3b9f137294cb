//! Steady lines for logs: one for each start and end, what tasks print, and a sign of life when nothing is shown.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::{bytes, duration};
use crate::event::{Event, Id, Report};
use crate::yaml::without_sequences;

/// How long nothing may be shown of a layer before a line says that it still runs.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// Transfers smaller than this are not worth a line.
const WORTH_A_LINE: u64 = 1 << 20;

/// How many of the things that are waited for a sign of life names.
const NAMED: usize = 3;

/// Takes lines, and knows when it took the last one.
struct Sink {
    write: Box<dyn Fn(&str) + Send + Sync>,
    last: Cell<Instant>,
}

impl Sink {
    fn say(&self, line: &str) {
        self.last.set(Instant::now());
        (self.write)(line);
    }
}

/// One line an event.
pub struct Plain(Mutex<State>);

struct State {
    sink: Sink,
    /// What tasks print is shown.
    output: bool,
    layers: HashMap<Id, Layer>,
    transfers: HashMap<Id, Transfer>,
    /// What is waited for, and since when.
    waits: HashMap<Id, (String, Instant)>,
    /// What every label begins with.
    platform: String,
}

struct Layer {
    label: String,
    started: Instant,
    task: Option<(String, Instant)>,
    /// What is done where no task runs.
    doing: &'static str,
    next_beat: Instant,
}

struct Transfer {
    name: String,
    done: u64,
    started: Instant,
}

impl Plain {
    /// Lines for `sink`; with `output`, those that tasks print are among them.
    pub fn new(output: bool, sink: impl Fn(&str) + Send + Sync + 'static) -> Self {
        let sink = Sink { write: Box::new(sink), last: Cell::new(Instant::now()) };
        let (layers, transfers, waits) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self(Mutex::new(State { sink, output, layers, transfers, waits, platform: String::new() }))
    }

    /// Lines on standard error, with their heartbeat; the beat stops when the printer is dropped.
    pub fn start(output: bool) -> Arc<Self> {
        let plain = Arc::new(Self::new(output, |line| errln!("{line}")));
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
        state.beat(now);
    }
}

impl Report for Plain {
    fn event(&self, event: Event) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.event(event);
    }
}

impl State {
    fn beat(&mut self, now: Instant) {
        for layer in self.layers.values_mut().filter(|layer| layer.next_beat <= now) {
            layer.next_beat = now + HEARTBEAT;
            let (name, since) = match &layer.task {
                Some((name, since)) => (name.as_str(), *since),
                None => (layer.doing, layer.started),
            };
            self.sink.say(&format!("{} … {name} ({})", layer.label, duration(now - since)));
        }
        if now.saturating_duration_since(self.sink.last.get()) < HEARTBEAT {
            return;
        }
        let waits = self.waits.values().map(|(what, since)| (*since, format!("waiting for {what}")));
        let transfers = self.transfers.values();
        let transfers = transfers.map(|it| (it.started, format!("{}: {}", it.name, bytes(it.done))));
        let mut open: Vec<(Instant, String)> = waits.chain(transfers).collect();
        open.sort();
        for (since, what) in open.iter().take(NAMED) {
            self.sink.say(&format!("… {what} ({})", duration(now.saturating_duration_since(*since))));
        }
    }

    fn event(&mut self, event: Event) {
        let sink = &self.sink;
        let say = |line: &str| sink.say(line);
        match event {
            Event::Note(text) => say(&text),
            Event::Warning(text) => say(&format!("warning: {text}")),
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
                    say(&format!("{name}: {} in {}", bytes(done), duration(started.elapsed())));
                }
            }
            Event::WaitStarted { id, what } => _ = self.waits.insert(id, (what, Instant::now())),
            Event::WaitEnded { id } => _ = self.waits.remove(&id),
            Event::LayerStarted { id, name, index, count } => {
                let platform = &self.platform;
                let label =
                    if index == 0 { format!("[{platform}base]") } else { format!("[{platform}{index}/{count}]") };
                say(&format!("{label} {name}"));
                let now = Instant::now();
                self.layers.insert(
                    id,
                    Layer { label, started: now, task: None, doing: "working", next_beat: now + HEARTBEAT },
                );
            }
            Event::LayerPhase { layer, doing } => {
                if let Some(layer) = self.layers.get_mut(&layer) {
                    layer.doing = doing;
                }
            }
            Event::TaskStarted { layer, name } => self.task(layer, name),
            Event::TaskSkipped { layer, name, reason } => {
                if let Some(layer) = self.layers.get(&layer) {
                    say(&format!("{}   {name}: skipped, {reason}", layer.label));
                }
            }
            Event::TaskOutput { layer, text } => {
                if let Some(layer) = self.layers.get_mut(&layer).filter(|_| self.output) {
                    layer.next_beat = Instant::now() + HEARTBEAT;
                    for line in text.lines() {
                        say(format!("{}     {}", layer.label, printed(line)).trim_end());
                    }
                }
            }
            Event::TaskEnded { layer } => {
                if let Some(layer) = self.layers.get_mut(&layer)
                    && let Some((name, since)) = layer.task.take()
                {
                    say(&format!("{}   {name}: done in {}", layer.label, duration(since.elapsed())));
                }
            }
            Event::LayerEnded { id, outcome, size } => {
                if let Some(layer) = self.layers.remove(&id) {
                    let size = size.map(|size| format!(", {}", bytes(size))).unwrap_or_default();
                    say(&format!("{} {outcome}{size} ({})", layer.label, duration(layer.started.elapsed())));
                }
            }
        }
    }

    fn task(&mut self, layer: Id, name: String) {
        if let Some(layer) = self.layers.get_mut(&layer) {
            self.sink.say(&format!("{}   {name}", layer.label));
            let now = Instant::now();
            layer.next_beat = now + HEARTBEAT;
            layer.task = Some((name, now));
        }
    }
}

/// What is left of a line that was overwritten, without what steers terminals.
pub(super) fn printed(line: &str) -> String {
    let line = without_sequences(line);
    let line = line.trim_end_matches('\r');
    line.rsplit_once('\r').map_or(line, |(_, last)| last).to_owned()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(output: bool, events: impl FnOnce(&Plain)) -> Vec<String> {
        let said = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&said);
        let plain = Plain::new(output, move |line: &str| sink.lock().unwrap().push(line.to_owned()));
        plain.event(Event::LayerStarted { id: Id(1), name: "a.yml".into(), index: 1, count: 2 });
        plain.event(Event::TaskStarted { layer: Id(1), name: "task".into() });
        events(&plain);
        let said = said.lock().unwrap();
        said[2..].to_vec()
    }

    #[test]
    fn what_tasks_print_is_shown_line_by_line() {
        let print = |plain: &Plain| {
            let text = "one\n\n1%\r50%\rdone\r\n\u{1b}[31mred\u{1b}[0m\n".into();
            plain.event(Event::TaskOutput { layer: Id(1), text });
        };
        assert_eq!(lines(true, print), ["[1/2]     one", "[1/2]", "[1/2]     done", "[1/2]     red"]);
        assert_eq!(lines(false, print), [""; 0]);
    }

    #[test]
    fn what_is_waited_for_is_said_where_nothing_else_is() {
        let said = lines(true, |plain| {
            plain.event(Event::LayerEnded { id: Id(1), outcome: "built", size: None });
            plain.event(Event::WaitStarted { id: Id(2), what: "another alloy, which makes b.yml".into() });
            plain.event(Event::TransferStarted { id: Id(3), name: "x.bin".into(), total: None });
            let mut state = plain.0.lock().unwrap();
            let later = Instant::now() + HEARTBEAT;
            state.beat(later - Duration::from_secs(5));
            state.beat(later);
            state.event(Event::WaitEnded { id: Id(2) });
            state.event(Event::TransferEnded { id: Id(3) });
            state.beat(later + HEARTBEAT);
        });
        assert_eq!(said[1..], ["… waiting for another alloy, which makes b.yml (30.0s)", "… x.bin: 0 B (30.0s)"]);
    }

    #[test]
    fn a_sign_of_life_comes_when_nothing_was_shown() {
        // Half a minute from now, of a task that prints all the time.
        let beats = |output| {
            let said = lines(output, |plain| {
                let mut state = plain.0.lock().unwrap();
                let layer = state.layers.get_mut(&Id(1)).unwrap();
                layer.next_beat = Instant::now();
                state.event(Event::TaskOutput { layer: Id(1), text: "x\n".into() });
                state.beat(Instant::now());
            });
            said.iter().filter(|line| line.contains("… task")).count()
        };
        assert_eq!((beats(true), beats(false)), (0, 1));
    }
}
