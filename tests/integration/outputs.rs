//! Where a build writes what it is asked for: files are replaced whole, devices and pipes are written to, links stay,
//! and what cannot be written is known before anything is built.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::{ALLOY, Ended, Store, blueprint, run, text, tool};

const STREAMS: [&str; 3] = ["oci-archive", "docker-archive", "tar"];

/// A small image, and places to write it to.
struct Outputs {
    blueprint: TempDir,
    store: Store,
    place: TempDir,
}

impl Outputs {
    fn new() -> Self {
        let manifest = "name: Small\nversion: 1.0.0\nrun_order: [a.yml]\n\
                        image: {base: 'rootfs:root', env_from_profile: false}\n";
        let blueprint = blueprint(&[
            ("manifest.yml", manifest),
            ("a.yml", "- {name: Text, action: write_env_file, file: /srv/text, content: x}\n"),
        ]);
        fs::create_dir_all(blueprint.path().join("root/srv")).unwrap();
        fs::write(blueprint.path().join("root/srv/large"), vec![b'l'; 4 << 20]).unwrap();
        Self { blueprint, store: Store::new(), place: tempfile::tempdir().unwrap() }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn arguments(&self, outputs: &[(&str, &Path)]) -> Vec<String> {
        let mut all = vec!["build".to_owned(), text(self.blueprint.path()).to_owned()];
        for (kind, dest) in outputs {
            match *kind {
                "metadata" => all.extend(["--metadata-file".to_owned(), text(dest).to_owned()]),
                kind => all.extend(["-o".to_owned(), format!("type={kind},dest={}", dest.display())]),
            }
        }
        all
    }

    fn command(&self, outputs: &[(&str, &Path)]) -> Command {
        let arguments = self.arguments(outputs);
        self.store.alloy(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn build(&self, outputs: &[(&str, &Path)]) -> Ended {
        run(&mut self.command(outputs))
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.place.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[test]
fn a_device_stays_one() {
    let outputs = Outputs::new();
    let node = outputs.at("null");
    tool("mknod", &[text(&node), "c", "1", "3"]).ok();
    let inode = node.metadata().unwrap().ino();
    symlink("null", outputs.at("link")).unwrap();
    for kind in STREAMS.into_iter().chain(["metadata"]) {
        for dest in [&node, &outputs.at("link")] {
            outputs.build(&[(kind, dest)]).ok();
            let found = node.metadata().unwrap();
            assert!(found.file_type().is_char_device() && found.ino() == inode, "{kind}");
        }
    }
    // Several share it without harm.
    outputs.build(&[("tar", &node), ("metadata", &node)]).ok();
    for kind in ["oci", "dir"] {
        outputs.build(&[(kind, &node)]).fails(1);
        assert!(node.metadata().unwrap().file_type().is_char_device());
    }
    assert_eq!(outputs.names(), ["link", "null"]);
}

#[test]
fn a_pipe_and_standard_output_get_the_same_bytes_as_a_file() {
    let outputs = Outputs::new();
    let fifo = outputs.at("fifo");
    tool("mkfifo", &[text(&fifo)]).ok();
    for kind in STREAMS {
        let file = outputs.at(kind);
        outputs.build(&[(kind, &file)]).ok();
        let bytes = fs::read(&file).unwrap();
        let reader = fifo.clone();
        let reader = std::thread::spawn(move || fs::read(reader).unwrap());
        outputs.build(&[(kind, &fifo)]).ok();
        assert!(reader.join().unwrap() == bytes, "{kind} through a FIFO");
        for dest in ["-", "/dev/stdout", "/proc/self/fd/1"] {
            let printed = outputs.command(&[(kind, Path::new(dest))]).output().unwrap();
            let said = String::from_utf8(printed.stderr).unwrap();
            assert!(printed.status.success() && printed.stdout == bytes, "{kind} to {dest}: {said}");
            assert!(said.contains("sha256:"), "the digest is told elsewhere: {said}");
        }
    }
    assert!(fifo.metadata().unwrap().file_type().is_fifo());
    let printed = outputs.build(&[("metadata", Path::new("-"))]).ok();
    let value: serde_json::Value = serde_json::from_str(&printed.stdout).unwrap();
    assert!(value["containerimage.digest"].as_str().unwrap().starts_with("sha256:"));
    // A file as standard output goes on where it is.
    fs::write(outputs.at("log"), "before\n").unwrap();
    let log = fs::OpenOptions::new().append(true).open(outputs.at("log")).unwrap();
    let status = outputs.command(&[("metadata", Path::new("/dev/stdout"))]).stdout(log).stderr(Stdio::null()).status();
    assert!(status.unwrap().success());
    assert!(fs::read_to_string(outputs.at("log")).unwrap().starts_with("before\n{"));
    assert!(!outputs.names().iter().any(|name| name.starts_with('.')), "{:?}", outputs.names());
}

#[test]
fn every_name_of_an_image_is_written() {
    let outputs = Outputs::new();
    let (layout, archive, docker) = (outputs.at("layout"), outputs.at("oci.tar"), outputs.at("docker.tar"));
    let mut arguments = outputs.arguments(&[("oci", &layout), ("oci-archive", &archive), ("docker-archive", &docker)]);
    // An index knows whole names beside tags: two names of one tag are two entries.
    arguments.extend(["-t", "one:1", "-t", "two:2", "-t", "three:2"].map(str::to_owned));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let tags = |index: &str| -> Vec<String> {
        let index: serde_json::Value = serde_json::from_str(index).unwrap();
        let entries = index["manifests"].as_array().unwrap().iter();
        entries
            .map(|entry| entry["annotations"]["org.opencontainers.image.ref.name"].as_str().unwrap().into())
            .collect()
    };
    let member = |tar: &Path, name: &str| tool("tar", &["-xOf", text(tar), name]).ok().stdout;
    // The second time, they replace what is there.
    for _ in 0..2 {
        outputs.store.run(&arguments).ok();
        assert_eq!(tags(&fs::read_to_string(layout.join("index.json")).unwrap()), ["1", "2", "2"]);
    }
    assert_eq!(tags(&member(&archive, "index.json")), ["1", "2", "2"]);
    let saved: serde_json::Value = serde_json::from_str(&member(&docker, "manifest.json")).unwrap();
    let names: Vec<&str> = saved[0]["RepoTags"].as_array().unwrap().iter().filter_map(|tag| tag.as_str()).collect();
    let short: Vec<&str> = names.iter().map(|name| name.rsplit('/').next().unwrap()).collect();
    assert_eq!(short, ["one:1", "two:2", "three:2"], "{names:?}");
    // It is one image still, whoever reads it.
    for place in [format!("oci:{}", layout.display()), format!("oci-archive:{}", archive.display())] {
        outputs.store.build(&[text(outputs.blueprint.path()), "--base", &place]);
    }
}

#[test]
fn dockers_short_form_is_explained() {
    let outputs = Outputs::new();
    let ended = outputs.store.run(&["build", text(outputs.blueprint.path()), "-o", "/tmp/x"]).fails(2);
    assert!(ended.stderr.contains("write type=dir,dest=/tmp/x"), "{}", ended.stderr);
}

#[test]
fn a_closed_standard_output_is_told() {
    let outputs = Outputs::new();
    outputs.build(&[]).ok();
    let ended = |how: &str, arguments: &[String]| {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec \"$@\" {how}"), "sh", ALLOY]).args(arguments);
        run(command.env("ALLOY_HOME", outputs.store.path().join("store")))
    };
    let stdout = Path::new("-");
    for how in [">&-", "<&- >&-", "1</dev/null"] {
        for kind in STREAMS.into_iter().chain(["metadata"]) {
            for dest in [stdout, Path::new("/dev/stdout")] {
                let told = ended(how, &outputs.arguments(&[(kind, dest)])).fails(1);
                assert!(told.stderr.contains("it is closed, or open for reading alone"), "{how}: {}", told.stderr);
                assert!(!told.stderr.contains("[1/1]"), "it was built first:\n{}", told.stderr);
            }
        }
        for arguments in [&["images"][..], &["--help"], &["actions"]] {
            let told = ended(how, &arguments.iter().map(|&word| word.to_owned()).collect::<Vec<_>>()).fails(1);
            assert!(told.stderr.contains("cannot print: standard output is closed"), "{how}: {}", told.stderr);
        }
    }
    // What does not go there is written, and who gives the output away wants none of it.
    let file = outputs.at("file");
    ended(">&-", &outputs.arguments(&[("tar", &file)])).fails(1);
    assert!(file.exists());
    for how in [">/dev/null", "<&-", ">/dev/null 2>&-"] {
        ended(how, &outputs.arguments(&[("tar", stdout)])).ok();
    }
}

#[test]
fn a_directory_or_an_archive_for_a_terminal_is_refused() {
    let outputs = Outputs::new();
    for kind in ["oci", "dir"] {
        let ended = outputs.build(&[(kind, Path::new("-"))]).fails(2);
        assert!(ended.stderr.contains("a directory cannot be written to standard output"), "{}", ended.stderr);
    }
    let arguments = outputs.arguments(&[("tar", Path::new("-"))]).join(" ");
    let script = format!("{ALLOY} {arguments}");
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &script, "/dev/null"]).stdin(Stdio::null()).env("ALLOY_HOME", outputs.store.path());
    let ended = run(&mut terminal).fails(2);
    assert!(ended.stdout.contains("type=tar is not for a terminal"), "{}", ended.stdout);
}

