//! Text of somebody else on its way to a terminal, whole lines of it.

use std::borrow::Cow;

use super::plain::is_hidden;

/// What may stand between `ESC [` and `m` (ECMA-48, 8.3.117, SGR): what is bold, dim, in italics or underlined, and
/// colours of letters that can be read. Nothing that hides text, and no backgrounds.
const COLOURS: [&str; 27] = [
    "", "0", "1", "2", "3", "4", "22", "23", "24", "31", "32", "33", "34", "35", "36", "37", "39", "90", "91", "92",
    "93", "94", "95", "96", "97", "00", "01",
];

/// `text` with its control characters, and those that turn the direction of text around, as escapes: `\u{1b}`. Line
/// breaks and tabs stay, and with `colours` what only colours letters.
pub fn shown(text: &str, colours: bool) -> Cow<'_, str> {
    let hidden = |c: char| is_hidden(c) && !matches!(c, '\n' | '\t');
    if !text.contains(hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some((at, c)) = rest.char_indices().find(|(_, c)| hidden(*c)) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(length) = colour(rest).filter(|_| colours) {
            out.push_str(&rest[..length]);
            rest = &rest[length..];
        } else {
            out.extend(c.escape_unicode());
            rest = &rest[c.len_utf8()..];
        }
    }
    Cow::Owned(out + rest)
}

/// JSON that means the same (RFC 8259, 7), with escapes for what would steer a terminal.
pub fn json_shown(text: &str) -> Cow<'_, str> {
    // Outside of strings, there is nothing of it but breaks and indentations.
    let hidden = |c: char| is_hidden(c) && !matches!(c, '\n' | '\r' | '\t');
    if !text.contains(hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if hidden(c) => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out += &format!("\\u{unit:04x}")),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// The length of the colour that `text` begins with.
fn colour(text: &str) -> Option<usize> {
    let inner = text.strip_prefix("\u{1b}[")?;
    let end = inner.find(|c: char| !(c.is_ascii_digit() || c == ';'))?;
    let fits = inner[end..].starts_with('m') && inner[..end].split(';').all(|part| COLOURS.contains(&part));
    fits.then_some(end + 3)
}

/// `text` without sequences that steer a terminal (ECMA-48, 5.4 and 5.6): what a program says, and not how.
pub fn without_sequences(text: &str) -> Cow<'_, str> {
    if !text.contains(['\u{1b}', '\u{9b}', '\u{9d}']) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let introducer = match c {
            '\u{1b}' => chars.next(),
            '\u{9b}' => Some('['),
            '\u{9d}' => Some(']'),
            c => {
                out.push(c);
                continue;
            }
        };
        match introducer {
            Some('[') => while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
            // Strings of the operating system and of devices: up to BEL or the string terminator.
            Some(']' | 'P' | 'X' | '^' | '_') => {
                while let Some(c) = chars.next() {
                    if c == '\u{1b}' {
                        chars.next_if_eq(&'\\');
                    }
                    if matches!(c, '\u{7}' | '\u{9c}' | '\u{1b}') {
                        break;
                    }
                }
            }
            // With intermediate characters, such as the choice of a character set.
            Some(' '..='/') => while chars.next().is_some_and(|c| (' '..='/').contains(&c)) {},
            _ => {}
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_shown() {
        assert_eq!(shown("as it is:\tö\n", false), "as it is:\tö\n");
        assert_eq!(
            shown("\u{1b}]0;x\u{7}\rgone\u{202e}\u{9b}2J\u{7f}", true),
            "\\u{1b}]0;x\\u{7}\\u{d}gone\\u{202e}\\u{9b}2J\\u{7f}"
        );
        let coloured = "\u{1b}[1;31merror:\u{1b}[0m x";
        assert_eq!(shown(coloured, true), coloured);
        assert_eq!(shown(coloured, false), "\\u{1b}[1;31merror:\\u{1b}[0m x");
        for hides in ["8", "7", "30", "40", "38;5;0", "2J"] {
            assert!(shown(&format!("\u{1b}[{hides}m"), true).starts_with("\\u{1b}"), "{hides}");
        }
    }

    #[test]
    fn json_steers_no_terminal_and_means_the_same() {
        let value = serde_json::json!({"a\u{9b}2J": "\u{9d}0;x\u{7}\u{202e}\u{7f}\u{feff}\u{1b}ö\n"});
        for text in [value.to_string(), format!("{value:#}\n")] {
            let shown = json_shown(&text);
            assert!(!shown.contains(|c| is_hidden(c) && c != '\n'), "{shown}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
        }
    }

    #[test]
    fn what_a_program_says_stays() {
        assert_eq!(without_sequences("\u{1b}[01;31merror\u{1b}[K: x"), "error: x");
        assert_eq!(without_sequences("\u{1b}]8;;http://a\u{1b}\\link\u{1b}]8;;\u{7}!"), "link!");
        assert_eq!(without_sequences("a\u{1b}(Bb\u{1b}7c\u{1b}"), "abc");
    }
}
