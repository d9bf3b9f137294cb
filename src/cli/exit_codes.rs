//! What exit codes tell: the help, the man page and the reference are made from this table.

use std::fmt::Write as _;

use super::error::Kind;

/// The widest line of the help.
const WIDTH: usize = 96;
/// What stands before the text of a code.
const INDENT: usize = 9;

/// Each exit code, and what a command that ends with it has met: any of these.
pub(super) const EXIT_CODES: [(u8, &[&str]); 7] = [
    (0, &["the command did what it was to do"]),
    (
        Kind::Failed as u8,
        &[
            "a task failed, or alloy itself did",
            "one of this machine's own files of settings or credentials cannot be read",
            "whoever read an image from standard output closed it before its end",
            "`alloy verify` or `alloy drift` found a difference",
            "`alloy lock --check` found an old lockfile",
            "`alloy check` found an error in a blueprint",
            "`alloy outdated --exit-code` found something newer",
        ],
    ),
    (Kind::Usage as u8, &["the command line is wrong"]),
    (
        Kind::Blueprint as u8,
        &[
            "the blueprint, or a file of a catalog, has errors (`alloy check`, which looks for these, ends with 1)",
            "something is not pinned that `--locked` or `alloy publish` want to be pinned",
        ],
    ),
    (
        Kind::Network as u8,
        &[
            "a server or a registry was not reached, or refused",
            "it sent something else than it should, such as an image that is not what its config says, or one for another \
             platform",
        ],
    ),
    (
        Kind::Sandbox as u8,
        &[
            "this machine gives no sandbox, no emulator or no locks, no overlay where the store is, or refuses a system \
             call; the hint says what would help",
        ],
    ),
    (Kind::Interrupted as u8, &["the command was interrupted"]),
];

/// The exit codes of `alloy run`, whose command decides.
pub(super) const OF_RUN: [(&str, &str); 5] = [
    ("0–255", "the exit code of the command"),
    ("125", "the command was not started: its sandbox cannot be set up, or there is no such user"),
    ("126", "the command cannot be executed"),
    ("127", "the command was not found"),
    ("128+N", "signal N ended the command"),
];

/// As the help shows them.
pub(super) fn help() -> String {
    let mut text = "Exit codes:\n".to_owned();
    EXIT_CODES.iter().for_each(|(code, causes)| line(&mut text, &code.to_string(), &causes.join("; ")));
    text + "`alloy run` ends as its command does."
}

/// As the help of `alloy run` shows its own.
pub(super) fn help_of_run() -> String {
    let mut text = "Exit codes:\n".to_owned();
    OF_RUN.iter().for_each(|(code, cause)| line(&mut text, code, cause));
    text.trim_end().to_owned()
}

/// A code and what it means, wrapped.
fn line(out: &mut String, code: &str, meaning: &str) {
    let _ = write!(out, "  {code:<width$}", width = INDENT - 2);
    let mut column = INDENT;
    for (at, word) in meaning.split(' ').enumerate() {
        let length = word.chars().count();
        if at > 0 && column + 1 + length > WIDTH {
            let _ = write!(out, "\n{:INDENT$}", "");
            column = INDENT;
        } else if at > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_line_and_lines_fit() {
        let code = |kind: Kind| match kind {
            // That of `alloy run` alone.
            Kind::Setup => None,
            Kind::Failed | Kind::Usage | Kind::Blueprint | Kind::Network | Kind::Sandbox | Kind::Interrupted => {
                Some(kind as u8)
            }
        };
        let kinds =
            [Kind::Failed, Kind::Usage, Kind::Blueprint, Kind::Network, Kind::Sandbox, Kind::Setup, Kind::Interrupted];
        let mut codes: Vec<u8> = kinds.into_iter().filter_map(code).collect();
        codes.insert(0, 0);
        assert_eq!(EXIT_CODES.map(|(code, _)| code).to_vec(), codes);
        assert_eq!(OF_RUN[1].0, (Kind::Setup as u8).to_string());
        let help = help() + "\n" + &help_of_run();
        assert!(help.lines().all(|line| line.chars().count() <= WIDTH), "{help}");
        assert!(help.contains("\n  2      the command line is wrong\n  3      the blueprint,"), "{help}");
    }
}