#[test]
fn links_and_modes_stay() {
    let outputs = Outputs::new();
    fs::create_dir(outputs.at("d")).unwrap();
    for kind in STREAMS.into_iter().chain(["metadata"]) {
        let (file, link) = (outputs.at("d/file"), outputs.at("link"));
        fs::write(&file, "before").unwrap();
        fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        std::os::unix::fs::chown(&file, Some(1234), Some(1235)).unwrap();
        symlink("d/file", &link).unwrap();
        outputs.build(&[(kind, &link)]).ok();
        let found = file.metadata().unwrap();
        assert!(link.is_symlink() && found.len() > 100, "{kind}");
        assert_eq!((found.mode() & 0o7777, found.uid(), found.gid()), (0o600, 1234, 1235), "{kind}");
        [file, link].iter().for_each(|path| fs::remove_file(path).unwrap());
    }
    assert_eq!(outputs.names(), ["d"]);
    // A file that was lent alone cannot be replaced, only written.
    let arguments = outputs.arguments(&[("metadata", Path::new("/mnt/file"))]);
    let script = "touch \"$0/lent\" && mount -t tmpfs none /mnt && touch /mnt/file && mount --bind \"$0/lent\" /mnt/file && exec \"$@\"";
    let mut lent = Command::new("unshare");
    lent.args(["--mount", "sh", "-c", script, text(outputs.place.path()), ALLOY]).args(arguments);
    run(lent.env("ALLOY_HOME", outputs.store.path().join("store"))).ok();
    assert!(fs::read_to_string(outputs.at("lent")).unwrap().starts_with('{'));
}

