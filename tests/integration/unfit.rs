//! What no layer can hold is an error at once, and layers that others could not read are not passed on.

use std::path::Path;

use crate::support::forged::Forged;
use crate::support::{Store, blueprint, shared, text, tool};

const MANIFEST: &str = "name: Test\nversion: 1.0.0\nrun_order: [a.yml, b.yml]\nimage: {env_from_profile: false}\n";

fn command(name: &str, script: &str) -> String {
    let lines: String = script.trim().lines().map(|line| format!("    {}\n", line.trim())).collect();
    format!("- name: {name}\n  action: run_command\n  reason: test\n  command: |\n{lines}")
}

#[test]
fn names_that_no_layer_can_hold_are_the_tasks_error() {
    let nothing = command("nothing", "true");
    let deep = "cd /opt; l=$(printf %0250d 0); for i in $(seq 20); do mkdir $l; cd -P $l; done; echo x > leaf";
    let long = "mkdir /opt/$(printf %0253d 0)";
    for (below, script, what) in [
        (long, "rm -r /opt/0*", "cannot be deleted by a layer"),
        ("true", deep, "longer than the 4096 bytes"),
        ("true", "touch /srv/.wh.passwd", "`/srv/.wh.passwd` cannot be in a layer"),
    ] {
        let tasks = format!("{nothing}{}{nothing}", command("culprit", script));
        let below = command("below", below);
        let directory = blueprint(&[("manifest.yml", MANIFEST), ("a.yml", &below), ("b.yml", &tasks)]);
        let ended = shared().run(&["build", text(directory.path()), "-t", "unfit", "--no-attest"]).fails(1);
        for part in [what, "culprit", "b.yml:6"] {
            assert!(ended.stderr.contains(part), "{script}: no `{part}` in {}", ended.stderr);
        }
        assert!(ended.stderr.len() < 4000, "{}", ended.stderr);
    }
    // What is gone before its layer ends was never there.
    let tasks = command("both", "mkdir /opt/$(printf %0253d 0) && rm -r /opt/0*");
    let directory = blueprint(&[("manifest.yml", MANIFEST), ("a.yml", &tasks), ("b.yml", "[]\n")]);
    shared().run(&["build", text(directory.path()), "-t", "unfit", "--no-attest"]).ok();
}

#[test]
fn sockets_are_told_of_once() {
    let make = "perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => \"/srv/s\", Listen => 1) or die'";
    let tasks = format!("{}{}", command("make", make), command("more", "touch /srv/more"));
    let directory = blueprint(&[("manifest.yml", MANIFEST), ("a.yml", &tasks), ("b.yml", "[]\n")]);
    let ended = shared().run(&["build", text(directory.path()), "-t", "socket", "--no-attest"]).ok();
    assert_eq!(ended.stderr.matches("/srv/s is a socket").count(), 1, "{}", ended.stderr);
}

/// The tar that `script` makes of an empty directory.
fn tar(place: &Path, script: &str) -> Vec<u8> {
    let script = format!("set -e; rm -rf \"$0/tree\"; mkdir \"$0/tree\"; cd \"$0/tree\"; {script}");
    tool("sh", &["-c", &script, text(place)]).ok();
    std::fs::read(place.join("layer.tar")).unwrap()
}

#[test]
fn a_node_that_overlay_takes_for_a_whiteout_is_left_out_everywhere() {
    let place = tempfile::tempdir().unwrap();
    let root = "mkdir -p bin etc dev; echo x > etc/version; tar -cf ../layer.tar *";
    let nodes = "mkdir etc dev; mknod etc/version c 0 0; mknod dev/mine c 1 3; tar -cf ../layer.tar *";
    let layers = [tar(place.path(), root), tar(place.path(), nodes)];
    let base = Forged::stack(place.path(), &layers, "gzip -n").layout(&place.path().join("base"));
    let (store, dest) = (Store::new(), place.path().join("out"));
    let tasks = "- {name: one, action: write_env_file, file: /srv/one, content: 'ONE=1'}\n";
    let directory = blueprint(&[("manifest.yml", MANIFEST), ("a.yml", tasks), ("b.yml", "[]\n")]);
    let output = format!("type=dir,dest={}", dest.display());
    let ended = store.run(&["build", text(directory.path()), "--base", &base, "--no-attest", "-o", &output]).ok();
    assert!(
        ended.stderr.contains("the image keeps them: ") && ended.stderr.contains("etc/version"),
        "{}",
        ended.stderr
    );
    assert!(!ended.stderr.contains("without root"), "{}", ended.stderr);
    // What it takes the place of is not seen in its stead, neither by tasks nor in a directory.
    let tree = |path: &std::path::PathBuf| path.join("etc/version").symlink_metadata().is_ok_and(|it| !it.is_file());
    assert_eq!(store.trees().iter().filter(|path| tree(path)).count(), 1);
    assert!(dest.join("etc").is_dir() && dest.join("etc/version").symlink_metadata().is_err());
}

