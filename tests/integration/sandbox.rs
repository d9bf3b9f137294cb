//! What a task may do: as root, and as an ordinary user without any privilege on the machine.

use serde_json::Value;

use crate::support::user::User;
use crate::support::{digests, shared, tasks, text};

/// Owners, set-id files, capabilities, `su`, device nodes, package scripts: all that package installation needs.
const WORK: &str = r#"
- {name: packages, action: apt_install, packages: [libcap2-bin]}
- name: ids and capabilities
  action: run_command
  reason: test
  command: |
    set -e
    cd /srv
    touch any sticky setuid capable
    chown 12345:54321 any
    cp /bin/true setuid && chown games:games setuid && chmod 6755 setuid
    cp /bin/true capable && setcap cap_net_raw+ep capable
    mkdir shared && chmod 1777 shared
    mkfifo pipe
    ln any twice
    ln -s /nowhere link
    su nobody -s /bin/sh -c 'id -un; touch /srv/shared/mine; ! touch /etc/not-mine 2>/dev/null'
    su games -s /bin/sh -c './setuid && ! cat /etc/shadow 2>/dev/null'
    test "$(id -u)" = 0
    test "$(stat -c %u any)" = 12345
    rm -f /usr/share/doc/libcap2-bin/copyright
    useradd --create-home --shell /bin/bash ann
- name: as a user
  action: run_command
  reason: test
  run_as: ann
  command: test "$(id -un):$HOME:$PWD" = "ann:/home/ann:/home/ann" && test "$USER" = ann
"#;

#[test]
fn what_package_installation_needs_works_for_everybody() {
    let blueprint = tasks(WORK);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(blueprint.path().join("tasks.yml"), mode).unwrap();
    let ours = shared().build(&[text(blueprint.path()), "-t", "ids"]);
    let shown = shared().run(&[
        "run",
        "ids",
        "--",
        "stat",
        "-c",
        "%n %a %u:%g %h",
        "/srv/any",
        "/srv/setuid",
        "/srv/shared/mine",
    ]);
    assert_eq!(
        shown.ok().stdout,
        "/srv/any 644 12345:54321 2\n/srv/setuid 6755 5:60 1\n/srv/shared/mine 644 65534:65534 1\n"
    );
    let capable = shared().run(&["run", "ids", "getcap", "/srv/capable"]).ok().stdout;
    assert_eq!(capable, "/srv/capable cap_net_raw=ep\n");
    shared().run(&["run", "ids", "test", "-e", "/usr/share/doc/libcap2-bin/copyright"]).fails(1);

    let user = User::new();
    user.shell(&format!("alloy build {} -t ids --metadata-file m.json", text(blueprint.path()))).ok();
    let theirs: Value = serde_json::from_slice(&std::fs::read(user.home().join("m.json")).unwrap()).unwrap();
    assert_eq!(digests(&ours), digests(&theirs));
    let outside =
        user.shell("alloy prune --all && ls -A ~/.local/share/alloy/trees ~/.local/share/alloy/work").ok().stdout;
    assert!(outside.contains("freed"), "{outside}");
}

#[test]
fn the_machine_stays_outside() {
    let secret = tempfile::NamedTempFile::new_in("/var/tmp").unwrap();
    let path = text(secret.path());
    let blueprint = tasks(&format!(
        "- name: look around\n  action: run_command\n  reason: test\n  command: |\n    set -e\n    test ! -e {path}\n    \
         test ! -e /proc/1/root/../{path}\n    test $(ls /proc | grep -c '^[0-9]') -lt 10\n    ! kill -0 {}\n    \
         ! touch /sys/x 2>/dev/null\n    ! ls /dev/sd* /dev/vd* /dev/nvme* 2>/dev/null\n    echo done\n",
        std::process::id()
    ));
    shared().build(&[text(blueprint.path())]);
}

