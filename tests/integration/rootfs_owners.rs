//! Whose files a root file system has that is a directory: the same to root and to an ordinary user, or an error.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use crate::support::images::tasks;
use crate::support::user::User;
use crate::support::{Store, run, text};

/// A root file system that everybody may read.
fn root() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    open(root.path());
    std::fs::create_dir(root.path().join("etc")).unwrap();
    std::fs::write(root.path().join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n").unwrap();
    root
}

fn open(path: &Path) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

#[test]
fn a_directory_of_roots_is_roots_whoever_builds() {
    let (root, blueprint, user, store) = (root(), tasks(), User::new(), Store::new());
    open(blueprint.path());
    let build = format!("build {} --base rootfs:{} -t x --no-attest", text(blueprint.path()), text(root.path()));
    let words: Vec<&str> = build.split(' ').collect();
    let by_root = run(&mut store.alloy(&words)).ok().stdout;
    let by_user = user.shell(&format!("alloy {build} --store ~/store")).ok().stdout;
    let digest = |said: &str| said.trim().rsplit('@').next().unwrap_or_default().to_owned();
    assert_eq!(digest(&by_root), digest(&by_user));
    assert!(digest(&by_root).starts_with("sha256:"), "{by_root}");
    let tar =
        user.shell(&format!("alloy {build} --store ~/store -o type=tar,dest=$HOME/x.tar && tar tvf ~/x.tar")).ok();
    assert!(tar.stdout.contains("0/0") && !tar.stdout.contains("65534"), "{}", tar.stdout);
}

#[test]
fn an_owner_that_the_user_does_not_have_is_an_error() {
    let (root, blueprint, user) = (root(), tasks(), User::new());
    open(blueprint.path());
    chown(root.path(), Some(7), Some(7)).unwrap();
    let (blueprint, root) = (text(blueprint.path()), text(root.path()));
    let ended = user.shell(&format!("alloy build {blueprint} --base rootfs:{root} -t x --store ~/store")).fails(5);
    assert!(ended.stderr.contains(&format!("/ of {root} belongs to 7:7")), "{}", ended.stderr);
    // The user's own is, to this user, root's; what is not is named.
    let own = format!("cp -r {root} ~/root && alloy build {blueprint} --base rootfs:$HOME/root -t x --store ~/store");
    user.shell(&own).ok();
    chown(user.home().join("root/etc/passwd"), Some(0), Some(0)).unwrap();
    let again = format!("alloy build {blueprint} --base rootfs:$HOME/root -t x --store ~/store");
    let ended = user.shell(&again).fails(5);
    assert!(ended.stderr.contains("/etc/passwd of ") && ended.stderr.contains("belongs to 0:0"), "{}", ended.stderr);
}
