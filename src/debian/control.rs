//! deb822: stanzas of `Field: value` with continuation lines (deb822(5)). Read line by line: an index has tens of
//! thousands of stanzas, of which a base needs a hundred.

use std::io::{self, BufRead};

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
    let mut keeping = false;
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches(['\n', '\r']);
        if text.trim().is_empty() {
            if !stanza.fields.is_empty() {
                each(&stanza);
            }
            stanza.fields.clear();
            keeping = false;
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
    fn stanzas_and_continuation_lines() {
        let all = parse("Package: a\nDescription: x\n more\n .\n\n\n# no\nPackage: b\nVERSION: 1\r\n");
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].get("description"), Some("x\n more\n ."));
        assert_eq!(all[1].get("Version"), Some("1"));
    }
}
