//! Lines and columns of a text, as YAML counts them: a line ends at LF, CR or both (YAML 1.2, 5.4).

use super::{FileId, Span};

/// The lines of `text`: where each begins, and what it holds without its break.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut next = 0;
    std::iter::from_fn(move || {
        let rest = text.get(next..).filter(|rest| !rest.is_empty())?;
        let start = next;
        let length = rest.find(['\n', '\r']).unwrap_or(rest.len());
        next += length + if rest[length..].starts_with("\r\n") { 2 } else { 1 };
        Some((start, &rest[..length]))
    })
}

/// Line and column behind `text`, when it begins at `line` and `column`.
fn advance(text: &str, line: usize, column: usize) -> (usize, usize) {
    let broken = text.ends_with(['\n', '\r']);
    match lines(text).enumerate().last() {
        None => (line, column),
        Some((index, _)) if broken => (line + index + 1, 1),
        Some((0, (_, last))) => (line, column + last.chars().count()),
        Some((index, (_, last))) => (line + index, last.chars().count() + 1),
    }
}

/// The greatest offset that is not above `at` and does not split a character.
pub(super) fn boundary(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default()
}

impl Span {
    /// Bytes `start` to `end` of the text of a file.
    pub fn of(file: FileId, text: &str, start: usize, end: usize) -> Self {
        let start = boundary(text, start);
        let (line, column) = advance(&text[..start], 1, 1);
        Self { file, start, end: boundary(text, end).max(start), line, column }
    }

    /// Bytes `start` to `end` of the text of this span.
    #[must_use]
    pub fn part(self, text: &str, start: usize, end: usize) -> Self {
        let start = boundary(text, start);
        let end = boundary(text, end).max(start);
        let (line, column) = advance(&text[..start], self.line, self.column);
        Self { start: self.start + start, end: self.start + end, line, column, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_line_break() {
        let text = "a\nbö\r\nc\rd";
        assert_eq!(lines(text).collect::<Vec<_>>(), [(0, "a"), (2, "bö"), (7, "c"), (9, "d")]);
        let at = |start| {
            let span = Span::of(FileId(0), text, start, start + 1);
            (span.line, span.column, span.start)
        };
        assert_eq!(at(0), (1, 1, 0));
        assert_eq!(at(2), (2, 1, 2));
        assert_eq!(at(4), (2, 2, 3), "inside a character");
        assert_eq!(at(7), (3, 1, 7));
        assert_eq!(at(9), (4, 1, 9));
        assert_eq!(at(99), (4, 2, 10));
        let whole = Span::of(FileId(0), text, 2, 10);
        assert_eq!(whole.part("bö\r\nc\rd", 1, 3), Span { start: 3, end: 5, line: 2, column: 2, ..whole });
        assert_eq!(whole.part("bö\r\nc\rd", 7, 8), Span { start: 9, end: 10, line: 4, column: 1, ..whole });
    }
}
