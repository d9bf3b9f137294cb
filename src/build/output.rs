//! What a task prints, on its way to the user: whole lines, without secrets, the last of them kept.

use std::collections::VecDeque;

use crate::event::{Event, Id, Reporter};
use crate::op::{Secrets, Stream};
use crate::yaml::without_sequences;

/// Lines that an error quotes.
const KEPT: usize = 25;
/// A line that never ends is cut.
const LONGEST: usize = 16 << 10;

/// Takes pieces of output.
pub(crate) struct Lines<'a> {
    reporter: &'a Reporter,
    layer: Id,
    stream: Stream,
    last: VecDeque<String>,
}

impl<'a> Lines<'a> {
    /// For the task that runs in `layer`.
    pub(crate) fn new(reporter: &'a Reporter, secrets: &Secrets, layer: Id) -> Self {
        Self { reporter, layer, stream: secrets.stream(), last: VecDeque::new() }
    }

    /// Takes a piece, and reports the lines that it completes.
    pub(crate) fn take(&mut self, piece: &[u8]) {
        if let Some(text) = self.stream.take(piece, LONGEST) {
            print(self.reporter, self.layer, &mut self.last, text);
        }
    }

    /// The last lines.
    pub(crate) fn finish(mut self) -> Vec<String> {
        if let Some(text) = self.stream.finish() {
            print(self.reporter, self.layer, &mut self.last, text);
        }
        self.last.into()
    }
}

fn print(reporter: &Reporter, layer: Id, last: &mut VecDeque<String>, text: String) {
    for line in text.lines() {
        // Progress bars overwrite their line; what was last is what counts.
        let line = line.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default();
        if last.len() == KEPT {
            last.pop_front();
        }
        // Colours and the like are for terminals, not for an error's text.
        last.push_back(without_sequences(line).trim_end().to_owned());
    }
    reporter.event(Event::TaskOutput { layer, text });
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::event::Report;

    #[derive(Default)]
    struct Collect(Mutex<String>);

    impl Report for Collect {
        fn event(&self, event: Event) {
            if let Event::TaskOutput { text, .. } = event {
                self.0.lock().unwrap().push_str(&text);
            }
        }
    }

    #[test]
    fn a_secret_in_a_line_that_never_ends_is_masked() {
        let collect = Arc::new(Collect::default());
        let reporter: Reporter = collect.clone();
        let mut secrets = Secrets::default();
        secrets.insert("TOKEN", "hunter2");
        let mut lines = Lines::new(&reporter, &secrets, Id(1));
        let long = "hunter2 ".repeat(3 * LONGEST / 8);
        long.as_bytes().chunks(LONGEST - 3).for_each(|piece| lines.take(piece));
        lines.finish();
        let printed = collect.0.lock().unwrap();
        assert_eq!(printed.matches("***").count(), 3 * LONGEST / 8);
        assert!(!printed.contains("hun"));
    }

    #[test]
    fn a_secret_across_two_pieces_is_masked() {
        let collect = Arc::new(Collect::default());
        let reporter: Reporter = collect.clone();
        let mut secrets = Secrets::default();
        secrets.insert("TOKEN", "hunter2");
        let mut lines = Lines::new(&reporter, &secrets, Id(1));
        lines.take(b"token is hun");
        lines.take(b"ter2\n10%\r20%\rdone\nla");
        lines.take(b"st");
        assert_eq!(lines.finish(), ["token is ***", "done", "last"]);
        assert!(!collect.0.lock().unwrap().contains("hunter2"));
    }
}
