//! Commands whose failure ends nothing, in a script that is to end at what fails: no shell ends anything where somebody
//! asks how a list of commands ended (POSIX.1-2024, "set", `-e`).

use std::collections::HashSet;

use super::fails::{DEEPEST, Known, without_assignments};
use super::lex::Word;
use super::masked::is_nothing;
use super::options::{Options, given};
use super::parse::{Command, Item, Kind, List, parse};

/// So many of a script are told.
const MOST: usize = 20;

/// One of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unended {
    /// As it is written.
    pub(super) text: String,
    /// Its first line, and which one of such lines it is.
    pub(super) place: (String, usize),
    /// Where it is asked how the list ended, in words.
    pub(super) asked: &'static str,
    /// The function whose list it is.
    pub(super) function: Option<String>,
}

/// All of `script`, whose shell has `options` from the start: the first of each list.
pub(super) fn unended(script: &str, options: Options) -> Vec<Unended> {
    let mut found = Vec::new();
    look(script, options, DEEPEST, &mut found);
    found
}

fn look(script: &str, mut options: Options, depth: usize, found: &mut Vec<Unended>) {
    let list = parse(script);
    let mut looker = Looker { script, known: &Known::of(&list), depth, seen: HashSet::new(), found };
    looker.list(&list, &mut options, Asked::Nowhere);
}

/// Where it is asked how a list ended.
#[derive(Clone, Copy)]
enum Asked<'a> {
    Nowhere,
    /// Whatever it says is right.
    ForNothing,
    /// A place, in words, and the function that is called there.
    At(&'static str, Option<&'a str>),
}

struct Looker<'a, 'f> {
    script: &'a str,
    known: &'a Known<'a>,
    depth: usize,
    /// Functions that were looked at where it is asked how they ended.
    seen: HashSet<&'a str>,
    found: &'f mut Vec<Unended>,
}

impl<'a> Looker<'a, '_> {
    fn list(&mut self, list: &'a List, options: &mut Options, asked: Asked<'a>) {
        let last = list.len().saturating_sub(1);
        let mut told = false;
        for (at, item) in list.iter().enumerate() {
            if let (Asked::At(words, function), true, false) = (asked, options.errexit && at < last, told) {
                told = self.tell(item, *options, words, function);
            }
            self.item(item, options, if told { Asked::ForNothing } else { asked });
        }
    }

    /// Tells of `item` if it may fail and others follow.
    fn tell(&mut self, item: &Item, options: Options, asked: &'static str, function: Option<&str>) -> bool {
        let found = self.known.item(item, options.asked(), DEEPEST).filter(|found| !self.known.ends_badly(found, true));
        let Some(command) = found.filter(|found| self.works(found)) else { return false };
        if self.found.len() >= MOST {
            return true;
        }
        let text = self.script.get(command.start..command.end).unwrap_or_default().to_owned();
        let place = command.place(self.script);
        let one = Unended { text, place, asked, function: function.map(str::to_owned) };
        if !self.found.contains(&one) {
            self.found.push(one);
        }
        true
    }

    /// True for a command that does something: whoever asks a question or looks something up takes any answer.
    fn works(&self, command: &Command) -> bool {
        let Kind::Simple { words, .. } = &command.kind else { return false };
        without_assignments(words).first().is_some_and(|first| !matches!(first.text.as_str(), "[" | "test" | "read"))
    }

    fn item(&mut self, item: &'a Item, options: &mut Options, asked: Asked<'a>) {
        for (at, pipeline) in item.pipelines().enumerate() {
            let later = item.rest.get(at..).unwrap_or_default();
            let for_nothing = later.iter().any(|(or, next)| *or && is_nothing(next));
            let asked = match (asked, later.first()) {
                (Asked::Nowhere, _) if for_nothing => Asked::ForNothing,
                (Asked::Nowhere, _) if pipeline.negated => Asked::At("behind `!`", None),
                (Asked::Nowhere, Some((true, _))) => Asked::At("before `||`", None),
                (Asked::Nowhere, Some((false, _))) => Asked::At("before `&&`", None),
                _ => asked,
            };
            let apart = item.background || pipeline.commands.len() > 1;
            for command in &pipeline.commands {
                let mut own = *options;
                self.command(command, if apart { &mut own } else { options }, asked);
            }
        }
    }

    fn command(&mut self, command: &'a Command, options: &mut Options, asked: Asked<'a>) {
        let condition = match asked {
            Asked::Nowhere => Asked::At("in a condition", None),
            _ => asked,
        };
        match &command.kind {
            Kind::Simple { words, documents, .. } => self.simple(words, documents, options, asked),
            Kind::Test(_) => {}
            Kind::If { conditions, branches } => {
                conditions.iter().for_each(|list| self.list(list, options, condition));
                branches.iter().for_each(|list| self.list(list, options, asked));
            }
            Kind::Loop { condition: list, body, .. } => {
                self.list(list, options, condition);
                self.list(body, options, asked);
            }
            Kind::Case(cases) => cases.iter().for_each(|list| self.list(list, options, asked)),
            Kind::Group(list) => self.list(list, options, asked),
            Kind::Subshell(list) => self.list(list, &mut options.within(), asked),
            Kind::Function { body, .. } => self.list(body, &mut options.within(), Asked::Nowhere),
        }
    }

    fn simple(&mut self, words: &'a [Word], documents: &[String], options: &mut Options, asked: Asked<'a>) {
        let words = without_assignments(words);
        if options.set_by(words, self.known) {
            return;
        }
        if let (Some(first), Asked::At(place, _)) = (words.first(), asked)
            && let Some(body) = self.known.function(&first.text)
            && self.seen.insert(&first.text)
        {
            self.list(body, &mut options.within(), Asked::At(place, Some(&first.text)));
        }
        if self.depth > 0 {
            for (script, own) in given(words, documents) {
                look(script, own, self.depth - 1, self.found);
            }
        }
    }
}

#[cfg(test)]
mod tests;
