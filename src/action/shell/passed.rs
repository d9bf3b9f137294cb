//! Which failures a script passes over.

use super::lex::Word;
use super::parse::{Command, Item, Kind, List, Pipeline, parse};

/// Characters of a command that are shown.
const SHOWN: usize = 40;

/// How deeply scripts may be given to shells.
pub(super) const DEEPEST: usize = 4;

/// Commands that fail of nothing but their redirections, or end the script.
const HARMLESS: [&str; 22] = [
    ":", "alias", "break", "continue", "declare", "echo", "exec", "exit", "export", "local", "printf", "readonly",
    "return", "set", "shopt", "sleep", "trap", "true", "typeset", "umask", "unset", "yes",
];

/// Shells that take a script with `-c`, or by their input.
const SHELLS: [&str; 6] = ["ash", "bash", "dash", "ksh", "sh", "zsh"];

/// Options of a shell (POSIX.1-2024, "set").
#[derive(Clone, Copy, Default)]
pub(super) struct Options {
    pub(super) errexit: bool,
    pub(super) pipefail: bool,
}

impl Options {
    /// What `words` say, behind `set` or a shell's name. Gives which of them are left.
    pub(super) fn take<'w>(&mut self, words: &'w [Word]) -> &'w [Word] {
        let mut at = 0;
        while let Some(word) = words.get(at).filter(|word| word.text.len() > 1 && word.text.starts_with(['-', '+'])) {
            let on = word.text.starts_with('-');
            at += 1;
            if word.text.starts_with("--") {
                continue;
            }
            if word.text.contains('e') {
                self.errexit = on;
            }
            if word.text.ends_with('o') {
                match words.get(at).map(|word| word.text.as_str()) {
                    Some("errexit") => self.errexit = on,
                    Some("pipefail") => self.pipefail = on,
                    _ => {}
                }
                at += 1;
            }
            if on && word.text.ends_with('c') {
                break;
            }
        }
        words.get(at..).unwrap_or_default()
    }
}

/// Where a command stands: whether somebody asks how it ends.
#[derive(Clone, Copy)]
struct Place {
    /// It is a condition.
    tested: bool,
    /// How it ends is how the script ends.
    decides: bool,
}

/// The first failure that `script` passes over, in words.
pub(super) fn passed_over(script: &str) -> Option<String> {
    look(script, Options::default(), DEEPEST)
}

fn look(script: &str, mut options: Options, depth: usize) -> Option<String> {
    let waits = script.split(|c: char| !c.is_ascii_alphanumeric() && !"$!".contains(c));
    let waits = waits.into_iter().any(|word| matches!(word, "wait" | "kill" | "$!"));
    let looker = Looker { script, waits, depth };
    looker.list(&parse(script), &mut options, Place { tested: false, decides: true })
}

struct Looker<'a> {
    script: &'a str,
    /// The script has to do with what runs in the background.
    waits: bool,
    depth: usize,
}

