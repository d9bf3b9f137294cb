//! The live view: finished layers scroll up, what is under way stays at the bottom.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use super::TaskOutput;
use super::plain::printed;
use super::{bytes, duration};
use crate::event::{Event, Id, Report};
use crate::yaml::{shown, without_sequences};

/// Spinners for layers, bars for transfers.
pub struct Tty {
    bars: MultiProgress,
    output: TaskOutput,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    layers: HashMap<Id, Layer>,
    transfers: HashMap<Id, ProgressBar>,
    /// What every label begins with.
    platform: String,
    /// Somebody keeps the layers' clocks and spinners going, or nobody can.
    ticked: bool,
}

struct Layer {
    bar: ProgressBar,
    label: String,
    started: Instant,
    task: String,
}

impl Tty {
    /// An empty view.
    pub fn new(output: TaskOutput) -> Self {
        Self { bars: MultiProgress::new(), output, state: Arc::default() }
    }

    fn line(&self, text: impl AsRef<str>) {
        let _ = self.bars.println(shown(text.as_ref(), false));
    }

    fn transfer(&self, name: String, total: Option<u64>) -> ProgressBar {
        let template = match total {
            Some(_) => "  {bar:24} {bytes:>10} of {total_bytes:10} {bytes_per_sec:>12} {wide_msg}",
            None => "  {spinner} {bytes:>10} {bytes_per_sec:>12} {wide_msg}",
        };
        let bar = self.bars.add(ProgressBar::new(total.unwrap_or_default()));
        bar.set_style(style(template));
        bar.set_message(one_line(&name));
        bar
    }
}

/// Keeps clocks and spinners of layers going as long as there is a view.
fn tick(state: &Weak<Mutex<State>>) {
    loop {
        std::thread::sleep(Duration::from_millis(120));
        let Some(state) = state.upgrade() else { return };
        let state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.layers.values().for_each(|layer| layer.bar.tick());
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

impl Report for Tty {
    fn event(&self, event: Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Note(text) => self.line(text),
            Event::Warning(text) => self.line(format!("warning: {text}")),
            Event::Platform(name) => state.platform = format!("{name} "),
            Event::TransferStarted { id, name, total } => {
                state.transfers.insert(id, self.transfer(name, total));
            }
            Event::TransferProgress { id, done } => {
                if let Some(bar) = state.transfers.get(&id) {
                    bar.set_position(done);
                }
            }
            Event::WaitStarted { id, what } => {
                let bar = self.bars.add(ProgressBar::new_spinner());
                bar.set_style(style("  {spinner} {wide_msg}"));
                bar.set_message(one_line(&format!("waiting for {what}")));
                state.transfers.insert(id, bar);
            }
            Event::TransferEnded { id } | Event::WaitEnded { id } => {
                if let Some(bar) = state.transfers.remove(&id) {
                    bar.finish_and_clear();
                }
            }
            Event::LayerStarted { id, name, index, count } => {
                let platform = &state.platform;
                let label = match index {
                    0 => format!("{platform}base {name}"),
                    _ => format!("{platform}{index}/{count} {name}"),
                };
                let bar = self.bars.add(ProgressBar::new_spinner());
                let elapsed = |state: &ProgressState, out: &mut dyn Write| {
                    let _ = write!(out, "{}", duration(state.elapsed()));
                };
                bar.set_style(style("{spinner} {prefix} {wide_msg} {took}").with_key("took", elapsed));
                bar.set_prefix(one_line(&label));
                if !std::mem::replace(&mut state.ticked, true) {
                    // The library's own ticker has no error for a machine that refuses it a thread. Without one, the view
                    // changes with what happens.
                    let shared = Arc::downgrade(&self.state);
                    let _ = std::thread::Builder::new().name("ticks".into()).spawn(move || tick(&shared));
                }
                state.layers.insert(id, Layer { bar, label, started: Instant::now(), task: String::new() });
            }
            Event::LayerPhase { layer, doing } => {
                if let Some(layer) = state.layers.get(&layer) {
                    layer.bar.set_message(format!("· {doing}"));
                }
            }
            Event::TaskStarted { layer, name } => {
                if let Some(layer) = state.layers.get_mut(&layer) {
                    layer.task = one_line(&name);
                    layer.bar.set_message(format!("· {}", layer.task));
                }
            }
            Event::TaskSkipped { layer, name, reason } => {
                if let Some(layer) = state.layers.get(&layer) {
                    layer.bar.set_message(one_line(&format!("· {name}: skipped, {reason}")));
                }
            }
            Event::TaskOutput { layer, text } => {
                let layer = state.layers.get(&layer);
                if let (Some(layer), TaskOutput::All) = (layer, self.output) {
                    text.lines().for_each(|line| self.line(format!("  {}: {}", layer.label, printed(line))));
                }
                if let (Some(layer), Some(last)) = (layer, text.lines().last()) {
                    layer.bar.set_message(format!("· {}: {}", layer.task, printable(last)));
                }
            }
            Event::TaskEnded { layer } => {
                if let Some(layer) = state.layers.get(&layer) {
                    layer.bar.set_message("");
                }
            }
            Event::LayerEnded { id, outcome, size } => {
                if let Some(Layer { bar, label, started, .. }) = state.layers.remove(&id) {
                    bar.finish_and_clear();
                    let size = size.map(|size| format!(", {}", bytes(size))).unwrap_or_default();
                    self.line(format!("✓ {label}: {outcome}{size} ({})", duration(started.elapsed())));
                }
            }
        }
    }
}

/// The live view has one line for each thing.
fn one_line(text: &str) -> String {
    shown(text, false).replace(['\n', '\t'], " ")
}

/// What a program prints must not steer the terminal of the live view.
fn printable(text: &str) -> String {
    let said: String = without_sequences(text).chars().filter(|c| !layers::path::steers(*c)).take(200).collect();
    one_line(&said)
}
