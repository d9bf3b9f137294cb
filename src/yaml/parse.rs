//! Text to tree. Bounded: by the size of the file, its depth, and what aliases may expand to.

use std::collections::{HashMap, HashSet};

use granit_parser::{Event, Parser, ScalarStyle, Span as Raw, Tag};

use super::{Diagnostic, FileId, Key, Mapping, Node, Span, Value, characters};

/// Bytes of one file. Blueprints are written by hand.
pub const MAX_FILE: u64 = 4 << 20;
const MAX_DEPTH: usize = 64;
/// Bytes of a value in memory, about, beside its text.
const NODE: usize = 160;

/// What the trees of one blueprint may take in memory, aliases expanded.
#[derive(Debug)]
pub struct Budget(usize);

impl Default for Budget {
    fn default() -> Self {
        Self(16 << 20)
    }
}

/// Parses a file of one document; an empty file is null.
pub fn parse(file: FileId, text: &str) -> Result<Node, Diagnostic> {
    parse_within(file, text, &mut Budget::default())
}

/// Parses one file of several that share what they may take.
pub fn parse_within(file: FileId, text: &str, budget: &mut Budget) -> Result<Node, Diagnostic> {
    characters::check(file, text)?;
    let mut builder = Builder { file, text, anchors: HashMap::new(), aliases: false, budget };
    let mut parser = Parser::new_from_str(text);
    let mut root = None;
    while let Some((event, raw)) = builder.next(&mut parser)? {
        match event {
            Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) | Event::DocumentEnd => {}
            _ if root.is_some() => {
                let span = builder.span(raw);
                return Err(Diagnostic::error("yaml", span, "the file has more than one YAML document")
                    .label("the second one")
                    .help("put everything into one document, and drop the second `---`"));
            }
            event => root = Some(builder.node(event, raw, &mut parser, 0)?.0),
        }
    }
    let null = Value::Scalar { text: String::new(), plain: true };
    Ok(root.unwrap_or(Node { span: Span::start_of(file), value: null }))
}

struct Builder<'t> {
    file: FileId,
    text: &'t str,
    /// Values by anchor, and what each takes.
    anchors: HashMap<usize, (Node, usize)>,
    aliases: bool,
    budget: &'t mut Budget,
}

type Events<'t> = Parser<'t, granit_parser::StrInput<'t>>;

impl<'t> Builder<'t> {
    fn next(&self, parser: &mut Events<'t>) -> Result<Option<(Event<'t>, Raw)>, Diagnostic> {
        parser.next_event().transpose().map_err(|error| {
            // What is missing at the end of a file is missed behind its last word.
            let words = self.text.trim_end().len();
            let start = error.marker().byte_offset().unwrap_or(self.text.len()).min(words);
            let end =
                self.text.get(start..).and_then(|rest| rest.chars().next()).map_or(start, |c| start + c.len_utf8());
            let span = Span::of(self.file, self.text, start, end);
            characters::behind(span, self.text, &error.info()).unwrap_or_else(|| {
                let message = format!("not valid YAML: {}", error.info());
                Diagnostic::error("yaml", span, message).help(characters::help(&error.info()))
            })
        })
    }

    fn span(&self, raw: Raw) -> Span {
        let offset = |mark: granit_parser::Marker| mark.byte_offset().unwrap_or(0).min(self.text.len());
        let (start, end) = (offset(raw.start), offset(raw.end));
        // A block's span ends behind its last line break.
        let text = self.text.get(start..end).unwrap_or_default();
        let end = start + text.trim_end().len();
        Span { file: self.file, start, end, line: raw.start.line().max(1), column: raw.start.col() + 1 }
    }

    /// Takes `size` bytes from the budget.
    fn take(&mut self, size: usize, span: Span) -> Result<(), Diagnostic> {
        let left = self.budget.0.checked_sub(size).ok_or_else(|| {
            let message = match self.aliases {
                true => "the aliases of this file expand to too much",
                false => "the blueprint holds too many values",
            };
            Diagnostic::error("size", span, message).help("a blueprint is a few hundred lines; is this one?")
        })?;
        self.budget.0 = left;
        Ok(())
    }

