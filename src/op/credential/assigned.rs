//! Values that `=` or `:` assigns to the name of a secret, and where they go on behind the end of the line.

use std::ops::Range;

use super::names::{is_ordinary, is_secret, names_one, reference};

/// Names of fields that name what another one holds, as in the `env` of a container, and names of these.
const NAMING: [&str; 5] = ["name", "key", "id", "field", "variable"];
const NAMED: [&str; 3] = ["value", "default", "stringvalue"];
/// Lines behind that of the name on which such a value is looked for.
const NEAR: usize = 2;
/// Lines on which a value goes on that ends nowhere before.
const FAR: usize = 64;

/// A line of a text, without its end.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) text: &'a str,
    /// Where it begins in the text.
    pub(super) start: usize,
}

impl<'a> Line<'a> {
    fn indent(&self) -> usize {
        self.text.len() - self.text.trim_start().len()
    }

    fn is_blank(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// Where the text is from `from` on, without blanks around it.
    fn rest(&self, from: usize) -> Range<usize> {
        let rest = &self.text[from..];
        let start = from + rest.len() - rest.trim_start().len();
        self.start + start..self.start + self.text.trim_end().len().max(start)
    }

    /// The same without quotes around it, and what separates it from the next value.
    fn value(&self, from: usize) -> Range<usize> {
        let Range { start, end } = self.rest(from);
        let text = &self.text[start - self.start..end - self.start];
        let bare = text.trim_end_matches([',', ';']).trim_end();
        let quote = |text: &'a str| {
            text.chars().next().filter(|c| "\"'".contains(*c) && text.len() > 1 && text.ends_with(*c)).is_some()
        };
        if quote(bare) { start + 1..start + bare.len() - 1 } else { start..start + bare.len() }
    }
}