impl Looker<'_> {
    fn list(&self, list: &List, options: &mut Options, place: Place) -> Option<String> {
        let last = list.len().saturating_sub(1);
        list.iter().enumerate().find_map(|(at, item)| {
            let place = Place { decides: place.decides && at == last, ..place };
            self.item(item, options, place)
        })
    }

    fn item(&self, item: &Item, options: &mut Options, place: Place) -> Option<String> {
        let before = *options;
        if item.background {
            let failing = self.failing(&item.first).filter(|_| !self.waits && !place.tested);
            return failing.map(|command| format!("nobody waits for {}", self.shown(command)));
        }
        let all: Vec<&Pipeline> = std::iter::once(&item.first).chain(item.rest.iter().map(|(_, next)| next)).collect();
        let last = all.len() - 1;
        for (at, pipeline) in all.iter().enumerate() {
            let place = Place { tested: place.tested || at < last, ..place };
            if let Some(found) = self.pipeline(pipeline, options, place) {
                return Some(found);
            }
        }
        if place.tested || place.decides || before.errexit {
            return None;
        }
        // Behind `||` stands what is done about a failure.
        let handled = item.rest.iter().rposition(|(or, _)| *or).map_or(0, |at| at + 1);
        let failing = all[handled..].iter().enumerate().find_map(|(at, pipeline)| {
            let is_condition = handled + at < last && is_test(pipeline);
            self.failing(pipeline).filter(|_| !is_condition)
        });
        failing.map(|command| format!("it goes on where {} fails", self.shown(command)))
    }

    fn pipeline(&self, pipeline: &Pipeline, options: &mut Options, place: Place) -> Option<String> {
        let place = Place { tested: place.tested || pipeline.negated, ..place };
        let [command] = pipeline.commands.as_slice() else {
            let (last, others) = pipeline.commands.split_last()?;
            let failing = others.iter().find(|command| can_fail(command));
            if let Some(command) = failing.filter(|_| !options.pipefail && !place.tested) {
                return Some(format!("of a pipe, only the last command decides, not {}", self.shown(command)));
            }
            let within = Place { tested: true, ..place };
            let found = others.iter().find_map(|command| self.command(command, &mut options.clone(), within));
            return found.or_else(|| self.command(last, &mut options.clone(), place));
        };
        self.command(command, options, place)
    }

    fn command(&self, command: &Command, options: &mut Options, place: Place) -> Option<String> {
        match &command.kind {
            Kind::Simple { words, documents, .. } => self.simple(words, documents, options, place),
            Kind::Test => None,
            Kind::If { conditions, branches } => {
                let tested = Place { tested: true, ..place };
                let condition = conditions.iter().find_map(|list| self.list(list, options, tested));
                condition.or_else(|| branches.iter().find_map(|list| self.list(list, options, place)))
            }
            Kind::Loop { condition, body } => {
                let condition = self.list(condition, options, Place { tested: true, ..place });
                // The next round goes on after a failure.
                condition.or_else(|| self.list(body, options, Place { decides: false, ..place }))
            }
            Kind::Case(cases) => cases.iter().find_map(|list| self.list(list, options, place)),
            Kind::Group(list) => self.list(list, options, place),
            Kind::Subshell(list) => self.list(list, &mut options.clone(), place),
            Kind::Function(list) => self.list(list, &mut options.clone(), Place { tested: false, decides: true }),
        }
    }

    /// Options that it sets, and the script that it gives to another shell.
    fn simple(&self, words: &[Word], documents: &[String], options: &mut Options, place: Place) -> Option<String> {
        let words = without_assignments(words);
        let (first, rest) = words.split_first()?;
        if first.text == "set" {
            options.take(rest);
            return None;
        }
        if place.tested || self.depth == 0 {
            return None;
        }
        given(words, documents).into_iter().find_map(|(script, own)| look(script, own, self.depth - 1))
    }

    /// The command of a pipeline whose failure is the pipeline's.
    fn failing<'p>(&self, pipeline: &'p Pipeline) -> Option<&'p Command> {
        pipeline.commands.last().filter(|command| !pipeline.negated && can_fail(command))
    }

    fn shown(&self, command: &Command) -> String {
        shown(self.script.get(command.start..command.end).unwrap_or_default())
    }
}

/// The first line of a command, or what of it fits into a sentence.
pub(super) fn shown(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default().trim_end_matches(['\\', ' ']);
    let cut: String = line.chars().take(SHOWN).collect();
    let more = if cut.len() < line.len() || text.lines().count() > 1 { " …" } else { "" };
    format!("`{cut}{more}`")
}

