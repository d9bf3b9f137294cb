//! What helps where a git server is not where a blueprint says.

use tokio::runtime::Handle;

use super::advice::wants_login;
use crate::fetch::Fetcher;
use crate::op::Checkout;

/// What helps against what git says in `output` of one of `checkouts`. Their servers may be asked where they lead to.
pub fn advice(fetcher: &Fetcher, runtime: &Handle, checkouts: &[Checkout], output: &[String]) -> Option<String> {
    let said = |words: &[&str]| output.iter().any(|line| words.iter().all(|word| line.contains(word)));
    // curl's words for a redirect that it was not to follow.
    if said(&["unable to access", "returned error: 30"]) {
        let leads = |checkout: &Checkout| {
            let to = runtime.block_on(fetcher.git_leads_to(&checkout.url))?;
            Some(format!(" {} to {to}: write that URL in its place", checkout.key()))
        };
        let to = checkouts.iter().find_map(leads).unwrap_or_else(|| ": write the URL that it leads to".to_owned());
        return Some(format!(
            "git does not follow redirects with the credentials that it was told, as another server would learn them. The \
             server redirects{to}, and give the credentials for its server, too, if that is another one"
        ));
    }
    if output.iter().any(|line| wants_login(line))
        && let Some(near) = checkouts.iter().find_map(|checkout| fetcher.unsent(&checkout.url))
    {
        return Some(format!("the git server wants to know who asks: {near}"));
    }
    if let Some(help) = output.iter().find_map(|line| strangers(line)).or_else(|| nothing(output)) {
        return Some(help);
    }
    let port = || checkouts.iter().find_map(|checkout| port_for_path(&checkout.key()));
    if said(&["Could not read from remote repository"]) { port() } else { None }
}

/// What helps where git does not read a repository of the root, as it belongs to another user than who clones it.
fn strangers(line: &str) -> Option<String> {
    let (_, place) = line.split_once("detected dubious ownership in repository at '")?;
    let place = place.split('\'').next().unwrap_or_default();
    Some(format!(
        "{place} belongs to another user than who clones it, and git reads it only for its owner: name the owner in \
         `run_as`, or let a task before say `chown -R USER {place}` or `git config --system --add safe.directory {place}`"
    ))
}

/// What git says of a name that leads to something else than a commit; what that is comes next.
const NO_COMMIT: &str = "expected commit type, but the object dereferences to ";

/// What helps where a name leads to no commit.
fn nothing(output: &[String]) -> Option<String> {
    let no_tags = |line: &String| line.contains("the repository has no `") && line.ends_with("its newest tags:");
    if output.iter().any(no_tags) {
        return Some(
            "it has no tag at all; where it has no branch either, it is empty: push a commit first, or name another \
             repository"
                .to_owned(),
        );
    }
    let (_, kind) = output.iter().find_map(|line| line.split_once(NO_COMMIT))?;
    let kind = kind.split(' ').next().unwrap_or_default();
    Some(format!("what `revision` names is a {kind}, and not a commit: name a commit, or a tag or branch of one"))
}

/// What is wrong with `git@HOST:PORT/path`: what stands behind the colon is a path (git-clone(1), "GIT URLS").
fn port_for_path(url: &str) -> Option<String> {
    let (host, path) = url.split_once(':').filter(|(host, path)| !host.contains('/') && !path.starts_with('/'))?;
    let (port, rest) = path.split_once('/')?;
    let port: u16 = port.parse().ok().filter(|port| *port > 0)?;
    Some(format!(
        "in `{url}`, {path} is a path, and the server is asked at the usual port of ssh. If {port} is its port, write \
         ssh://{host}:{port}/{rest}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_no_path() {
        let help = port_for_path("git@git.example:2222/team/x.git").unwrap();
        assert!(help.contains("write ssh://git@git.example:2222/team/x.git"), "{help}");
        for url in [
            "ssh://git@git.example:2222/x.git",
            "https://git.example:8443/x.git",
            "git@git.example:team/x.git",
            "git@git.example:/2222/x.git",
            "git@git.example:70000/x.git",
            "/srv/a:22/x.git",
        ] {
            assert_eq!(port_for_path(url), None, "{url}");
        }
    }
}
