//! deb822: stanzas of `Field: value` with continuation lines (deb822(5)). Read line by line: an index has tens of
//! thousands of stanzas, of which a base needs a hundred.

use std::io::{self, BufRead, Read};

use crate::yaml;

/// What a line may have, and all lines of a stanza together, in bytes. The longest that archives write are the lists of
/// hashes in their releases, of a few hundred thousand.
const LINE: u64 = 1 << 20;
const STANZA: u64 = 16 << 20;

fn too_much(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// One stanza, reused from one to the next.
#[derive(Clone, Debug, Default)]
pub struct Stanza {
    fields: Vec<(String, String)>,
}

impl Stanza {
    /// A field's value, its lines joined by line breaks. Names ignore case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The value of a field that is one line by its meaning (deb822(5), a simple field): a name, a version, a date.
    /// `None` also where it has more of them, or characters that do not show.
    pub fn line(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| yaml::shows(value))
    }

    /// All fields in their order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Calls `each` for every stanza of `reader`; fields that `wanted` does not want are passed over.
pub fn stanzas(
    mut reader: impl BufRead,
    wanted: impl Fn(&str) -> bool,
    mut each: impl FnMut(&Stanza),
) -> io::Result<()> {
    let mut stanza = Stanza::default();
    let mut line = Vec::new();
    let (mut keeping, mut held) = (false, 0_u64);
    loop {
        line.clear();
        if reader.by_ref().take(LINE + 1).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if line.len() as u64 > LINE {
            return Err(too_much(&format!("a line is longer than {LINE} bytes")));
        }
        held = held.saturating_add(line.len() as u64);
        if held > STANZA {
            return Err(too_much(&format!("a stanza is longer than {STANZA} bytes")));
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches(['\n', '\r']);
        if text.trim().is_empty() {
            if !stanza.fields.is_empty() {
                each(&stanza);
            }
            stanza.fields.clear();
            (keeping, held) = (false, 0);
        } else if text.starts_with([' ', '\t']) {
            if let Some((_, value)) = stanza.fields.last_mut().filter(|_| keeping) {
                value.push('\n');
                value.push_str(text);
            }
        } else if let Some((name, value)) = text.split_once(':').filter(|_| !text.starts_with('#')) {
            keeping = wanted(name);
            if keeping {
                stanza.fields.push((name.to_owned(), value.trim().to_owned()));
            }
        }
    }
    if !stanza.fields.is_empty() {
        each(&stanza);
    }
    Ok(())
}

/// All stanzas of a small text.
pub fn parse(text: &str) -> Vec<Stanza> {
    let mut all = Vec::new();
    // Reading from memory does not fail.
    let _ = stanzas(text.as_bytes(), |_| true, |stanza| all.push(stanza.clone()));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_lines_nor_stanzas_go_on_for_ever() {
        let read = |text: &mut dyn Read| stanzas(io::BufReader::new(text), |_| true, |_| {}).unwrap_err().to_string();
        assert_eq!(read(&mut io::repeat(b'x')), "a line is longer than 1048576 bytes");
        let mut text = "A: b\n".repeat(4 << 20);
        assert_eq!(read(&mut text.as_bytes()), "a stanza is longer than 16777216 bytes");
        text = "A: b\n\n".repeat(4 << 20);
        let mut count = 0;
        stanzas(text.as_bytes(), |_| true, |_| count += 1).unwrap();
        assert_eq!(count, 4 << 20);
    }

    #[test]
    fn stanzas_and_continuation_lines() {
        let all = parse("Package: a\nDescription: x\n more\n .\n\n\n# no\nPackage: b\nVERSION: 1\r\n");
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].get("description"), Some("x\n more\n ."));
        assert_eq!(all[1].get("Version"), Some("1"));
    }
}