/// Scripts that a command gives to another shell, and the options that this has.
pub(super) fn given<'w>(words: &'w [Word], documents: &'w [String]) -> Vec<(&'w str, Options)> {
    let is_shell = |word: &Word| SHELLS.contains(&word.text.rsplit('/').next().unwrap_or_default());
    let mut own = Options::default();
    let Some(at) = words.iter().position(is_shell) else {
        // su(1): another user's shell.
        let is_su = words.first().is_some_and(|word| word.text == "su");
        let by = words.iter().position(|word| word.text == "-c").filter(|_| is_su);
        return by.and_then(|by| words.get(by + 1)).map(|script| (script.text.as_str(), own)).into_iter().collect();
    };
    let flags = &words[at + 1..];
    let left = own.take(flags);
    let taken = &flags[..flags.len() - left.len()];
    let with_script = taken.last().is_some_and(|word| word.text.starts_with('-') && word.text.ends_with('c'));
    match left.first() {
        Some(script) if with_script => vec![(script.text.as_str(), own)],
        None => documents.iter().map(|script| (script.as_str(), own)).collect(),
        Some(_) => Vec::new(),
    }
}

/// True for a command that fails of nothing but its redirections, or ends the script.
pub(super) fn is_harmless(name: &str) -> bool {
    HARMLESS.contains(&name)
}

/// True for a command that may fail; of those that are made of others, these are looked at.
fn can_fail(command: &Command) -> bool {
    let Kind::Simple { words, to_file, .. } = &command.kind else { return false };
    match without_assignments(words).first() {
        Some(first) => *to_file || !HARMLESS.contains(&first.text.as_str()),
        None => words.iter().any(|word| word.substitutes),
    }
}

/// True for a question, which `&&` answers.
fn is_test(pipeline: &Pipeline) -> bool {
    let is_test = |command: &Command| match &command.kind {
        Kind::Simple { words, .. } => words.first().is_some_and(|word| matches!(word.text.as_str(), "[" | "test")),
        kind => matches!(kind, Kind::Test),
    };
    pipeline.commands.iter().all(is_test)
}

