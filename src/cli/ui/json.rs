//! One JSON object a line, for programs. Field names are stable; `ms` counts from the start of alloy.

use std::io::Write;
use std::time::Instant;

use serde_json::{Value, json};

use crate::event::{Event, Report};

/// JSON lines, to standard error.
pub struct Json(Instant);

impl Json {
    /// Starts the clock.
    pub fn new() -> Self {
        Self(Instant::now())
    }
}

impl Report for Json {
    fn event(&self, event: Event) {
        let mut value = object(event);
        value["ms"] = json!(self.0.elapsed().as_millis());
        // One write a line, so that lines of several threads do not mix.
        let _ = std::io::stderr().write_all(format!("{value}\n").as_bytes());
    }
}

fn object(event: Event) -> Value {
    match event {
        Event::Note(text) => json!({"event": "note", "text": text}),
        Event::Warning(text) => json!({"event": "warning", "text": text}),
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
