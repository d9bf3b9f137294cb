//! Values of environment variables that refer to others, as those of a Dockerfile do (Dockerfile reference,
//! "Environment replacement"): `$NAME`, `${NAME}`, `${NAME:-instead}` and `${NAME:+if set}`. `\$` is a dollar.

use std::fmt::Write;

/// A variable and its value, as its author wrote it.
pub type Assignment = (String, String);

/// Part of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Reference { name: String, otherwise: Otherwise },
}

/// What a reference says of a variable that is not set.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Otherwise {
    /// Nothing: it has to be there.
    Fail,
    /// `:-`: this, also for one that is empty.
    Instead(Vec<Piece>),
    /// `:+`: this if it is set and not empty, else nothing.
    IfSet(Vec<Piece>),
}

/// A value, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvValue(Vec<Piece>);

/// References within each other.
const DEPTH: usize = 8;

impl EnvValue {
    /// Takes `text` apart. `Err` says what is wrong with a reference.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut rest = text;
        Ok(Self(pieces(&mut rest, DEPTH)?))
    }

    /// Names that have to be set.
    pub fn needs(&self) -> Vec<&str> {
        fn collect<'p>(pieces: &'p [Piece], names: &mut Vec<&'p str>) {
            for piece in pieces {
                match piece {
                    Piece::Text(_) => {}
                    Piece::Reference { name, otherwise: Otherwise::Fail } => names.push(name),
                    Piece::Reference { otherwise: Otherwise::Instead(pieces) | Otherwise::IfSet(pieces), .. } => {
                        collect(pieces, names);
                    }
                }
            }
        }
        let mut names = Vec::new();
        collect(&self.0, &mut names);
        names
    }

    /// The value, with the variables that `lookup` knows. `Err` names one that it does not.
    pub fn expand<'v>(&self, lookup: &impl Fn(&str) -> Option<&'v str>) -> Result<String, String> {
        expand(&self.0, lookup)
    }

    /// The value as a word of sh(1), which replaces the references itself.
    pub fn for_shell(&self) -> String {
        let mut word = String::new();
        shell(&self.0, &mut word);
        word
    }

    /// `text` so that it stands for itself in a value.
    pub fn escaped(text: &str) -> String {
        text.replace('\\', "\\\\").replace('$', "\\$")
    }
}

/// Reads up to the end, or within a reference up to its `}`, which is left.
fn pieces(rest: &mut &str, depth: usize) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    while let Some(first) = rest.chars().next() {
        if first == '}' && depth < DEPTH {
            break;
        }
        let after = &rest[first.len_utf8()..];
        match first {
            '\\' if after.starts_with(['$', '\\']) => {
                text.push_str(&after[..1]);
                *rest = &after[1..];
            }
            '$' => {
                *rest = after;
                match reference(rest, depth)? {
                    Some(piece) => {
                        if !text.is_empty() {
                            pieces.push(Piece::Text(std::mem::take(&mut text)));
                        }
                        pieces.push(piece);
                    }
                    None => text.push('$'),
                }
            }
            _ => {
                text.push(first);
                *rest = after;
            }
        }
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    Ok(pieces)
}

/// What stands behind a `$`; `None` for a dollar that is one.
fn reference(rest: &mut &str, depth: usize) -> Result<Option<Piece>, String> {
    let length = |text: &str| {
        let digit = text.starts_with(|c: char| c.is_ascii_digit());
        let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
        if digit { 0 } else { end }
    };
    let Some(inner) = rest.strip_prefix('{') else {
        let (name, after) = rest.split_at(length(rest));
        if name.is_empty() {
            return Ok(None);
        }
        *rest = after;
        return Ok(Some(Piece::Reference { name: name.to_owned(), otherwise: Otherwise::Fail }));
    };
    let (name, after) = inner.split_at(length(inner));
    let shown: String = inner.chars().take_while(|c| *c != '}').take(40).collect();
    if name.is_empty() {
        return Err(format!("`${{{shown}}}` names no variable"));
    }
    let kind = [":-", ":+"].into_iter().find(|kind| after.starts_with(kind));
    let otherwise = match kind {
        None => {
            *rest = after;
            Otherwise::Fail
        }
        Some(_) if depth == 0 => return Err(format!("`${{{name}…}}` has too many references within each other")),
        Some(kind) => {
            *rest = &after[kind.len()..];
            let inner = pieces(rest, depth - 1)?;
            if kind == ":-" { Otherwise::Instead(inner) } else { Otherwise::IfSet(inner) }
        }
    };
    *rest = rest.strip_prefix('}').ok_or_else(|| {
        format!("`${{{shown}` is not understood: write `${{NAME}}`, `${{NAME:-instead}}` or `${{NAME:+if set}}`")
    })?;
    Ok(Some(Piece::Reference { name: name.to_owned(), otherwise }))
}

