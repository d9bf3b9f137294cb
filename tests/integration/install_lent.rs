//! What `alloy install` lends to the commands of a root: others on the machine get nothing of it, and none of it stays.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::host::Host;
use crate::support::{ALLOY, Ended, Store, run, tasks, text, tool, waiting};

const SECRET: &str = "hunter2-of-the-site";

fn open_to_all(directory: &Path) {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(directory, mode).unwrap();
}

fn names(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).map(|all| all.map(|one| one.unwrap().path()).collect()).unwrap_or_default()
}

/// As some other user of the machine.
fn stranger(script: &str, argument: &Path) -> Ended {
    let ids = ["--reuid=3211", "--regid=3211", "--clear-groups", "sh", "-c"];
    run(Command::new("setpriv").args(ids).args([script, text(argument)]))
}

#[test]
fn nobody_else_reads_or_runs_what_a_root_is_lent() {
    let (host, store, temporary) = (Host::debian(), Store::new(), tempfile::tempdir().unwrap());
    tool("chroot", &[text(host.path()), "useradd", "--create-home", "--uid", "1234", "ann"]).ok();
    tool("mkfifo", &[text(&host.at("srv/gate"))]).ok();
    let blueprint = tasks(&format!(
        "- {{name: Read, action: run_command, reason: test, run_as: ann, command: grep -q {SECRET} /run/alloy/pip.conf}}\n\
         - name: Plant\n  action: run_command\n  reason: test\n  command: |\n\
         \x20   cp /usr/bin/id /run/alloy/rootid; chmod 4755 /run/alloy/pip.conf; echo x > /run/alloy/apt.conf\n\
         \x20   test ! -e /run/alloy/rootid && grep ' /run/alloy ro,nosuid,nodev' /proc/self/mountinfo\n\
         \x20   test $? = 0 && echo waiting for\" it\" && read line < /srv/gate\n"
    ));
    let command = || {
        let mut command = host.command(&store, blueprint.path(), &[]);
        command
            .env("PIP_INDEX_URL", format!("https://ann:{SECRET}@pip.example/simple"))
            .env("TMPDIR", temporary.path());
        command
    };
    let mut child = waiting(command().arg("--progress=json"));
    // Whatever its owner makes of the directories above.
    let work = store.path().join("store/work");
    [store.path(), &store.path().join("store"), &work].into_iter().for_each(open_to_all);
    let own = names(&work);
    let [own] = own.as_slice() else { panic!("{own:?}") };
    assert!(fs::read_to_string(own.join("lent/pip.conf")).unwrap().contains(SECRET));
    assert_eq!(own.metadata().unwrap().mode() & 0o777, 0o700);
    stranger("cd \"$0\" && test -r .", &work).ok();
    stranger("cat \"$0/lent/pip.conf\" || find \"$0\" -name apt.conf | grep .", own).fails(1);
    assert_eq!(names(temporary.path()), [] as [PathBuf; 0]);
    // One that is killed leaves it to the next.
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(names(&work).len(), 1);
    let mut child = waiting(command().arg("--progress=json"));
    let next = names(&work);
    assert!(next.len() == 1 && next != [own.clone()], "{next:?}");
    fs::write(host.at("srv/gate"), "go\n").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(names(&work), [] as [PathBuf; 0]);
}

