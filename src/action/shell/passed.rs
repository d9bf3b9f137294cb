//! Which failures a script passes over.

use std::cell::Cell;

use super::fails::{DEEPEST, Known, is_test, without_assignments};
use super::lex::{Token, Word, lex};
use super::masked::is_nothing;
use super::options::{Options, given};
use super::parse::{Command, Item, Kind, List, Pipeline, parse};
use super::question::works;

/// Bytes of a line that are looked at for a `$?`.
const LOOKED_AT: usize = 256;
/// Characters of a command that are shown.
const SHOWN: usize = 40;

/// Commands that fail where a command before them in a pipe gave them nothing.
const ASKING: [&str; 8] = ["[", "cmp", "egrep", "fgrep", "grep", "read", "test", "zgrep"];

/// Where a command stands: whether somebody asks how it ends.
#[derive(Clone, Copy)]
struct Place {
    /// It is a condition.
    tested: bool,
    /// How it ends is how the script ends.
    decides: bool,
    /// What `exit` ends here, if that is not the script, and nobody asks how it ends.
    alone: Option<&'static str>,
}

/// A failure that is passed over.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Passed {
    /// In words.
    pub(super) what: String,
    pub(super) by: By,
}

/// What passes over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// The script.
    Script,
    /// A script in it, which another shell runs.
    Given,
    /// Something in the background.
    Background,
    /// A command that stops reading.
    Reader,
    /// A `$(…)`.
    Substituted,
    /// What is done at the end.
    Trap,
}

/// The first failure that `script` passes over, where its shell has `options` from the start. It may be a `condition`:
/// what is asked of what a command printed does not hold where that printed nothing.
pub(super) fn passed_over(script: &str, options: Options, condition: bool) -> Option<Passed> {
    look(script, options, condition, DEEPEST)
}

fn look(script: &str, mut options: Options, condition: bool, depth: usize) -> Option<Passed> {
    let list = parse(script);
    let known = Known::of(&list);
    let ends = Cell::new(None);
    let looker = Looker { script, known: &known, waits: Waits::of(script), ends, condition, depth };
    let whole = Place { tested: false, decides: true, alone: None };
    let found = looker.list(&list, &mut options, whole);
    // A function is called after the options are set.
    let mut bodies = known.functions.iter().map(|(_, body)| *body);
    let options = looker.ends.get().unwrap_or(options).within();
    found.or_else(|| bodies.find_map(|body| looker.list(body, &mut options.clone(), whole)))
}

/// What a script has to do with what runs in the background.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waits {
    Never,
    /// For all of it, whatever becomes of it.
    ForAll,
    ForOne,
}

impl Waits {
    fn of(script: &str) -> Self {
        let words = || script.split(|c: char| !c.is_ascii_alphanumeric() && !"$!%".contains(c));
        let tokens = lex(script);
        let is_wait = |token: &Token| matches!(token, Token::Word(word) if word.text == "wait" && !word.quoted);
        let mut pairs = tokens.windows(2).map(|pair| (&pair[0].token, &pair[1].token));
        if words().any(|word| matches!(word, "kill" | "$!" | "%1"))
            || pairs.any(|(wait, next)| is_wait(wait) && matches!(next, Token::Word(_)))
        {
            return Self::ForOne;
        }
        if words().any(|word| word == "wait") { Self::ForAll } else { Self::Never }
    }
}

struct Looker<'a> {
    script: &'a str,
    known: &'a Known<'a>,
    waits: Waits,
    /// Options that it sets, with which a failure ends it.
    ends: Cell<Option<Options>>,
    condition: bool,
    depth: usize,
}

