//! What a task prints, on its way to the user: whole lines, without secrets, the last of them kept.

use std::collections::{BTreeSet, VecDeque};

use crate::event::{Event, Id, Reporter};
use crate::op::{Secrets, Step, Stream};
use crate::yaml::without_sequences;

/// Lines that an error quotes.
const KEPT: usize = 25;
/// Bytes of a line that are quoted: its end.
const QUOTED: usize = 2 << 10;
/// Bytes that are quoted in all.
const MOST: usize = 8 << 10;
/// A line that never ends is cut.
const LONGEST: usize = 16 << 10;

/// What pip says of an extra that a package does not have, and then installs the package without it.
const NO_EXTRA: &str = "does not provide the extra";

/// Takes pieces of output.
pub(crate) struct Lines<'a> {
    reporter: &'a Reporter,
    layer: Id,
    stream: Stream,
    last: Last,
    /// Lines that say what the task did not do, though it went well.
    remarks: BTreeSet<String>,
}

impl<'a> Lines<'a> {
    /// For the task that runs in `layer`.
    pub(crate) fn new(reporter: &'a Reporter, secrets: &Secrets, layer: Id) -> Self {
        Self { reporter, layer, stream: secrets.stream(), last: Last::default(), remarks: BTreeSet::new() }
    }

    /// Takes a piece, and reports the lines that it completes.
    pub(crate) fn take(&mut self, piece: &[u8]) {
        if let Some(text) = self.stream.take(piece, LONGEST) {
            print(self.reporter, self.layer, &mut self.last, &mut self.remarks, text);
        }
    }

    /// What a user who sees no output has to know of `step`, which went well.
    pub(crate) fn remarks(&self, step: &Step) -> Vec<String> {
        let at = format!("{}:{}: {}", step.file, step.line, step.name);
        self.remarks.iter().map(|remark| format!("{at}: {remark}")).collect()
    }

    /// The last lines.
    pub(crate) fn finish(mut self) -> Vec<String> {
        if let Some(text) = self.stream.finish() {
            print(self.reporter, self.layer, &mut self.last, &mut self.remarks, text);
        }
        self.last.finish()
    }
}

fn print(reporter: &Reporter, layer: Id, last: &mut Last, remarks: &mut BTreeSet<String>, text: String) {
    last.take(&text);
    for line in text.lines().filter(|line| line.contains(NO_EXTRA)) {
        let line = without_sequences(line);
        remarks.insert(line.trim().trim_start_matches("WARNING: ").to_owned());
    }
    reporter.event(Event::TaskOutput { layer, text });
}

/// The last lines, of each its end.
#[derive(Default)]
struct Last {
    lines: VecDeque<String>,
    /// The last of them has not ended yet.
    open: bool,
    /// What comes next overwrites it.
    returned: bool,
}

impl Last {
    fn take(&mut self, text: &str) {
        for piece in text.split_inclusive('\n') {
            let ended = piece.ends_with('\n');
            let trimmed = piece.trim_end_matches('\n').trim_end_matches('\r');
            // Progress bars overwrite their line; what was last is what counts.
            let (overwritten, line) = trimmed.rsplit_once('\r').map_or((false, trimmed), |(_, line)| (true, line));
            if !self.open {
                if self.lines.len() == KEPT {
                    self.lines.pop_front();
                }
                self.lines.push_back(String::new());
            }
            if let Some(last) = self.lines.back_mut() {
                if overwritten || (self.returned && !trimmed.is_empty()) {
                    last.clear();
                }
                last.push_str(line);
                *last = end(last, QUOTED).to_owned();
            }
            self.open = !ended;
            self.returned = !ended && piece.ends_with('\r');
        }
    }

    fn finish(self) -> Vec<String> {
        let mut room = MOST;
        let mut kept: Vec<String> = Vec::new();
        for line in self.lines.iter().rev() {
            // Colours and the like are for terminals, not for an error's text.
            let line = without_sequences(line);
            let line = line.trim_end();
            if line.len() > room {
                break;
            }
            room -= line.len();
            kept.push(if line.len() + 4 > QUOTED { format!("… {line}") } else { line.to_owned() });
        }
        kept.reverse();
        kept
    }
}

/// The last `most` bytes of a text, or a few less.
fn end(text: &str, most: usize) -> &str {
    let mut start = text.len().saturating_sub(most);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
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
    fn of_a_line_without_an_end_its_end_is_quoted() {
        let reporter: Reporter = Arc::new(Collect::default());
        let secrets = Secrets::default();
        let mut lines = Lines::new(&reporter, &secrets, Id(1));
        lines.take(b"before\n");
        for _ in 0..20 {
            lines.take(&[b'x'; 64 << 10]);
        }
        lines.take("ü\nthe end\n".as_bytes());
        let last = lines.finish();
        assert_eq!((last.len(), last[0].as_str(), last[2].as_str()), (3, "before", "the end"));
        assert!(last[1].starts_with("… x") && last[1].ends_with("xü") && last[1].len() < 3 << 10, "{}", last[1].len());
        // Many long ones are not much more.
        let mut lines = Lines::new(&reporter, &secrets, Id(1));
        (0..100).for_each(|_| lines.take(&[&[b'y'; 5000][..], b"\n"].concat()));
        lines.take(b"the end\n");
        let last = lines.finish();
        assert_eq!(last.last().unwrap(), "the end");
        assert!(last.iter().map(String::len).sum::<usize>() < 9 << 10);
    }

    #[test]
    fn an_extra_that_pip_passes_over_is_a_remark() {
        let reporter: Reporter = Arc::new(Collect::default());
        let mut lines = Lines::new(&reporter, &Secrets::default(), Id(1));
        let said = "Collecting tiny[nosuch]\n\x1b[33mWARNING: tiny 1.0 does not provide the extra 'nosuch'\x1b[0m\n";
        (0..2).for_each(|_| lines.take(said.as_bytes()));
        (0..100).for_each(|_| lines.take(b"and more\n"));
        assert_eq!(lines.remarks, BTreeSet::from(["tiny 1.0 does not provide the extra 'nosuch'".to_owned()]));
    }

    #[test]
    fn what_overwrites_its_line_is_what_counts() {
        let mut last = Last::default();
        ["1%\r2", "%", "\r", "3%\r", "\n", "a\r\n", "b"].iter().for_each(|piece| last.take(piece));
        assert_eq!(last.finish(), ["3%", "a", "b"]);
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
