//! Commands that end well whatever becomes of a `$(…)` in them, where a script is to end at what fails.

use super::fails::{DEEPEST, Known, without_assignments};
use super::lex::Word;
use super::options::{Options, given};
use super::parse::{Command, Item, Kind, List, Pipeline, parse};

/// Commands that assign, and end well where the value could not be had.
pub(super) const ASSIGNING: [&str; 5] = ["declare", "export", "local", "readonly", "typeset"];
/// So many of a script are told: whoever reads that stops long before.
const MOST: usize = 20;

/// One of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Masked {
    /// As it is written.
    pub(super) text: String,
    /// Its first line, and which one of such lines it is.
    pub(super) place: (String, usize),
    /// What to write in its place.
    pub(super) instead: String,
    /// What is to happen where the value cannot be had.
    pub(super) wanted: Wanted,
}

/// What the author wants of a failure, which never comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The script ends.
    End,
    /// What stands behind `||` is done.
    Or,
    /// What stands behind `&&` is left out.
    And,
    /// The condition does not hold.
    Condition,
}

/// All of `script`, whose shell has `options` from the start.
pub(super) fn masked(script: &str, options: Options) -> Vec<Masked> {
    let mut found = Vec::new();
    look(script, options, DEEPEST, &mut found);
    found
}

fn look(script: &str, mut options: Options, depth: usize, found: &mut Vec<Masked>) {
    let list = parse(script);
    Looker { script, known: &Known::of(&list), depth, found }.list(&list, &mut options);
}

struct Looker<'a> {
    script: &'a str,
    known: &'a Known<'a>,
    depth: usize,
    found: &'a mut Vec<Masked>,
}

impl Looker<'_> {
    fn list(&mut self, list: &List, options: &mut Options) {
        list.iter().for_each(|item| self.item(item, options));
    }

    fn item(&mut self, item: &Item, options: &mut Options) {
        let last_or = item.rest.iter().rposition(|(or, _)| *or);
        for (at, pipeline) in item.pipelines().enumerate() {
            let later = &item.rest[at..];
            // Whoever writes `||` behind it knows that it may fail.
            let handled = last_or.is_some_and(|or| at <= or);
            let wanted = match later.first() {
                _ if pipeline.negated => None,
                Some((true, next)) => Some(Wanted::Or).filter(|_| !is_nothing(next)),
                Some((false, _)) if handled => None,
                Some((false, _)) if !options.errexit => Some(Wanted::And),
                _ => Some(Wanted::End).filter(|_| options.errexit),
            };
            if item.background {
                self.pipeline(pipeline, &mut options.clone(), wanted, handled);
            } else {
                self.pipeline(pipeline, options, wanted, handled);
            }
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline, options: &mut Options, wanted: Option<Wanted>, handled: bool) {
        let handled = handled || pipeline.negated;
        match pipeline.commands.as_slice() {
            [command] => self.command(command, options, wanted, handled),
            commands => {
                let wanted = wanted.filter(|wanted| *wanted == Wanted::End);
                commands.iter().for_each(|command| self.command(command, &mut options.clone(), wanted, handled));
            }
        }
    }

    fn command(&mut self, command: &Command, options: &mut Options, wanted: Option<Wanted>, handled: bool) {
        match &command.kind {
            Kind::Simple { words, documents, .. } => {
                self.simple(command, words, *options, wanted);
                self.given(words, documents, options);
            }
            Kind::Function { body, .. } => self.list(body, &mut options.clone()),
            // Nothing within ends the script.
            _ if handled => {}
            Kind::Test(_) => {}
            Kind::If { conditions, branches } => {
                conditions.iter().for_each(|list| self.condition(list, options));
                branches.iter().for_each(|list| self.list(list, options));
            }
            Kind::Loop { condition, body, .. } => {
                self.condition(condition, options);
                self.list(body, options);
            }
            Kind::Case(cases) => cases.iter().for_each(|list| self.list(list, options)),
            Kind::Group(list) => self.list(list, options),
            Kind::Subshell(list) => self.list(list, &mut options.clone()),
        }
    }

    /// What decides for `if` and `while`: of several commands, the last one.
    fn condition(&mut self, list: &List, options: &Options) {
        let last = list.last().map(|item| item.rest.last().map_or(&item.first, |(_, last)| last));
        if let Some([command]) = last.map(|pipeline| pipeline.commands.as_slice())
            && let Kind::Simple { words, .. } = &command.kind
        {
            self.simple(command, words, *options, Some(Wanted::Condition));
        }
    }

    fn simple(&mut self, command: &Command, words: &[Word], options: Options, wanted: Option<Wanted>) {
        let Some(wanted) = wanted.filter(|_| self.found.len() < MOST) else { return };
        let fails = |word: &Word| self.known.substitution_fails(word, options, DEEPEST);
        if let Some(instead) = instead(words, fails, wanted) {
            let text = self.script.get(command.start..command.end).unwrap_or_default().to_owned();
            let place = command.place(self.script);
            self.found.push(Masked { text, place, instead, wanted });
        }
    }

    /// Options that a command sets, and scripts that it gives to other shells.
    fn given(&mut self, words: &[Word], documents: &[String], options: &mut Options) {
        let words = without_assignments(words);
        // What a trap does, it does in this shell.
        if let [Word { text, .. }, script, ..] = words
            && text == "trap"
            && self.depth > 0
        {
            look(&script.text, *options, self.depth - 1, self.found);
        }
        if !options.set_by(words, self.known) && self.depth > 0 {
            for (script, own) in given(words, documents) {
                look(script, own, self.depth - 1, self.found);
            }
        }
    }
}

