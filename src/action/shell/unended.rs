//! Commands whose failure ends nothing, in a script that is to end at what fails: no shell ends anything where somebody
//! asks how a list of commands ended (POSIX.1-2024, "set", `-e`).

use std::collections::HashSet;

use super::fails::{DEEPEST, Known, without_assignments};
use super::lex::Word;
use super::masked::is_nothing;
use super::options::{Options, given};
use super::parse::{Command, Item, Kind, List, Pipeline, parse};
use super::passed::asks_status;
use super::question::does_something;

/// How deeply lists may lie in each other, those of functions in what calls them; what is deeper is not looked at.
const DEEPEST_LIST: usize = 128;
/// So many of a script are told.
const MOST: usize = 20;

/// Commands behind `&&` for which it is a question what stands before it.
const ANSWERS: [&str; 9] = ["break", "continue", "declare", "exit", "export", "local", "readonly", "return", "typeset"];

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
    /// It is joined by `&&` with what stands behind it, in a list that somebody would end for.
    pub(super) joined: bool,
}

/// All of `script`, whose shell has `options` from the start: the first of each list.
pub(super) fn unended(script: &str, options: Options) -> Vec<Unended> {
    let mut found = Vec::new();
    look(script, options, DEEPEST, &mut found);
    found
}

fn look(script: &str, mut options: Options, depth: usize, found: &mut Vec<Unended>) {
    let list = parse(script);
    let mut looker = Looker { script, known: &Known::of(&list), depth, seen: HashSet::new(), within: 0, found };
    looker.list(&list, &mut options, Asked::Nowhere, true);
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
    /// So many lists lie around it.
    within: usize,
    found: &'f mut Vec<Unended>,
}

impl<'a> Looker<'a, '_> {
    /// `decides` where a failure of the last one is one of the list, and somebody ends for that.
    fn list(&mut self, list: &'a List, options: &mut Options, asked: Asked<'a>, decides: bool) {
        if self.within >= DEEPEST_LIST {
            return;
        }
        self.within += 1;
        let last = list.len().saturating_sub(1);
        let mut told = false;
        for (at, item) in list.iter().enumerate() {
            if let (Asked::At(words, function), true, false) = (asked, options.errexit && at < last, told) {
                told = self.tell(item, *options, words, function);
            }
            let looked_at = list.get(at + 1).is_some_and(|next| asks_status(next, self.script));
            let decides = decides && at == last || looked_at;
            self.item(item, options, if told { Asked::ForNothing } else { asked }, decides);
        }
        self.within -= 1;
    }

    /// Tells of what `&&` joins with others where a failure goes unheard: only that of the last one ends anything.
    fn joined(&mut self, item: &Item, options: Options) {
        let Some((_, last)) = item.rest.last() else { return };
        let from = item.rest.iter().rposition(|(or, _)| *or).map_or(0, |at| at + 1);
        // Who sets a variable, or leaves, asks.
        let answers = |pipeline: &Pipeline| match pipeline.commands.as_slice() {
            [Command { kind: Kind::Simple { words, .. }, .. }] => {
                without_assignments(words).first().is_none_or(|first| ANSWERS.contains(&first.text.as_str()))
            }
            _ => false,
        };
        if !options.ends() || item.background || from == item.rest.len() || answers(last) {
            return;
        }
        let (script, known) = (self.script, self.known);
        let mut left = item.pipelines().take(item.rest.len()).skip(from);
        let works = |pipeline: &&Pipeline| does_something(pipeline, script, known);
        let failing = left.find(works).and_then(|pipeline| known.pipeline(pipeline, options.asked(), DEEPEST));
        if let Some(command) = failing.filter(|_| self.found.len() < MOST) {
            let text = script.get(command.start..command.end).unwrap_or_default().to_owned();
            let place = command.place(script);
            self.found.push(Unended { text, place, asked: "before `&&`", function: None, joined: true });
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
        let one = Unended { text, place, asked, function: function.map(str::to_owned), joined: false };
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

    fn item(&mut self, item: &'a Item, options: &mut Options, asked: Asked<'a>, decides: bool) {
        if let (Asked::Nowhere, false) = (asked, decides) {
            self.joined(item, *options);
        }
        let for_nothing = item.rest.iter().rposition(|(or, next)| *or && is_nothing(next));
        for (at, pipeline) in item.pipelines().enumerate() {
            let asked = match (asked, item.rest.get(at)) {
                (Asked::Nowhere, _) if for_nothing.is_some_and(|nothing| at <= nothing) => Asked::ForNothing,
                (Asked::Nowhere, _) if pipeline.negated => Asked::At("behind `!`", None),
                (Asked::Nowhere, Some((true, _))) => Asked::At("before `||`", None),
                (Asked::Nowhere, Some((false, _))) => Asked::At("before `&&`", None),
                _ => asked,
            };
            let is_pipe = pipeline.commands.len() > 1;
            for command in &pipeline.commands {
                let mut own = *options;
                let options = if item.background || is_pipe { &mut own } else { &mut *options };
                // What a pipe is made of are shells of their own, and it is told elsewhere whom nobody asks.
                self.command(command, options, asked, decides || is_pipe || item.background);
            }
        }
    }

    fn command(&mut self, command: &'a Command, options: &mut Options, asked: Asked<'a>, decides: bool) {
        let condition = match asked {
            Asked::Nowhere => Asked::At("in a condition", None),
            _ => asked,
        };
        match &command.kind {
            Kind::Simple { words, documents, .. } => self.simple(words, documents, options, asked),
            Kind::Test(_) => {}
            Kind::If { conditions, branches } => {
                conditions.iter().for_each(|list| self.list(list, options, condition, decides));
                branches.iter().for_each(|list| self.list(list, options, asked, decides));
            }
            Kind::Loop { condition: list, body, .. } => {
                self.list(list, options, condition, decides);
                // The next round goes on.
                self.list(body, options, asked, false);
            }
            Kind::Case(cases) => cases.iter().for_each(|list| self.list(list, options, asked, decides)),
            Kind::Group(list) => self.list(list, options, asked, decides),
            // How a shell of its own ends, and a function, is heard where it is called.
            Kind::Subshell(list) => self.list(list, &mut options.within(), asked, true),
            Kind::Function { body, .. } => self.list(body, &mut options.within(), Asked::Nowhere, true),
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
            self.list(body, &mut options.within(), Asked::At(place, Some(&first.text)), true);
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
