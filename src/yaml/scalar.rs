//! Texts as they are written into YAML, the same in every file of alloy's.

use std::fmt::Write as _;

/// What YAML, of whatever version, takes for something else than a text.
const WORDS: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];

/// A text without quotes where YAML takes it for one everywhere: no indicator in it, and no type but a text or a number
/// of digits alone.
pub fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._/+@~%=-".contains(c);
    // Within a word a colon is only a colon.
    let colons = !text.ends_with(':') && !text.contains(": ");
    let first = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/');
    let digits = text.chars().all(|c| c.is_ascii_digit());
    // Numbers with a point or an exponent, times, dates; numbers of other bases.
    let number = text.chars().all(|c| "0123456789.eE+-:_".contains(c));
    let typed =
        text.starts_with(|c: char| c.is_ascii_digit()) && number || text.starts_with("0x") || text.starts_with("0o");
    let word = WORDS.contains(&text.to_lowercase().as_str());
    if first && colons && !word && (digits || !typed) && text.chars().all(|c| plain(c) || c == ':') {
        return text.to_owned();
    }
    quoted(text)
}

/// A text between quotes (YAML 1.2.2, 7.3.1), which is JSON as far as nothing has to be escaped that shows nowhere.
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if shows(c) => out.push(c),
            c => {
                let _ = write!(out, "\\U{:08X}", u32::from(c));
            }
        }
    }
    out.push('"');
    out
}

/// False for what a reader of YAML may refuse or take for the end of a line (YAML 1.2.2, 5.1), and for what turns the
/// direction of a text or shows nothing.
fn shows(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
        && !matches!(u32::from(c), 0xe000..=0xf8ff | 0xfff0..=0xffff | 0xe0000..)
}

#[cfg(test)]
mod tests {
    use super::super::{FileId, parse};
    use super::*;

    #[test]
    fn a_text_is_read_as_it_was_written() {
        for text in [
            "",
            "a b",
            "true",
            "Null",
            "1.10",
            "0x1f",
            "12:30",
            "2026-11-21",
            "1e3",
            "-x",
            "a: b",
            "a:",
            "é — ü",
            "#c",
            "a\nb\tc\r\\\"",
            "\u{85}\u{2028}\u{feff}\u{200b}\u{202e}\u{7f}\u{1f600}",
            "x==1.0",
            "/a/b:c",
            "y",
        ] {
            let line = format!("k: {}\n", scalar(text));
            let read = parse(FileId(0), &line).unwrap().value.to_json();
            assert_eq!(read["k"], text, "{line}");
            assert!(!line.trim_end().contains(char::is_control), "{line}");
        }
        assert_eq!([scalar("git"), scalar("3"), quoted("é — ü")], ["git", "3", "\"é — ü\""]);
    }
}