impl Looker<'_> {
    fn list(&self, list: &List, options: &mut Options, place: Place) -> Option<Passed> {
        let last = list.len().saturating_sub(1);
        list.iter().enumerate().find_map(|(at, item)| {
            let next = list.get(at + 1);
            let place = Place {
                decides: place.decides && at == last || next.is_some_and(|next| asks_status(next, self.script)),
                tested: place.tested || next.is_some_and(|next| first_line(next, self.script).contains("PIPESTATUS")),
                ..place
            };
            self.item(item, options, place)
        })
    }

    fn item(&self, item: &Item, options: &mut Options, place: Place) -> Option<Passed> {
        let before = *options;
        if item.background {
            return self.background(item, before, place);
        }
        let all: Vec<&Pipeline> = item.pipelines().collect();
        let last = all.len() - 1;
        for (at, pipeline) in all.iter().enumerate() {
            let place = Place { tested: place.tested || at < last, ..place };
            let or = at > 0 && item.rest[at - 1].0;
            if let (Some(alone), [end]) = (place.alone, pipeline.commands.as_slice())
                && self.known.ends_badly(end, or)
            {
                return told(format!("{} ends {alone} alone", self.shown(end)));
            }
            if let Some(found) = self.pipeline(pipeline, options, place) {
                return Some(found);
            }
        }
        // It ends the shell that it stands in, and who started that does not ask.
        let ends_alone = place.alone.filter(|_| before.ends());
        if place.tested || place.decides || before.ends() && ends_alone.is_none() {
            return None;
        }
        // Behind `||` stands what is done about a failure.
        let handled = item.rest.iter().rposition(|(or, _)| *or).map_or(0, |at| at + 1);
        let failing = all[handled..].iter().enumerate().find_map(|(at, pipeline)| {
            let at = handled + at;
            let found = match pipeline.commands.as_slice() {
                // What it is made of was looked at.
                [command] if at == last && !command.lists().is_empty() => None,
                _ if at < last && (is_test(pipeline) || ends_alone.is_some()) => None,
                _ => self.known.pipeline(pipeline, before, DEEPEST),
            };
            found.filter(|command| !self.known.ends_badly(command, true))
        });
        let shown = self.shown(failing?);
        told(
            ends_alone
                .map_or_else(|| format!("it goes on where {shown} fails"), |own| format!("{shown} ends {own} alone")),
        )
    }

    fn background(&self, item: &Item, options: Options, place: Place) -> Option<Passed> {
        let all: Vec<&Pipeline> = item.pipelines().collect();
        let failing = all.iter().find_map(|pipeline| self.known.pipeline(pipeline, options, DEEPEST))?;
        let shown = self.shown(failing);
        let what = match self.waits {
            Waits::ForOne => return None,
            Waits::ForAll => format!("`wait` alone ends well also where {shown} failed"),
            Waits::Never => format!("nobody waits for {shown}"),
        };
        (!place.tested).then_some(Passed { what, by: By::Background })
    }

    fn pipeline(&self, pipeline: &Pipeline, options: &mut Options, place: Place) -> Option<Passed> {
        let place = Place { tested: place.tested || pipeline.negated, ..place };
        let [command] = pipeline.commands.as_slice() else {
            let (last, others) = pipeline.commands.split_last()?;
            let failing = others.iter().find(|command| self.known.command(command, *options, DEEPEST).is_some());
            if let Some(command) = failing.filter(|_| !place.tested) {
                let shown = self.shown(command);
                if options.pipefail && self.condition && stops(last) {
                    let what = format!("{} stops reading, and {shown} may then fail", self.shown(last));
                    return Some(Passed { what, by: By::Reader });
                }
                if !(options.pipefail || self.condition && asks(last)) {
                    return told(format!("of a pipe, only the last command decides, not {shown}"));
                }
            }
            let alone = Self::alone(place, *options, "its part of the pipe");
            let last_place = Place { alone, ..place };
            let decides = place.decides && options.pipefail;
            let alone = Self::alone(Place { decides, ..place }, *options, "its part of the pipe");
            let alone = alone.or(last_place.alone);
            let before = Place { alone, decides, ..place };
            let found = others.iter().find_map(|command| self.command(command, &mut options.within(), before));
            return found.or_else(|| self.command(last, &mut options.within(), last_place));
        };
        self.command(command, options, place)
    }

    /// What `exit` ends alone in a shell of its own that stands in `place`, which is `own`.
    fn alone(place: Place, options: Options, own: &'static str) -> Option<&'static str> {
        let heard = place.tested || place.alone.is_none() && (place.decides || options.ends());
        (!heard).then_some(own)
    }

    fn command(&self, command: &Command, options: &mut Options, place: Place) -> Option<Passed> {
        match &command.kind {
            Kind::Simple { .. } => self.simple(command, options, place),
            Kind::Test(_) | Kind::Function { .. } => None,
            Kind::If { conditions, branches } => {
                let tested = Place { tested: true, ..place };
                let condition = conditions.iter().find_map(|list| self.list(list, options, tested));
                condition.or_else(|| branches.iter().find_map(|list| self.list(list, options, place)))
            }
            Kind::Loop { condition, body, .. } => {
                let condition = self.list(condition, options, Place { tested: true, ..place });
                // The next round goes on after a failure.
                condition.or_else(|| self.list(body, options, Place { decides: false, ..place }))
            }
            Kind::Case(cases) => cases.iter().find_map(|list| self.list(list, options, place)),
            Kind::Group(list) => self.list(list, options, place),
            Kind::Subshell(list) => {
                let alone = Self::alone(place, *options, "its `( … )`");
                self.list(list, &mut options.within(), Place { alone, ..place })
            }
        }
    }

    /// Options that it sets, and the script that it gives to another shell.
    fn simple(&self, command: &Command, options: &mut Options, place: Place) -> Option<Passed> {
        let Kind::Simple { words, documents, .. } = &command.kind else { return None };
        if let Some(found) = self.substituted(words, *options).filter(|_| !place.tested) {
            return Some(found);
        }
        let words = without_assignments(words);
        // Another one may take it back.
        if turns_around(words, self.known) && self.script.matches("trap").nth(1).is_none() {
            let what = format!("{} ends it well whatever failed", self.shown(command));
            return Some(Passed { what, by: By::Trap });
        }
        if options.set_by(words, self.known) {
            self.ends.set(Some(*options).filter(|options| options.ends()).or(self.ends.get()));
            return None;
        }
        if place.tested || self.depth == 0 {
            return None;
        }
        let found =
            given(words, documents).into_iter().find_map(|(script, own)| look(script, own, false, self.depth - 1));
        found.map(|found| match found.by {
            By::Script => Passed { by: By::Given, ..found },
            _ => found,
        })
    }

    /// What a `$(…)` goes on after, which has no `-e` of its own, in a script that is to end at what fails.
    fn substituted(&self, words: &[Word], options: Options) -> Option<Passed> {
        if !options.errexit || options.inherit {
            return None;
        }
        words.iter().flat_map(|word| &word.commands).find_map(|script| {
            let list = parse(script);
            if script.contains("$?") {
                return None;
            }
            // Whoever ends it with `true` knows.
            let (_, before) = list.split_last().filter(|(end, _)| !is_nothing(&end.first))?;
            let mut failing = before.iter().filter_map(|item| self.known.item(item, options.substituted(), DEEPEST));
            let failing = failing.find(|command| works(command, script, self.known))?;
            let shown = shown(script.get(failing.start..failing.end).unwrap_or_default());
            Some(Passed { what: format!("a `$(…)` goes on where {shown} fails"), by: By::Substituted })
        })
    }

    fn shown(&self, command: &Command) -> String {
        shown(self.script.get(command.start..command.end).unwrap_or_default())
    }
}