    /// One node and what it takes.
    fn node(
        &mut self,
        event: Event<'t>,
        raw: Raw,
        parser: &mut Events<'t>,
        depth: usize,
    ) -> Result<(Node, usize), Diagnostic> {
        let mut span = self.span(raw);
        if depth > MAX_DEPTH {
            return Err(Diagnostic::error("depth", span, format!("nested more than {MAX_DEPTH} levels deep")));
        }
        let (value, anchor, size) = match event {
            Event::Alias(id) => {
                self.aliases = true;
                let Some(size) = self.anchors.get(&id).map(|(_, size)| *size) else {
                    return Err(Diagnostic::error("alias", span, "an alias within what it stands for")
                        .help("an alias stands for a value that is complete before it"));
                };
                // Before the copy is made.
                self.take(size, span)?;
                let node = self.anchors.get(&id).map(|(node, _)| node.clone());
                return Ok((node.map_or(Node::null(span), |node| Node { span, ..node }), size));
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.known(tag.as_deref(), span)?;
                let size = NODE + text.len();
                self.take(size, span)?;
                let plain = style == ScalarStyle::Plain && tag.is_none();
                (Value::Scalar { text: text.into_owned(), plain }, anchor, size)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.known(tag.as_deref(), span)?;
                self.take(NODE, span)?;
                let mut items: Vec<Node> = Vec::new();
                let mut size = NODE;
                while let Some((event, raw)) = self.next(parser)? {
                    if matches!(event, Event::SequenceEnd) {
                        span = self.whole(span, raw, items.first().map(|item| item.span));
                        break;
                    }
                    let (item, more) = self.node(event, raw, parser, depth + 1)?;
                    size += more;
                    items.push(item);
                }
                (Value::Sequence(items), anchor, size)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.known(tag.as_deref(), span)?;
                self.take(NODE, span)?;
                let (mapping, size, end) = self.mapping(parser, depth)?;
                span = self.whole(span, end.unwrap_or(raw), mapping.entries.first().map(|(key, _)| key.span));
                (Value::Mapping(mapping), anchor, size)
            }
            _ => return Err(Diagnostic::error("yaml", span, "not valid YAML: a value is missing")),
        };
        let node = Node { span, value };
        if anchor != 0 {
            self.take(size, span)?;
            self.anchors.insert(anchor, (node.clone(), size));
        }
        Ok((node, size))
    }

    /// What to underline of a list or mapping: all of it between brackets, else what comes first in it.
    fn whole(&self, span: Span, end: Raw, first: Option<Span>) -> Span {
        let end = self.span(end);
        if self.text.get(span.start..).is_some_and(|text| text.starts_with(['[', '{'])) {
            return Span { end: (end.start + 1).clamp(span.start, self.text.len()), ..span };
        }
        // The first value of an alias is elsewhere.
        first.filter(|first| first.start >= span.start && first.start < end.start.max(span.end)).unwrap_or(span)
    }

    /// A list or a mapping in place of a key.
    fn no_key(&self, span: Span) -> Diagnostic {
        if span.start > 0 && self.text.get(span.start - 1..).is_some_and(|text| text.starts_with("{{")) {
            let span = Span { start: span.start - 1, column: span.column.saturating_sub(1).max(1), ..span };
            let message = "a value that begins with `{{` must stand between quotes";
            return Diagnostic::error("template", span, message).help("put all of the value between quotes");
        }
        Diagnostic::error("yaml", span, "a key must be a text").help("write `key: value`")
    }

    /// Tags would change what a value means, and nothing here knows any but YAML's own.
    fn known(&self, tag: Option<&Tag>, span: Span) -> Result<(), Diagnostic> {
        match tag.filter(|tag| tag.is_custom()) {
            Some(tag) => Err(Diagnostic::error("tag", span, format!("there is no tag `{}`", tag.original()))
                .help("remove the tag; a text that begins with `!` stands between quotes")),
            None => Ok(()),
        }
    }

    /// A mapping, what it takes, and its end.
    fn mapping(&mut self, parser: &mut Events<'t>, depth: usize) -> Result<(Mapping, usize, Option<Raw>), Diagnostic> {
        let mut mapping = Mapping::default();
        let mut merged: Vec<Mapping> = Vec::new();
        let mut seen = HashSet::new();
        let mut size = NODE;
        let mut end = None;
        while let Some((event, raw)) = self.next(parser)? {
            if matches!(event, Event::MappingEnd) {
                end = Some(raw);
                break;
            }
            let (key, more) = self.node(event, raw, parser, depth + 1)?;
            size += more;
            let Value::Scalar { text, plain } = key.value else {
                return Err(self.no_key(key.span));
            };
            if plain && key.span.start == key.span.end {
                let error = Diagnostic::error("yaml", key.span, "a key is missing in front of the `:`");
                return Err(error.help("write `key: value`"));
            }
            let key = Key { text, span: key.span };
            if !seen.insert(key.text.clone()) {
                return Err(Diagnostic::error("duplicate-key", key.span, format!("`{}` is there twice", key.text))
                    .label("the second one")
                    .help("keep one of them"));
            }
            let Some((event, raw)) = self.next(parser)? else { break };
            let (value, more) = self.node(event, raw, parser, depth + 1)?;
            size += more;
            if plain && key.text == "<<" {
                merged = merge(value)?;
            } else {
                mapping.entries.push((key, value));
            }
        }
        for (key, value) in merged.into_iter().flat_map(|mapping| mapping.entries) {
            if seen.insert(key.text.clone()) {
                mapping.entries.push((key, value));
            }
        }
        Ok((mapping, size, end))
    }
}

