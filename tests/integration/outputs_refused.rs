//! Outputs that do not arrive: what is said of it, that nothing is left half written, and what is never written over.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::{ALLOY, Ended, Store, blueprint, run, text, tool};

/// An image of 4 MiB.
struct Large {
    blueprint: TempDir,
    store: Store,
}

impl Large {
    fn new() -> Self {
        let manifest = "name: Large\nversion: 1.0.0\nrun_order: [a.yml]\n\
                        image: {base: 'rootfs:root', env_from_profile: false}\n";
        let tasks = "- {name: Text, action: write_env_file, file: /srv/text, content: x}\n\
                     - {name: Copy, action: copy, source: copied, dest: /srv/copied, excludes: ['*.tar']}\n";
        let blueprint = blueprint(&[("manifest.yml", manifest), ("a.yml", tasks)]);
        fs::create_dir(blueprint.path().join("copied")).unwrap();
        fs::write(blueprint.path().join("copied/file"), "x").unwrap();
        fs::create_dir_all(blueprint.path().join("root/srv")).unwrap();
        fs::write(blueprint.path().join("root/srv/large"), vec![b'l'; 4 << 20]).unwrap();
        Self { blueprint, store: Store::new() }
    }

    /// The arguments of a build whose layers are as large as what is in them.
    fn arguments(&self, kind: &str, dest: &Path) -> Vec<String> {
        let mut all = ["build", text(self.blueprint.path()), "--compression", "none"].map(str::to_owned).to_vec();
        all.extend(match kind {
            "metadata" => ["--metadata-file".to_owned(), text(dest).to_owned()],
            kind => ["-o".to_owned(), format!("type={kind},dest={}", dest.display())],
        });
        all
    }

