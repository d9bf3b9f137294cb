//! A task's failure: where it is in the blueprint, what was wrong, what the task printed last.

use std::fmt::Write as _;

use super::super::error::{CommandError, Kind};
use super::super::located::Place;
use super::super::ui;
use crate::build::TaskFailure;
use crate::fetch::FetchError;
use crate::sandbox::killed_hint;
use crate::target::UNPACKING;

const SIGKILL: i32 = 9;
/// What failures say that are about the number of path elements that an archive's names lose.
const LEFT_OUT: &str = "leading path elements are dropped";

/// What tasks that clone say of a directory that has something in it.
const OCCUPIED: &str = "already exists and is not an empty directory";

/// A task that failed, with what it printed last, unless that was shown already.
pub(super) fn task(failure: TaskFailure) -> CommandError {
    let status = failure.exit.map_or(String::new(), |exit| format!(" (exit status {exit}{})", meaning(exit)));
    // What a command printed may name anything; where apt and others say what is wrong, they say so.
    let wrong = failure.output.iter().filter(|line| line.starts_with("E: ") || line.starts_with("ERROR: "));
    let told = wrong.fold(failure.message.clone(), |told, line| told + "\n" + line);
    let place = match () {
        () if failure.message.contains(LEFT_OUT) => Place::of_field(&failure.file, failure.line, "strip_components"),
        () if failure.message.starts_with(UNPACKING) => Place::of_archive(&failure.file, failure.line, &told),
        () => Place::of(&failure.file, failure.line, &told),
    };
    let said = format!("{}{status}", failure.message);
    let mut output = String::new();
    for line in &failure.output {
        let _ = write!(output, "\n  {line}");
    }
    // The hints are for all that is known.
    let mut error = CommandError::new(Kind::Failed, format!("{said}{output}"));
    error.message = said;
    let mut error = place.told_of(error, &failure.task);
    if !output.is_empty() && !ui::shows_output() {
        let _ = write!(error.message, "\n\nits last output:{output}\n");
    }
    if failure.exit == Some(128 + SIGKILL) {
        error.hints.push(killed_hint());
    }
    if failure.output.iter().any(|line| line.contains(OCCUPIED)) {
        error.hints.push(
            "a task clones into a directory of its own: name another one in `dest`, or remove what is there; on a host, a \
             run that was killed may have left half a repository"
                .to_owned(),
        );
    }
    error.hints.extend(failure.hints);
    error
}

/// What an exit status says, where shells agree on it.
fn meaning(exit: i32) -> String {
    let name = match exit - 128 {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        SIGKILL => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        31 => "SIGSYS",
        _ => {
            return match exit {
                126 => ": a command cannot be executed".to_owned(),
                127 => ": a command was not found".to_owned(),
                _ => String::new(),
            };
        }
    };
    format!(": killed by {name}")
}

/// A download that a task waited for in vain.
pub(super) fn download(task: &str, file: &str, line: usize, error: FetchError) -> CommandError {
    let failure = CommandError::from(error);
    Place::of(file, line, &failure.message).told_of(failure, task)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_status_is_told_in_words() {
        let failed = |exit| {
            task(TaskFailure {
                task: "Make".to_owned(),
                action: "run_command".to_owned(),
                layer: "a.yml".to_owned(),
                file: "a.yml".to_owned(),
                line: 3,
                message: "the command failed".to_owned(),
                exit: Some(exit),
                output: vec!["cc: fatal".to_owned()],
                hints: Vec::new(),
                image: None,
                looked_into: true,
            })
        };
        let killed = failed(137);
        let expected =
            "a.yml:3: Make: the command failed (exit status 137: killed by SIGKILL)\n\nits last output:\n  cc: fatal\n";
        assert_eq!(killed.message, expected);
        assert_eq!(killed.hints, [killed_hint()]);
        assert!(failed(139).message.contains("(exit status 139: killed by SIGSEGV)") && failed(139).hints.is_empty());
        assert!(failed(127).message.contains("(exit status 127: a command was not found)"));
        assert!(failed(7).message.contains("(exit status 7)"));
    }
}