/// What the key `<<` brings in (yaml.org/type/merge): keys that stand beside it win, and the first of a list.
fn merge(node: Node) -> Result<Vec<Mapping>, Diagnostic> {
    let wrong = |span| {
        Diagnostic::error("merge", span, "`<<` takes a mapping, or a list of mappings")
            .help("write `<<: *anchor`, where the anchor stands at a mapping")
    };
    match node.value {
        Value::Mapping(mapping) => Ok(vec![mapping]),
        Value::Sequence(items) => {
            let mappings = items.into_iter().map(|item| match item.value {
                Value::Mapping(mapping) => Ok(mapping),
                _ => Err(wrong(item.span)),
            });
            mappings.collect()
        }
        Value::Scalar { .. } => Err(wrong(node.span)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> (&'static str, usize, usize) {
        let error = parse(FileId(0), text).unwrap_err();
        (error.code, error.span.line, error.span.column)
    }

    #[test]
    fn scalars_keep_what_was_written() {
        let node = parse(FileId(0), "mode: 0755\nquoted: \"0755\"\n").unwrap();
        let mapping = node.mapping("").unwrap();
        assert_eq!(mapping.get("mode").unwrap().text("mode").unwrap(), "0755");
        let span = mapping.get("quoted").unwrap().span;
        assert_eq!((span.line, span.column, span.start, span.end), (2, 9, 19, 25));
    }

    #[test]
    fn what_is_not_strict_is_refused_at_its_place() {
        assert_eq!(code("a: 1\nb: 2\na: 3\n"), ("duplicate-key", 3, 1));
        assert_eq!(code("a:\n\tb: 1\n"), ("tab", 2, 1));
        assert_eq!(code("a: 1\n---\nb: 2\n"), ("yaml", 3, 1));
        assert_eq!(code("? [a]\n: 1\n").0, "yaml");
        assert_eq!(code("a: [1, 2\n").0, "yaml");
        assert_eq!(code("a: &x [*x]\n"), ("alias", 1, 8));
        assert_eq!(code(&format!("{}x", "- ".repeat(70))).0, "depth");
    }

    #[test]
    fn a_bomb_does_not_go_off() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let below = format!("*a{}, ", level - 1).repeat(10);
            text += &format!("a{level}: &a{level} [{below}]\n");
        }
        assert_eq!(code(&text).0, "size");
    }

    #[test]
    fn nor_does_one_of_long_texts() {
        let text = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), "*a, ".repeat(1000));
        assert_eq!(code(&text).0, "size");
        let anchors: String = (0..60).map(|level| format!("{:1$}a: &a{level}\n", "", level)).collect();
        let text = format!("{anchors}{:60}[{}]\n", "", "x, ".repeat(10_000));
        assert_eq!(code(&text).0, "size");
    }

    #[test]
    fn files_share_a_budget() {
        let mut budget = Budget::default();
        let text = "- x\n".repeat(40_000);
        assert!(parse_within(FileId(0), &text, &mut budget).is_ok());
        assert!(parse_within(FileId(1), &text, &mut budget).is_ok());
        assert_eq!(parse_within(FileId(2), &text, &mut budget).unwrap_err().code, "size");
    }

    #[test]
    fn merged_keys_give_way() {
        let text = "base: &b {x: 1, y: 2}\nother: &o {y: 3, z: 4}\nuse:\n  <<: [*b, *o]\n  x: 9\n";
        let node = parse(FileId(0), text).unwrap();
        let used = node.mapping("").unwrap().get("use").unwrap().mapping("").unwrap();
        let value = |key: &str| used.get(key).unwrap().text(key).unwrap();
        assert_eq!((value("x"), value("y"), value("z"), used.entries.len()), ("9", "2", "4", 3));
        assert_eq!(code("a:\n  <<: x\n"), ("merge", 2, 7));
    }

    #[test]
    fn characters_that_do_not_show_are_refused() {
        assert_eq!(code("a: b\n\0c: d\n"), ("character", 2, 1));
        assert_eq!(code("a: \u{1b}[2J\n"), ("character", 1, 4));
        assert_eq!(code("a: !vault x\n").0, "tag");
    }

    #[test]
    fn lists_and_mappings_know_their_place() {
        let slice = |text: &'static str| {
            let node = parse(FileId(0), text).unwrap();
            let span = node.mapping("").unwrap().get("a").unwrap().span;
            &text[span.start..span.end]
        };
        assert_eq!(slice("a: [b, c]\n"), "[b, c]");
        assert_eq!(slice("a: {b: c}\n"), "{b: c}");
        assert_eq!(slice("a:\n  - b\n  - c\n"), "b");
        assert_eq!(slice("a:\n  b: c\n"), "b");
        assert_eq!(slice("a: [\n  b,\n]\n"), "[\n  b,\n]");
    }

    #[test]
    fn tabs_inside_a_block_are_text() {
        assert!(parse(FileId(0), "content: |\n  all:\n  \tcc main.c\n").is_ok());
    }
}
