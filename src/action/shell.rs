//! Scripts of tasks: which shell runs them, and what it passes over in silence.

use super::FieldKind::OneOf;
use super::{Field, Fields};
use crate::op::Command;
use crate::yaml::Diagnostic;

mod lex;
mod masked;
mod parse;
mod passed;

use masked::{Masked, Wanted, masked};
use passed::{passed_over, shown};

/// How a shell takes commands that fail.
const SHELLS: &[&str] = &["plain", "strict"];

/// The field of actions that run a script.
pub(super) const SHELL: Field = Field::optional(
    "shell",
    OneOf(SHELLS),
    "strict: the first command that fails ends the script, also in a pipe or a `$(…)` (`bash -e -o pipefail -O \
     inherit_errexit`); plain: the last one decides",
);

impl Fields<'_> {
    /// The script of the field `name`, for the shell that the task or else the manifest asks for.
    pub fn script(&mut self, name: &str, script: String) -> Result<Command, Diagnostic> {
        let strict = match self.node("shell") {
            Some(_) => self.one_of("shell", SHELLS)? == "strict",
            None => self.task.strict_shell,
        };
        if let Some((what, help)) = asks(&script) {
            let span = self.required(name)?.span;
            self.warn(Diagnostic::warning("shell", span, format!("`{name}` {what}")).help(help));
        }
        for Masked { text, number, instead, wanted } in masked(&script, strict) {
            let span = self.required(name)?.span;
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
            self.warn(Diagnostic::warning("shell", span, message).help(help).of(text, number));
        }
        if strict {
            return Ok(Command::Strict(script));
        }
        // Whoever writes `plain` knows what it means.
        let asked = self.node("shell").is_some();
        if let (Some(what), false) = (passed_over(&script), asked) {
            let span = self.required(name)?.span;
            let warning = Diagnostic::warning("shell", span, format!("`{name}` passes over failures: {what}"));
            let help = match first_line_options(&script) {
                Some(line) => {
                    format!("`{line}` is a comment here; add `shell: strict` to the task, or to the manifest for all")
                }
                None => "add `shell: strict` to the task, or to the manifest for all tasks".to_owned(),
            };
            self.warn(warning.help(help));
        }
        Ok(Command::Shell(script))
    }
}

/// The first line of a script that names its shell with options, which no shell reads there: the script is an argument.
fn first_line_options(script: &str) -> Option<&str> {
    let line = script.lines().next()?.trim_end();
    let mut words = line.strip_prefix("#!")?.split_whitespace();
    words.next()?;
    words.any(|word| word.starts_with('-')).then_some(line)
}

/// What of `script` waits for an answer that nobody gives, or is not there, in words; and what to write instead.
fn asks(script: &str) -> Option<(&'static str, &'static str)> {
    let apart = |c: char| matches!(c, ';' | '&' | '|' | '\n' | '(' | ')');
    for command in script.replace("\\\n", " ").split(apart) {
        let assigned = |word: &&str| word.contains('=') && !word.starts_with('-');
        let words: Vec<&str> = command.split_whitespace().skip_while(assigned).collect();
        match words.as_slice() {
            ["sudo", ..] => return Some(("asks for `sudo`", "leave it out: tasks run as root, or as `run_as` says")),
            ["apt" | "apt-get", rest @ ..] if rest.contains(&"install") => {
                let yes =
                    |word: &&str| *word == "--yes" || *word == "--assume-yes" || *word == "-qq" || short_yes(word);
                if !rest.iter().any(yes) && !script.contains("Assume-Yes") {
                    let help = "use the action `apt_install`, which is pinned and cached, or add `-y`";
                    return Some(("lets apt ask whether to go on, and nobody answers", help));
                }
            }
            _ => {}
        }
    }
    None
}

/// True for options in one letter each, with `y` among them.
fn short_yes(word: &str) -> bool {
    word.strip_prefix('-')
        .is_some_and(|letters| letters.chars().all(|c| c.is_ascii_alphabetic()) && letters.contains('y'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_answers() {
        for script in
            ["sudo make", "cd x && sudo make", "apt-get install vim", "DEBIAN_FRONTEND=x apt install \\\n vim"]
        {
            assert!(asks(script).is_some(), "{script}");
        }
        for script in [
            "apt-get install -y vim",
            "apt-get -qy install vim",
            "apt-get install --yes vim",
            "apt-get -o APT::Get::Assume-Yes=true install vim",
            "apt-get update",
            "echo sudo",
            "./sudo.sh",
        ] {
            assert!(asks(script).is_none(), "{script}");
        }
    }
}
