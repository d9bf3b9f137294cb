//! Scripts of tasks: which shell runs them, and what it passes over in silence.

use super::FieldKind::OneOf;
use super::{Field, Fields};
use crate::op::Command;
use crate::yaml::Diagnostic;

mod fails;
mod lex;
mod lost;
mod masked;
mod options;
mod parse;
mod passed;
mod question;
mod told;
mod unended;

/// How a shell takes commands that fail.
const SHELLS: &[&str] = &["plain", "strict"];

/// The field of actions that run a script.
pub(super) const SHELL: Field = Field::optional(
    "shell",
    OneOf(SHELLS),
    "strict: the first command that fails ends the script (`bash -e -o pipefail -O inherit_errexit`), and `skip_if` does \
     not hold; plain: the last one decides",
);

impl Fields<'_> {
    /// The script of the field `name`, for the shell that the task or else the manifest asks for.
    pub fn script(&mut self, name: &str, script: String) -> Result<Command, Diagnostic> {
        let strict = self.strict()?;
        self.look_at(name, &script, strict, false)?;
        Ok(if strict { Command::Strict(script) } else { Command::Shell(script) })
    }

    /// `skip_if`, and whether it is for a strict shell. Where that makes no difference, it is not.
    pub fn condition(&mut self) -> Result<Option<(String, bool)>, Diagnostic> {
        if self.node("skip_if").is_none() {
            return Ok(None);
        }
        let script = self.text_or_secret("skip_if")?;
        let strict = self.strict()?;
        self.look_at("skip_if", &script, strict, true)?;
        let strict = strict && told::strict_differs(&script);
        Ok(Some((script, strict)))
    }

    fn strict(&self) -> Result<bool, Diagnostic> {
        match self.own_shell() {
            Some(shell) => Ok(shell? == "strict"),
            None => Ok(self.task.strict_shell),
        }
    }

    /// What the task says, if it may say something.
    fn own_shell(&self) -> Option<Result<&'static str, Diagnostic>> {
        let may = self.task.action.fields.iter().any(|field| field.name == SHELL.name);
        self.node("shell").filter(|_| may).map(|_| self.one_of("shell", SHELLS))
    }
}

/// What of `script` waits for an answer that nobody gives, or is not there, in words; and what to write instead.
fn asks(script: &str) -> Option<(&'static str, &'static str)> {
    let agreed = std::cell::LazyCell::new(|| script.contains("Assume-Yes"));
    let apart = |c: char| matches!(c, ';' | '&' | '|' | '\n' | '(' | ')');
    for command in script.replace("\\\n", " ").split(apart) {
        let assigned = |word: &&str| word.contains('=') && !word.starts_with('-');
        let words: Vec<&str> = command.split_whitespace().skip_while(assigned).collect();
        match words.as_slice() {
            ["sudo", ..] => return Some(("asks for `sudo`", "leave it out: tasks run as root, or as `run_as` says")),
            ["apt" | "apt-get", rest @ ..] if rest.contains(&"install") => {
                let yes =
                    |word: &&str| *word == "--yes" || *word == "--assume-yes" || *word == "-qq" || short_yes(word);
                if !rest.iter().any(yes) && !*agreed {
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
    use std::collections::BTreeMap;

    use super::*;
    use crate::op::{Fingerprint, Guards, Step};

    #[test]
    fn a_condition_is_strict_where_that_matters() {
        for script in
            ["cd x\nls | wc -l", "a; b", "a | b", "test -n \"$(a)\"", ". ./x", "if a; then b; fi", "a & wait", "(a)"]
        {
            assert!(told::strict_differs(script), "{script}");
        }
        for script in
            ["", "test -e /x", "A=1 test -e /x", "a && b || ! c", "[[ -e x ]]", "test -e /x # a; b", "grep '|' x\n"]
        {
            assert!(!told::strict_differs(script), "{script}");
        }
        let of = |strict| {
            let guards = Guards { skip_if: Some("a; b".to_owned()), strict, ..Guards::default() };
            Fingerprint::of(&Step { guards, ..Step::default() }, &BTreeMap::new())
        };
        assert_ne!(of(true), of(false));
        let json = |strict| serde_json::to_string(&Guards { strict, ..Guards::default() }).unwrap();
        assert!(json(true).contains("strict") && !json(false).contains("strict"), "records stay as they are");
    }

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
