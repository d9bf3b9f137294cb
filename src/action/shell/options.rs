//! What a script says of the shell that reads it.

use super::fails::Known;
use super::lex::Word;

/// Shells that take a script with `-c`, or by their input.
const SHELLS: [&str; 6] = ["ash", "bash", "dash", "ksh", "sh", "zsh"];

/// Options of a shell (POSIX.1-2024, "set"; bash(1), "shopt").
#[derive(Clone, Copy, Default)]
pub(super) struct Options {
    pub(super) errexit: bool,
    pub(super) pipefail: bool,
    /// A `$(…)` has `errexit` too.
    pub(super) inherit: bool,
    /// What to do about a failure.
    trap: Trap,
}

/// What `trap … ERR` says.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Trap {
    #[default]
    Nothing,
    /// Subshells and functions have it too (`set -E`), once there is one.
    Wanted,
    /// It ends the script, but for subshells and functions.
    Here,
    Everywhere,
}

impl Options {
    /// Of `shell: strict`.
    pub(super) const STRICT: Self = Self { errexit: true, pipefail: true, inherit: true, trap: Trap::Nothing };

    /// Of `set -e`.
    pub(super) const ERREXIT: Self = Self { errexit: true, pipefail: false, inherit: false, trap: Trap::Nothing };

    /// A failure ends the script.
    pub(super) fn ends(self) -> bool {
        self.errexit || matches!(self.trap, Trap::Here | Trap::Everywhere)
    }

    /// Those where somebody asks how it ends.
    pub(super) fn asked(self) -> Self {
        Self { errexit: false, trap: Trap::Nothing, ..self }
    }

    /// Those of a subshell, and of a function.
    pub(super) fn within(self) -> Self {
        Self { trap: if self.trap == Trap::Here { Trap::Nothing } else { self.trap }, ..self }
    }

    /// Those of a `$(…)`.
    pub(super) fn substituted(self) -> Self {
        Self { errexit: self.errexit && self.inherit, ..self.within() }
    }

    /// Takes what a command of `words` says of them. Gives whether it does.
    pub(super) fn set_by(&mut self, words: &[Word], known: &Known<'_>) -> bool {
        let Some((first, rest)) = words.split_first() else { return false };
        let has = |text: &str| rest.iter().any(|word| word.text == text);
        match first.text.as_str() {
            "set" => {
                self.take(rest);
            }
            "shopt" if has("inherit_errexit") => self.inherit = has("-s"),
            "trap" if has("ERR") && rest.first().is_some_and(|script| known.is_end(&script.text)) => {
                self.trap = if self.trap == Trap::Wanted { Trap::Everywhere } else { Trap::Here };
            }
            _ => return false,
        }
        true
    }

    /// What `words` say, behind `set` or a shell's name. Gives which of them are left.
    pub(super) fn take<'w>(&mut self, words: &'w [Word]) -> &'w [Word] {
        let mut at = 0;
        while let Some(word) = words.get(at).filter(|word| word.text.len() > 1 && word.text.starts_with(['-', '+'])) {
            let on = word.text.starts_with('-');
            at += 1;
            if word.text == "--" {
                break;
            }
            if word.text.starts_with("--") {
                continue;
            }
            let mut names = words[at..].iter().map(|word| word.text.as_str());
            for letter in word.text.chars().skip(1) {
                let name = if matches!(letter, 'o' | 'O') { names.next() } else { None };
                at += usize::from(name.is_some());
                match (letter, name) {
                    ('e', _) | ('o', Some("errexit")) => self.errexit = on,
                    ('o', Some("pipefail")) => self.pipefail = on,
                    ('O', Some("inherit_errexit")) | ('o', Some("posix")) => self.inherit = on,
                    ('E', _) | ('o', Some("errtrace")) => {
                        self.trap = match self.trap {
                            Trap::Here | Trap::Everywhere if on => Trap::Everywhere,
                            Trap::Here | Trap::Everywhere => Trap::Here,
                            _ if on => Trap::Wanted,
                            _ => Trap::Nothing,
                        };
                    }
                    _ => {}
                }
            }
            if on && word.text.ends_with('c') {
                break;
            }
        }
        words.get(at..).unwrap_or_default()
    }
}

/// Scripts that a command gives to another shell, and the options that this has.
pub(super) fn given<'w>(words: &'w [Word], documents: &'w [String]) -> Vec<(&'w str, Options)> {
    let name = |word: &'w Word| word.text.rsplit('/').next().unwrap_or_default();
    let mut own = Options::default();
    let Some(at) = words.iter().position(|word| SHELLS.contains(&name(word))) else {
        // su(1): another user's shell.
        let is_su = words.first().is_some_and(|word| word.text == "su");
        let by = words.iter().position(|word| word.text == "-c").filter(|_| is_su);
        return by.and_then(|by| words.get(by + 1)).map(|script| (script.text.as_str(), own)).into_iter().collect();
    };
    // The others have no other way.
    own.inherit = name(&words[at]) != "bash";
    let flags = &words[at + 1..];
    let left = own.take(flags);
    let taken = &flags[..flags.len() - left.len()];
    let with_script = taken.iter().any(|word| word.text.starts_with('-') && word.text.ends_with('c'));
    match left.first() {
        Some(script) if with_script => vec![(script.text.as_str(), own)],
        None => documents.iter().map(|script| (script.as_str(), own)).collect(),
        Some(_) => Vec::new(),
    }
}
