//! Users and groups of this machine that are not in its files: those of a directory service, as nsswitch.conf(5) has it.

use std::process::{Command, Stdio};

use super::super::accounts::Accounts;

/// Lines of passwd(5) and group(5) beside those of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    passwd: String,
    group: String,
}

impl Names {
    /// Asks the machine for those of `users` and `groups` that `known` does not have.
    pub fn ask(known: &Accounts, users: &[&str], groups: &[&str]) -> Self {
        let mut found = Self::default();
        for user in users.iter().filter(|user| known.user(user).is_err()) {
            let Some(line) = getent(&["passwd", user]) else { continue };
            found.passwd += &line;
            // "name gid gid …": a group each that lists the user.
            let groups = getent(&["initgroups", user]).unwrap_or_default();
            for gid in groups.split_whitespace().skip(1) {
                found.group += &format!("gid-{gid}:x:{gid}:{user}\n");
            }
        }
        for group in groups.iter().filter(|group| known.gid(group).is_err()) {
            found.group += &getent(&["group", group]).unwrap_or_default();
        }
        found
    }

    /// `accounts` with these.
    pub fn added_to(&self, accounts: Accounts) -> Accounts {
        accounts.with(Accounts::parse(&self.passwd, &self.group))
    }
}

fn getent(words: &[&str]) -> Option<String> {
    let output = Command::new("getent").args(words).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_elsewhere_are_added() {
        let names =
            Names { passwd: "ann:*:5001:5000::/home/ann:/bin/bash\n".into(), group: "gid-77:x:77:ann\n".into() };
        let accounts = names.added_to(Accounts::parse("root:x:0:0::/root:/bin/sh\n", "root:x:0:\n"));
        let ann = accounts.user("ann").unwrap();
        assert_eq!(accounts.identity(&ann).groups, [77, 5000]);
        assert!(accounts.user("root").is_ok());
    }
}
