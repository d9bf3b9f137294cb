//! git by ssh where a blueprint is installed.

use std::fs;
use std::process::Command;

use crate::support::files::Files;
use crate::support::host::Host;
use crate::support::sshd::{Agent, Sshd};
use crate::support::{ALLOY, Ended, Store, run, tasks, text, tool};

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

#[test]
fn a_machine_lends_an_agent_to_the_user_of_one_command() {
    let (files, sshd, host, store) = (Files::serve(), Sshd::start(), Host::debian(), Store::new());
    files.repository("part", "echo part > file; commit v1");
    let url = sshd.url(&files.path().join("part.git"));
    let tools = tasks(
        "- {name: tools, action: apt_install, packages: [git, openssh-client]}\n\
         - {name: user, action: run_command, reason: test, command: useradd -m -s /bin/bash dev}\n",
    );
    host.install(&store, tools.path(), &[]).ok();
    fs::copy(ALLOY, host.at("usr/bin/alloy")).unwrap();
    let place = host.at("srv/blueprint");
    fs::create_dir(&place).unwrap();
    for name in ["key", "known_hosts"] {
        fs::copy(sshd.at(name), host.at("root").join(name)).unwrap();
    }
    fs::write(place.join("manifest.yml"), "name: Own\nversion: 1.0.0\nrun_order: [a.yml]\n").unwrap();
    fs::write(
        place.join("a.yml"),
        format!(
            "- {{name: part, action: git_clone, url: '{url}', revision: v1, dest: /opt/part}}\n\
             - {{name: theirs, action: git_clone, url: '{url}', revision: v1, dest: /opt/theirs, run_as: dev}}\n\
             - {{name: beside, action: run_command, reason: test, command: 'test -z \"$GIT_SSH_COMMAND\" && ! ls /var/cache/alloy/ssh-*'}}\n\
             - name: own\n  action: run_command\n  reason: test\n  run_as: dev\n  ssh: true\n  command: |\n\
             \x20   echo \"$SSH_AUTH_SOCK\" > ~/socket.new; mv ~/socket.new ~/socket\n\
             \x20   until test -e /srv/go; do sleep 0.1; done\n\
             \x20   git ls-remote {url} v1 | grep -q v1\n"
        ),
    )
    .unwrap();
    let script = "export ALLOY_HOME=/srv/store; unset SSH_AUTH_SOCK; eval \"$(ssh-agent -a /root/own)\" >/dev/null; chmod 600 /root/key; ssh-add -q /root/key\n\
                  cd /srv/blueprint; alloy install --ssh default --ssh-known-hosts /root/known_hosts --progress plain & alloy=$!\n\
                  until test -e /home/dev/socket; do kill -0 $alloy || exit 9; sleep 0.1; done\n\
                  socket=$(cat /home/dev/socket); stat -c '%U %a' $socket\n\
                  SSH_AUTH_SOCK=$socket setpriv --reuid=3211 --regid=3211 --clear-groups ssh-add -l >/dev/null 2>&1; echo stranger $?\n\
                  touch /srv/go; wait $alloy || exit 8\n\
                  ls /var/cache/alloy | wc -l; test ! -e $socket && echo gone";
    let inside =
        "mount -t proc proc \"$0/proc\" && mount --rbind /dev \"$0/dev\" && exec chroot \"$0\" /bin/bash -c \"$1\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", inside, text(host.path()), script]);
    let ended = run(&mut command).ok();
    let lines: Vec<&str> = ended.stdout.lines().filter(|line| !line.contains("done in")).collect();
    assert_eq!(lines, ["dev 600", "stranger 2", "0", "gone"], "{}{}", ended.stdout, ended.stderr);
    assert_eq!((host.read("opt/part/file"), host.attributes("opt/theirs/file").0), ("part\n".into(), 1000));
}
