//! What the last words of ssh mean, and what helps.

/// Whose keys ssh had.
#[derive(Clone, Copy, Debug)]
pub enum Keys {
    /// So many, of an agent that was lent to a command.
    Lent(usize),
    /// Nobody's: a command was lent none.
    NotLent,
    /// This user's own.
    Own,
}

/// What helps against what the last of `lines` says that is known.
pub fn of<'l>(lines: impl DoubleEndedIterator<Item = &'l str> + Clone, keys: Keys) -> Option<String> {
    lines.clone().rev().find_map(|line| {
        if ["cannot run ssh", "ssh: not found", "ssh: command not found"].iter().any(|words| line.contains(words)) {
            let before = if matches!(keys, Keys::Own) { "" } else { " by a task before" };
            return Some(format!("there is no `ssh` program: install openssh-client{before}"));
        }
        if line.contains("Permission denied (publickey") {
            return Some(refused(host_before(line), keys));
        }
        if line.contains("Too many authentication failures") {
            return Some(
                "the server gave up before the key was tried that it accepts: lend an agent with fewer keys, \
                 --ssh default=SOCKET"
                    .to_owned(),
            );
        }
        if line.contains("agent refused operation") || line.contains("agent refused our request") {
            return Some(
                "the agent did not sign: it may be locked, or wait for a confirmation that nobody gave; `ssh-add -l` asks it"
                    .to_owned(),
            );
        }
        line.contains("Host key verification failed").then(|| unknown(lines.clone(), keys))
    })
}

fn refused(host: Option<&str>, keys: Keys) -> String {
    let host = host.unwrap_or("the server");
    match keys {
        Keys::NotLent => format!("{host} wants a key: lend commands that clone your agent's, --ssh default"),
        Keys::Own => format!(
            "{host} accepts none of your keys: `ssh-add -l` lists those of your agent, `ssh -v` says which are tried"
        ),
        Keys::Lent(1) => format!("the agent holds 1 key, and {host} does not accept it; `ssh-add -l` lists it"),
        Keys::Lent(keys) => {
            format!("the agent holds {keys} keys, and {host} accepts none of them; `ssh-add -l` lists them")
        }
    }
}

/// Of a host whose key is another, or not known.
fn unknown<'l>(lines: impl DoubleEndedIterator<Item = &'l str>, keys: Keys) -> String {
    let mut host = None;
    for line in lines.rev() {
        // "Host key for HOST has changed and you have requested strict checking."
        if let Some(changed) = between(line, "ost key for ", " has changed") {
            return format!(
                "the key of {changed} is not the one that is known: somebody may stand between. If the host has a new one, \
                 compare it with what the host publishes, and put it in the place of the old one: {}",
                scan(changed)
            );
        }
        // "No ED25519 host key is known for HOST and you have requested strict checking."
        host = host.or_else(|| between(line, "host key is known for ", " and you have"));
    }
    let scan = scan(host.unwrap_or("HOST"));
    let host = host.unwrap_or("the host");
    match keys {
        Keys::NotLent => {
            "commands that clone have no key, and know no hosts: lend them those of your agent, and the hosts that you \
             know, by --ssh default"
                .to_owned()
        }
        Keys::Own => format!(
            "it is not known which key {host} has: {scan}, compare it with what the host publishes, and put it in \
             ~/.ssh/known_hosts, or name FILE by --ssh default --ssh-known-hosts FILE"
        ),
        Keys::Lent(_) => format!(
            "it is not known which key {host} has: {scan}, compare it with what the host publishes, and --ssh-known-hosts FILE"
        ),
    }
}

/// How the key of `host`, as ssh writes it, is asked for.
fn scan(host: &str) -> String {
    match host.strip_prefix('[').and_then(|rest| rest.split_once("]:")) {
        Some((name, port)) => format!("ssh-keyscan -p {port} {name} >> FILE"),
        None => format!("ssh-keyscan {host} >> FILE"),
    }
}

fn between<'l>(line: &'l str, before: &str, after: &str) -> Option<&'l str> {
    let (_, rest) = line.split_once(before)?;
    let (host, _) = rest.split_once(after)?;
    fits(host).then_some(host)
}

/// The host of "USER@HOST: Permission denied (publickey).".
fn host_before(line: &str) -> Option<&str> {
    let (before, _) = line.split_once(": Permission denied")?;
    let login = before.rsplit([' ', '\'']).next()?;
    Some(login.rsplit_once('@').map_or(login, |(_, host)| host)).filter(|host| fits(host))
}

/// What a command printed may be anything, and the hint is read as ours.
fn fits(host: &str) -> bool {
    !host.is_empty()
        && host.len() <= 255
        && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']'))
        && !host.starts_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice(text: &str, keys: Keys) -> String {
        of(text.lines(), keys).unwrap_or_default()
    }

    #[test]
    fn what_ssh_says_is_known() {
        let denied = "git@git.example: Permission denied (publickey).\nfatal: Could not read from remote repository.";
        assert!(
            advice(denied, Keys::NotLent).starts_with("git.example wants a key")
                && advice(denied, Keys::NotLent).contains("--ssh default")
        );
        assert!(advice(denied, Keys::Lent(3)).contains("the agent holds 3 keys, and git.example accepts none"));
        assert!(advice(denied, Keys::Lent(1)).contains("holds 1 key, and git.example does not"));
        let unknown = "No ED25519 host key is known for [git.example]:2222 and you have requested strict checking.\r\n\
                       Host key verification failed.\r\nfatal: Could not read from remote repository.";
        assert!(
            advice(unknown, Keys::Lent(1)).contains("ssh-keyscan -p 2222 git.example >> FILE"),
            "{}",
            advice(unknown, Keys::Lent(1))
        );
        assert!(advice(unknown, Keys::NotLent).contains("--ssh default"));
        let changed = "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n\
                       Host key for git.example has changed and you have requested strict checking.\n\
                       Host key verification failed.";
        assert!(advice(changed, Keys::Lent(1)).contains("the key of git.example is not the one that is known"));
        for line in ["error: cannot run ssh: No such file or directory", "ssh -F /x: 1: ssh: not found"] {
            assert!(advice(line, Keys::Lent(1)).contains("openssh-client"), "{line}");
        }
        let many = "Received disconnect from 192.0.2.1 port 22:2: Too many authentication failures";
        assert!(advice(many, Keys::Lent(9)).contains("fewer keys"));
        assert_eq!(of(["make: *** [all] Error 2"].into_iter(), Keys::NotLent), None);
    }

    #[test]
    fn no_host_is_made_up() {
        let line = "x@$(reboot): Permission denied (publickey).";
        assert!(advice(line, Keys::Lent(1)).contains("the server"), "{}", advice(line, Keys::Lent(1)));
        assert!(!advice("-oProxyCommand=x: Permission denied (publickey).", Keys::NotLent).contains("Proxy"));
    }
}
