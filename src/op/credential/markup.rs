//! XML: elements and attributes that are called as secrets are, and values beside such a name.

use std::ops::Range;

use super::names::{is_secret, names_one};

const CDATA: &str = "<![CDATA[";
/// Elements and attributes that name what another one holds.
const NAMING: [&str; 4] = ["name", "key", "id", "property"];

/// Where `text` has values of such elements and attributes; a place may have several lines.
pub(super) fn all(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    // An element has named a secret: the next one holds it.
    let mut named = false;
    for (at, _) in text.match_indices('<') {
        let Some(tag) = Tag::at(text, at) else { continue };
        let naming = tag.attributes.iter().any(|(name, value)| is_naming(name) && names_one(&text[value.clone()]));
        for (name, value) in &tag.attributes {
            if (naming && name.eq_ignore_ascii_case("value")) || is_value_of(name) {
                found.push(value.clone());
            }
        }
        let Some(inner) = tag.text(text) else { continue };
        if naming || named || is_value_of(tag.name) {
            found.push(inner.clone());
        }
        named = is_naming(tag.name) && names_one(text[inner].trim());
    }
    found
}

fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

fn is_naming(name: &str) -> bool {
    NAMING.iter().any(|naming| local(name).eq_ignore_ascii_case(naming))
}

/// True for what is called as secrets are, and not only `key`, which names something there.
fn is_value_of(name: &str) -> bool {
    is_secret(local(name)) && !is_naming(name)
}

/// The beginning of an element.
struct Tag<'a> {
    name: &'a str,
    attributes: Vec<(&'a str, Range<usize>)>,
    /// Where its content begins; `None` of one that has none.
    content: Option<usize>,
}

impl<'a> Tag<'a> {
    fn at(text: &'a str, at: usize) -> Option<Self> {
        let of_name = |c: char| c.is_alphanumeric() || "_-.:".contains(c);
        let name_of = |from: usize| &text[from..from + text[from..].find(|c| !of_name(c)).unwrap_or(text.len() - from)];
        let name = name_of(at + 1);
        if !name.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            return None;
        }
        let (mut end, mut attributes) = (at + 1 + name.len(), Vec::new());
        loop {
            end += text[end..].len() - text[end..].trim_start().len();
            let rest = &text[end..];
            if rest.starts_with("/>") {
                return Some(Self { name, attributes, content: None });
            }
            if rest.starts_with('>') {
                return Some(Self { name, attributes, content: Some(end + 1) });
            }
            let attribute = name_of(end);
            let value = text[end + attribute.len()..].trim_start().strip_prefix('=')?.trim_start();
            let quote = value.chars().next().filter(|c| "\"'".contains(*c))?;
            let start = text.len() - value.len() + 1;
            let length = text[start..].find(quote)?;
            attributes.push((attribute, start..start + length));
            end = start + length + 1;
        }
    }

    /// What stands between it and its end, if that is text alone.
    fn text(&self, text: &str) -> Option<Range<usize>> {
        let content = self.content?;
        let (start, end) = match text[content..].strip_prefix(CDATA) {
            Some(inside) => (content + CDATA.len(), content + CDATA.len() + inside.find("]]>")?),
            None => (content, content + text[content..].find('<')?),
        };
        let rest = text[end..].strip_prefix("]]>").unwrap_or(&text[end..]).trim_start();
        rest.strip_prefix("</")?.starts_with(self.name).then_some(start..end)
    }
}
