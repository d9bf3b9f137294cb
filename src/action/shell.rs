//! Scripts of tasks: which shell runs them, and what it passes over in silence.

use super::FieldKind::OneOf;
use super::{Field, Fields};
use crate::op::Command;
use crate::yaml::Diagnostic;

/// How a shell takes commands that fail.
const SHELLS: &[&str] = &["plain", "strict"];

/// The field of actions that run a script.
pub(super) const SHELL: Field = Field::optional(
    "shell",
    OneOf(SHELLS),
    "strict: the first command that fails ends the script, also in a pipe (`bash -e -o pipefail`); plain: the last one decides",
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
        if strict {
            return Ok(Command::Strict(script));
        }
        // Whoever writes `plain` knows what it means.
        let asked = self.node("shell").is_some();
        if let (Some(what), false) = (passed_over(&script), asked) {
            let span = self.required(name)?.span;
            let warning = Diagnostic::warning("shell", span, format!("`{name}` passes over failures: {what}"));
            self.warn(warning.help("add `shell: strict` to the task, or to the manifest for all tasks"));
        }
        Ok(Command::Shell(script))
    }
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

/// What of `script` can fail without failing the script, in words. An option that is set anywhere counts as set.
fn passed_over(script: &str) -> Option<&'static str> {
    let (lines, pipes) = look(script);
    let options = Options::of(script);
    if lines > 1 && !options.errexit {
        return Some("of several lines, only the last one decides");
    }
    (pipes && !options.pipefail).then_some("of a pipe, only the last command decides")
}

/// Options that a script sets by `set` (POSIX.1-2024, "set"), or by its first line.
#[derive(Default)]
struct Options {
    errexit: bool,
    pipefail: bool,
}

impl Options {
    fn of(script: &str) -> Self {
        let mut options = Self::default();
        let apart = |c: char| c.is_whitespace() || matches!(c, ';' | '&' | '|' | '(' | ')' | '"' | '\'');
        let mut words = script.split(apart).filter(|word| !word.is_empty()).peekable();
        while let Some(word) = words.next() {
            if word != "set" && !word.ends_with("/bash") && !word.ends_with("/sh") && word != "bash" {
                continue;
            }
            while let Some(flags) = words.next_if(|word| word.starts_with('-')) {
                options.errexit |= !flags.starts_with("--") && flags.contains('e');
                if flags.ends_with('o') {
                    match words.next() {
                        Some("errexit") => options.errexit = true,
                        Some("pipefail") => options.pipefail = true,
                        _ => {}
                    }
                }
            }
        }
        options
    }
}

/// Words that are no commands where a line begins with them.
const WORDS: [&str; 11] = ["case", "do", "done", "esac", "fi", "if", "then", "{", "}", "(", ")"];

/// How many lines of `script` are commands of their own, and whether there is a pipe: outside quotes, comments and
/// documents (`<<`).
fn look(script: &str) -> (usize, bool) {
    let (mut lines, mut pipes) = (0, false);
    let mut quote = None;
    let mut joined = false;
    let mut documents: Vec<String> = Vec::new();
    for line in script.lines() {
        if let Some(end) = documents.first() {
            if line.trim_start_matches('\t') == end {
                documents.remove(0);
            }
            continue;
        }
        let text = line.trim();
        if quote.is_none() {
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            // Words of the language are no commands; of several branches, one is taken. A loop goes on after a failure.
            let begins = |words: &[&str]| {
                words.iter().any(|word| {
                    text.strip_prefix(word).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
                })
            };
            let other_branch = begins(&["else", "elif"]);
            let counts = !joined && !other_branch && !begins(&WORDS);
            lines = (lines + usize::from(counts)).saturating_sub(usize::from(other_branch || text.ends_with(";;")));
        }
        let scanned = Scanned::of(line, &mut quote, &mut documents);
        pipes |= scanned.pipe;
        joined = scanned.goes_on;
    }
    (lines, pipes)
}

#[derive(Default)]
struct Scanned {
    pipe: bool,
    goes_on: bool,
}

impl Scanned {
    fn of(line: &str, quote: &mut Option<char>, documents: &mut Vec<String>) -> Self {
        let mut scanned = Self::default();
        let mut characters = line.char_indices().peekable();
        let mut last = ' ';
        let mut code = String::new();
        while let Some((at, c)) = characters.next() {
            match (*quote, c) {
                (None | Some('"'), '\\') => {
                    scanned.goes_on = characters.next().is_none();
                    code.push('x');
                }
                (Some(open), _) if c == open => *quote = None,
                (Some(_), _) => {}
                (None, '\'' | '"') => {
                    *quote = Some(c);
                    code.push('x');
                }
                (None, '#') if last.is_whitespace() => break,
                (None, '<') if line[at..].starts_with("<<") && !line[at..].starts_with("<<<") && last != '<' => {
                    let word = line[at + 2..].trim_start_matches('-').trim_start();
                    let word: String = word
                        .chars()
                        .take_while(|c| !c.is_whitespace() && !matches!(c, ';' | '|' | '&' | '>'))
                        .filter(|c| !matches!(c, '\'' | '"' | '\\'))
                        .collect();
                    documents.push(word);
                    code.push(c);
                }
                (None, '|') => {
                    let other = characters.peek().is_some_and(|(_, next)| *next == '|') || last == '|' || last == '>';
                    scanned.pipe |= !other;
                    code.push(c);
                }
                (None, _) => code.push(c),
            }
            last = c;
        }
        let code = code.trim_end();
        scanned.goes_on |= ["|", "&&", "||"].iter().any(|end| code.ends_with(end));
        scanned
    }
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

    #[test]
    fn what_a_shell_passes_over() {
        for (script, lines) in [
            ("cd /opt/sdk\nmake install\necho ok", true),
            ("false\n\n# a comment\ntrue", true),
            ("for x in a b; do\n  make $x\n  rm $x\ndone", true),
            ("for x in a b; do\n  make $x\ndone", true),
            ("if x; then\n  a\n  b\nfi", true),
            ("curl -sSf https://x.invalid | sh", false),
            ("a || b | c", false),
        ] {
            let what = passed_over(script).unwrap();
            assert_eq!(what.contains("several lines"), lines, "{script}: {what}");
        }
        for script in [
            "make",
            "make \\\n  install",
            "cd /opt/sdk &&\n  make ||\n  exit 1\n",
            "a || b",
            "if ! grep -q x /f; then\n  echo x >> /f\nfi",
            "if x; then\n  a\nelse\n  b\nfi",
            "case $x in\n  a) one;;\n  b) two;;\nesac",
            "echo 'a\nb | c'",
            "grep -E 'a|b' /x",
            "cat > /etc/x <<EOF\na | b\nc\nEOF",
            "cat > /etc/x <<-'END X'\n\ta | b\n\tEND X",
            "# what it does\nmake # and | why\n",
            "echo >| /x",
            "set -e\ncd /opt\nmake",
            "set -euo pipefail\na | b\nc",
            "set -o errexit -o pipefail\na | b\nc",
            "bash -eo pipefail -c 'x'\n",
        ] {
            assert_eq!(passed_over(script), None, "{script}");
        }
        assert!(passed_over("set -e\na | b").unwrap().contains("pipe"));
        assert!(passed_over("set -u\na\nb").is_some());
    }
}
