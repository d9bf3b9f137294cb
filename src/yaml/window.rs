//! The few lines of a file that a diagnostic shows: its own, and one before and behind it.

use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

use super::Span;
use super::plain::is_hidden;
use super::position::boundary;

/// Bytes of a line that are shown before and behind what is marked.
const MARGIN: usize = 90;
/// Bytes in which the ends of a line are looked for.
const REACH: usize = 4096;

/// Lines around a span, fit for a terminal, with what is marked in them.
#[derive(Debug)]
pub(super) struct Window {
    name: String,
    text: String,
    mark: (usize, usize),
    first_line: usize,
    line: usize,
    column: usize,
}

impl Window {
    /// The lines around `span` of `text`, a file that is shown as `name`.
    pub(super) fn new(span: Span, text: &str, name: &str) -> Self {
        let start = boundary(text, span.start);
        // Of a long line, nobody looks for the ends.
        let reach = (boundary(text, start.saturating_sub(REACH)), boundary(text, start + REACH));
        let line_start = text[reach.0..start].rfind(['\n', '\r']).map_or(reach.0, |at| reach.0 + at + 1);
        let line_end = text[start..reach.1].find(['\n', '\r']).map_or(reach.1, |at| start + at);
        let end = boundary(text, span.end).clamp(start, line_end);
        let mut shown = String::new();
        let before = &text[..line_start];
        let before = before.strip_suffix('\n').map_or(before, |rest| rest.strip_suffix('\r').unwrap_or(rest));
        let before = if before.len() == line_start { before.strip_suffix('\r') } else { Some(before) };
        if let Some(before) = before {
            let reach = boundary(before, before.len().saturating_sub(REACH));
            let line = &before[before[reach..].rfind(['\n', '\r']).map_or(reach, |at| reach + at + 1)..];
            push_head(&mut shown, line, 2 * MARGIN);
            shown.push('\n');
        }
        let first_line = span.line.saturating_sub(usize::from(before.is_some())).max(1);
        push_tail(&mut shown, &text[line_start..start], MARGIN);
        let mark = shown.len();
        push_head(&mut shown, &text[start..end], MARGIN);
        let length = shown.len() - mark;
        push_head(&mut shown, &text[end..line_end], MARGIN);
        let behind = &text[line_end..];
        let behind = behind.strip_prefix("\r\n").or_else(|| behind.strip_prefix(['\n', '\r'])).unwrap_or_default();
        if !behind.is_empty() {
            shown.push('\n');
            let reach = &behind[..boundary(behind, REACH)];
            push_head(&mut shown, &behind[..reach.find(['\n', '\r']).unwrap_or(reach.len())], 2 * MARGIN);
            shown.push('\n');
        }
        let (line, column) = (span.line, span.column);
        Self { name: name.to_owned(), text: shown, mark: (mark, length), first_line, line, column }
    }

    /// What is marked.
    pub(super) fn mark(&self) -> (usize, usize) {
        self.mark
    }

    /// True if there is nothing to show.
    pub(super) fn is_empty(&self) -> bool {
        self.text.trim().is_empty()
    }
}

fn push(out: &mut String, text: &str) {
    for c in text.chars() {
        match u32::from(c) {
            _ if c == '\t' || !is_hidden(c) => out.push(c),
            // Pictures of the controls.
            code @ 0..0x20 => out.extend(char::from_u32(0x2400 + code)),
            _ => out.push('\u{fffd}'),
        }
    }
}

fn push_head(out: &mut String, text: &str, most: usize) {
    let end = boundary(text, most);
    push(out, &text[..end]);
    if end < text.len() {
        out.push('…');
    }
}

fn push_tail(out: &mut String, text: &str, most: usize) {
    let start = boundary(text, text.len().saturating_sub(most));
    if start > 0 {
        out.push('…');
    }
    push(out, &text[start..]);
}

impl SourceCode for Window {
    fn read_span<'a>(
        &'a self,
        _: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        // Without context, it is the place of the mark that is asked for.
        let place = before == 0 && after == 0;
        let (line, column) = if place { (self.line - 1, self.column - 1) } else { (self.first_line - 1, 0) };
        let (data, lines) = (self.text.as_bytes(), self.text.lines().count());
        let span = (0, data.len()).into();
        Ok(Box::new(MietteSpanContents::new_named(self.name.clone(), data, span, line, column, lines)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::FileId;

    fn marked(text: &str, start: usize, end: usize) -> (String, String, usize) {
        let window = Window::new(Span::of(FileId(0), text, start, end), text, "x");
        let (mark, length) = window.mark();
        (window.text[mark..mark + length].to_owned(), window.text.clone(), window.first_line)
    }

    #[test]
    fn lines_around_the_mark() {
        let unix = "one\ntwo\nthree\nfour\n";
        assert_eq!(marked(unix, 4, 7), ("two".into(), "one\ntwo\nthree\n".into(), 1));
        assert_eq!(marked(unix, 0, 18), ("one".into(), "one\ntwo\n".into(), 1));
        assert_eq!(marked(unix, 14, 18), ("four".into(), "three\nfour".into(), 3));
        for (text, start) in [("one\r\ntwo\r\nthree\r\nfour", 10), ("one\rtwo\rthree\rfour", 8)] {
            assert_eq!(marked(text, start, start + 5), ("three".into(), "two\nthree\nfour\n".into(), 2));
        }
        assert_eq!(marked("", 0, 0).1, "");
    }

    #[test]
    fn what_does_not_show_is_shown() {
        assert_eq!(marked("a\u{1b}[2Jb", 1, 2).1, "a␛[2Jb");
        let long = format!("{}here{}", "x".repeat(1 << 20), "y".repeat(1 << 20));
        let (mark, text, _) = marked(&long, 1 << 20, (1 << 20) + 4);
        assert_eq!(mark, "here");
        assert!(text.starts_with('…') && text.ends_with('…') && text.len() < 4 * MARGIN);
    }
}