#[test]
fn root_is_not_led_astray() {
    let outputs = Outputs::new();
    let tmp = outputs.at("tmp");
    fs::create_dir(&tmp).unwrap();
    fs::set_permissions(&tmp, PermissionsExt::from_mode(0o1777)).unwrap();
    fs::create_dir(outputs.at("theirs")).unwrap();
    std::os::unix::fs::chown(outputs.at("theirs"), Some(1234), Some(1234)).unwrap();
    fs::write(outputs.at("mine"), "mine").unwrap();
    for link in [tmp.join("link"), outputs.at("theirs/link")] {
        symlink(outputs.at("mine"), &link).unwrap();
        std::os::unix::fs::lchown(&link, Some(1234), Some(1234)).unwrap();
        let ended = outputs.build(&[("metadata", &link)]).fails(1);
        assert!(ended.stderr.contains("belongs to somebody else"), "{}", ended.stderr);
        assert_eq!(fs::read(outputs.at("mine")).unwrap(), b"mine");
    }
    let file = tmp.join("file");
    fs::write(&file, "theirs").unwrap();
    fs::set_permissions(&file, PermissionsExt::from_mode(0o666)).unwrap();
    std::os::unix::fs::chown(&file, Some(1234), Some(1234)).unwrap();
    outputs.build(&[("metadata", &file)]).ok();
    let made = file.metadata().unwrap();
    assert_eq!((made.uid(), made.mode() & 0o022), (0, 0));
}