#[test]
fn a_user_without_subordinate_ids_is_told_what_to_do() {
    let user = User::new();
    // With the lock that holds others from writing these files meanwhile.
    let name = user.home().file_name().unwrap().to_str().unwrap().to_owned();
    let all = "1-4294967294";
    crate::support::tool("usermod", &["--del-subuids", all, "--del-subgids", all, &name]).ok();
    let blueprint = tasks("- {name: one, action: write_env_file, file: /srv/x, content: x}\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(blueprint.path().join("tasks.yml"), mode).unwrap();
    let ended = user.shell(&format!("alloy build {}", text(blueprint.path()))).fails(5);
    let said = &ended.stderr;
    let range = said.split("usermod --add-subuids ").nth(1).and_then(|rest| rest.split_whitespace().next());
    let (first, last) = range.and_then(|range| range.split_once('-')).unwrap_or_else(|| panic!("{said}"));
    let (first, last): (u64, u64) = (first.parse().unwrap(), last.parse().unwrap());
    assert_eq!(last - first, 65_535, "{said}");
    // Nobody else has an id of it.
    for line in std::fs::read_to_string("/etc/subuid").unwrap_or_default().lines() {
        let numbers: Vec<u64> = line.split(':').filter_map(|field| field.parse().ok()).collect();
        let Some(&[start, count]) = numbers.get(numbers.len().saturating_sub(2)..) else { continue };
        assert!(last < start || first >= start + count, "{line}: {said}");
    }
    // It is said before the base is begun.
    assert!(!said.contains("[base]"), "{said}");
}

#[test]
fn an_id_without_an_account_is_told_so() {
    let (place, blueprint) =
        (tempfile::tempdir().unwrap(), tasks("- {name: one, action: write_env_file, file: /srv/x, content: x}\n"));
    let (program, store) = (place.path().join("alloy"), place.path().join("store"));
    let script = "chmod -R a+rX \"$1\" \"$2\" && install -m 755 \"$3\" \"$4\" && install -d -o 471147 -g 471147 \"$5\"";
    let paths = [place.path(), blueprint.path(), crate::support::ALLOY.as_ref(), &program, &store].map(text);
    crate::support::tool("sh", &[&["-c", script, "sh"][..], &paths].concat()).ok();
    let mut command = std::process::Command::new("setpriv");
    command.args(["--reuid=471147", "--regid=471147", "--clear-groups", paths[3], "build", paths[1]]);
    let ended = crate::support::run(command.env("ALLOY_HOME", &store).env("HOME", &store).env("USER", "root")).fails(5);
    let said = &ended.stderr;
    assert!(said.contains("471147 has no account") && !said.contains("usermod"), "{said}");
}

#[test]
fn what_the_sandbox_lacks_is_told_before_packages_are_fetched() {
    let user = User::new();
    let blueprint = tasks("- {name: one, action: write_env_file, file: /srv/x, content: x}\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(blueprint.path().join("tasks.yml"), mode).unwrap();
    let script = format!(
        "mkdir bin; cp /usr/bin/newuidmap /usr/bin/newgidmap bin; PATH=$PWD/bin:$PATH alloy build {}",
        text(blueprint.path())
    );
    let said = user.shell(&script).fails(5).stderr;
    assert!(said.contains("bin/newuidmap has lost its set-user-ID bit"), "{said}");
    assert!(said.contains("index of bookworm") && !said.contains(" packages: "), "{said}");
}

#[test]
fn where_one_id_alone_is_mapped_commands_run_all_the_same() {
    let blueprint = tasks("- {name: one, action: run_command, reason: test, command: 'id -u > /srv/alone; id -G'}\n");
    let build = ["build", text(blueprint.path()), "-t", "alone", "--no-attest", "--no-cache=tasks.yml"];
    let whole = shared().run(&build).ok().stdout;
    let mut alone = std::process::Command::new("unshare");
    alone.args(["-Ur", crate::support::ALLOY]).args(build).env("ALLOY_HOME", shared().path().join("store"));
    let ended = crate::support::run(&mut alone).ok();
    assert_eq!(ended.stdout, whole, "{}", ended.stderr);
}
