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
    pub(super) start: usize,
    pub(super) end: usize,
}

/// What kind of command it is.
#[derive(Debug)]
pub(super) enum Kind {
    /// Words; a redirection to a file may fail.
    Simple { words: Vec<Word>, to_file: bool, documents: Vec<String> },
    /// `[[ … ]]` and `(( … ))`.
    Test,
    /// Conditions, and what is done in each case.
    If { conditions: Vec<List>, branches: Vec<List> },
    /// `while`, `until`, `for`, `select`.
    Loop { condition: List, body: List },
    /// What is done in each case.
    Case(Vec<List>),
    /// `{ … }`
    Group(List),
    /// `( … )`
    Subshell(List),
    /// What a function does when it is called.
    Function(List),
}

/// Reads `script`.
pub(super) fn parse(script: &str) -> List {
    let mut parser = Parser { tokens: lex(script), at: 0, depth: 0 };
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
            while matches!(self.token(), Some(Token::Redirect(_) | Token::Document(_))) {
                self.at += 1;
            }
        }
        Command { kind, start, end }
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
                Kind::Loop { condition, body: self.body() }
            }
            "for" | "select" => {
                while self.token().is_some_and(|token| !matches!(token, Token::Newline | Token::Op(_)))
                    && self.word() != Some("do")
                {
                    self.at += 1;
                }
                while matches!(self.token(), Some(Token::Newline | Token::Op(";"))) {
                    self.at += 1;
                }
                Kind::Loop { condition: List::new(), body: self.body() }
            }
            "case" => self.cases(),
            "function" => {
                self.at += 2;
                self.function()
            }
            "[[" => {
                while self.token().is_some_and(|token| *token != Token::Newline) && !self.take_word("]]") {
                    self.at += 1;
                }
                Kind::Test
            }
            word if word.starts_with("((") => {
                self.at += 1;
                Kind::Test
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
    fn function(&mut self) -> Kind {
        for bracket in ["(", ")"] {
            self.at += usize::from(self.op() == Some(bracket));
        }
        self.newlines();
        if self.depth >= DEEPEST {
            self.at = self.tokens.len();
            return Kind::Function(List::new());
        }
        self.depth += 1;
        let body = vec![self.item()];
        self.depth -= 1;
        Kind::Function(body)
    }

    fn simple(&mut self) -> Kind {
        let (mut words, mut to_file, mut documents) = (Vec::new(), false, Vec::new());
        while let Some(token) = self.token() {
            match token {
                Token::Word(word) => words.push(word.clone()),
                Token::Redirect(file) => to_file |= *file,
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
                Token::Op("(") if words.len() == 1 => return self.function(),
                Token::Op(_) | Token::Newline => break,
            }
            self.at += 1;
        }
        Kind::Simple { words, to_file, documents }
    }
}
