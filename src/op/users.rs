//! Whom steps run commands as, and what makes these users.

use super::{Command, Op, Step};

/// Users that `steps` run commands as, each with the first step that does so for sure, whatever is there. Left out are
/// those that a step before seems to make.
pub fn users_wanted<'a>(steps: &[&'a Step]) -> Vec<(&'a str, &'a Step)> {
    let mut wanted: Vec<(&str, &Step)> = Vec::new();
    let guarded = |step: &Step| step.guards.skip_if.is_some() || step.guards.creates.is_some();
    for (at, step) in steps.iter().enumerate().filter(|(_, step)| !guarded(step)) {
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
        Op::Run { command: Command::Shell(text) | Command::Strict(text), .. } => names(text, name),
        Op::Run { command: Command::Argv(words), .. } => words.iter().any(|word| names(word, name)),
        Op::AptInstall { packages, debs, .. } => {
            !debs.is_empty() || packages.iter().any(|package| package.contains(name))
        }
        Op::EnsureUser { name: made, .. } => made == name,
        _ => false,
    })
}

/// Programs that make users, whatever these are called: in a loop, the script does not have their names.
const MAKERS: [&str; 4] = ["useradd", "adduser", "newusers", "sysusers"];

/// True for a text that makes users, or in which `name` is a word that is no part of a path: `/dev/null` does not speak
/// of `dev`, `/home/dev` does.
fn names(text: &str, name: &str) -> bool {
    if MAKERS.iter().any(|maker| text.contains(maker)) {
        return true;
    }
    let of_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    text.match_indices(name).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + name.len()..]);
        let path = before.ends_with('/') && !before.ends_with("home/");
        !path && !before.ends_with(of_word) && !after.starts_with(of_word)
    })
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn what_speaks_of_a_user_is_no_path() {
        for text in [
            "useradd -m dev",
            "for i in 1 2; do useradd u$i; done",
            "install -d -o dev /x",
            "mkdir /home/dev",
            "./make-user dev",
        ] {
            assert!(names(text, "dev"), "{text}");
        }
        for text in ["echo x > /dev/null", "apt-get install libfoo-dev", "devs", "echo a_dev"] {
            assert!(!names(text, "dev"), "{text}");
        }
    }
}
