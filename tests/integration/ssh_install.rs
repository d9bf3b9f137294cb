//! git by ssh where a blueprint is installed.

use std::fs;

use crate::support::files::Files;
use crate::support::host::Host;
use crate::support::sshd::{Agent, Sshd};
use crate::support::{Ended, Store, run, tasks, text, tool};

#[test]
fn commands_of_a_root_that_clone_log_in() {
    let (files, sshd, host, store) = (Files::serve(), Sshd::start(), Host::debian(), Store::new());
    files.repository("part", "echo part > file; commit v1");
    let agent = Agent::with(&[&sshd.at("key")]);
    let url = sshd.url(&files.path().join("part.git"));
    let blueprint = tasks(&format!(
        "- {{name: tools, action: apt_install, packages: [git, openssh-client]}}\n\
         - {{name: user, action: run_command, reason: test, command: useradd -m -s /bin/bash dev}}\n\
         - {{name: part, action: git_clone, url: '{url}', revision: v1, dest: /opt/part}}\n\
         - {{name: theirs, action: git_clone, url: '{url}', revision: v1, dest: /opt/theirs, run_as: dev}}\n\
         - {{name: beside, action: run_command, reason: test, command: 'test -z \"$SSH_AUTH_SOCK\" && test ! -e /run/alloy/ssh'}}\n\
         - {{name: own, action: run_command, reason: test, run_as: dev, ssh: true, command: 'git ls-remote {url} v1 | grep -q v1 && ! ssh-add -D'}}\n"
    ));
    let install = |agent: Option<&Agent>, more: &[&str]| -> Ended {
        let mut command = host.command(&store, blueprint.path(), more);
        command.env_remove("SSH_AUTH_SOCK").envs(agent.iter().map(|agent| ("SSH_AUTH_SOCK", agent.socket())));
        run(&mut command)
    };
    let said = install(None, &[]).fails(2).stderr;
    assert!(said.contains("tasks.yml:6:") && said.contains("--ssh default"), "{said}");
    assert!(!host.at("home/dev").exists(), "a task was done");
    let known = format!("--ssh-known-hosts={}", text(&sshd.at("known_hosts")));
    install(Some(&agent), &["--ssh=default", &known]).ok();
    assert_eq!((host.read("opt/part/file"), host.read("opt/theirs/file")), ("part\n".into(), "part\n".into()));
    assert_eq!(host.attributes("opt/theirs/file").0, 1000);
    // What is done needs no agent.
    install(None, &[]).ok();
    let state = fs::read_to_string(blueprint.path().join("alloy.state.yml")).unwrap();
    for secret in ["own-agent-of-the-test", &sshd.public("host"), &sshd.public("key")] {
        assert!(!state.contains(secret), "{state}");
        for place in [host.path(), store.path()] {
            assert_eq!(tool("grep", &["-rlaF", secret, text(place)]).stdout, "", "{secret}");
        }
    }
    assert_eq!(tool("find", &[text(host.path()), text(store.path()), "-type", "s"]).stdout, "");
}