#[test]
fn layers_that_others_cannot_read_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let layers = [tar(place.path(), "mkdir etc; echo x > etc/x; tar -cf ../layer.tar etc")];
    let tasks = "- {name: one, action: write_env_file, file: /srv/one, content: 'ONE=1'}\n";
    let directory = blueprint(&[("manifest.yml", MANIFEST), ("a.yml", tasks), ("b.yml", "[]\n")]);
    let zeros = "sh -c 'gzip -n; head -c 512 /dev/zero'";
    let registry = crate::support::registry::Registry::start();
    for (compress, why) in
        [("gzip -n", ""), ("xz", "media type"), ("zstd -q", ""), ("cat", ""), (zeros, "behind its end")]
    {
        let image = Forged::stack(place.path(), &layers, compress);
        for base in
            [image.layout(&place.path().join(format!("{} {why}", &compress[..2]))), image.pushed(&registry, "x")]
        {
            let arguments = ["build", text(directory.path()), "--base", &base, "--no-attest", "-t", "x"];
            let ended = Store::new().run(&arguments);
            if why.is_empty() {
                // As docker, podman and containerd do: they look what it is.
                let told = ended.ok().stderr.matches("and is compressed otherwise").count();
                assert_eq!(told, usize::from(compress != "gzip -n"), "{base}");
                continue;
            }
            let ended = ended.fails(1);
            let named = base.split_once(':').unwrap().1;
            assert!(ended.stderr.contains(why) && ended.stderr.contains("layer 1 of 1"), "{base}: {}", ended.stderr);
            assert!(ended.stderr.contains(named), "{base}: {}", ended.stderr);
        }
    }
}

#[test]
fn a_hard_link_to_a_file_below_is_one() {
    let place = tempfile::tempdir().unwrap();
    let below = tar(place.path(), "mkdir usr; echo tool > usr/t; chmod 750 usr/t; tar -cf ../layer.tar usr");
    // The link alone, then what it is a link to as something that is gone.
    let link = "mkdir usr; echo tool > usr/t; ln usr/t usr/u; tar -cf ../layer.tar usr/t usr/u; \
                tar --delete -f ../layer.tar usr/t";
    let gone = "mkdir usr; touch usr/.wh.t; tar -rf ../layer.tar usr/.wh.t";
    let (linked, moved) = (tar(place.path(), link), tar(place.path(), &format!("{link}; rm -rf usr; {gone}")));
    let tasks = "- {name: copy, action: write_env_file, file: /srv/one, content: x}\n";
    let directory = blueprint(&[("manifest.yml", MANIFEST), ("a.yml", tasks), ("b.yml", "[]\n")]);
    for (name, top, both) in [("linked", &linked, true), ("moved", &moved, false)] {
        let image = Forged::stack(place.path(), &[below.clone(), top.clone()], "gzip -n");
        let base = image.layout(&place.path().join(name));
        let (store, dest) = (Store::new(), place.path().join(format!("{name}-out")));
        let output = format!("type=dir,dest={}", dest.display());
        store.run(&["build", text(directory.path()), "--base", &base, "--no-attest", "-o", &output]).ok();
        assert_eq!(std::fs::read_to_string(dest.join("usr/u")).unwrap(), "tool\n", "{name}");
        assert_eq!(dest.join("usr/t").exists(), both, "{name}");
        let tree = store.trees().into_iter().find(|tree| tree.join("usr/u").exists()).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&tree.join("usr/u").metadata().unwrap().permissions());
        assert_eq!(mode & 0o7777, 0o750, "{name}");
        assert_eq!(tree.join("usr/t").is_file(), both, "{name}");
    }
    let base = Forged::stack(place.path(), &[linked], "gzip -n").layout(&place.path().join("alone"));
    let ended =
        Store::new().run(&["build", text(directory.path()), "--base", &base, "--no-attest", "-t", "x"]).fails(1);
    for part in ["the hard link /usr/u leads to /usr/t", "layer 1 of 1", "alone"] {
        assert!(ended.stderr.contains(part), "no `{part}` in {}", ended.stderr);
    }
}