/// Outputs, the exit code, and what is said.
type Case<'a> = (&'a [(&'a str, &'a Path)], i32, &'a str);

#[test]
fn what_cannot_be_written_is_said_before_the_build() {
    let outputs = Outputs::new();
    fs::create_dir_all(outputs.at("d")).unwrap();
    fs::write(outputs.at("file"), "").unwrap();
    symlink("file", outputs.at("link")).unwrap();
    let at = |name: &str| outputs.at(name);
    let (none, within, d, file) = (at("none/x"), at("file/x"), at("d"), at("file"));
    let (link, stdout, dot) = (at("link"), Path::new("-"), at("d/../file"));
    let cases: [Case<'_>; 11] = [
        (&[("tar", &none)], 1, "there is no directory"),
        (&[("metadata", &none)], 1, "there is no directory"),
        (&[("oci-archive", &within)], 1, "is no directory"),
        (&[("docker-archive", &d)], 1, "it is a directory"),
        (&[("metadata", &d)], 1, "it is a directory"),
        (&[("oci", &file)], 1, "is not an OCI layout"),
        (&[("dir", &within)], 1, "is no directory"),
        (&[("tar", &file), ("metadata", &link)], 2, "two things would be written to"),
        (&[("tar", &file), ("oci-archive", &dot)], 2, "two things would be written to"),
        (&[("tar", stdout), ("metadata", stdout)], 2, "two things would be written to standard output"),
        (&[("dir", &d), ("metadata", &at("d/m.json"))], 2, "one thing would be written to"),
    ];
    for (wanted, code, said) in cases {
        let ended = outputs.build(wanted).fails(code);
        assert!(ended.stderr.contains(said), "{said} is not in:\n{}", ended.stderr);
        assert!(!ended.stderr.contains("[1/1]"), "it was built first:\n{}", ended.stderr);
    }
    let as_user = "setpriv --reuid=1234 --regid=1234 --clear-groups \"$@\"";
    tool("chmod", &["-R", "a+rX", text(outputs.blueprint.path()), text(outputs.place.path())]).ok();
    let mut command = Command::new("sh");
    command.args(["-c", as_user, "sh", ALLOY]).args(outputs.arguments(&[("metadata", &at("d/m.json"))]));
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let ended = run(command.env("ALLOY_HOME", home.path().join("store"))).fails(1);
    assert!(ended.stderr.contains("in ") && ended.stderr.contains("nothing can be made"), "{}", ended.stderr);
}

/// Whoever presses Ctrl-C while an output is written finds nothing of it.
#[test]
fn an_interrupted_output_leaves_nothing() {
    let outputs = Outputs::new();
    // What cannot be compressed takes a while in every form.
    let mut large = fs::File::create(outputs.blueprint.path().join("root/srv/large")).unwrap();
    std::io::copy(&mut fs::File::open("/dev/urandom").unwrap().take(96 << 20), &mut large).unwrap();
    outputs.build(&[]).ok();
    for kind in ["dir", "oci"] {
        let place = tempfile::tempdir().unwrap();
        let out = place.path().join("out");
        let interrupted = (0..30).any(|_| {
            let mut child =
                outputs.command(&[(kind, &out)]).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
            while fs::read_dir(place.path()).unwrap().count() == 0 && child.try_wait().unwrap().is_none() {
                std::thread::sleep(std::time::Duration::from_micros(200));
            }
            let _ = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
            let code = child.wait().unwrap().code();
            // It may have got its name just before.
            let whole = out.exists();
            if whole {
                fs::remove_dir_all(&out).unwrap();
            }
            code == Some(130) && !whole
        });
        assert!(interrupted, "{kind} is always faster");
        let left: Vec<_> = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.is_empty(), "{kind}: {left:?}");
    }
}

