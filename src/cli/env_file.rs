//! `--env-file`: one `NAME=value` a line, `export` before it or not; `#` begins a comment.

use std::collections::BTreeMap;
use std::path::Path;

use layers::regular;

use super::error::{CommandError, Kind};

/// Bytes of a file that is read.
const LIMIT: u64 = 16 << 20;

/// Reads the file at `path`.
pub(super) fn read(path: &Path) -> Result<BTreeMap<String, String>, CommandError> {
    let text = regular::given_text(path, LIMIT)
        .map_err(|error| CommandError::new(Kind::Usage, format!("cannot read {}: {error}", path.display())))?;
    parse(&text).map_err(|(line, wrong)| {
        CommandError::usage(format!("{}:{line}: {wrong}", path.display()))
            .hint("a line is NAME=value; a value with spaces at its ends or ` #` in it stands in quotes")
    })
}

/// Parses the text; an error is the number of the wrong line, and what is wrong with it. Never the line itself: it
/// may hold a secret.
fn parse(text: &str) -> Result<BTreeMap<String, String>, (usize, &'static str)> {
    let mut values = BTreeMap::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let wrong = |what| (index + 1, what);
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = match line.strip_prefix("export") {
            Some(rest) if rest.starts_with(char::is_whitespace) => rest.trim_start(),
            _ => line,
        };
        let (name, rest) = line.split_once('=').ok_or(wrong("no `=`"))?;
        let name = name.trim();
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(is_name) {
            return Err(wrong("the name of a variable has letters, digits and `_`"));
        }
        values.insert(name.to_owned(), value(rest).map_err(wrong)?);
    }
    Ok(values)
}

/// In `'` a value is as it is written; in `"` a backslash escapes; without quotes it ends before ` #`.
fn value(text: &str) -> Result<String, &'static str> {
    let trimmed = text.trim();
    let (value, rest) = match trimmed.chars().next() {
        Some('\'') => {
            let (value, rest) = trimmed[1..].split_once('\'').ok_or("the quote is not closed")?;
            (value.to_owned(), rest)
        }
        Some('"') => quoted(&trimmed[1..])?,
        // What is left of a comment alone is no value: `A= # none`.
        _ if text.starts_with(char::is_whitespace) && trimmed.starts_with('#') => return Ok(String::new()),
        _ => {
            let comment = trimmed.find(" #").into_iter().chain(trimmed.find("\t#")).min();
            return Ok(trimmed[..comment.unwrap_or(trimmed.len())].trim_end().to_owned());
        }
    };
    match rest.trim_start() {
        "" => Ok(value),
        rest if rest.starts_with('#') => Ok(value),
        _ => Err("something follows the closing quote"),
    }
}

fn quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 'r')) => value.push('\r'),
                Some((_, 't')) => value.push('\t'),
                Some((_, char @ ('"' | '\\' | '$'))) => value.push(char),
                Some((_, other)) => value.extend(['\\', other]),
                None => break,
            },
            char => value.push(char),
        }
    }
    Err("the quote is not closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_every_kind() {
        let text = "\u{feff}# no\n\nA=1\nexport B = \"x y\"\nC='#'\nD=\nE=a=b\r\nF=x # why\nG=a#b\n\
                    H=\"a\\nb \\\"c\\\" \\d\" # why\nI='\\n'\n  export\tJ=1\nexport=2\nK= # none\nL=#x\nA=last\n";
        let values = parse(text).unwrap();
        let pairs: Vec<(&str, &str)> = values.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let expected = [
            ("A", "last"),
            ("B", "x y"),
            ("C", "#"),
            ("D", ""),
            ("E", "a=b"),
            ("F", "x"),
            ("G", "a#b"),
            ("H", "a\nb \"c\" \\d"),
            ("I", "\\n"),
            ("J", "1"),
            ("K", ""),
            ("L", "#x"),
            ("export", "2"),
        ];
        assert_eq!(pairs, expected);
    }

    #[test]
    fn what_is_wrong_has_a_line() {
        for (text, line) in
            [("A=1\nwhat is this", 2), ("A-B=1", 1), ("\n\n1A=x", 3), ("A='x", 1), ("A=\"x\\\"", 1), ("A='x'y", 1)]
        {
            assert_eq!(parse(text).unwrap_err().0, line, "{text}");
        }
    }
}
