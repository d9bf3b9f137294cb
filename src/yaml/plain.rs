//! Text of a blueprint on its way to a terminal: nothing in it may steer the terminal, or flood it.

use std::borrow::Cow;

/// Characters of a message.
const MAX_MESSAGE: usize = 400;

/// Stands for a value that is not known while a blueprint is only looked at. No character (Unicode 23.7), so that no
/// author's text has it.
pub const UNKNOWN: &str = "\u{fdd0}";

/// How the marker of a secret begins.
const SECRET: &str = "\0secret:";

/// True for characters that do not show as themselves: controls, and those that turn the direction of text around.
pub(super) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// `text` as part of a message: hidden characters as their escapes, and cut where it gets long.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    let long = text.char_indices().nth(MAX_MESSAGE).map(|(at, _)| at);
    if long.is_none() && !text.contains(|c| is_hidden(c) || UNKNOWN.contains(c)) {
        return Cow::Borrowed(text);
    }
    // The value of a secret stands between two NUL characters that no text of an author holds.
    if text.contains(SECRET) {
        let shown: Vec<&str> =
            text.split('\0').map(|part| if part.starts_with("secret:") { "***" } else { part }).collect();
        return Cow::Owned(plain(&shown.concat()).into_owned());
    }
    let mut out = String::new();
    for c in text[..long.unwrap_or(text.len())].chars() {
        match c {
            c if UNKNOWN.contains(c) => out.push('…'),
            c if is_hidden(c) => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    if long.is_some() {
        out.push('…');
    }
    Cow::Owned(out)
}

/// True if all characters of `text` show as themselves: it is one line, and steers nothing.
pub fn shows(text: &str) -> bool {
    // Nearly all text is this, and archives have much of it.
    text.bytes().all(|byte| matches!(byte, b' '..=b'~')) || !text.contains(is_hidden)
}

/// `text` on one line: a name among other words, of which no part may look like a line of alloy's own.
pub fn one_line(text: &str) -> Cow<'_, str> {
    // A marker's NUL characters show where a secret is.
    let hidden = |c: char| is_hidden(c) && c != '\0';
    if !text.contains(hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    text.chars().for_each(|c| if hidden(c) { out.extend(c.escape_unicode()) } else { out.push(c) });
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        assert!(shows("as it is: ö") && !shows("a\nb") && !shows("\u{1b}[2J") && !shows("\u{202e}x") && !shows("\0"));
        assert_eq!(plain("as it is: ö"), "as it is: ö");
        assert_eq!(plain("\u{1b}[2J\n"), "\\u{1b}[2J\\n");
        assert_eq!(plain("\u{202e}x"), "\\u{202e}x");
        assert_eq!(plain("`a \0secret:TOKEN\0 b`"), "`a *** b`");
        assert_eq!(plain(&format!("`{UNKNOWN}/x`")), "`…/x`");
        assert_eq!(one_line("a\nerror: \0secret:T\0\u{2028}\tb"), "a\\u{a}error: \0secret:T\0\\u{2028}\\u{9}b");
        assert_eq!(plain(&"x".repeat(1 << 20)).chars().count(), MAX_MESSAGE + 1);
    }
}