#[test]
fn a_directory_is_replaced_if_alloy_wrote_it() {
    let outputs = Outputs::new();
    let dir = outputs.at("out");
    outputs.build(&[("dir", &dir)]).ok();
    fs::write(dir.join("srv/more"), "x").unwrap();
    outputs.build(&[("dir", &dir)]).ok();
    assert!(!dir.join("srv/more").exists() && dir.join("srv/text").exists());
    // Another one of that name, with all that is in it, was not alloy's.
    fs::remove_dir_all(&dir).unwrap();
    fs::create_dir(&dir).unwrap();
    outputs.build(&[("dir", &dir)]).ok();
    fs::remove_dir_all(&dir).unwrap();
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("precious"), "x").unwrap();
    let ended = outputs.build(&[("dir", &dir)]).fails(1);
    assert!(ended.stderr.contains("is no directory that alloy wrote"), "{}", ended.stderr);
    assert!(ended.stderr.contains("hint: name a directory that is not there, or empty"), "{}", ended.stderr);
    assert!(dir.join("precious").exists());
    assert_eq!(outputs.names(), ["out"]);
}

/// All files below a directory but for locks, with what they hold.
fn content(place: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut left = vec![place.to_owned()];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if !path.ends_with(".lock") {
            found.push((path.strip_prefix(place).unwrap().to_owned(), fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

#[test]
fn killed_at_any_moment_it_is_the_old_or_the_new() {
    let outputs = Outputs::new();
    for kind in ["oci-archive", "tar", "dir", "oci"] {
        let dest = outputs.at(kind);
        outputs.build(&[(kind, &dest)]).ok();
        let old = content(&dest);
        fs::write(
            outputs.blueprint.path().join("a.yml"),
            format!("- {{name: Text, action: write_env_file, file: /srv/text, content: new {kind}}}\n"),
        )
        .unwrap();
        let new = outputs.at("new");
        outputs.build(&[(kind, &new)]).ok();
        let expected = content(&new);
        let mut cut = 0;
        for moment in 0..12 {
            let mut command = outputs.command(&[(kind, &dest)]);
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            // No moment in particular: whatever it is, what follows must hold.
            std::thread::sleep(std::time::Duration::from_millis(15 + 9 * moment));
            child.kill().unwrap();
            cut += usize::from(!child.wait().unwrap().success());
            let found = content(&dest);
            if kind == "oci" {
                // What an index names is there, and whole.
                tool("skopeo", &["inspect", "--raw", &format!("oci:{}:latest", dest.display())]).ok();
                for (path, bytes) in found.iter().filter(|(path, _)| path.starts_with("blobs")) {
                    let digest = tool("sha256sum", &[text(&dest.join(path))]).ok().stdout;
                    assert!(digest.starts_with(path.file_name().unwrap().to_str().unwrap()), "{} bytes", bytes.len());
                }
            } else {
                assert!(found == old || found == expected, "{kind} at {moment} is neither");
            }
        }
        assert!(cut > 0, "nothing was ever cut off");
        outputs.build(&[(kind, &dest)]).ok();
        if kind != "oci" {
            assert!(content(&dest) == expected, "{kind}");
        }
        let left: Vec<_> = content(outputs.place.path()).into_iter().map(|(path, _)| path).collect();
        assert!(!left.iter().any(|path| text(path).contains(".alloy-") || text(path).contains(".tmp")), "{left:?}");
        if new.is_dir() { fs::remove_dir_all(&new).unwrap() } else { fs::remove_file(&new).unwrap() }
    }
}

#[test]
fn a_layout_that_was_never_finished_is_gone_on_with() {
    let outputs = Outputs::new();
    let dest = outputs.at("layout");
    outputs.build(&[("oci", &dest)]).ok();
    let whole = content(&dest);
    fs::remove_file(dest.join("oci-layout")).unwrap();
    fs::remove_file(dest.join("index.json")).unwrap();
    let blob = fs::read_dir(dest.join("blobs/sha256")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = Vec::new();
    fs::File::open(&blob).unwrap().read_to_end(&mut bytes).unwrap();
    bytes[0] ^= 1;
    fs::write(&blob, bytes).unwrap();
    fs::write(dest.join(".layout.alloy-AAAAAAAA"), "half").unwrap();
    outputs.build(&[("oci", &dest)]).ok();
    assert!(content(&dest) == whole);
}
