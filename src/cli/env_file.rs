//! `--env-file`: one `NAME=value` a line, as Docker and podman read it; quotes around a value are taken off.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::{CommandError, Kind};

/// Reads the file at `path`.
pub(super) fn read(path: &Path) -> Result<BTreeMap<String, String>, CommandError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| CommandError::new(Kind::Usage, format!("cannot read {}: {error}", path.display())))?;
    parse(&text).map_err(|line| {
        let place = format!("{}:{line}", path.display());
        CommandError::usage(format!("{place}: not `NAME=value`"))
    })
}

/// Parses the text; an error is the number of the wrong line.
fn parse(text: &str) -> Result<BTreeMap<String, String>, usize> {
    let mut values = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=').ok_or(index + 1)?;
        let name = name.trim();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(index + 1);
        }
        let value = value.trim();
        let quoted = |quote| value.strip_prefix(quote).and_then(|value: &str| value.strip_suffix(quote));
        let value = quoted('"').or_else(|| quoted('\'')).unwrap_or(value);
        values.insert(name.to_owned(), value.to_owned());
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_every_kind() {
        let values = parse("# no\n\nA=1\nexport B = \"x y\"\nC='#'\nD=\nE=a=b\n").unwrap();
        let pairs: Vec<(&str, &str)> = values.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(pairs, [("A", "1"), ("B", "x y"), ("C", "#"), ("D", ""), ("E", "a=b")]);
        assert_eq!(parse("A=1\nwhat is this"), Err(2));
    }
}
