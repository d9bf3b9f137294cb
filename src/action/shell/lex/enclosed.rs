//! Where an expansion ends.

use super::{Lexer, Token};

/// So many `$(…)` in each other are read as scripts; of what is deeper, brackets are counted.
const DEEPEST: usize = 32;
/// Words that a command may follow.
pub(super) const BEFORE: [&str; 10] = ["!", "do", "elif", "else", "if", "then", "time", "until", "while", "{"];

impl Lexer<'_> {
    /// Bytes of the expansion that begins here with one character and a bracket: up to the bracket that closes it.
    pub(super) fn enclosed(&mut self) -> usize {
        let text = self.rest();
        let is_script = text[1..].starts_with('(') && !text[1..].starts_with("((");
        if !is_script || self.counts || self.depth >= DEEPEST {
            return counted(text);
        }
        let length = match Lexer::new(&text[2..], self.depth + 1).closed() {
            Some(length) => return length + 2,
            // Whoever asks finds no end, either.
            None if self.depth > 0 => return text.len(),
            None => counted(text),
        };
        self.counts = true;
        length
    }
}

/// What stands open.
#[derive(PartialEq, Eq)]
enum Open {
    Bracket,
    /// `case`: the bracket behind a pattern closes nothing.
    Case,
}

impl Lexer<'_> {
    /// Bytes up to the bracket that closes what was opened before the script; `None` if there is none.
    fn closed(&mut self) -> Option<usize> {
        let mut open = Vec::new();
        // A command may begin here.
        let mut begins = true;
        while self.at < self.script.len() {
            let before = self.tokens.len();
            self.next();
            for placed in &self.tokens[before..] {
                match &placed.token {
                    Token::Op("(") => open.push(Open::Bracket),
                    Token::Op(")") => match open.last() {
                        None => return Some(placed.end),
                        Some(Open::Bracket) => drop(open.pop()),
                        Some(Open::Case) => {}
                    },
                    Token::Word(word) if !word.quoted && begins => match word.text.as_str() {
                        "case" => open.push(Open::Case),
                        "esac" if open.last() == Some(&Open::Case) => drop(open.pop()),
                        _ => {}
                    },
                    _ => {}
                }
                begins = match &placed.token {
                    Token::Word(word) => !word.quoted && BEFORE.contains(&word.text.as_str()),
                    Token::Redirect { .. } | Token::Document(_) => begins,
                    Token::Newline | Token::Op(_) => true,
                };
            }
        }
        None
    }
}

/// The same, by its brackets: for what is no script, or one without an end.
pub(super) fn counted(text: &str) -> usize {
    let (mut depth, mut quote, mut escaped) = (0_usize, None, false);
    for (at, c) in text.char_indices().skip(1) {
        match (quote, c) {
            _ if escaped => escaped = false,
            (None | Some('"'), '\\') => escaped = true,
            (Some(open), _) if c == open => quote = None,
            (Some('\''), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (_, '(' | '{') => depth += 1,
            (_, ')' | '}') => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    text.len()
}
