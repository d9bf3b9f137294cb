//! The commands of a script, as a tree. What the grammar does not allow is taken as it comes: the shell itself says what
//! is wrong with it.

use super::lex::{Placed, Token, Word, lex};

/// How deeply commands may lie in each other; what is deeper is not looked at.
const DEEPEST: usize = 64;

/// Commands, one after the other.
pub(super) type List = Vec<Item>;

/// Pipelines joined by `&&` and `||`.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) first: Pipeline,
    /// With true where `||` stands before it.
    pub(super) rest: Vec<(bool, Pipeline)>,
    /// Nobody waits for it.
    pub(super) background: bool,
}

/// Commands joined by `|`.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) negated: bool,
    pub(super) commands: Vec<Command>,
}

/// A command, and where it stands in the script.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) kind: Kind,
    /// The scripts that write what it reads.
    pub(super) inputs: Vec<String>,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// What kind of command it is.
#[derive(Debug)]
pub(super) enum Kind {
    /// Words; a redirection to a file may fail.
    Simple { words: Vec<Word>, to_file: bool, documents: Vec<String> },
    /// `[[ … ]]` and `(( … ))`; true if it asks, and does not count.
    Test(bool),
    /// Conditions, and what is done in each case.
    If { conditions: Vec<List>, branches: Vec<List> },
    /// `while`, `until`, `for`, `select`, with the words that they go through.
    Loop { words: Vec<Word>, condition: List, body: List },
    /// What is done in each case.
    Case(Vec<List>),
    /// `{ … }`
    Group(List),
    /// `( … )`
    Subshell(List),
    /// What a function does when it is called.
    Function { name: String, body: List },
}

impl Item {
    /// Its pipelines.
    pub(super) fn pipelines(&self) -> impl Iterator<Item = &Pipeline> {
        std::iter::once(&self.first).chain(self.rest.iter().map(|(_, next)| next))
    }
}

impl Command {
    /// Its first line in `script`, and which one of such lines it is.
    pub(super) fn place(&self, script: &str) -> (String, usize) {
        let text = script.get(self.start..self.end).unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        let before = script.get(..self.start).unwrap_or_default();
        (line.to_owned(), if line.is_empty() { 0 } else { before.matches(line).count() })
    }

    /// The lists that it is made of.
    pub(super) fn lists(&self) -> Vec<&List> {
        match &self.kind {
            Kind::Simple { .. } | Kind::Test(_) => Vec::new(),
            Kind::If { conditions, branches } => conditions.iter().chain(branches).collect(),
            Kind::Loop { condition, body, .. } => vec![condition, body],
            Kind::Case(cases) => cases.iter().collect(),
            Kind::Group(list) | Kind::Subshell(list) | Kind::Function { body: list, .. } => vec![list],
        }
    }
}

/// Reads `script`.
pub(super) fn parse(script: &str) -> List {
    let mut parser = Parser { tokens: lex(script), at: 0, depth: 0, inputs: Vec::new() };
    let mut list = List::new();
    while parser.at < parser.tokens.len() {
        list.extend(parser.list(&[]));
        // A word of the language that closes nothing.
        parser.at += 1;
    }
    list
}

struct Parser {
    tokens: Vec<Placed>,
    at: usize,
    depth: usize,
    /// Those of the command that is read.
    inputs: Vec<String>,
}

