//! Words and operators of a script, as far as it takes to tell its commands apart (POSIX.1-2024, "Shell Command
//! Language", 2.3, and bash's additions).

mod enclosed;

use enclosed::{BEFORE, counted};

/// A piece of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A word, or part of a redirection.
    Word(Word),
    /// What stands between commands, and around them.
    Op(&'static str),
    /// The end of a line.
    Newline,
    /// A redirection, which may fail if it is one to a file; and the scripts that write what is read.
    Redirect { to_file: bool, inputs: Vec<String> },
    /// The text of a document (`<<`, `<<<`), for the command before it.
    Document(String),
}

/// A word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Word {
    /// What it says, without its quotes; expansions as they are written.
    pub(super) text: String,
    /// Part of it is quoted: it is no word of the language.
    pub(super) quoted: bool,
    /// A command's output stands in it.
    pub(super) substitutes: bool,
    /// The scripts of its `$(…)` and of those between backquotes: what they print stands in it.
    pub(super) commands: Vec<String>,
    /// The scripts of its `<(…)`: what they print is read.
    pub(super) inputs: Vec<String>,
}

impl Word {
    /// Takes the expansion `text`, which begins with a sign and a bracket.
    fn expand(&mut self, text: &str) {
        self.text += text;
        if let Some(parameter) = text.strip_prefix("${") {
            self.within(parameter);
            return;
        }
        if !text[1..].starts_with('(') || text[1..].starts_with("((") {
            return;
        }
        self.substitutes = true;
        let script = |script: &str| script.strip_suffix(')').unwrap_or(script).to_owned();
        self.commands.extend(text.strip_prefix("$(").map(script));
        self.inputs.extend(text.strip_prefix("<(").map(script));
    }

    /// Takes the commands of a `${…}`: its default may be what one prints.
    fn within(&mut self, parameter: &str) {
        let mut at = 0;
        while let Some(next) = parameter[at..].find(['\\', '$', '`']) {
            at += next;
            let rest = &parameter[at..];
            let (script, length) = match rest.as_bytes() {
                [b'\\', ..] => (None, 1 + rest[1..].chars().next().map_or(0, char::len_utf8)),
                [b'$', b'(', b'(', ..] => (None, 3),
                [b'$', b'(', ..] => {
                    let length = counted(rest);
                    let script = &rest[2..length];
                    (Some(script.strip_suffix(')').unwrap_or(script)), length)
                }
                [b'`', ..] => {
                    let script = rest[1..].split('`').next().unwrap_or_default();
                    (Some(script), (script.len() + 2).min(rest.len()))
                }
                _ => (None, 1),
            };
            self.substitutes |= script.is_some();
            self.commands.extend(script.map(str::to_owned));
            at += length;
        }
    }
}

/// A token, and where it is.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Operators, the longest first.
const OPERATORS: [&str; 11] = [";;&", ";;", ";&", "&&", "||", "|&", ";", "&", "|", "(", ")"];
/// Redirections, the longest first; what follows is a word.
const REDIRECTIONS: [&str; 11] = ["<<<", "&>>", "<<-", "<<", ">>", "<&", ">&", ">|", "<>", "&>", "<"];

struct Lexer<'a> {
    script: &'a str,
    at: usize,
    /// So many `$(…)` lie around it.
    depth: usize,
    /// One of them has no end: brackets are counted from there on.
    counts: bool,
    /// No `))` is left.
    without_arithmetic: bool,
    tokens: Vec<Placed>,
    /// Documents that begin after this line: their ends, whether tabs before lines count for nothing, and the places of
    /// their tokens.
    documents: Vec<(String, bool, usize)>,
}

/// Takes `script` apart. What has no end goes on to the end of the script.
pub(super) fn lex(script: &str) -> Vec<Placed> {
    let mut lexer = Lexer::new(script, 0);
    while lexer.at < script.len() {
        lexer.next();
    }
    lexer.tokens
}

impl<'a> Lexer<'a> {
    fn new(script: &'a str, depth: usize) -> Self {
        Self {
            script,
            at: 0,
            depth,
            counts: false,
            without_arithmetic: false,
            tokens: Vec::new(),
            documents: Vec::new(),
        }
    }

