//! `alloy install` on a host whose users exchange what root makes in their directories, guess names, and rename links.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::process::{Child, Command, Stdio};

use crate::support::host::{Host, archive};
use crate::support::{Store, tasks, text};

/// A user of the host.
const DEV: u32 = 3211;

/// A host with a home of `dev`, and `/tmp`.
fn host() -> Host {
    let host = Host::bare();
    for directory in ["home/dev/x", "tmp", "etc/private"] {
        fs::create_dir_all(host.at(directory)).unwrap();
    }
    let users = format!("root:x:0:0::/root:/bin/sh\ndev:x:{DEV}:{DEV}::/home/dev:/bin/sh\n");
    fs::write(host.at("etc/passwd"), users).unwrap();
    fs::write(host.at("etc/group"), format!("root:x:0:\ndev:x:{DEV}:\n")).unwrap();
    for path in ["home/dev", "home/dev/x"] {
        theirs(&host, path);
    }
    fs::set_permissions(host.at("tmp"), PermissionsExt::from_mode(0o1777)).unwrap();
    host
}

/// Gives a path to `dev`; a link itself.
fn theirs(host: &Host, path: &str) {
    lchown(host.at(path), Some(DEV), Some(DEV)).unwrap();
}

/// A process of `dev` that gives `name` of a directory in the host to something else as soon as it is there, over and
/// over again. Ended when it is dropped.
struct Exchanging(Child);