    fn command(&self, kind: &str, dest: &Path) -> Command {
        let arguments = self.arguments(kind, dest);
        self.store.alloy(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn build(&self, kind: &str, dest: &Path) -> Ended {
        run(&mut self.command(kind, dest))
    }

    /// The same where /mnt is a disk of 1 MiB, set up by `before`; what is in it afterwards is told last.
    fn on_a_small_disk(&self, before: &str, kind: &str, dest: &str) -> Ended {
        let script = format!(
            "mount -t tmpfs -o size=1m none /mnt && {before}; \"$@\"; code=$?; find /mnt -mindepth 1 | sort; exit $code"
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script, "sh", ALLOY]).args(self.arguments(kind, Path::new(dest)));
        run(command.env("ALLOY_HOME", self.store.path().join("store")))
    }
}

#[test]
fn a_full_disk_is_the_destination_s_and_nothing_is_left_on_it() {
    let large = Large::new();
    large.build("tar", Path::new("/dev/null")).ok();
    for (kind, dest) in [
        ("tar", "/mnt/out"),
        ("oci-archive", "/mnt/out"),
        ("docker-archive", "/mnt/out"),
        ("dir", "/mnt/deep/out"),
        ("oci", "/mnt/deep/out"),
    ] {
        let ended = large.on_a_small_disk("true", kind, dest).fails(1);
        let said = &ended.stderr;
        assert!(
            said.contains(&format!("cannot write {dest}")) && said.contains("the disk at /mnt has"),
            "{kind}: {said}"
        );
        assert!(said.contains("hint: make room on that disk, or name a place on another one"), "{kind}: {said}");
        assert!(!said.contains("alloy prune") && !said.contains(".alloy-"), "{kind}: {said}");
        assert_eq!(ended.stdout, "", "{kind} left something");
    }
    // Of what was there before, all stays, and nothing comes to it.
    let before = "mkdir -p /mnt/out/blobs";
    let ended = large.on_a_small_disk(before, "oci", "/mnt/out").fails(1);
    assert_eq!(ended.stdout, "/mnt/out\n/mnt/out/blobs\n");
    let before = "mkdir /mnt/full && dd if=/dev/zero of=/mnt/full/file bs=64k 2>/dev/null; true";
    let ended = large.on_a_small_disk(before, "metadata", "/mnt/out").fails(1);
    assert!(ended.stderr.contains("cannot write /mnt/out"), "{}", ended.stderr);
    assert_eq!(ended.stdout, "/mnt/full\n/mnt/full/file\n");
    // A device has no file system that could be full.
    for kind in ["tar", "oci-archive", "metadata"] {
        let said = large.build(kind, Path::new("/dev/full")).fails(1).stderr;
        assert!(said.contains("cannot write /dev/full: No space left on device"), "{kind}: {said}");
        assert!(!said.contains("the disk at") && !said.contains("alloy prune"), "{kind}: {said}");
    }
}

#[test]
fn who_closes_standard_output_is_told_of() {
    let large = Large::new();
    let fifo = large.store.path().join("fifo");
    tool("mkfifo", &[text(&fifo)]).ok();
    for kind in ["tar", "oci-archive", "docker-archive"] {
        let mut child =
            large.command(kind, Path::new("-")).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut reader = child.stdout.take().unwrap();
        reader.read_exact(&mut [0; 10]).unwrap();
        drop(reader);
        let ended = child.wait_with_output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{kind}: {said}");
        let wanted = "cannot write standard output: whoever read it has closed it before all of it was written";
        assert!(said.contains(wanted), "{kind}: {said}");
        let path = fifo.clone();
        let reader = std::thread::spawn(move || fs::File::open(path).unwrap().read_exact(&mut [0; 10]).unwrap());
        let said = large.build(kind, &fifo).fails(1).stderr;
        reader.join().unwrap();
        assert!(said.contains("/fifo: whoever read it has closed it"), "{kind}: {said}");
    }
}

#[test]
fn what_a_build_reads_and_what_is_no_file_is_not_written_over() {
    let large = Large::new();
    let of_blueprint = |name: &str| large.blueprint.path().join(name);
    let of_store = |name: &str| large.store.path().join("store").join(name);
    large.build("tar", Path::new("/dev/null")).ok();
    let (manifest, version) = (fs::read(of_blueprint("manifest.yml")).unwrap(), fs::read(of_store("version")).unwrap());
    std::os::unix::fs::symlink(of_blueprint("a.yml"), large.store.path().join("link")).unwrap();
    let block = large.store.path().join("block");
    tool("mknod", &[text(&block), "b", "7", "255"]).ok();
    let cases: [(&str, PathBuf, i32, &str); 14] = [
        ("tar", of_blueprint("manifest.yml"), 2, "it is a file of the blueprint"),
        ("metadata", of_blueprint("manifest.yml"), 2, "it is a file of the blueprint"),
        ("tar", large.store.path().join("link"), 2, "it is a file of the blueprint"),
        ("oci-archive", of_blueprint("alloy.lock.yml"), 2, "it is a file of the blueprint"),
        ("tar", of_blueprint("root/srv/large"), 2, "it is in the base"),
        ("metadata", of_blueprint("root/new"), 2, "it is in the base"),
        ("tar", of_blueprint("copied/file"), 2, "it is in what a task copies"),
        ("oci", of_blueprint("copied/layout"), 2, "it is in what a task copies"),
        ("tar", of_store("version"), 2, "it is in the store"),
        ("metadata", of_store("new"), 2, "it is in the store"),
        ("oci", of_store("blobs/layout"), 2, "it is in the store"),
        ("tar", "/dev/sdzz".into(), 1, "there is no such device"),
        ("dir", "/dev/sdzz/x".into(), 1, "there is no such device"),
        ("tar", block, 1, "it is a block device"),
    ];
    for (kind, dest, code, said) in cases {
        let ended = large.build(kind, &dest).fails(code);
        assert!(ended.stderr.contains(said), "{kind} to {}: {}", dest.display(), ended.stderr);
        assert!(!ended.stderr.contains("[1/"), "it was built first:\n{}", ended.stderr);
    }
    assert!(!Path::new("/dev/sdzz").exists() && !of_store("new").exists());
    assert_eq!(fs::read(of_blueprint("manifest.yml")).unwrap(), manifest);
    assert_eq!(fs::read(of_store("version")).unwrap(), version);
    // Beside them there is room, and what is excluded is not copied.
    for dest in [of_blueprint("out.tar"), of_blueprint("copied/out.tar"), "/dev/stdout".into()] {
        large.build("tar", &dest).ok();
        large.build("tar", &dest).ok();
    }
    let ended = large.store.run(&["build", text(large.blueprint.path()), "-o", "type=tar,dest=~/x.tar"]).fails(2);
    assert!(
        ended.stderr.contains("the shell does not expand `~` there: write dest=\"$HOME/x.tar\""),
        "{}",
        ended.stderr
    );
    let said = large.build("metadata", Path::new("~/x.json")).fails(1).stderr;
    assert!(said.contains("write \"$HOME/x.json\"") && !said.contains("mkdir"), "{said}");
    // Root has all rights there, and yet nobody makes a file.
    let ended = large.store.run(&["build", text(large.blueprint.path()), "-o", "type=tar,dest=/proc/x.tar"]).fails(1);
    assert!(ended.stderr.contains("/proc") && !ended.stderr.contains("[base]"), "{}", ended.stderr);
    let twice = "type=tar,dest=/dev/null,dest=/dev/null";
    let ended = large.store.run(&["build", text(large.blueprint.path()), "-o", twice]).fails(2);
    assert!(ended.stderr.contains("`dest` is given twice"), "{}", ended.stderr);
}
