//! Which commands do something, and which only ask: whoever asks takes any answer.

use super::fails::{Known, without_assignments};
use super::lex::Word;
use super::parse::{Command, Item, Kind, Pipeline, parse};

/// Functions that call each other are followed so far.
const DEEPEST: usize = 4;

/// Commands that ask, look something up, or show what is there.
const QUESTIONS: [&str; 62] = [
    ".",
    "[",
    "apt-cache",
    "apt-config",
    "awk",
    "bc",
    "builtin",
    "cat",
    "cmp",
    "command",
    "cut",
    "diff",
    "dirname",
    "dpkg-architecture",
    "dpkg-query",
    "egrep",
    "env",
    "eval",
    "exec",
    "expr",
    "false",
    "fgrep",
    "file",
    "find",
    "findmnt",
    "fuser",
    "getconf",
    "getent",
    "getopt",
    "getopts",
    "grep",
    "groups",
    "hash",
    "head",
    "host",
    "id",
    "ischroot",
    "jq",
    "kill",
    "killall",
    "ls",
    "lsmod",
    "lsof",
    "modinfo",
    "mountpoint",
    "nc",
    "pgrep",
    "pidof",
    "pidofproc",
    "ping",
    "pkg-config",
    "printenv",
    "read",
    "readlink",
    "realpath",
    "source",
    "stat",
    "tail",
    "test",
    "tty",
    "type",
    "which",
];
/// Interpreters and wrappers: what they are given may be a question.
const UNKNOWN: [&str; 15] = [
    "bash", "chroot", "dash", "fakeroot", "node", "perl", "python", "python3", "ruby", "runuser", "setpriv", "sh",
    "su", "sudo", "timeout",
];
/// Words that make a question of a command that does something otherwise: its name, `*` for any, and how they begin.
const ASKED: [(&str, &[&str]); 10] = [
    ("*", &["--check", "--dry-run", "--help", "--list", "--query", "--status", "--version", "-V", "is-", "has-"]),
    ("apt-mark", &["show"]),
    ("docker", &["image", "info", "inspect", "ps"]),
    ("dpkg", &["-l", "-L", "-s", "-S", "-W", "--compare-versions", "--print", "--search", "--verify"]),
    ("dpkg-divert", &["--truename", "--listpackage"]),
    (
        "git",
        &[
            "branch",
            "cat-file",
            "check-ignore",
            "config",
            "describe",
            "diff",
            "log",
            "ls-files",
            "ls-remote",
            "merge-base",
            "remote",
            "rev-list",
            "rev-parse",
            "show",
            "status",
            "symbolic-ref",
        ],
    ),
    ("make", &["-q", "--question"]),
    ("rpm", &["-q"]),
    ("systemctl", &["cat", "list", "show", "status"]),
    ("update-alternatives", &["--display"]),
];
/// How names begin that are questions.
const NAMES: [&str; 12] =
    ["can", "check", "exist", "has", "have", "in_", "is", "need", "should", "test", "valid", "want"];

/// True for a pipeline that does something: whoever writes `&&` behind it does not ask, and wants it done.
pub(super) fn does_something(pipeline: &Pipeline, script: &str, known: &Known<'_>) -> bool {
    pipeline_works(pipeline, script, known, DEEPEST)
}

/// The same of a command.
pub(super) fn works(command: &Command, script: &str, known: &Known<'_>) -> bool {
    command_works(command, script, known, DEEPEST)
}

fn pipeline_works(pipeline: &Pipeline, script: &str, known: &Known<'_>, depth: usize) -> bool {
    !pipeline.negated && pipeline.commands.iter().all(|command| command_works(command, script, known, depth))
}

fn list_works(list: &[Item], script: &str, known: &Known<'_>, depth: usize) -> bool {
    let last = list.last().map(|item| item.rest.last().map_or(&item.first, |(_, last)| last));
    depth > 0 && last.is_some_and(|last| pipeline_works(last, script, known, depth - 1))
}

fn command_works(command: &Command, script: &str, known: &Known<'_>, depth: usize) -> bool {
    // Whoever throws away what it says wants to know how it ends.
    let text = script.get(command.start..command.end).unwrap_or_default();
    match &command.kind {
        Kind::Simple { words, .. } if !text.contains("/dev/null") && !text.contains(">&-") => {
            simple_works(words, script, known, depth)
        }
        Kind::Group(list) | Kind::Subshell(list) => list_works(list, script, known, depth),
        _ => false,
    }
}

fn simple_works(words: &[Word], script: &str, known: &Known<'_>, depth: usize) -> bool {
    let Some((first, rest)) = without_assignments(words).split_first() else {
        // What it is set to.
        let mut scripts = words.iter().flat_map(|word| &word.commands);
        return depth > 0 && scripts.any(|script| list_works(&parse(script), script, known, depth - 1));
    };
    let name = first.text.rsplit('/').next().unwrap_or_default();
    let is_named = |name: &str| NAMES.iter().any(|start| name.to_ascii_lowercase().starts_with(start));
    if first.text.contains('$') || QUESTIONS.contains(&name) || UNKNOWN.contains(&name) || is_named(name) {
        return false;
    }
    if let Some(body) = known.function(&first.text) {
        return list_works(body, script, known, depth);
    }
    let asks = |word: &Word, starts: &[&str]| starts.iter().any(|start| word.text.starts_with(start));
    let mut asked = ASKED.iter().filter(|(of, _)| *of == "*" || *of == name);
    !asked.any(|(_, starts)| rest.iter().any(|word| asks(word, starts)))
}

#[cfg(test)]
mod tests;