impl Exchanging {
    fn between(host: &Host, name: &str, other: &str) -> Self {
        // renameat2(2) with RENAME_EXCHANGE, which no tool of Debian 12 offers.
        let script = format!(
            "import ctypes, os, sys\n\
             os.setgroups([]); os.setresgid({DEV}, {DEV}, {DEV}); os.setresuid({DEV}, {DEV}, {DEV})\n\
             call = ctypes.CDLL(None).renameat2\n\
             one, other = (os.fsencode(path) for path in sys.argv[1:])\n\
             print('ready', flush=True)\n\
             while os.getppid() != 1:\n    call(-100, one, -100, other, 2)\n"
        );
        let mut command = Command::new("python3");
        command.args(["-c", &script, text(&host.at(name)), text(&host.at(other))]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = [0; 5];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
        Self(child)
    }
}

impl Drop for Exchanging {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_was_exchanged_is_given_to_nobody() {
    let both = ["home/dev/x/env", "home/dev/x/secret"];
    let task = "- {name: Env, action: write_env_file, file: /home/dev/x/env, content: x, owner: dev, mode: '4755'}\n";
    let (blueprint, store) = (tasks(task), Store::new());
    for _ in 0..30 {
        let host = host();
        fs::set_permissions(host.path(), PermissionsExt::from_mode(0o755)).unwrap();
        // Root's own, in a directory of the user's.
        fs::write(host.at(both[1]), "secret").unwrap();
        fs::set_permissions(host.at(both[1]), PermissionsExt::from_mode(0o600)).unwrap();
        {
            let _exchanging = Exchanging::between(&host, both[0], both[1]);
            host.install(&store, blueprint.path(), &[]);
        }
        for path in both.iter().filter(|path| host.at(path).exists()) {
            let metadata = fs::symlink_metadata(host.at(path)).unwrap();
            let secret = fs::read(host.at(path)).unwrap() == b"secret";
            let changed = metadata.uid() != 0 || metadata.mode() & 0o7777 != 0o600;
            assert!(!secret || !changed, "{path}: {} {:o}", metadata.uid(), metadata.mode());
        }
    }
}

#[test]
fn a_directory_of_roots_in_the_way_stays_closed() {
    let (host, store) = (host(), Store::new());
    fs::create_dir(host.at("home/dev/x/d")).unwrap();
    fs::write(host.at("home/dev/x/d/secret"), "secret").unwrap();
    fs::set_permissions(host.at("home/dev/x/d/secret"), PermissionsExt::from_mode(0o644)).unwrap();
    fs::set_permissions(host.at("home/dev/x/d"), PermissionsExt::from_mode(0o700)).unwrap();
    for owner in ["", ", owner: dev"] {
        let blueprint = tasks(&format!("- {{name: Tool, action: unpack, source: a.tar, dest: /home/dev/x{owner}}}\n"));
        archive(blueprint.path(), "mkdir -m 755 d; echo x > d/x; echo y > y; tar -cf ../a.tar d y");
        host.install(&store, blueprint.path(), &[]).ok();
        assert_eq!(host.attributes("home/dev/x/d"), (0, 0, 0o700), "owner{owner}");
        assert_eq!(host.attributes("home/dev/x/d/secret").0, 0, "owner{owner}");
        let expected = if owner.is_empty() { 0 } else { DEV };
        assert_eq!(host.attributes("home/dev/x/y").0, expected);
    }
}

#[test]
fn a_members_way_follows_no_link_of_others_to_what_is_roots() {
    for (link, target, dest) in [
        ("home/dev/app", "/etc/private", "/"),
        ("home/dev/app", "../../etc/private", "/"),
        ("home/dev/app", "../../etc/private", "/home"),
    ] {
        let (host, store) = (host(), Store::new());
        symlink(target, host.at(link)).unwrap();
        theirs(&host, link);
        let blueprint = tasks(&format!("- {{name: Tool, action: unpack, source: a.tar, dest: {dest}}}\n"));
        let member = if dest == "/" { "home/dev/app" } else { "dev/app" };
        archive(blueprint.path(), &format!("mkdir -p {member}; echo x > {member}/job; tar -cf ../a.tar {member}/job"));
        let ended = host.install(&store, blueprint.path(), &[]).fails(1);
        assert!(ended.stderr.contains("tasks.yml:1:") && ended.stderr.contains(": Tool: "), "{}", ended.stderr);
        assert_eq!(fs::read_dir(host.at("etc/private")).unwrap().count(), 0, "{target}, {dest}");
    }
}

#[test]
fn a_link_of_roots_that_a_user_may_rename_is_the_users() {
    let (host, store) = (host(), Store::new());
    let first = tasks("- {name: Links, action: unpack, source: a.tar, dest: /home/dev}\n");
    archive(first.path(), "ln -s /etc conf; tar -cf ../a.tar conf");
    host.install(&store, first.path(), &[]).ok();
    assert_eq!(fs::symlink_metadata(host.at("home/dev/conf")).unwrap().uid(), 0);
    fs::rename(host.at("home/dev/conf"), host.at("home/dev/app")).unwrap();
    for task in [
        "{name: Env, action: write_env_file, file: /home/dev/app/evil, content: x}",
        "{name: Env, action: unpack, source: a.tar, dest: /home/dev/app/evil}",
    ] {
        let second = tasks(&format!("- {task}\n"));
        archive(second.path(), "echo x > x; tar -cf ../a.tar x");
        let ended = host.install(&store, second.path(), &[]).fails(1);
        assert!(ended.stderr.contains("in a directory of theirs"), "{}", ended.stderr);
        assert!(!host.at("etc/evil").exists());
    }
}

#[test]
fn who_guesses_a_name_in_tmp_does_not_own_what_root_writes() {
    let (host, store) = (host(), Store::new());
    for (name, content) in [("other.sh", "old"), ("same.sh", "export A=1\n")] {
        let path = format!("tmp/{name}");
        fs::write(host.at(&path), content).unwrap();
        fs::set_permissions(host.at(&path), PermissionsExt::from_mode(0o666)).unwrap();
        theirs(&host, &path);
        let task = format!("- {{name: Env, action: write_env_file, file: /{path}, content: 'export A=1'}}\n");
        host.install(&store, tasks(&task).path(), &[]).ok();
        assert_eq!(host.attributes(&path), (0, 0, 0o644), "{name}");
    }
    // A user's own file in a directory that root gave nobody else stays theirs.
    fs::write(host.at("home/dev/own"), "old").unwrap();
    chown(host.at("home/dev/own"), Some(DEV), Some(DEV)).unwrap();
    let own = tasks("- {name: Env, action: write_env_file, file: /home/dev/own, content: x}\n");
    host.install(&store, own.path(), &[]).ok();
    assert_eq!(host.attributes("home/dev/own").0, DEV);
    // Below a directory of theirs nothing stays what root made it.
    fs::create_dir(host.at("tmp/kit")).unwrap();
    theirs(&host, "tmp/kit");
    for task in [
        "{name: Kit, action: unpack, source: a.tar, dest: /tmp/kit}",
        "{name: Kit, action: unpack, source: a.tar, dest: /tmp/kit/below}",
        "{name: Kit, action: write_env_file, file: /tmp/kit/env, content: x}",
    ] {
        let blueprint = tasks(&format!("- {task}\n"));
        archive(blueprint.path(), "echo x > x; tar -cf ../a.tar x");
        let ended = host.install(&store, blueprint.path(), &[]).fails(1);
        assert!(ended.stderr.contains("cannot use /tmp/kit: it belongs to user 3211"), "{}", ended.stderr);
    }
    // Whom the task names may have it, also the second time.
    for _ in 0..2 {
        let blueprint = tasks("- {name: Kit, action: unpack, source: a.tar, dest: /tmp/kit, owner: dev}\n");
        archive(blueprint.path(), "echo x > x; tar -cf ../a.tar x");
        host.install(&store, blueprint.path(), &[]).ok();
        assert_eq!(host.attributes("tmp/kit/x").0, DEV);
    }
}