impl Parser {
    fn token(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|placed| &placed.token)
    }

    fn op(&self) -> Option<&'static str> {
        if let Some(Token::Op(op)) = self.token() { Some(op) } else { None }
    }

    /// The word here, if it may be one of the language.
    fn word(&self) -> Option<&str> {
        match self.token() {
            Some(Token::Word(word)) if !word.quoted => Some(&word.text),
            _ => None,
        }
    }

    fn take_word(&mut self, wanted: &str) -> bool {
        let found = self.word() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn newlines(&mut self) {
        while matches!(self.token(), Some(Token::Newline)) {
            self.at += 1;
        }
    }

    /// Commands up to one of the words `until`, an operator that closes, or the end.
    fn list(&mut self, until: &[&str]) -> List {
        let mut list = List::new();
        if self.depth >= DEEPEST {
            self.at = self.tokens.len();
            return list;
        }
        self.depth += 1;
        loop {
            while matches!(self.token(), Some(Token::Newline | Token::Op(";" | "&"))) {
                self.at += 1;
            }
            let closes = matches!(self.op(), Some(")" | ";;" | ";&" | ";;&"));
            if self.token().is_none() || closes || self.word().is_some_and(|word| until.contains(&word)) {
                break;
            }
            let before = self.at;
            let mut item = self.item();
            item.background = self.op() == Some("&");
            list.push(item);
            if self.at == before {
                // Nothing that begins a command.
                self.at += 1;
            }
        }
        self.depth -= 1;
        list
    }

    fn item(&mut self) -> Item {
        let mut item = Item { first: self.pipeline(), rest: Vec::new(), background: false };
        while let Some(op @ ("&&" | "||")) = self.op() {
            self.at += 1;
            self.newlines();
            item.rest.push((op == "||", self.pipeline()));
        }
        item
    }

    fn pipeline(&mut self) -> Pipeline {
        let mut negated = false;
        while self.take_word("!") {
            negated = !negated;
        }
        let _ = self.take_word("time");
        let mut commands = vec![self.command()];
        while let Some("|" | "|&") = self.op() {
            self.at += 1;
            self.newlines();
            commands.push(self.command());
        }
        Pipeline { negated, commands }
    }

    fn command(&mut self) -> Command {
        let start = self.tokens.get(self.at).map_or(0, |placed| placed.start);
        let from = self.at;
        let kind = self.kind();
        let last = self.at.checked_sub(1).filter(|last| *last >= from);
        let end = last.and_then(|last| self.tokens.get(last)).map_or(start, |placed| placed.end);
        if !matches!(kind, Kind::Simple { .. }) {
            while let Some(Token::Redirect { .. } | Token::Document(_)) = self.token() {
                if let Some(Token::Redirect { inputs, .. }) = self.token() {
                    self.inputs = inputs.clone();
                }
                self.at += 1;
            }
        }
        Command { kind, inputs: std::mem::take(&mut self.inputs), start, end }
    }

    fn kind(&mut self) -> Kind {
        if self.op() == Some("(") {
            self.at += 1;
            let list = self.list(&[]);
            self.at += usize::from(self.op() == Some(")"));
            return Kind::Subshell(list);
        }
        let word = self.word().unwrap_or_default().to_owned();
        match word.as_str() {
            "{" => self.group(),
            "if" => self.branches(),
            "while" | "until" => {
                self.at += 1;
                let condition = self.list(&["do"]);
                Kind::Loop { words: Vec::new(), condition, body: self.body() }
            }
            "for" | "select" => {
                let mut words = Vec::new();
                while self.token().is_some_and(|token| !matches!(token, Token::Newline | Token::Op(_)))
                    && self.word() != Some("do")
                {
                    words.extend(self.token().and_then(|token| match token {
                        Token::Word(word) => Some(word.clone()),
                        _ => None,
                    }));
                    self.at += 1;
                }
                while matches!(self.token(), Some(Token::Newline | Token::Op(";"))) {
                    self.at += 1;
                }
                Kind::Loop { words, condition: List::new(), body: self.body() }
            }
            "case" => self.cases(),
            "function" => {
                self.at += 1;
                let name = self.word().unwrap_or_default().to_owned();
                self.at += 1;
                self.function(name)
            }
            "[[" => {
                while self.token().is_some_and(|token| *token != Token::Newline) && !self.take_word("]]") {
                    self.at += 1;
                }
                Kind::Test(true)
            }
            word if word.starts_with("((") => {
                self.at += 1;
                Kind::Test(!counts(word))
            }
            _ => self.simple(),
        }
    }

    fn group(&mut self) -> Kind {
        self.at += 1;
        let list = self.list(&["}"]);
        self.take_word("}");
        Kind::Group(list)
    }

    fn body(&mut self) -> List {
        self.take_word("do");
        let body = self.list(&["done"]);
        self.take_word("done");
        body
    }

    fn branches(&mut self) -> Kind {
        let (mut conditions, mut branches) = (Vec::new(), Vec::new());
        while self.take_word("if") || self.take_word("elif") {
            conditions.push(self.list(&["then"]));
            self.take_word("then");
            branches.push(self.list(&["elif", "else", "fi"]));
        }
        if self.take_word("else") {
            branches.push(self.list(&["fi"]));
        }
        self.take_word("fi");
        Kind::If { conditions, branches }
    }

    fn cases(&mut self) -> Kind {
        while self.token().is_some_and(|token| *token != Token::Newline) && !self.take_word("in") {
            self.at += 1;
        }
        let mut cases = Vec::new();
        loop {
            self.newlines();
            if self.token().is_none() || self.take_word("esac") {
                return Kind::Case(cases);
            }
            self.at += usize::from(self.op() == Some("("));
            while self.token().is_some() && self.op() != Some(")") {
                self.at += 1;
            }
            self.at += 1;
            cases.push(self.list(&["esac"]));
            self.at += usize::from(matches!(self.op(), Some(";;" | ";&" | ";;&")));
        }
    }

    /// After its name.
    fn function(&mut self, name: String) -> Kind {
        for bracket in ["(", ")"] {
            self.at += usize::from(self.op() == Some(bracket));
        }
        self.newlines();
        if self.depth >= DEEPEST {
            self.at = self.tokens.len();
            return Kind::Function { name, body: List::new() };
        }
        self.depth += 1;
        let body = vec![self.item()];
        self.depth -= 1;
        Kind::Function { name, body }
    }

    fn simple(&mut self) -> Kind {
        let (mut words, mut to_file, mut documents, mut read) = (Vec::new(), false, Vec::new(), Vec::new());
        while let Some(token) = self.token() {
            match token {
                Token::Word(word) => words.push(word.clone()),
                Token::Redirect { to_file: file, inputs } => {
                    to_file |= *file;
                    read.extend(inputs.iter().cloned());
                }
                Token::Document(text) => documents.push(text.clone()),
                Token::Op("(") if words.last().is_some_and(|word: &Word| word.text.ends_with('=')) => {
                    // The values of an array.
                    while self.token().is_some() && self.op() != Some(")") {
                        if let (Some(Token::Word(value)), Some(array)) = (self.token(), words.last_mut()) {
                            array.substitutes |= value.substitutes;
                            array.commands.extend(value.commands.iter().cloned());
                        }
                        self.at += 1;
                    }
                }
                Token::Op("(") if words.len() == 1 => return self.function(words.remove(0).text),
                Token::Op(_) | Token::Newline => break,
            }
            self.at += 1;
        }
        self.inputs = read;
        Kind::Simple { words, to_file, documents }
    }
}

/// True for arithmetic that changes something.
fn counts(text: &str) -> bool {
    let bytes = text.as_bytes();
    let assigns = |at: usize| {
        let (before, after) = (at.checked_sub(1).map(|before| bytes[before]), bytes.get(at + 1));
        bytes[at] == b'=' && after != Some(&b'=') && !before.is_some_and(|before| b"=!<>".contains(&before))
    };
    text.contains("++") || text.contains("--") || (0..bytes.len()).any(assigns)
}
