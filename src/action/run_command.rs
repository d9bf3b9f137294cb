//! `run_command`: what no other action covers.

use super::FieldKind::{Flag, Text};
use super::shell::SHELL;
use super::{Action, Field, Fields, Lowered};
use crate::op::Op;
use crate::yaml::Diagnostic;

pub(super) static ACTION: Action = Action {
    name: "run_command",
    summary: "A shell command: what no other action covers",
    fields: &[
        Field::required("command", Text, "For `bash -c`, or the login shell of `run_as`").verbatim(),
        Field::optional("reason", Text, "Why no other action does it").verbatim(),
        SHELL,
        Field::optional(
            "ssh",
            Flag,
            "It may log in by ssh as whoever builds: the agent of `--ssh` is lent to it, and to no other command",
        ),
    ],
    lower,
};

fn lower(fields: &mut Fields<'_>) -> Result<Lowered, Diagnostic> {
    let command = fields.text_or_secret("command")?;
    if fields.node("reason").is_none() {
        let span = fields.required("action")?.span;
        fields.warn(
            Diagnostic::warning("reason", span, "`run_command` should have a `reason`")
                .help("add `reason:`, saying why no other action does it"),
        );
    }
    let user = fields.run_as()?;
    let ssh = fields.flag("ssh")?;
    fields.ssh = ssh;
    if let (true, Some(node), Some(ssh)) = (ssh, fields.node("network"), fields.node("ssh"))
        && node.text("network").is_ok_and(|text| text == "none")
    {
        let error = Diagnostic::error("ssh", ssh.span, "`ssh` is of no use without a network");
        return Err(error.label("beside `network: none`").help("leave one of the two out"));
    }
    let ops = match literal_mkdir(&command).filter(|_| user.is_none() && !ssh) {
        Some(paths) => paths.into_iter().map(|path| Op::MakeDir { path }).collect(),
        None => {
            let command = fields.script("command", command)?;
            vec![fields.run(command, user, &[])]
        }
    };
    Ok(Lowered { ops, written: None })
}

/// The paths of a command that is nothing but `mkdir -p` of literal, absolute paths: such a command is declared, not
/// run, and what it makes is known without running it.
fn literal_mkdir(command: &str) -> Option<Vec<String>> {
    let command = command.trim();
    if command.contains('\n') {
        return None;
    }
    let mut words = command.split_ascii_whitespace();
    let mut next = || words.next();
    (next()? == "mkdir" && next()? == "-p").then_some(())?;
    let paths: Vec<String> = words.map(str::to_owned).collect();
    let literal = |path: &String| {
        path.starts_with('/')
            && path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+@".contains(c))
            && !path.split('/').any(|part| part == "..")
    };
    (!paths.is_empty() && paths.iter().all(literal)).then_some(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_literal_paths_are_declared() {
        assert_eq!(literal_mkdir("mkdir -p /opt/a /opt/b\n").unwrap(), ["/opt/a", "/opt/b"]);
        for other in
            ["mkdir /opt/a", "mkdir -p $X", "mkdir -p /a && touch /a/b", "mkdir -p a", "mkdir -p", "mkdir -p /a\nls"]
        {
            assert!(literal_mkdir(other).is_none(), "{other}");
        }
    }
}