pub(super) fn without_assignments(words: &[Word]) -> &[Word] {
    let is_assignment = |word: &Word| {
        word.text.split_once('=').is_some_and(|(name, _)| {
            let name = name.strip_suffix('+').unwrap_or(name);
            !name.is_empty()
                && !name.starts_with(|c: char| c.is_ascii_digit())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || "_[]".contains(c))
        })
    };
    let first = words.iter().position(|word| !is_assignment(word)).unwrap_or(words.len());
    &words[first..]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_shell_passes_over() {
        for (script, what) in [
            ("cd /opt/sdk\nmake install\necho ok", "`cd /opt/sdk`"),
            ("cd /opt/sdk; make install; echo ok > /etc/done", "`cd /opt/sdk`"),
            ("false\n\n# a comment\ntrue", "`false`"),
            ("# set -e\nfalse\necho x", "`false`"),
            ("echo set -e\nfalse\necho x", "`false`"),
            ("echo 'set -e'\nfalse\necho x", "`false`"),
            ("false\nset -e\necho", "`false`"),
            ("set -e\nset +e\nfalse\necho", "`false`"),
            ("(set -e; true)\nfalse\necho", "`false`"),
            ("grep -q 'bash -e' f\nfalse\ntrue", "`grep -q 'bash -e' f`"),
            ("#!/bin/bash -e\nfalse\necho", "`false`"),
            ("(false; true)", "`false`"),
            ("{ false\ntrue\n}", "`false`"),
            ("if true\nthen false; true; fi", "`false`"),
            ("if x; then\n  a\n  b\nfi", "`a`"),
            ("case x in\nx) false\ntrue;;\nesac", "`false`"),
            ("case x in (x|y) a;; esac; b", "`a`"),
            ("for x in a b; do\n  make $x\n  rm $x\ndone", "`make $x`"),
            ("for x in a b; do\n  make $x\ndone", "`make $x`"),
            ("for ((i = 0; i < 3; i++)); do make; done", "`make`"),
            ("while read x; do make $x; done < list", "`make $x`"),
            ("f() { false; true; }\nf", "`false`"),
            ("x=$(false)\necho $x", "`x=$(false)`"),
            ("echo x > /none/y\ntrue", "`echo x > /none/y`"),
            ("a && b\nc", "`a`"),
            ("[ -f x ] && make\nc", "`make`"),
            ("a || b\nc", "`b`"),
            ("make \\\n  install\ntrue", "`make …`"),
            ("set -u\na\nb", "`a`"),
        ] {
            assert_eq!(passed_over(script), Some(format!("it goes on where {what} fails")), "{script}");
        }
        for (script, what) in [
            ("curl -sSf https://x.invalid | sh", "curl"),
            ("a || b | c", "`b`"),
            ("set -e\na | b", "`a`"),
            ("set -eo pipefail; set +o pipefail; a | b", "`a`"),
            ("bash -ec 'a | b'", "`a`"),
        ] {
            let said = passed_over(script).unwrap_or_default();
            assert!(said.contains("of a pipe, only the last") && said.contains(what), "{script}: {said}");
        }
        for script in ["bash -c '\nfalse\necho x\n'", "su dev -c 'false; true'", "sudo -u x sh -c \"false; true\""] {
            assert_eq!(passed_over(script).as_deref(), Some("it goes on where `false` fails"), "{script}");
        }
        assert!(passed_over("bash <<'END'\nfalse\ntrue\nEND").is_some());
        assert_eq!(passed_over("false & echo hi").as_deref(), Some("nobody waits for `false`"));
        assert_eq!(passed_over("set -e\na & b\nwait $!"), None);
    }

    #[test]
    fn what_fails_where_it_should_is_nothing_to_tell() {
        for script in [
            "",
            "make",
            "make \\\n  install",
            "cd /opt/sdk &&\n  make ||\n  exit 1\n",
            "cd /opt/sdk && make && make install",
            "cd /opt/sdk || exit 1\nmake",
            "a || true\nb",
            "a || b",
            "export A=1; make",
            "A=1\nmake",
            "echo a\necho b 2>&1 >/dev/null\nmake",
            "if ! grep -q x /f; then\n  echo x >> /f\nfi",
            "if a | grep -q x; then b; fi",
            "if x; then\n  a\nelse\n  b\nfi",
            "case $x in\n  a) one;;\n  b) two;;\nesac",
            "[[ $a == b && -f c ]] && make",
            "echo 'a\nb | c'",
            "echo \"$(a | b)\"",
            "grep -E 'a|b' /x",
            "cat > /etc/x <<EOF\na | b\nc\nEOF",
            "cat > /etc/x <<-'END X'\n\ta | b\n\tEND X",
            "# what it does\nmake # and | why\n",
            "echo >| /x",
            "echo y | ./install.sh",
            "yes | ./install.sh",
            "set -e\ncd /opt\nmake",
            "set -euo pipefail\na | b\nc",
            "set -o errexit -o pipefail\na | b\nc",
            "set -eu; set -o pipefail\nfor x in a b; do a | b; c; done",
            "bash -eo pipefail -c 'a | b; c'\n",
            "bash -c 'make'",
            "(cd x && make)",
            "! a\nmake",
        ] {
            assert_eq!(passed_over(script), None, "{script}");
        }
    }

    proptest! {
        #[test]
        fn no_script_is_too_odd(words in prop::collection::vec(
            prop::sample::select(vec![
                "a", "if", "then", "fi", "else", "case", "in", "esac", "for", "do", "done", "{", "}", "(", ")", "((", "))",
                "\n", ";", ";;", "&", "&&", "|", "||", "<<E", "E", "'", "\"", "`", "$(", "${", "\\", "#", "[[", "]]", "!",
                "set -e", "bash -c", "su -c", "function", "ü", ">", "2>", "<(", "-", "x=$(", "=",
            ]), 0..40)) {
            let _ = passed_over(&words.join(" "));
            let _ = passed_over(&words.concat());
        }
    }

    #[test]
    fn deep_ones_end() {
        for (open, close) in [("(", ")"), ("{ ", "; }"), ("if ", ""), ("$(", ")"), ("f() ", "")] {
            let _ = passed_over(&format!("{}a{}", open.repeat(20_000), close.repeat(20_000)));
        }
    }
}
