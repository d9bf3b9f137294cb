//! Whom steps run commands as, and what makes these users.

use super::{Command, Op, Step};

/// Users that `steps` run commands as, each with the first step that does so. Left out are those that a step before
/// seems to make.
pub fn users_wanted<'a>(steps: &[&'a Step]) -> Vec<(&'a str, &'a Step)> {
    let mut wanted: Vec<(&str, &Step)> = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        for name in step.ops.iter().filter_map(user) {
            let known = wanted.iter().any(|(other, _)| *other == name);
            if !known && !steps[..at].iter().any(|step| mentions(step, name)) {
                wanted.push((name, step));
            }
        }
    }
    wanted
}

/// Whom an operation runs a command as, if not as root.
pub fn user(op: &Op) -> Option<&str> {
    match op {
        Op::Run { user, .. } => user.as_deref(),
        _ => None,
    }
}

/// True if a step has a command, or a package, that speaks of `name`: it may well be what makes the user.
fn mentions(step: &Step, name: &str) -> bool {
    step.ops.iter().any(|op| match op {
        Op::Run { user: Some(user), .. } if user != "root" => false,
        Op::Run { command: Command::Shell(text) | Command::Strict(text), .. } => text.contains(name),
        Op::Run { command: Command::Argv(words), .. } => words.iter().any(|word| word.contains(name)),
        Op::AptInstall { packages, debs, .. } => {
            !debs.is_empty() || packages.iter().any(|package| package.contains(name))
        }
        Op::EnsureUser { name: made, .. } => made == name,
        _ => false,
    })
}
