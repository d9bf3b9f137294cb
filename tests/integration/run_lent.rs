//! What is lent to a command of `alloy run`, and to whom it belongs.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::process::Command;

use crate::support::user::User;
use crate::support::{ALLOY, Ended, blueprint, readable, run, shared, text, tool};

const MANIFEST: &str = "name: Test\nversion: 1.0.0\nrun_order: [tasks.yml]\nimage: {user: dev}\n";
/// A file of root's, one of the user's, and a program that makes its caller root.
const TASKS: &str = "- name: files\n  action: run_command\n  reason: test\n  command: |\n    set -e\n    \
                     echo root > /srv/of-root; echo dev > /srv/of-dev; chown dev:dev /srv/of-dev\n    \
                     mkdir /srv/kept; chown dev:dev /srv/kept; chmod 700 /srv/kept\n    \
                     cp /usr/bin/id /srv/id; chmod 4755 /srv/id\n";

/// What the image's user is in all modes, and that it owns what is lent.
const LOOK: &str = "set -e; cat mine; echo new > made; mkdir dir; echo more >> mine; \
                    stat -c '%U:%G %n' . mine made dir / /etc /tmp /srv/of-root /srv/of-dev /srv/kept; \
                    id -un; touch /srv/kept/x; touch ~/y; test ! -w /srv/of-root; test ! -w /etc/passwd; /srv/id -un";
const SEEN: &str = "mine\ndev:dev .\ndev:dev mine\ndev:dev made\ndev:dev dir\nroot:root /\nroot:root /etc\n\
                    root:root /tmp\nroot:root /srv/of-root\ndev:dev /srv/of-dev\ndev:dev /srv/kept\ndev\nroot\n";

#[test]
fn what_the_image_s_user_writes_is_the_caller_s() {
    let user = User::new().with_base();
    let made = blueprint(&[("manifest.yml", MANIFEST), ("tasks.yml", TASKS)]);
    user.shell(&format!("alloy build {} -t lent", readable(&made))).ok();
    // Nobody but the caller may enter what is lent.
    let prepare = "mkdir -m 700 -p work; cd work; umask 077; rm -rf *; echo mine > mine";
    let lent = |options: &str, command: &str| {
        user.shell(&format!("{prepare}; alloy run {options} -v .:/work -w /work lent -- sh -c \"{command}\""))
    };
    for _ in 0..2 {
        assert_eq!(lent("", LOOK).ok().stdout, SEEN);
        let owners = user.shell("stat -c '%U %n' work/made work/dir work/mine; cat work/mine").ok().stdout;
        let name = user.home().file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(owners, format!("{name} work/made\n{name} work/dir\n{name} work/mine\nmine\nmore\n"));
    }
    // The same on a terminal.
    let shown = user.shell("cd work; script -qec \"alloy run --rm -it -v .:/work -w /work lent sh -c 'tty; id -un; touch t; exit 4'\" /dev/null");
    assert_eq!(shown.fails(4).stdout, "/dev/pts/0\r\ndev\r\n");
    // Who is named is who is meant: root is the caller, and the image's user is somebody else.
    let said = lent("-u root", "stat -c %U:%a mine; id -un; touch x").ok().stdout;
    assert_eq!(said, "root:600\nroot\n");
    lent("-u dev", "touch x").fails(1);
    assert_eq!(lent("-u dev", "stat -c %U /srv/of-dev").ok().stdout, "dev\n");
    // What is kept has the owners that it should have.
    let keeps = "set -e; echo kept > /srv/kept/new; echo x > /tmp/x; echo y > ~/y";
    lent("--rw=lent:kept", keeps).ok();
    let kept = user.shell("alloy run lent:kept stat -c '%U:%G %n' /srv/kept/new /home/dev/y /srv/kept /srv").ok();
    assert_eq!(kept.stdout, "dev:dev /srv/kept/new\ndev:dev /home/dev/y\ndev:dev /srv/kept\nroot:root /srv\n");
    user.shell("alloy run lent test -e /srv/kept/new").fails(1);
    // The store is as it was: all of it can be looked at, and deleted.
    user.shell("alloy prune").ok();
    user.shell("alloy run lent stat -c %U /srv/of-root /srv/of-dev").ok();
}

#[test]
fn what_the_image_s_user_writes_is_the_directory_s_owner_s() {
    let made = blueprint(&[("manifest.yml", MANIFEST), ("tasks.yml", TASKS)]);
    shared().build(&[text(made.path()), "-t", "lent-root"]);
    let place = tempfile::tempdir().unwrap();
    for owner in [0, 1000, 4321] {
        let work = place.path().join(format!("of-{owner}"));
        fs::create_dir(&work).unwrap();
        fs::write(work.join("mine"), "mine\n").unwrap();
        for path in [&work, &work.join("mine")] {
            chown(path, Some(owner), Some(owner)).unwrap();
        }
        fs::set_permissions(&work, Permissions::from_mode(0o700)).unwrap();
        let volume = format!("{}:/work", text(&work));
        let arguments = ["run", "-v", &volume, "-w", "/work", "lent-root", "--", "sh", "-c", LOOK];
        assert_eq!(shared().run(&arguments).ok().stdout, SEEN, "{owner}");
        for name in ["made", "dir", "mine"] {
            let found = fs::metadata(work.join(name)).unwrap();
            assert_eq!((found.uid(), found.gid()), (owner, owner), "{name}");
        }
        // A file alone, and only to be read.
        let volume = format!("{}:/file:ro", text(&work.join("mine")));
        let read = shared().run(&["run", "-v", &volume, "lent-root", "stat", "-c", "%U", "/file"]).ok();
        assert_eq!(read.stdout, "dev\n");
        shared().run(&["run", "-v", &volume, "lent-root", "sh", "-c", "echo x > /file"]).fails(2);
    }
    // Without a user namespace there is no way, and that is told.
    let work = place.path().join("of-0");
    let volume = format!("{}:/work", text(&work));
    let privileged = |user: &[&str]| -> Ended {
        let mut command = Command::new(ALLOY);
        command.args(["--progress=plain", "run", "-v", &volume]).args(user).args(["lent-root", "touch", "/work/x"]);
        run(command.env("ALLOY_HOME", shared().path().join("store")).env("ALLOY_SANDBOX", "privileged"))
    };
    let told = privileged(&[]).fails(1).stderr;
    assert!(told.contains("`-u root`") && told.contains("`dev` is user 1000 here"), "{told}");
    privileged(&["-u", "root"]).ok();
}