/// True for what is written where a failure is to count for nothing.
pub(super) fn is_nothing(pipeline: &Pipeline) -> bool {
    let [Command { kind: Kind::Simple { words, .. }, .. }] = pipeline.commands.as_slice() else { return false };
    words.first().is_some_and(|word| word.text == "true" || word.text == ":")
}

/// What to write in place of a command that assigns what a `$(…)` says that may fail; `None` for others.
fn instead(words: &[Word], fails: impl Fn(&Word) -> bool, wanted: Wanted) -> Option<String> {
    let mut words = without_assignments(words);
    while let [Word { text, quoted: false, .. }, rest @ ..] = words
        && (text == "command" || text == "builtin")
    {
        words = rest;
    }
    let (first, rest) = words.split_first()?;
    let name = first.text.as_str();
    if first.quoted || !ASSIGNING.contains(&name) {
        return None;
    }
    let masked = |word: &&Word| {
        let assigned = without_assignments(std::slice::from_ref(*word)).is_empty();
        assigned && fails(word)
    };
    let word = rest.iter().find(masked)?;
    let variable = word.text.split(['=', '+', '[']).next().unwrap_or_default();
    let sign = if word.text[variable.len()..].starts_with('+') { "+=" } else { "=" };
    // The values of an array.
    let output = if word.text.ends_with('=') { "($(…))" } else { "$(…)" };
    let options: Vec<&str> = rest.iter().map(|word| word.text.as_str()).filter(|word| word.starts_with('-')).collect();
    let with = [&[name], options.as_slice()].concat().join(" ");
    let constant = options.iter().any(|option| option.contains('r'));
    let first = matches!(name, "declare" | "local" | "typeset");
    let (place, value) = match wanted {
        Wanted::End => (" on a line of its own", format!("`{variable}{sign}{output}`")),
        Wanted::Or => (" on a line of its own", format!("`{variable}{sign}{output} || …`")),
        Wanted::And => ("", format!("`{variable}{sign}{output} && …`")),
        Wanted::Condition => (" as the condition", format!("`{variable}{sign}{output}`")),
    };
    Some(match name {
        "local" if constant => format!("`local {variable}`, {value} and `readonly {variable}`, on lines of their own"),
        _ if first && !constant => format!("`{with} {variable}` on a line before, then {value}{place}"),
        _ if wanted == Wanted::And => format!("`{variable}{sign}{output} && {with} {variable} && …`"),
        _ => format!("{value}{place}, then `{with} {variable}`"),
    })
}

#[cfg(test)]
mod tests;