#[test]
fn a_root_is_the_one_that_was_named_first() {
    let (host, other, store) = (Host::debian(), Host::debian(), Store::new());
    tool("mkfifo", &[text(&host.at("srv/gate"))]).ok();
    let blueprint = tasks(
        "- {name: First, action: run_command, reason: test, command: 'echo waiting for\" it\"; read line < /srv/gate'}\n\
         - {name: Text, action: write_env_file, file: /srv/text, content: x}\n\
         - {name: Second, action: run_command, reason: test, command: touch /srv/second}\n",
    );
    let mut child = waiting(host.command(&store, blueprint.path(), &[]).arg("--progress=json"));
    // What somebody may do to whom the directory above belongs.
    let moved = host.path().with_extension("moved");
    fs::rename(host.path(), &moved).unwrap();
    std::os::unix::fs::symlink(other.path(), host.path()).unwrap();
    fs::write(moved.join("srv/gate"), "go\n").unwrap();
    let ended = child.wait().unwrap();
    fs::remove_file(host.path()).unwrap();
    fs::rename(&moved, host.path()).unwrap();
    assert_eq!(ended.code(), Some(1));
    assert_eq!((host.read("srv/text").as_str(), host.at("srv/second").exists()), ("x", false));
    assert!(!other.at("srv/text").exists() && !other.at("srv/second").exists());
    let state = fs::read_to_string(blueprint.path().join("alloy.state.yml")).unwrap();
    assert!(state.contains("name: Second") && state.contains("outcome: failed"), "{state}");
    host.install(&store, blueprint.path(), &[]).ok();
}

#[test]
fn a_mount_point_is_no_file_of_the_root() {
    let (host, store) = (Host::debian(), Store::new());
    let blueprint = tasks(
        "- {name: Before, action: run_command, reason: test, command: test -e /etc/hosts -a -e /etc/resolv.conf}\n\
         - {name: Kept, action: run_command, reason: test, command: echo kept >> /srv/kept, creates: /usr/sbin/policy-rc.d}\n\
         - {name: Own, action: write_env_file, file: /etc/resolv.conf, content: nameserver 192.0.2.1, creates: /etc/resolv.conf}\n\
         - {name: After, action: run_command, reason: test, command: '! grep 192.0.2.1 /etc/resolv.conf'}\n",
    );
    for lent in ["etc/resolv.conf", "etc/hosts"] {
        let _ = fs::remove_file(host.at(lent));
    }
    host.install(&store, blueprint.path(), &[]).ok();
    assert_eq!(host.read("srv/kept"), "kept\n");
    assert_eq!(host.read("etc/resolv.conf"), "nameserver 192.0.2.1");
    assert!(!host.at("etc/hosts").exists() && !host.at("run/alloy").exists());
}

#[test]
fn users_of_a_machine_s_tasks_read_apt_s_settings_and_nothing_stays() {
    let host = Host::debian();
    fs::copy(ALLOY, host.at("usr/bin/alloy")).unwrap();
    tool("chroot", &[text(host.path()), "useradd", "--create-home", "--uid", "1234", "ann"]).ok();
    let place = host.at("srv/blueprint");
    fs::create_dir(&place).unwrap();
    fs::write(place.join("manifest.yml"), "name: Own\nversion: 1.0.0\nrun_order: [a.yml]\n").unwrap();
    let look = "apt-config dump > ~/settings && test ! -w \"$APT_CONFIG\" -a ! -w \"$(dirname \"$APT_CONFIG\")\"";
    let task = format!("- {{name: Look, action: run_command, reason: test, run_as: ann, command: '{look}'}}\n");
    fs::write(place.join("a.yml"), task).unwrap();
    // What killed runs have left.
    for left in ["run-1/apt.conf", "step-2/alloy-build", "debs/x"] {
        fs::create_dir_all(host.at("var/cache/alloy").join(left)).unwrap();
    }
    let script = "mount -t proc proc \"$0/proc\" && mount --rbind /dev \"$0/dev\" && exec chroot \"$0\" sh -c \
                  'ALLOY_HOME=/srv/store exec alloy install --blueprint-dir /srv/blueprint'";
    let arguments = ["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, text(host.path())];
    run(Command::new("unshare").args(arguments)).ok();
    assert!(host.read("home/ann/settings").contains("Timeout \"300\""), "{}", host.read("home/ann/settings"));
    assert_eq!(names(&host.at("var/cache/alloy")), [] as [PathBuf; 0]);
    assert_eq!(names(&host.at("tmp")), [] as [PathBuf; 0]);
}