fn expand<'v>(pieces: &[Piece], lookup: &impl Fn(&str) -> Option<&'v str>) -> Result<String, String> {
    let mut value = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => value.push_str(text),
            Piece::Reference { name, otherwise } => {
                let found = lookup(name);
                match (otherwise, found.filter(|found| !found.is_empty())) {
                    (Otherwise::Fail, _) => value.push_str(found.ok_or_else(|| name.clone())?),
                    (Otherwise::Instead(_), Some(found)) => value.push_str(found),
                    (Otherwise::Instead(pieces), None) | (Otherwise::IfSet(pieces), Some(_)) => {
                        value.push_str(&expand(pieces, lookup)?);
                    }
                    (Otherwise::IfSet(_), None) => {}
                }
            }
        }
    }
    Ok(value)
}

fn shell(pieces: &[Piece], word: &mut String) {
    for piece in pieces {
        match piece {
            Piece::Text(text) => {
                for c in text.chars() {
                    // What double quotes leave special (POSIX.1-2024, 2.2.3).
                    if matches!(c, '$' | '`' | '"' | '\\') {
                        word.push('\\');
                    }
                    word.push(c);
                }
            }
            Piece::Reference { name, otherwise } => {
                let (kind, pieces) = match otherwise {
                    Otherwise::Fail => ("", None),
                    Otherwise::Instead(pieces) => (":-", Some(pieces)),
                    Otherwise::IfSet(pieces) => (":+", Some(pieces)),
                };
                let _ = write!(word, "${{{name}{kind}");
                pieces.into_iter().for_each(|pieces| shell(pieces, word));
                word.push('}');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String, String> {
        let lookup = |name: &str| match name {
            "PATH" => Some("/bin"),
            "EMPTY" => Some(""),
            _ => None,
        };
        EnvValue::read(text).unwrap().expand(&lookup)
    }

    const CASES: [(&str, &str); 14] = [
        ("/x:$PATH", "/x:/bin"),
        ("${PATH}/y", "/bin/y"),
        ("\\$PATH", "$PATH"),
        ("\\\\$PATH", "\\/bin"),
        ("a\\b", "a\\b"),
        ("5$ and $1 $$", "5$ and $1 $$"),
        ("${NONE:-/z}", "/z"),
        ("${EMPTY:-/z}", "/z"),
        ("${PATH:-/z}", "/bin"),
        ("${PATH:+:$PATH}", ":/bin"),
        ("${NONE:+x}", ""),
        ("${NONE:-${EMPTY:-a}b}c", "abc"),
        ("}{", "}{"),
        ("a \"b\" `c` 'd'", "a \"b\" `c` 'd'"),
    ];

    #[test]
    fn references_as_in_a_dockerfile() {
        for (text, expected) in CASES {
            assert_eq!(expanded(text).as_deref(), Ok(expected), "{text}");
        }
        assert_eq!(expanded("$NONE"), Err("NONE".into()));
        assert_eq!(EnvValue::read("$A${B:-$C}").unwrap().needs(), ["A", "C"]);
        for secret in ["a$b\\", "\\$", "${"] {
            let text = format!("{}$PATH", EnvValue::escaped(secret));
            assert_eq!(expanded(&text), Ok(format!("{secret}/bin")));
        }
    }

    #[test]
    fn a_shell_makes_the_same_of_it() {
        for (text, expected) in CASES {
            let word = EnvValue::read(text).unwrap().for_shell();
            let script = format!("printf %s \"{word}\"");
            let mut shell = std::process::Command::new("/bin/sh");
            let output = shell.args(["-c", &script]).env_clear().env("PATH", "/bin").env("EMPTY", "").output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), expected, "{text}: {word}");
        }
    }

    #[test]
    fn what_is_no_reference_is_told() {
        for text in ["${", "${}", "${A", "${A:?x}", "${A-b}", "${1}", "${A:-${B}"] {
            assert!(EnvValue::read(text).is_err(), "{text}");
        }
        let nested = format!("{}x{}", "${A:-".repeat(200), "}".repeat(200));
        assert!(EnvValue::read(&nested).unwrap_err().contains("too many"));
    }
}
