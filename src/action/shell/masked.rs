//! Commands that end well whatever becomes of a `$(…)` in them, where a script is to end at what fails.

use super::lex::Word;
use super::parse::{Command, Item, Kind, List, Pipeline, parse};
use super::passed::{DEEPEST, Options, given, is_harmless, without_assignments};

/// Commands that assign, and end well where the value could not be had.
const ASSIGNING: [&str; 5] = ["declare", "export", "local", "readonly", "typeset"];
/// Commands that hardly fail with what they are given in a script.
const SAFE: [&str; 9] = ["arch", "basename", "date", "dirname", "hostname", "nproc", "pwd", "uname", "whoami"];
/// So many of a script are told: whoever reads that stops long before.
const MOST: usize = 20;

/// One of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Masked {
    /// As it is written.
    pub(super) text: String,
    /// Where the script has it: which one it is of this text.
    pub(super) number: usize,
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

/// All of `script`, of which `strict` says that it ends at the first command that fails.
pub(super) fn masked(script: &str, strict: bool) -> Vec<Masked> {
    let mut found = Vec::new();
    look(script, Options { errexit: strict, pipefail: strict }, DEEPEST, &mut found);
    found
}

fn look(script: &str, mut options: Options, depth: usize, found: &mut Vec<Masked>) {
    Looker { script, depth, found }.list(&parse(script), &mut options);
}

struct Looker<'a> {
    script: &'a str,
    depth: usize,
    found: &'a mut Vec<Masked>,
}

impl Looker<'_> {
    fn list(&mut self, list: &List, options: &mut Options) {
        list.iter().for_each(|item| self.item(item, options));
    }

    fn item(&mut self, item: &Item, options: &mut Options) {
        let all: Vec<&Pipeline> = std::iter::once(&item.first).chain(item.rest.iter().map(|(_, next)| next)).collect();
        for (at, pipeline) in all.into_iter().enumerate() {
            let later = &item.rest[at..];
            // Whoever writes `||` behind it knows that it may fail.
            let handled = later.iter().any(|(or, _)| *or);
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
                self.simple(command, words, options.pipefail, wanted);
                self.given(words, documents, options);
            }
            Kind::Function(list) => self.list(list, &mut options.clone()),
            // Nothing within ends the script.
            _ if handled => {}
            Kind::Test => {}
            Kind::If { conditions, branches } => {
                conditions.iter().for_each(|list| self.condition(list, options));
                branches.iter().for_each(|list| self.list(list, options));
            }
            Kind::Loop { condition, body } => {
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
            self.simple(command, words, options.pipefail, Some(Wanted::Condition));
        }
    }

    fn simple(&mut self, command: &Command, words: &[Word], pipefail: bool, wanted: Option<Wanted>) {
        let Some(wanted) = wanted.filter(|_| self.found.len() < MOST) else { return };
        if let Some(instead) = instead(words, pipefail, wanted) {
            let text = self.script.get(command.start..command.end).unwrap_or_default().to_owned();
            let number = self.script.get(..command.start).unwrap_or_default().matches(&text).count();
            self.found.push(Masked { text, number, instead, wanted });
        }
    }

    /// Options that a command sets, and scripts that it gives to other shells.
    fn given(&mut self, words: &[Word], documents: &[String], options: &mut Options) {
        let words = without_assignments(words);
        let Some((first, rest)) = words.split_first() else { return };
        if first.text == "set" {
            options.take(rest);
        } else if self.depth > 0 {
            for (script, own) in given(words, documents) {
                look(script, own, self.depth - 1, self.found);
            }
        }
    }
}

/// True for what is written where a failure is to count for nothing.
fn is_nothing(pipeline: &Pipeline) -> bool {
    let [Command { kind: Kind::Simple { words, .. }, .. }] = pipeline.commands.as_slice() else { return false };
    words.first().is_some_and(|word| word.text == "true" || word.text == ":")
}

/// What to write in place of a command that assigns what a `$(…)` says that may fail; `None` for others.
fn instead(words: &[Word], pipefail: bool, wanted: Wanted) -> Option<String> {
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
    let fails = |word: &&Word| {
        let assigned = without_assignments(std::slice::from_ref(*word)).is_empty();
        assigned && word.commands.iter().any(|script| can_fail(&parse(script), pipefail, DEEPEST))
    };
    let word = rest.iter().find(fails)?;
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

/// True if the script of a `$(…)` may end with a failure that it does not take care of; of those within, as many as
/// `depth` are looked at.
fn can_fail(list: &List, pipefail: bool, depth: usize) -> bool {
    list.iter().filter(|item| !item.background).any(|item| {
        let last = item.rest.last().map_or(&item.first, |(_, last)| last);
        let handled = item.rest.iter().any(|(or, _)| *or);
        let all = std::iter::once(&item.first).chain(item.rest.iter().map(|(_, next)| next));
        let fails = |one: &Pipeline| pipeline_fails(one, pipefail, depth);
        if handled { fails(last) } else { all.into_iter().any(fails) }
    })
}

fn pipeline_fails(pipeline: &Pipeline, pipefail: bool, depth: usize) -> bool {
    let from = if pipefail { 0 } else { pipeline.commands.len().saturating_sub(1) };
    !pipeline.negated && pipeline.commands[from..].iter().any(|command| command_fails(command, pipefail, depth))
}

fn command_fails(command: &Command, pipefail: bool, depth: usize) -> bool {
    let of = |list: &List| can_fail(list, pipefail, depth);
    match &command.kind {
        Kind::Simple { words, to_file: true, .. } if words.is_empty() => true,
        Kind::Simple { words, .. } => match without_assignments(words).first() {
            Some(first) => !is_harmless(&first.text) && !SAFE.contains(&first.text.as_str()),
            None => {
                let mut scripts = words.iter().flat_map(|word| &word.commands);
                depth > 0 && scripts.any(|script| can_fail(&parse(script), pipefail, depth - 1))
            }
        },
        Kind::Group(list) | Kind::Subshell(list) => of(list),
        Kind::If { branches, .. } => branches.iter().any(of),
        Kind::Loop { body, .. } => of(body),
        Kind::Case(cases) => cases.iter().any(of),
        Kind::Test | Kind::Function(_) => false,
    }
}

#[cfg(test)]
mod tests;
