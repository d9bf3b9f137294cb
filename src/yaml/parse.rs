//! Text to tree. Bounded: by the size of the file, its depth, and what aliases may expand to.

use std::collections::{HashMap, HashSet};

use granit_parser::{Event, Parser, ScalarStyle, Span as Raw};

use super::{Diagnostic, FileId, Key, Mapping, Node, Span, Value};

/// Bytes of one file. Blueprints are written by hand.
pub const MAX_FILE: u64 = 4 << 20;
const MAX_DEPTH: usize = 64;
/// Nodes after the expansion of aliases.
const MAX_NODES: usize = 500_000;

/// Parses a file of one document; an empty file is null.
pub fn parse(file: FileId, text: &str) -> Result<Node, Diagnostic> {
    check_text(file, text)?;
    let mut builder = Builder { file, text, anchors: HashMap::new(), nodes: 0 };
    let mut parser = Parser::new_from_str(text);
    let mut root = None;
    while let Some((event, raw)) = builder.next(&mut parser)? {
        match event {
            Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) | Event::DocumentEnd => {}
            _ if root.is_some() => {
                let span = builder.span(raw);
                return Err(Diagnostic::error("yaml", span, "the file has more than one YAML document")
                    .help("put everything into one document, and drop the second `---`"));
            }
            event => root = Some(builder.node(event, raw, &mut parser, 0)?.0),
        }
    }
    let null = Value::Scalar { text: String::new(), plain: true };
    Ok(root.unwrap_or(Node { span: Span::start_of(file), value: null }))
}

fn check_text(file: FileId, text: &str) -> Result<(), Diagnostic> {
    if text.len() as u64 > MAX_FILE {
        let message = format!("the file is larger than {} MiB", MAX_FILE >> 20);
        return Err(Diagnostic::error("size", Span::start_of(file), message).help("is this a blueprint?"));
    }
    // YAML 1.2, 6.1: tabs do not indent. The parser's own message for this is hard to understand.
    for (number, line) in text.lines().enumerate() {
        let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
        let rest = line[indent..].chars().next();
        if let Some(at) = line[..indent].find('\t').filter(|_| rest.is_some_and(|c| c != '#'))
            && !within_block(text, number)
        {
            let start = line.as_ptr() as usize - text.as_ptr() as usize + at;
            let span = Span { file, start, end: start + 1, line: number + 1, column: at + 1 };
            return Err(Diagnostic::error("tab", span, "YAML is not indented with tabs")
                .label("a tab")
                .help("use spaces"));
        }
    }
    Ok(())
}

/// True if line `number` may be content of a block scalar, where a tab after the indentation is text.
fn within_block(text: &str, number: usize) -> bool {
    text.lines().take(number).any(|line| {
        let line = line.trim_end();
        let line = line.split(" #").next().unwrap_or_default().trim_end();
        line.trim_end_matches(['+', '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']).ends_with(['|', '>'])
    })
}

struct Builder<'t> {
    file: FileId,
    text: &'t str,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

type Events<'t> = Parser<'t, granit_parser::StrInput<'t>>;

impl<'t> Builder<'t> {
    fn next(&self, parser: &mut Events<'t>) -> Result<Option<(Event<'t>, Raw)>, Diagnostic> {
        parser.next_event().transpose().map_err(|error| {
            let mark = error.marker();
            let start = mark.byte_offset().unwrap_or(self.text.len()).min(self.text.len());
            let end = self.text[start..].chars().next().map_or(start, |c| start + c.len_utf8());
            let span = Span { file: self.file, start, end, line: mark.line().max(1), column: mark.col() + 1 };
            Diagnostic::error("yaml", span, format!("not valid YAML: {}", error.info()))
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

    fn count(&mut self, nodes: usize, span: Span) -> Result<(), Diagnostic> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES {
            return Err(Diagnostic::error("size", span, "the aliases of this file expand to too much"));
        }
        Ok(())
    }

    /// One node and how many it consists of.
    fn node(
        &mut self,
        event: Event<'t>,
        raw: Raw,
        parser: &mut Events<'t>,
        depth: usize,
    ) -> Result<(Node, usize), Diagnostic> {
        let mut span = self.span(raw);
        self.count(1, span)?;
        if depth > MAX_DEPTH {
            return Err(Diagnostic::error("depth", span, format!("nested more than {MAX_DEPTH} levels deep")));
        }
        let (value, anchor, size) = match event {
            Event::Alias(id) => {
                let Some((node, size)) = self.anchors.get(&id).cloned() else {
                    return Err(Diagnostic::error("alias", span, "an alias within what it stands for"));
                };
                self.count(size, span)?;
                return Ok((Node { span, ..node }, size));
            }
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                (Value::Scalar { text: text.into_owned(), plain }, anchor, 1)
            }
            Event::SequenceStart(_, anchor, _) => {
                let mut items = Vec::new();
                let mut size = 1;
                while let Some((event, raw)) = self.next(parser)? {
                    if matches!(event, Event::SequenceEnd) {
                        break;
                    }
                    let (item, nodes) = self.node(event, raw, parser, depth + 1)?;
                    size += nodes;
                    items.push(item);
                }
                (Value::Sequence(items), anchor, size)
            }
            Event::MappingStart(_, anchor, _) => {
                let (mapping, size) = self.mapping(parser, depth)?;
                if let Some((key, _)) = mapping.entries.first() {
                    span = key.span;
                }
                (Value::Mapping(mapping), anchor, size)
            }
            _ => return Err(Diagnostic::error("yaml", span, "not valid YAML: a value is missing")),
        };
        let node = Node { span, value };
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), size));
        }
        Ok((node, size))
    }

    fn mapping(&mut self, parser: &mut Events<'t>, depth: usize) -> Result<(Mapping, usize), Diagnostic> {
        let mut mapping = Mapping::default();
        let mut seen = HashSet::new();
        let mut size = 1;
        while let Some((event, raw)) = self.next(parser)? {
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let (key, nodes) = self.node(event, raw, parser, depth + 1)?;
            size += nodes;
            let Value::Scalar { text, .. } = key.value else {
                return Err(Diagnostic::error("yaml", key.span, "a key must be a text"));
            };
            let key = Key { text, span: key.span };
            if !seen.insert(key.text.clone()) {
                return Err(Diagnostic::error("duplicate-key", key.span, format!("`{}` is there twice", key.text))
                    .label("the second one")
                    .help("keep one of them"));
            }
            let Some((event, raw)) = self.next(parser)? else { break };
            let (value, nodes) = self.node(event, raw, parser, depth + 1)?;
            size += nodes;
            mapping.entries.push((key, value));
        }
        Ok((mapping, size))
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
    fn tabs_inside_a_block_are_text() {
        assert!(parse(FileId(0), "content: |\n  all:\n  \tcc main.c\n").is_ok());
    }
}