#[test]
fn a_device_is_lent_and_nothing_else() {
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
    let (zero, group) = (place.path().join("zero"), 4322);
    tool("mknod", &["-m", "660", text(&zero), "c", "1", "5"]).ok();
    chown(&zero, Some(0), Some(group)).unwrap();
    let made = blueprint(&[("manifest.yml", MANIFEST), ("tasks.yml", TASKS)]);
    shared().build(&[text(made.path()), "-t", "lent-root"]);
    let as_root = |mode: &str, options: &[&str], script: &str| -> Ended {
        let mut command = Command::new(ALLOY);
        command.args(["--progress=plain", "run"]).args(options).args(["lent-root", "sh", "-c", script]);
        run(command.env("ALLOY_HOME", shared().path().join("store")).env("ALLOY_SANDBOX", mode))
    };
    let lent = format!("{}:/dev/ttyACM7:rwm", text(&zero));
    let script = "head -c 3 /dev/ttyACM7 | od -An -tx1; echo x > /dev/ttyACM7; ls /dev | grep -c tty";
    for mode in ["userns", "privileged"] {
        for user in [&["-u", "root"][..], &[]] {
            let options = [&["--device", lent.as_str()][..], user].concat();
            assert_eq!(as_root(mode, &options, script).ok().stdout, " 00 00 00\n1\n", "{mode}");
        }
        as_root(mode, &[], "test -e /dev/ttyACM7").fails(1);
        assert_eq!(fs::metadata(&zero).unwrap().permissions().mode() & 0o777, 0o660);
    }
    // Under its own name; what is none, and what cannot be kept, is refused.
    as_root("userns", &["--device", "/dev/zero"], "head -c 1 /dev/zero > /dev/null").ok();
    let refused = |device: &str| as_root("userns", &["--device", device], "true").fails(2).stderr;
    assert!(refused("/etc/passwd").contains("it is no device"));
    assert!(refused("/dev/zero:r").contains("not as `r`"));
    assert!(refused("/dev/not-there").contains("No such file"));
    assert!(refused("/dev/zero:/x:rw:y").contains("not DEVICE"));

    // A user who may open it because of a group.
    let user = User::new().with_base();
    let name = user.home().file_name().unwrap().to_str().unwrap().to_owned();
    tool("groupadd", &["--gid", &group.to_string(), &format!("g{name}")]).ok();
    let joined = tool("usermod", &["--append", "--groups", &format!("g{name}"), &name]);
    let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        joined.ok();
        user.shell(&format!("alloy build {} -t lent", readable(&made))).ok();
        let run = |options: &str| user.shell(&format!("alloy run {options} lent sh -c '{script}'"));
        assert_eq!(run(&format!("--device {lent}")).ok().stdout, " 00 00 00\n1\n");
        assert_eq!(run(&format!("--device {lent} -v .:/work -w /work")).ok().stdout, " 00 00 00\n1\n");
        assert_eq!(run(&format!("--device {lent} -u root")).ok().stdout, " 00 00 00\n1\n");
    }));
    drop(user);
    tool("groupdel", &[&format!("g{name}")]);
    ran.unwrap();
}

#[test]
fn muscle_memory_is_understood() {
    let made = blueprint(&[("manifest.yml", MANIFEST), ("tasks.yml", TASKS)]);
    shared().build(&[text(made.path()), "-t", "lent-root"]);
    assert_eq!(shared().run(&["run", "--rm", "-i", "lent-root", "echo", "x"]).ok().stdout, "x\n");
    let none = shared().run(&["run", "--rm", "-it", "lent-root", "echo", "x"]).fails(2);
    assert!(none.stderr.contains("input and output are no terminal"), "{}", none.stderr);
    let terminal = format!("{ALLOY} run --rm -it lent-root sh -c 'tty; exit 3'");
    let mut script = Command::new("script");
    script.args(["-qec", &terminal, "/dev/null"]).env("ALLOY_HOME", shared().path().join("store"));
    assert!(run(&mut script).fails(3).stdout.contains("/dev/pts/0"));
    shared().run(&["run", "--rm", "--rw", "lent-root", "true"]).fails(2);

    // Kept under another name, the image is as it was; under its own, it is no blueprint's any more.
    shared().run(&["run", "--rw=lent-root:other", "-u", "root", "lent-root", "touch", "/srv/other"]).ok();
    shared().run(&["run", "lent-root:other", "test", "-e", "/srv/other"]).ok();
    shared().run(&["run", "lent-root", "test", "-e", "/srv/other"]).fails(1);
    shared().run(&["run", "--rw=lent-root:same", "lent-root", "true"]).ok();
    shared().run(&["run", "lent-root:same", "true"]).ok();
    let refused = shared().run(&["verify", "lent-root:other"]).fails(1).stderr;
    assert!(refused.contains("`alloy run --rw` has changed it"), "{refused}");
}
