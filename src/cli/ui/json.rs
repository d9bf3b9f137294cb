//! One JSON object a line, for programs. Field names are stable; `ms` counts from the start of alloy.

use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde_json::{Value, json};

use crate::event::{Event, Report};
use crate::yaml::json_shown;

/// JSON lines, to standard error.
pub struct Json {
    start: Instant,
    /// What layers are for, where there are several platforms.
    platform: Mutex<Option<String>>,
}

impl Json {
    /// Starts the clock.
    pub fn new() -> Self {
        Self { start: Instant::now(), platform: Mutex::default() }
    }
}

impl Report for Json {
    fn event(&self, event: Event) {
        let mut platform = self.platform.lock().unwrap_or_else(PoisonError::into_inner);
        if let Event::Platform(name) = &event {
            *platform = Some(name.clone());
        }
        let of_layer = matches!(event, Event::LayerStarted { .. });
        let mut value = object(event);
        if let Some(name) = platform.as_ref().filter(|_| of_layer) {
            value["platform"] = json!(name);
        }
        value["ms"] = json!(self.start.elapsed().as_millis());
        // One write a line, so that lines of several threads do not mix.
        let line = format!("{value}\n");
        let _ = std::io::stderr().write_all(json_shown(&line).as_bytes());
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
        Event::LayerStarted { id, name, index, count } => {
            json!({"event": "layer-started", "id": id.0, "name": name, "index": index, "count": count})
        }
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
    use crate::event::Id;

    #[test]
    fn an_event_is_an_object_with_its_name() {
        let value = object(Event::LayerEnded { id: Id(4), outcome: "cached", size: Some(7) });
        assert_eq!(value.to_string(), r#"{"event":"layer-ended","id":4,"outcome":"cached","size":7}"#);
    }
}
