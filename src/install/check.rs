//! What must hold before anything is done.

use std::path::Path;

use layers::root::Root;

use super::InstallError;
use crate::debian::os_release;
use crate::op::{Op, Owner, Step, user, users_wanted};
use crate::target::host::{Host, Names};

/// Only root may be everybody.
pub fn privileges(root: &Path) -> Result<(), InstallError> {
    match rustix::process::geteuid().is_root() {
        true => Ok(()),
        false => Err(InstallError::NotRoot { root: root.to_owned() }),
    }
}

/// The root is of a distribution that has apt (os-release(5)).
pub fn distribution(root: &Root) -> Result<(), InstallError> {
    let read = |path: &str| root.read(Path::new(path), 64 << 10).ok();
    let text = read("etc/os-release").or_else(|| read("usr/lib/os-release"));
    let text = text.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let found = match text.as_deref().map(os) {
        Some((_, true)) => return Ok(()),
        Some((name, false)) => format!("it is {name}"),
        None => "it has no os-release".to_owned(),
    };
    Err(InstallError::Distribution { root: root.path().to_owned(), found })
}

/// The system's name, and whether it is Debian, Ubuntu or made from one of them.
fn os(text: &str) -> (String, bool) {
    let field = |name: &str| os_release(text, name);
    let ids = format!("{} {}", field("ID").unwrap_or_default(), field("ID_LIKE").unwrap_or_default());
    let name = field("PRETTY_NAME").or_else(|| field("ID")).unwrap_or("something else");
    (name.to_owned(), ids.split_whitespace().any(|id| matches!(id, "debian" | "ubuntu")))
}

/// Lets `host` know the users and groups that `steps` name; those that are not there, and that no step before seems to
/// make, are an error. What a pending step creates is not there.
pub fn users(
    host: &mut Host,
    steps: &[&Step],
    developer: Option<&str>,
    pending: impl Fn(usize) -> bool,
) -> Result<(), InstallError> {
    let owners = || steps.iter().flat_map(|step| &step.ops).filter_map(owner);
    let mut names: Vec<&str> = owners().map(|owner| owner.user.as_str()).collect();
    names.extend(steps.iter().flat_map(|step| &step.ops).filter_map(user));
    names.sort_unstable();
    names.dedup();
    if host.is_own() {
        let groups: Vec<&str> = owners().filter_map(|owner| owner.group.as_deref()).collect();
        let asked = Names::ask(&host.users(), &names, &groups);
        host.learn(asked);
    }
    let accounts = host.users();
    let to_do: Vec<&Step> = steps.iter().enumerate().filter(|(at, _)| pending(*at)).map(|(_, step)| *step).collect();
    let wanted = users_wanted(&to_do, developer, |_| false).into_iter();
    let unknown = wanted.filter(|wanted| wanted.sure && accounts.user(wanted.name).is_err());
    let place = |step: &Step| format!("{}:{}: {}", step.file, step.line, step.name);
    let unknown: Vec<_> = unknown.map(|wanted| (wanted.name.to_owned(), place(wanted.step))).collect();
    if unknown.is_empty() { Ok(()) } else { Err(InstallError::Users { names: unknown }) }
}

fn owner(op: &Op) -> Option<&Owner> {
    match op {
        Op::SetAttributes { owner, .. } => owner.as_ref(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_made_from_debian_have_apt() {
        assert_eq!(os("ID=raspbian\nID_LIKE=debian\nPRETTY_NAME=\"Raspbian 12\"\n"), ("Raspbian 12".into(), true));
        assert!(os("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n").1);
        assert_eq!(os("NAME=Fedora\nID=fedora\nPRETTY_NAME='Fedora 40'\n"), ("Fedora 40".into(), false));
        assert_eq!(os(""), ("something else".into(), false));
    }
}
