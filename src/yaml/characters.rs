//! What a text must be before it is worth parsing: of a size that somebody wrote, of characters that show, and
//! indented with spaces.

use super::position::lines;
use super::{Diagnostic, FileId, MAX_FILE, Span};

/// What is wrong with `text` as a whole.
pub(super) fn check(file: FileId, text: &str) -> Result<(), Diagnostic> {
    if text.len() as u64 > MAX_FILE {
        let message = format!("the file is larger than {} MiB", MAX_FILE >> 20);
        return Err(Diagnostic::error("size", Span::start_of(file), message).help("is this a blueprint?"));
    }
    // The parser takes a NUL for the end of the file.
    if let Some((at, c)) = text.char_indices().find(|(_, c)| !is_printable(*c)) {
        let span = Span::of(file, text, at, at + c.len_utf8());
        let message = format!("the character U+{:04X} cannot be part of a YAML file", u32::from(c));
        return Err(Diagnostic::error("character", span, message)
            .help("delete it; between double quotes, an escape such as `\\x1b` can stand for it"));
    }
    // YAML 1.2, 6.1: tabs do not indent. Within a block scalar, a tab behind the indentation is text.
    let mut block = false;
    for (start, line) in lines(text) {
        if !block && let Some(at) = tab(line) {
            return Err(indented(file, text, start + at));
        }
        block = block || begins_block(line);
    }
    Ok(())
}

/// YAML 1.2, 5.1: `c-printable`, but for the mark of the encoding, which nobody sees in the middle of a text.
fn is_printable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{feff}' | '\u{fffe}' | '\u{ffff}') || matches!(c, '\t' | '\n' | '\r' | '\u{85}')
}

/// Where the indentation of `line` has a tab, if it has one and something behind it.
fn tab(line: &str) -> Option<usize> {
    let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
    let content = line[indent..].chars().next().is_some_and(|c| c != '#');
    line[..indent].find('\t').filter(|_| content)
}

/// True if `line` may be the header of a block scalar.
fn begins_block(line: &str) -> bool {
    let line = line.split(" #").next().unwrap_or_default().trim_end();
    line.trim_end_matches(|c: char| c.is_ascii_digit() || c == '+' || c == '-').ends_with(['|', '>'])
}

fn indented(file: FileId, text: &str, at: usize) -> Diagnostic {
    Diagnostic::error("tab", Span::of(file, text, at, at + 1), "YAML is not indented with tabs")
        .label("a tab")
        .help("use spaces")
}

/// What the parser stumbled over at `span`, in words that help more than its own.
pub(super) fn behind(span: Span, text: &str, info: &str) -> Option<Diagnostic> {
    let near = lines(text).enumerate().filter(|(index, _)| (index + 1).abs_diff(span.line) <= 1);
    let near: Vec<_> = near.map(|(_, line)| line).collect();
    if let Some((start, _)) = near.iter().find(|(_, line)| CONFLICT.iter().any(|mark| line.starts_with(mark))) {
        let span = Span::of(span.file, text, *start, start + CONFLICT[0].len());
        let error = Diagnostic::error("conflict", span, "a conflict of versions is not resolved");
        return Some(error.label("left by git").help("choose one of the two, and delete the marks"));
    }
    if let Some(at) = near.iter().find_map(|(start, line)| Some(start + tab(line)?)) {
        return Some(indented(span.file, text, at));
    }
    if info.contains("unknown anchor") {
        let rest = text.get(span.start..)?;
        let name = rest[1..].split(|c: char| c.is_whitespace() || ",[]{}".contains(c)).next()?;
        let span = Span { end: span.start + 1 + name.len(), ..span };
        let error = Diagnostic::error("alias", span, format!("there is no anchor `&{name}` above"));
        return Some(error.help("an alias stands for a value that is marked with `&` before it"));
    }
    None
}

/// How git marks a conflict.
const CONFLICT: [&str; 3] = ["<<<<<<< ", "=======", ">>>>>>> "];

/// What to do about an error of the parser.
pub(super) fn help(info: &str) -> &'static str {
    match info {
        _ if info.contains("mapping values are not allowed") => {
            "is the line indented as those around it? A text that holds `: ` must stand between quotes"
        }
        _ if info.contains("unclosed") => "close it",
        _ if info.contains("escape") => {
            "between double quotes, a backslash begins an escape: write `\\\\` for a backslash (`\\\\$` for `\\$`), or put \
             the text between single quotes, where it means nothing"
        }
        _ if info.contains("quoted scalar") => "is a quote closed? Lines of a text between quotes are indented",
        _ if info.contains("':'") => "is there a `:` too few, or a bracket that is not closed?",
        _ => "look at the indentation, the quotes and the brackets here and in the line before",
    }
}
