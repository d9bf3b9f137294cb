//! Users and groups as the root's own `/etc/passwd` and `/etc/group` have them (passwd(5), group(5)).
//! The machine's never count: the same name may have another id there.

use crate::op::Owner;
use crate::sandbox::{Identity, SandboxError};

/// One line of passwd(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Home directory.
    pub home: String,
    /// Login shell; `/bin/sh` where the field is empty.
    pub shell: String,
}

impl Account {
    /// The shell that runs commands: accounts of services have one that only says no (nologin(8)).
    pub fn command_shell(&self) -> &str {
        let refuses = self.shell.ends_with("/nologin") || self.shell.ends_with("/false");
        if refuses { "/bin/sh" } else { &self.shell }
    }
}

#[derive(Clone, Debug)]
struct Group {
    name: String,
    gid: u32,
    members: Vec<String>,
}

/// All users and groups of a root.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    users: Vec<Account>,
    groups: Vec<Group>,
}

impl Accounts {
    /// Reads the text of both files; lines that make no sense are passed over, as the C library does.
    pub fn parse(passwd: &str, group: &str) -> Self {
        Self {
            users: passwd.lines().filter_map(parse_account).collect(),
            groups: group.lines().filter_map(parse_group).collect(),
        }
    }

    /// These, then those of `others`.
    pub fn with(mut self, others: Self) -> Self {
        self.users.extend(others.users);
        self.groups.extend(others.groups);
        self
    }

    /// The user of that name, or of that decimal id; root is known even where there is no passwd file.
    pub fn user(&self, name: &str) -> Result<Account, SandboxError> {
        let id = id(name);
        let found = self.users.iter().find(|user| user.name == name);
        let found = found.or_else(|| self.users.iter().find(|user| Some(user.uid) == id)).cloned();
        found.or_else(|| without_account(name, id)).ok_or_else(|| unknown("user", name))
    }

    /// The id of a group given by name or decimal id.
    pub fn gid(&self, name: &str) -> Result<u32, SandboxError> {
        let found = self.groups.iter().find(|group| group.name == name).map(|group| group.gid);
        found.or_else(|| id(name)).or((name == "root").then_some(0)).ok_or_else(|| unknown("group", name))
    }

    /// User and group ids of an owner; the group stays `None` where the owner names none.
    pub fn owner(&self, owner: &Owner) -> Result<(u32, Option<u32>), SandboxError> {
        let user = self.user(&owner.user)?;
        let gid = match owner.group.as_deref() {
            None => None,
            Some("") => Some(user.gid),
            Some(group) => Some(self.gid(group)?),
        };
        Ok((user.uid, gid))
    }

    /// What a login as `account` gets: its group and the groups that list it.
    pub fn identity(&self, account: &Account) -> Identity {
        let mut groups = vec![account.gid];
        let listed = self.groups.iter().filter(|group| group.members.contains(&account.name));
        groups.extend(listed.map(|group| group.gid));
        groups.sort_unstable();
        groups.dedup();
        Identity { uid: account.uid, gid: account.gid, groups }
    }
}

/// A decimal id. The largest number is none: to chown(2) it changes nothing.
fn id(text: &str) -> Option<u32> {
    text.parse().ok().filter(|id| *id != u32::MAX)
}

fn unknown(kind: &'static str, name: &str) -> SandboxError {
    SandboxError::Unknown { kind, name: name.to_owned() }
}

/// An id needs no account: it gets `/` for a home, as in OCI runtimes.
fn without_account(name: &str, id: Option<u32>) -> Option<Account> {
    let uid = id.or((name == "root").then_some(0))?;
    let home = if uid == 0 { "/root" } else { "/" };
    Some(Account { name: name.to_owned(), uid, gid: 0, home: home.to_owned(), shell: "/bin/sh".to_owned() })
}

fn parse_account(line: &str) -> Option<Account> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, uid, gid, _, home, shell] = fields.as_slice() else { return None };
    let shell = if shell.is_empty() { "/bin/sh" } else { shell };
    Some(Account {
        name: (*name).to_owned(),
        uid: id(uid)?,
        gid: id(gid)?,
        home: (*home).to_owned(),
        shell: shell.to_owned(),
    })
}

fn parse_group(line: &str) -> Option<Group> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, gid, members] = fields.as_slice() else { return None };
    let members = members.split(',').filter(|member| !member.is_empty()).map(str::to_owned).collect();
    Some(Group { name: (*name).to_owned(), gid: id(gid)?, members })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n# no\ndev:x:1000:1000::/home/dev:/bin/bash\nodd:x:7:7::/:\n\
                          service:x:9:9::/:/usr/sbin/nologin\n";
    const GROUP: &str = "root:x:0:\ndev:x:1000:\ndialout:x:20:dev,ann\n";

    #[test]
    fn names_and_ids_are_looked_up_in_the_root() {
        let accounts = Accounts::parse(PASSWD, GROUP);
        assert_eq!(accounts.user("dev").unwrap().uid, 1000);
        assert_eq!(accounts.user("1000").unwrap().home, "/home/dev");
        assert_eq!(accounts.user("odd").unwrap().shell, "/bin/sh");
        assert_eq!(accounts.user("service").unwrap().command_shell(), "/bin/sh");
        assert_eq!(accounts.user("dev").unwrap().command_shell(), "/bin/bash");
        assert_eq!(accounts.gid("dialout").unwrap(), 20);
        assert_eq!(accounts.user("1234").unwrap().home, "/");
        let owner = |user: &str, group: Option<&str>| {
            accounts.owner(&Owner { user: user.into(), group: group.map(str::to_owned) }).unwrap()
        };
        assert_eq!(owner("odd", None), (7, None));
        assert_eq!(owner("odd", Some("")), (7, Some(7)));
        assert_eq!(owner("odd", Some("dialout")), (7, Some(20)));
        assert!(accounts.user("eve").is_err());
        assert!(accounts.gid("wheel").is_err());
        let dev = accounts.user("dev").unwrap();
        assert_eq!(accounts.identity(&dev), Identity { uid: 1000, gid: 1000, groups: vec![20, 1000] });
    }

    #[test]
    fn root_exists_in_an_empty_root() {
        let accounts = Accounts::default();
        assert_eq!(accounts.user("root").unwrap().home, "/root");
        assert_eq!(accounts.gid("root").unwrap(), 0);
    }
}