    fn rest(&self) -> &'a str {
        &self.script[self.at..]
    }

    fn push(&mut self, token: Token, start: usize) {
        self.tokens.push(Placed { token, start, end: self.at });
    }

    fn next(&mut self) {
        let (start, rest) = (self.at, self.rest());
        let first = rest.chars().next().unwrap_or(' ');
        if rest.starts_with("\\\n") {
            self.at += 2;
        } else if first == '\n' {
            self.at += 1;
            self.push(Token::Newline, start);
            self.read_documents();
        } else if first.is_whitespace() {
            self.at += first.len_utf8();
        } else if first == '#' {
            self.at += rest.find('\n').unwrap_or(rest.len());
        } else if rest.starts_with("((")
            && let Some(length) = self.arithmetic()
        {
            self.at += length;
            let word = Word { text: self.script[start..self.at].to_owned(), ..Word::default() };
            self.push(Token::Word(word), start);
        } else if let Some(found) = REDIRECTIONS.into_iter().chain([">"]).find(|found| rest.starts_with(found))
            && !rest.starts_with("<(")
            && !rest.starts_with(">(")
        {
            self.redirect(found, start);
        } else if let Some(found) = OPERATORS.into_iter().find(|found| rest.starts_with(found)) {
            self.at += found.len();
            self.push(Token::Op(found), start);
        } else {
            let word = self.word();
            // A number before a redirection says of which descriptor.
            let descriptor = word.text.bytes().all(|byte| byte.is_ascii_digit()) && self.rest().starts_with(['<', '>']);
            if !descriptor {
                self.push(Token::Word(word), start);
            }
        }
    }

    /// Bytes of the `((…))` that begins here.
    fn arithmetic(&mut self) -> Option<usize> {
        let end = if self.without_arithmetic { None } else { self.rest().find("))") };
        self.without_arithmetic = end.is_none();
        end.map(|end| end + 2)
    }

    /// True if `!(` is the beginning of a pattern here, behind what there is of `word`: where a command may begin, it
    /// is what turns the status of `( … )` around.
    fn is_pattern(&self, word: &Word) -> bool {
        let behind = self.tokens.last().is_some_and(
            |before| matches!(&before.token, Token::Word(word) if word.quoted || !BEFORE.contains(&word.text.as_str())),
        );
        behind || word.quoted || !word.text.is_empty()
    }

    fn redirect(&mut self, found: &'static str, start: usize) {
        self.at += found.len();
        while self.rest().starts_with([' ', '\t']) {
            self.at += 1;
        }
        let word = self.word();
        if found == "<<<" {
            self.push(Token::Document(word.text), start);
            return;
        }
        if found.starts_with("<<") {
            self.documents.push((word.text, found == "<<-", self.tokens.len()));
            self.push(Token::Document(String::new()), start);
            return;
        }
        let to_descriptor = found.ends_with('&') || word.text.starts_with("/dev/");
        self.push(Token::Redirect { to_file: !to_descriptor, inputs: word.inputs }, start);
    }

    /// Documents follow the line that names them.
    fn read_documents(&mut self) {
        for (end, tabs, at) in std::mem::take(&mut self.documents) {
            let mut text = String::new();
            while self.at < self.script.len() {
                let length = self.rest().find('\n').map_or(self.rest().len(), |length| length + 1);
                let line = &self.script[self.at..self.at + length];
                self.at += length;
                let line = if tabs { line.trim_start_matches('\t') } else { line };
                if line.trim_end_matches('\n') == end {
                    break;
                }
                text += line;
            }
            if let Some(Placed { token: Token::Document(document), .. }) = self.tokens.get_mut(at) {
                *document = text;
            }
        }
    }

    fn word(&mut self) -> Word {
        let mut word = Word::default();
        while let Some(c) = self.rest().chars().next() {
            let rest = self.rest();
            match c {
                '\\' => {
                    let escaped = rest.chars().nth(1);
                    self.at += 1 + escaped.map_or(0, char::len_utf8);
                    if let Some(escaped) = escaped.filter(|escaped| *escaped != '\n') {
                        word.quoted = true;
                        word.text.push(escaped);
                    }
                }
                '\'' => {
                    word.quoted = true;
                    let length = rest[1..].find('\'').unwrap_or(rest.len() - 1);
                    word.text += &rest[1..1 + length];
                    self.at += (length + 2).min(rest.len());
                }
                '$' if rest[1..].starts_with('\'') => self.escaped(&mut word),
                '"' => self.double_quoted(&mut word),
                '`' => {
                    word.substitutes = true;
                    let length = rest[1..].find('`').map_or(rest.len(), |length| length + 2);
                    word.text += &rest[..length];
                    word.commands.push(rest[..length].trim_matches('`').to_owned());
                    self.at += length;
                }
                '$' | '<' | '>' if rest[1..].starts_with('(') || c == '$' && rest[1..].starts_with('{') => {
                    let length = self.enclosed();
                    word.expand(&self.rest()[..length]);
                    self.at += length;
                }
                // A pattern of bash's `extglob`.
                '?' | '*' | '+' | '@' | '!' if rest[1..].starts_with('(') && (c != '!' || self.is_pattern(&word)) => {
                    let length = counted(rest);
                    word.text += &rest[..length];
                    self.at += length;
                }
                _ if c.is_whitespace() || matches!(c, ';' | '&' | '|' | '(' | ')' | '<' | '>') => break,
                _ => {
                    word.text.push(c);
                    self.at += c.len_utf8();
                }
            }
        }
        word
    }

    /// `$'…'`, in which a backslash stands before what it changes.
    fn escaped(&mut self, word: &mut Word) {
        word.quoted = true;
        self.at += 2;
        while let Some(c) = self.rest().chars().next() {
            self.at += c.len_utf8();
            match (c, self.rest().chars().next()) {
                ('\'', _) => return,
                ('\\', Some(next)) => {
                    self.at += next.len_utf8();
                    word.text.push(match next {
                        'n' => '\n',
                        't' => '\t',
                        other => other,
                    });
                }
                _ => word.text.push(c),
            }
        }
    }

    fn double_quoted(&mut self, word: &mut Word) {
        word.quoted = true;
        self.at += 1;
        let mut within = false;
        while let Some(c) = self.rest().chars().next() {
            let rest = self.rest();
            match c {
                '"' => {
                    self.at += 1;
                    return;
                }
                '\\' => {
                    let escaped = rest.chars().nth(1);
                    self.at += 1 + escaped.map_or(0, char::len_utf8);
                    match escaped {
                        Some('\n') | None => {}
                        Some(escaped @ ('"' | '\\' | '$' | '`')) => word.text.push(escaped),
                        Some(other) => word.text.extend(['\\', other]),
                    }
                }
                '$' if rest[1..].starts_with(['(', '{']) => {
                    let length = self.enclosed();
                    word.expand(&self.rest()[..length]);
                    self.at += length;
                }
                _ => {
                    if c == '`' {
                        word.substitutes = true;
                        within = !within;
                        let script = || rest[1..].split('`').next().unwrap_or_default().to_owned();
                        word.commands.extend(within.then(script));
                    }
                    word.text.push(c);
                    self.at += c.len_utf8();
                }
            }
        }
    }
}
