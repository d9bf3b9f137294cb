//! What must hold before anything is done.

use std::path::Path;

use layers::root::Root;

use super::InstallError;
use crate::blueprint::Blueprint;
use crate::debian::os_release;
use crate::event::{Event, Reporter};
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
    let found = match release(root).as_deref().map(os) {
        Some((_, true)) => return Ok(()),
        Some((name, false)) => format!("it is {name}"),
        None => "it has no os-release".to_owned(),
    };
    Err(InstallError::Distribution { root: root.path().to_owned(), found })
}

fn release(root: &Root) -> Option<String> {
    let read = |path: &str| root.read(Path::new(path), 64 << 10).ok();
    let text = read("etc/os-release").or_else(|| read("usr/lib/os-release"));
    text.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// The system's name, and whether it is Debian, Ubuntu or made from one of them.
fn os(text: &str) -> (String, bool) {
    let field = |name: &str| os_release(text, name);
    let ids = format!("{} {}", field("ID").unwrap_or_default(), field("ID_LIKE").unwrap_or_default());
    let name = field("PRETTY_NAME").or_else(|| field("ID")).unwrap_or("something else");
    (name.to_owned(), ids.split_whitespace().any(|id| matches!(id, "debian" | "ubuntu")))
}

/// Says where the host is of another suite than the blueprint was made for.
pub fn suite(root: &Root, blueprint: &Blueprint, reporter: &Reporter) {
    let text = release(root).unwrap_or_default();
    let bases: Vec<&str> = blueprint.manifest.supported_bases.iter().map(|(base, _)| base.as_str()).collect();
    if let (Some(suite), Some(list)) = (os_release(&text, "VERSION_CODENAME"), other(&bases, &text)) {
        let warning = format!(
            "this host is {suite}, and the blueprint was made for {list} (`supported_bases`): packages of that name or \
             version may not be there"
        );
        reporter.event(Event::Warning(warning));
    }
}

/// The suites among `bases`, if the system of that os-release is of none of them.
fn other(bases: &[&str], text: &str) -> Option<String> {
    let suites: Option<Vec<&str>> = bases
        .iter()
        .map(|base| Some(base.strip_prefix("deb:")?.split(['?', '/']).next().unwrap_or_default()))
        .collect();
    // What an image is made of, its name does not say.
    let suites = suites.filter(|suites| !suites.is_empty())?;
    // One that is made from Ubuntu has the name of that as well.
    let own = ["VERSION_CODENAME", "UBUNTU_CODENAME", "DEBIAN_CODENAME"];
    let is_own = |suite: &&str| own.iter().any(|field| os_release(text, field) == Some(*suite));
    if suites.iter().any(is_own) { None } else { Some(suites.join(", ")) }
}

/// Lets `host` know the users and groups that `steps` name; those that are not there, and that no step before seems to
/// make, are an error, or a warning where the task's `skip_if` may hold. What a pending step creates is not there.
pub fn users(
    host: &mut Host,
    steps: &[&Step],
    developer: Option<&str>,
    pending: impl Fn(usize) -> bool,
    reporter: &Reporter,
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
    let unknown = wanted.filter(|wanted| accounts.user(wanted.name).is_err());
    let place = |step: &Step| format!("{}:{}: {}", step.file, step.line, step.name);
    let (unknown, unsure): (Vec<_>, Vec<_>) = unknown.partition(|wanted| wanted.sure);
    for wanted in unsure {
        let warning = format!(
            "{}: unless its `skip_if` holds, it will fail: there is no user `{}`, and no task before makes one",
            place(wanted.step),
            wanted.name
        );
        reporter.event(Event::Warning(warning));
    }
    let unknown: Vec<_> = unknown.into_iter().map(|wanted| (wanted.name.to_owned(), place(wanted.step))).collect();
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

    #[test]
    fn a_host_of_another_suite_is_known() {
        let jammy = "ID=ubuntu\nVERSION_CODENAME=jammy\n";
        let mint = "ID=linuxmint\nVERSION_CODENAME=virginia\nUBUNTU_CODENAME=jammy\n";
        for (bases, text) in [
            (vec!["deb:focal", "deb:jammy?variant=apt"], jammy),
            (vec!["deb:jammy"], mint),
            (vec![], jammy),
            (vec!["deb:bookworm", "registry.example/base:1"], jammy),
        ] {
            assert_eq!(other(&bases, text), None, "{bases:?}");
        }
        assert_eq!(other(&["deb:bookworm", "deb:trixie"], jammy).unwrap(), "bookworm, trixie");
    }
}