fn told(what: String) -> Option<Passed> {
    Some(Passed { what, by: By::Script })
}

/// True if `next`, an item of `script`, asks how the one before it ended, and does not just print that.
pub(super) fn asks_status(next: &Item, script: &str) -> bool {
    let line = first_line(next, script);
    line.contains("$?") || line.contains("${?}")
}

/// The first line of an item, unless it just prints.
fn first_line<'s>(item: &Item, script: &'s str) -> &'s str {
    let Some(command) = item.first.commands.first() else { return "" };
    let text = script.get(command.start..).unwrap_or_default();
    let text = text.get(..text.floor_char_boundary(LOOKED_AT)).unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    if line.starts_with("echo") || line.starts_with("printf") { "" } else { line }
}

/// True for a `trap` that ends the script with 0 whatever it ended with.
fn turns_around(words: &[Word], known: &Known<'_>) -> bool {
    let [trap, script, signals @ ..] = words else { return false };
    trap.text == "trap"
        && signals.iter().any(|signal| matches!(signal.text.as_str(), "EXIT" | "0"))
        && known.always_ends_well(&parse(&script.text))
}

/// True for a command that asks what the one before it printed.
fn asks(command: &Command) -> bool {
    matches!(&command.kind, Kind::Simple { words, .. } if words.first().is_some_and(|word| ASKING.contains(&word.text.as_str())))
}

/// True for one that ends as soon as it knows.
fn stops(command: &Command) -> bool {
    let Kind::Simple { words, .. } = &command.kind else { return false };
    let quiet = |word: &Word| {
        let letters = word.text.strip_prefix('-').unwrap_or_default();
        matches!(word.text.as_str(), "--quiet" | "--silent") || !letters.starts_with('-') && letters.contains('q')
    };
    match words.first().map(|word| word.text.as_str()) {
        Some("head") => true,
        Some("grep" | "egrep" | "fgrep" | "zgrep") => words.iter().any(quiet),
        _ => false,
    }
}

/// The first line of a command, or what of it fits into a sentence.
pub(super) fn shown(text: &str) -> String {
    let text = joined(text);
    let line = text.lines().next().unwrap_or_default().trim_end();
    let cut: String = line.chars().take(SHOWN).collect();
    let more = if cut.len() < line.len() || text.lines().count() > 1 { " …" } else { "" };
    format!("`{cut}{more}`")
}

/// `text` with what goes on in the next line in one.
fn joined(text: &str) -> String {
    let mut lines = text.split("\\\n");
    let first = lines.next().unwrap_or_default().to_owned();
    lines.fold(first, |all, line| format!("{} {}", all.trim_end(), line.trim_start()))
}

#[cfg(test)]
mod tests;
