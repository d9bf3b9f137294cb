//! One JSON object a line, for programs. Field names are stable; `ms` counts from the start of alloy. How a command
//! ends is a line as well: `error`, or what a build made.

use std::collections::{BTreeSet, HashMap};
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::CommandError;
use super::hidden::masked_value;
use crate::event::{Event, Id, Report};
use crate::yaml::json_shown;

/// The progress of one transfer is said no more often than this.
const PACE: Duration = Duration::from_millis(200);

/// The one at work, for what is no event.
static AT_WORK: Mutex<Option<Arc<Json>>> = Mutex::new(None);

/// JSON lines, to standard error.
pub struct Json {
    start: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What layers are for, where there are several platforms.
    platform: Option<String>,
    /// Layers that were begun and have not ended.
    open: BTreeSet<u64>,
    /// When the progress of each transfer was said last.
    said: HashMap<Id, Instant>,
}

impl State {
    /// The lines that an event is worth.
    fn object(&mut self, event: Event, now: Instant) -> Option<Value> {
        let mut of_layer = false;
        match &event {
            Event::Platform(name) => self.platform = Some(name.clone()),
            Event::LayerStarted { id, .. } => {
                of_layer = true;
                self.open.insert(id.0);
            }
            Event::LayerEnded { id, .. } => _ = self.open.remove(&id.0),
            Event::TransferProgress { id, .. } => {
                if self.said.get(id).is_some_and(|last| now.duration_since(*last) < PACE) {
                    return None;
                }
                self.said.insert(*id, now);
            }
            Event::TransferEnded { id } => _ = self.said.remove(id),
            _ => {}
        }
        let mut value = object(event);
        if let Some(name) = self.platform.as_ref().filter(|_| of_layer) {
            value["platform"] = json!(name);
        }
        Some(value)
    }
}

impl Json {
    /// The one of this process; the first call starts its clock.
    pub fn start() -> Arc<Self> {
        let new = || Arc::new(Self { start: Instant::now(), state: Mutex::default() });
        Arc::clone(AT_WORK.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(new))
    }

    fn line(&self, mut value: Value) {
        value["ms"] = json!(self.start.elapsed().as_millis());
        // One write a line, so that lines of several threads do not mix.
        let line = format!("{value}\n");
        let _ = std::io::stderr().write_all(json_shown(&line).as_bytes());
    }
}

impl Report for Json {
    fn event(&self, event: Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = state.object(event, Instant::now()) {
            self.line(value);
        }
    }
}

fn at_work() -> Option<Arc<Json>> {
    AT_WORK.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Says how the command failed, if it speaks JSON; which layers were not finished comes first.
pub fn failure(error: &CommandError) -> bool {
    let Some(json) = at_work() else { return false };
    let open = std::mem::take(&mut json.state.lock().unwrap_or_else(PoisonError::into_inner).open);
    for id in open {
        json.line(json!({"event": "layer-ended", "id": id, "outcome": "failed", "size": null}));
    }
    json.line(failed(error));
    true
}

fn failed(error: &CommandError) -> Value {
    let mut value = json!({
        "event": "error",
        "code": error.code(),
        "message": error.message.trim_end(),
        "hints": error.hints,
        "place": error.place,
        "problems": error.problems,
    });
    masked_value(&mut value);
    value
}

/// Says what a build made, if it speaks JSON.
pub fn made(digest: &str, names: &[String], took: Duration) {
    if let Some(json) = at_work() {
        let seconds = took.as_millis() as f64 / 1000.0;
        json.line(json!({"event": "result", "digest": digest, "names": names, "seconds": seconds}));
    }
}

fn object(event: Event) -> Value {
    match event {
        Event::Note(text) => json!({"event": "note", "text": text}),
        Event::Warning(text) => json!({"event": "warning", "text": text}),
        Event::Platform(name) => json!({"event": "platform", "name": name}),
        Event::TransferStarted { id, name, total } => {
            json!({"event": "transfer-started", "id": id.0, "name": name, "total": total})
        }
        Event::TransferProgress { id, done } => json!({"event": "transfer-progress", "id": id.0, "done": done}),
        Event::TransferEnded { id } => json!({"event": "transfer-ended", "id": id.0}),
        Event::WaitStarted { id, what } => json!({"event": "wait-started", "id": id.0, "what": what}),
        Event::WaitEnded { id } => json!({"event": "wait-ended", "id": id.0}),
        Event::LayerStarted { id, name, index, count } => {
            json!({"event": "layer-started", "id": id.0, "name": name, "index": index, "count": count})
        }
        Event::LayerPhase { layer, doing } => json!({"event": "layer-phase", "layer": layer.0, "doing": doing}),
        Event::TaskStarted { layer, name } => json!({"event": "task-started", "layer": layer.0, "name": name}),
        Event::TaskSkipped { layer, name, reason } => {
            json!({"event": "task-skipped", "layer": layer.0, "name": name, "reason": reason})
        }
        Event::TaskOutput { layer, text } => json!({"event": "task-output", "layer": layer.0, "text": text}),
        Event::TaskEnded { layer } => json!({"event": "task-ended", "layer": layer.0}),
        Event::LayerEnded { id, outcome, size } => {
            json!({"event": "layer-ended", "id": id.0, "outcome": outcome, "size": size})
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Kind;

    #[test]
    fn progress_is_said_now_and_then() {
        let (mut state, start) = (State::default(), Instant::now());
        let mut said = |id, done, ms| {
            state.object(Event::TransferProgress { id: Id(id), done }, start + Duration::from_millis(ms)).is_some()
        };
        assert_eq!(
            [said(1, 1, 0), said(1, 2, 1), said(2, 1, 2), said(1, 3, 199), said(1, 4, 200)],
            [true, false, true, false, true]
        );
    }

    #[test]
    fn a_failure_is_an_object_too() {
        let mut error = CommandError::new(Kind::Network, "a.yml:1:2: Get: refused\n").hint("wait");
        error.place = Some("a.yml:1:2".to_owned());
        let value = failed(&error);
        assert_eq!((&value["event"], &value["code"]), (&json!("error"), &json!(4)));
        assert_eq!((&value["hints"], &value["place"]), (&json!(["wait"]), &json!("a.yml:1:2")));
        assert_eq!(value["message"], "a.yml:1:2: Get: refused");
    }

    #[test]
    fn an_event_is_an_object_with_its_name() {
        let value = object(Event::LayerEnded { id: Id(4), outcome: "cached", size: Some(7) });
        assert_eq!(value.to_string(), r#"{"event":"layer-ended","id":4,"outcome":"cached","size":7}"#);
    }
}