/// How a value goes on behind its line.
enum More {
    /// It does not.
    No,
    /// On lines that are indented more than its name, as YAML has it, or on the next one, as JSON has it.
    Below { indent: usize, json: bool },
    /// On all lines that are indented more (YAML 1.2.2, 8.1).
    Block { indent: usize },
    /// On the next line, and on those after it as long as each ends with a backslash.
    Next,
    /// Up to this text.
    Until(&'static str),
}

/// A value of a line.
struct Value {
    /// In the line; empty if it stands elsewhere.
    place: Range<usize>,
    more: More,
}

/// Where the values are that the line at `at` assigns to names of secrets.
pub(super) fn all(lines: &[Line<'_>], at: usize) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let here = &lines[at];
    let mut named = false;
    values(here.text, |name, value| {
        let naming = NAMING.iter().any(|naming| name.eq_ignore_ascii_case(naming)) && names_one(first_word(value));
        named |= naming;
        !naming && is_secret(name) || named && NAMED.iter().any(|holds| name.eq_ignore_ascii_case(holds))
    })
    .into_iter()
    .for_each(|value| add(lines, at, value, &mut found));
    if named {
        for below in at + 1..lines.len().min(at + 1 + NEAR) {
            let of_name = |name: &str, _: &str| NAMED.iter().any(|holds| name.eq_ignore_ascii_case(holds));
            values(lines[below].text, of_name).into_iter().for_each(|value| add(lines, below, value, &mut found));
        }
    }
    found
}

fn first_word(value: &str) -> &str {
    let value = value.trim_start_matches(['"', '\'']);
    &value[..value.find(|c: char| c.is_whitespace() || "\"',;}".contains(c)).unwrap_or(value.len())]
}

/// The values that `line` assigns to names that count, going by the name and by all that follows it.
fn values(line: &str, mut counts: impl FnMut(&str, &str) -> bool) -> Vec<Value> {
    let of_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let (mut found, mut done) = (Vec::new(), 0);
    for (at, sign) in line.match_indices(['=', ':']) {
        let before = line[..at].trim_end_matches([' ', '\t', '"', '\'', '?', '+']);
        let begin = before
            .rfind(|c| !of_name(c))
            .map_or(0, |last| last + before[last..].chars().next().map_or(1, char::len_utf8));
        let name = &before[begin..];
        let after = &line[at + 1..];
        // `==` compares, `://` is a URL's; `:=` and `=>` assign.
        let other = after.starts_with('=') && sign == "=" || after.starts_with('/') && sign == ":";
        let after = if after.starts_with(['=', '>']) { &after[1..] } else { after };
        let value = after.trim_start_matches([' ', '\t']);
        let start = line.len() - value.len();
        if at < done || name.is_empty() || other || !counts(name, value) || is_ordinary(name, value) {
            continue;
        }
        let quoted = line[before.len()..at].contains(['"', '\'']);
        let value = of_sign(line, start, sign, begin, quoted);
        done = value.place.end.max(start);
        found.push(value);
    }
    found
}

/// The value that begins at `start`, behind the sign of a name that begins at `name`; the name may stand in quotes.
fn of_sign(line: &str, start: usize, sign: &str, name: usize, quoted: bool) -> Value {
    let (value, end) = (&line[start..], line.trim_end().len().max(start));
    let none = |more| Value { place: start..start, more };
    let to_end = |more| Value { place: start..end, more };
    if let Some(length) = reference(value) {
        return Value { place: start + length..start + length, more: More::No };
    }
    let yaml = sign == ":" && line[..start].ends_with([' ', '\t', ':']);
    let first = line[..name].trim_start_matches([' ', '-', '"', '\'']).is_empty();
    let indent =
        if first { line[..name].trim_end_matches(['"', '\'']).len() } else { line.len() - line.trim_start().len() };
    if value.is_empty() {
        return none(More::Below { indent, json: quoted });
    }
    if yaml && is_block(value) {
        return none(More::Block { indent });
    }
    for triple in ["\"\"\"", "'''"] {
        if let Some(inside) = value.strip_prefix(triple) {
            let length = inside.find(triple);
            return match length {
                Some(length) => Value { place: start + 3..start + 3 + length, more: More::No },
                None => Value { place: start + 3..end.max(start + 3), more: More::Until(triple) },
            };
        }
    }
    for (quote, text) in [('"', "\""), ('\'', "'")] {
        if value.starts_with(quote) {
            return match quoted_end(value, quote) {
                Some((length, plain)) if plain => Value { place: start + 1..start + length - 1, more: More::No },
                Some((length, _)) => Value { place: start..start + length, more: More::No },
                None => Value { place: start + 1..end.max(start + 1), more: More::Until(text) },
            };
        }
    }
    match value.trim_end() {
        "{" => none(More::No),
        "[" => none(More::Until("]")),
        "(" => none(More::Until(")")),
        "\\" => none(More::Next),
        // A comment, as far as anybody knows.
        text if text.starts_with('#') => to_end(More::Below { indent, json: false }),
        text => match enclosing(line, name).filter(|_| !quoted).and_then(|quote| text.find(quote)) {
            Some(length) => Value { place: start..start + length, more: More::No },
            None if text.ends_with('\\') && !text.ends_with(" \\") => to_end(More::Next),
            None if yaml && first => to_end(More::Below { indent, json: false }),
            None => to_end(More::No),
        },
    }
}

/// True for `|`, `>-`, `!tag |2` and the like, which say that the value is below.
fn is_block(value: &str) -> bool {
    let value = value.split(" #").next().unwrap_or_default().trim_end();
    let last = value.rsplit([' ', '\t']).next().unwrap_or_default();
    let marks = last.strip_prefix(['|', '>']);
    marks.is_some_and(|marks| marks.len() <= 2 && marks.chars().all(|c| c.is_ascii_digit() || "+-".contains(c)))
        && (last.len() == value.len() || value.starts_with(['!', '&']))
}

/// How long the value in quotes is that `value` begins with, and whether it is in quotes as a whole: `'a'\''b'` and
/// `'it''s'` go on behind their second quote.
fn quoted_end(value: &str, quote: char) -> Option<(usize, bool)> {
    let ends = |c: char| c.is_whitespace() || ",;}])</>&|".contains(c);
    let (mut inside, mut escaped, mut closed) = (None, false, 0);
    for (at, c) in value.char_indices() {
        match inside {
            Some(open) if c == open && !escaped => (inside, closed) = (None, closed + 1),
            Some(open) => escaped = c == '\\' && !escaped && open == '"',
            None if escaped => escaped = false,
            None if "\"'".contains(c) => inside = Some(c),
            None if c == '\\' => escaped = true,
            None if ends(c) => return Some((at, closed == 1 && value[..at].ends_with(quote))),
            None => {}
        }
        if inside.is_some() && c != '\\' {
            escaped = false;
        }
    }
    inside.is_none().then(|| (value.len(), closed == 1 && value.ends_with(quote)))
}

/// The quote within which the name at `at` stands, with more before or behind it.
fn enclosing(line: &str, at: usize) -> Option<char> {
    ['"', '\''].into_iter().find(|quote| line[..at].matches(*quote).count() % 2 == 1)
}

/// Adds the places of `value`, of the line at `at`.
fn add(lines: &[Line<'_>], at: usize, value: Value, found: &mut Vec<Range<usize>>) {
    let here = &lines[at];
    found.push(here.start + value.place.start..here.start + value.place.end);
    let below = lines.iter().skip(at + 1);
    match value.more {
        More::No => {}
        More::Next => {
            for line in below.take(FAR) {
                found.push(line.rest(0));
                if !line.text.trim_end().ends_with('\\') {
                    break;
                }
            }
        }
        More::Block { indent } => {
            let deeper = below.take_while(|line| line.is_blank() || line.indent() > indent);
            found.extend(deeper.map(|line| line.rest(0)));
        }
        More::Below { indent: of_name, json } => {
            let mut first = json;
            for line in below.filter(|line| !line.is_blank()) {
                let (text, indent) = (line.text.trim_start(), line.indent());
                let item = text.strip_prefix("- ").is_some_and(|item| !is_mapping(item));
                let inside = first || indent > of_name || item && indent == of_name;
                if !inside
                    || is_mapping(text)
                    || text.starts_with(['{', '}', ']', '<'])
                    || text.starts_with("- ") && !item
                {
                    break;
                }
                if text.starts_with('[') {
                    add(
                        lines,
                        lines.partition_point(|other| other.start < line.start),
                        whole(line, More::Until("]")),
                        found,
                    );
                    break;
                }
                found.push(line.value(indent + if item { 2 } else { 0 }));
                first = false;
                if json {
                    break;
                }
            }
        }
        More::Until(end) => {
            let Some(length) = below.clone().take(FAR).position(|line| line.text.contains(end)) else { return };
            for (number, line) in below.take(length + 1).enumerate() {
                let cut =
                    if number == length { line.text.find(end).unwrap_or(line.text.len()) } else { line.text.len() };
                found.push(Line { text: &line.text[..cut], start: line.start }.value(0));
            }
        }
    }
}

fn whole(line: &Line<'_>, more: More) -> Value {
    Value { place: line.indent()..line.text.trim_end().len(), more }
}

/// True for a line that begins with the key of a mapping.
fn is_mapping(text: &str) -> bool {
    let Some(at) = text.find(':') else { return false };
    let key = text[..at].trim_end();
    let name = key.trim_matches(['"', '\'']);
    let of_key = |c: char| c.is_alphanumeric() || "_-./ ".contains(c);
    let ends = text[at + 1..].chars().next().is_none_or(char::is_whitespace);
    ends && !name.is_empty() && name.chars().all(of_key)
}
