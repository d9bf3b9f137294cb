//! What is told of a script.

use super::fails::without_assignments;
use super::lost::{Lost, lost};
use super::masked::{Masked, Wanted, masked};
use super::options::Options;
use super::parse::{Kind, parse};
use super::passed::{By, Passed, passed_over, shown};
use super::unended::{Unended, unended};
use super::{Fields, SHELL, asks};
use crate::yaml::Diagnostic;

/// Commands that read other commands.
const READING: [&str; 3] = [".", "eval", "source"];

impl Fields<'_> {
    /// Warns of what the script of the field `name` passes over; it may be a `condition`.
    pub(super) fn look_at(
        &mut self,
        name: &str,
        script: &str,
        strict: bool,
        condition: bool,
    ) -> Result<(), Diagnostic> {
        let span = self.required(name)?.span;
        let warning = |message: String| Diagnostic::warning("shell", span, message);
        let options = if strict { Options::STRICT } else { Options::default() };
        // Whoever writes `plain` knows what it means.
        let plain = !strict && self.own_shell().is_some();
        let mut told = Vec::new();
        if let Some((what, help)) = asks(script) {
            told.push(warning(format!("`{name}` {what}")).help(help));
        }
        for Masked { text, place, instead, wanted } in masked(script, options) {
            let what = match wanted {
                Wanted::End => "",
                Wanted::Or => ": what stands behind `||` is never done",
                Wanted::And => ": what stands behind `&&` is always done",
                Wanted::Condition => ": the condition always holds",
            };
            let message = format!("{} ends well also where its `$(…)` fails{what}", shown(&text));
            let help = match wanted {
                Wanted::End => format!("write {instead}: the script then ends where it fails"),
                _ => format!("write {instead}"),
            };
            told.push(warning(message).help(help).of(place.0, place.1));
        }
        for Lost { text, place, reader, input } in lost(script, options) {
            let message = format!("{} goes on where {} fails", shown(&text), shown(&reader));
            let help = if input {
                "write what it prints to a file on a line before, and read that: the script then ends where it fails"
                    .to_owned()
            } else {
                format!(
                    "write `VALUE=$({})` on a line before, and `$VALUE` here: the script then ends where it fails",
                    reader.trim()
                )
            };
            told.push(warning(message).help(help).of(place.0, place.1));
        }
        let passed = passed_over(script, options, condition).filter(|_| !plain);
        if let Some(Passed { what, by }) = &passed {
            let help = match (by, first_line_options(script)) {
                (By::Given, _) => {
                    "begin what that shell is given with `set -e`, or call it by `bash -eo pipefail`".to_owned()
                }
                (By::Background, _) => {
                    "write `wait $!` for each that runs in the background: `wait` alone is always 0".to_owned()
                }
                (By::Reader, _) => {
                    "let it read all, as `grep … > /dev/null` does: the condition may fail now and then".to_owned()
                }
                (By::Substituted, _) => {
                    "join the commands with `&&`, or write `shopt -s inherit_errexit` behind `set -e`: a `$(…)` of bash \
                     has no `-e` otherwise"
                        .to_owned()
                }
                (By::Trap, _) => {
                    "leave `exit 0` out of what is done at the end: the script then ends as it would without".to_owned()
                }
                (By::Script, Some(line)) => format!("`{line}` is a comment here; {}", self.strict_help()),
                (By::Script, None) => self.strict_help().to_owned(),
            };
            told.push(warning(format!("`{name}` passes over failures: {what}")).help(help));
        }
        let ended = unended(script, options);
        let silent = ended.is_empty() && passed.is_none() && !strict && !plain;
        told.extend(ended.iter().map(|one| {
            let (within, help) = within(one);
            let message = format!("{} does not end the script where it fails: nothing does {within}", shown(&one.text));
            warning(message).help(help).of(one.place.0.clone(), one.place.1)
        }));
        if silent && let Some(one) = unended(script, Options::ERREXIT).first() {
            let (within, help) = within(one);
            let what = format!("it goes on where {} fails, {within}", shown(&one.text));
            let warning = warning(format!("`{name}` passes over failures: {what}"));
            told.push(warning.help(help).of(one.place.0.clone(), one.place.1));
        }
        told.into_iter().for_each(|warning| self.warn(warning));
        Ok(())
    }

    fn strict_help(&self) -> &'static str {
        if self.task.action.fields.iter().any(|field| field.name == SHELL.name) {
            "add `shell: strict` to the task, or to the manifest for all tasks"
        } else {
            "join them with `&&`, or add `shell: strict` to the manifest, for all tasks"
        }
    }
}

/// Where the command of `one` stands, and what to do about it.
fn within(one: &Unended) -> (String, String) {
    match &one.function {
        Some(function) => (
            format!("in `{function}`, called {}", one.asked),
            format!("join what `{function}` does with `&&`, or call it as a command of its own"),
        ),
        None if one.joined => {
            let help =
                "write the commands on lines of their own: of what `&&` joins, only the last one ends the script";
            (one.asked.to_owned(), help.to_owned())
        }
        None => (one.asked.to_owned(), "join the commands with `&&`".to_owned()),
    }
}

/// True if `script` may end in another way where its shell is strict; a single command does not.
pub(super) fn strict_differs(script: &str) -> bool {
    let list = parse(script);
    let mut commands = list.iter().flat_map(super::parse::Item::pipelines);
    let alone = commands.all(|pipeline| match pipeline.commands.as_slice() {
        [command] => match &command.kind {
            Kind::Simple { words, .. } => {
                !without_assignments(words).iter().any(|word| READING.contains(&word.text.as_str()))
            }
            kind => matches!(kind, Kind::Test(_)),
        },
        _ => false,
    });
    let nested = ["$(", "`", "<("].into_iter().any(|within| script.contains(within));
    list.len() > 1 || list.iter().any(|item| item.background) || !alone || nested
}

/// The first line of a script that names its shell with options, which no shell reads there: the script is an argument.
fn first_line_options(script: &str) -> Option<&str> {
    let line = script.lines().next()?.trim_end();
    let mut words = line.strip_prefix("#!")?.split_whitespace();
    words.next()?;
    words.any(|word| word.starts_with('-')).then_some(line)
}
