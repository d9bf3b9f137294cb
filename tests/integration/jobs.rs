//! Work in the background: what it fails of is told, and it ends before the build does.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use layers::digest::Digest;
use serde_json::Value;

use crate::support::http::{Server, refused, send, until, whole};
use crate::support::{ALLOY, Store, blueprint, cached, run, shared, text, tool};

/// An archive of one file, which is another for each number.
fn archive(number: usize) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let place = text(directory.path());
    std::fs::write(directory.path().join("file"), vec![number as u8; 100_000]).unwrap();
    std::fs::write(directory.path().join("another"), format!("{number}\n")).unwrap();
    let script = format!("cd {place} && tar --sort=name --mtime=@1 --owner=0 --group=0 -czf a.tar.gz file another");
    tool("sh", &["-c", &script]).ok();
    std::fs::read(directory.path().join("a.tar.gz")).unwrap()
}

/// A task that unpacks the archive of that number.
fn task(number: usize, url: &str) -> String {
    let sha256 = Digest::of(archive(number)).hex();
    format!("- {{name: n{number}, action: unarchive_from_url, url: '{url}', dest: /opt/n{number}, sha256: {sha256}}}\n")
}

const MANIFEST: &str = "name: Jobs\nversion: 1.0.0\nrun_order: [a.yml]\n\
                        image: {base: 'rootfs:root.tar', env_from_profile: false}\n";

/// A blueprint of these tasks, on a base that needs no network.
fn on_files(tasks: &str) -> tempfile::TempDir {
    let directory = blueprint(&[("manifest.yml", MANIFEST), ("a.yml", tasks)]);
    let script = "cd \"$0\" && mkdir -p r/etc r/opt r/srv r/tmp r/run && echo root:x:0:0::/root:/bin/sh > r/etc/passwd \
                  && tar --sort=name --owner=0 --group=0 --mtime=@1 -C r -cf root.tar . && rm -r r";
    tool("sh", &["-c", script, text(directory.path())]).ok();
    directory
}

#[test]
fn a_dead_server_is_told_of_and_nothing_else() {
    let address = refused();
    let tasks: String = (1..=3).map(|n| task(n, &format!("http://{address}/{n}.tar.gz"))).collect();
    let directory = on_files(&tasks);
    let (one, two) = (Store::new(), Store::new());
    let ended = [&one, &two].map(|store| {
        let mut command = store.alloy(&["build", text(directory.path())]);
        command.env_remove("RUST_BACKTRACE");
        std::thread::spawn(move || run(&mut command))
    });
    for ended in ended.map(|thread| thread.join().unwrap()) {
        let ended = ended.fails(4);
        assert!(ended.stderr.contains(&format!("cannot fetch http://{address}/1.tar.gz")), "{}", ended.stderr);
        assert_eq!(ended.stderr.matches("error: ").count(), 1, "{}", ended.stderr);
        assert!(!ended.stderr.contains("panicked") && !ended.stderr.contains("itself failed"), "{}", ended.stderr);
    }
}

#[test]
fn a_build_that_fails_waits_for_no_download() {
    let (asked, waits) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true)));
    let (seen, go_on) = (Arc::clone(&asked), Arc::clone(&waits));
    let server = Server::start(move |_, request, stream| {
        if request.line.starts_with("GET /1.") {
            // The other one is under way when this one fails.
            until("both are asked for", || seen.load(Ordering::SeqCst));
            return send(stream, "404 Not Found", "", b"");
        }
        seen.store(true, Ordering::SeqCst);
        until("the build has ended", || !go_on.load(Ordering::SeqCst));
    });
    let tasks: String = (1..=2).map(|n| task(n, &server.path(&format!("{n}.tar.gz")))).collect();
    let directory = on_files(&tasks);
    let ended = Store::new().run(&["--stall-timeout=600", "build", text(directory.path())]).fails(4);
    waits.store(false, Ordering::SeqCst);
    assert!(ended.stderr.contains("the server answered 404"), "{}", ended.stderr);
}

#[test]
fn one_refused_request_changes_no_digest() {
    let (archive, first) = (archive(1), Arc::new(AtomicBool::new(false)));
    let refuse = Arc::clone(&first);
    let server = Server::start(move |_, _, stream| match refuse.swap(false, Ordering::SeqCst) {
        true => send(stream, "403 Forbidden", "", b"no"),
        false => whole(stream, &archive),
    });
    let tasks =
        format!("- {{name: env, action: write_env_file, file: /srv/env, content: A=1}}\n{}", task(1, &server.url()));
    let directory = on_files(&tasks);
    let expected = Store::new().build(&[text(directory.path())]);
    let store = Store::new();
    first.store(true, Ordering::SeqCst);
    let ended = store.run(&["build", text(directory.path())]).fails(4);
    assert!(ended.stderr.contains("a.yml:2:") && ended.stderr.contains(": n1: cannot fetch"), "{}", ended.stderr);
    assert!(ended.stderr.contains("the server answered 403"), "{}", ended.stderr);
    let built = store.build(&[text(directory.path())]);
    assert_eq!(built["containerimage.digest"], expected["containerimage.digest"]);
}

#[test]
fn an_archive_that_is_none_is_its_task_s_failure() {
    let directory = on_files("- {name: none, action: unpack, source: text, dest: /opt/none}\n");
    std::fs::write(directory.path().join("text"), "no archive\n").unwrap();
    let ended = Store::new().run(&["build", text(directory.path())]).fails(1);
    assert!(ended.stderr.contains("a.yml:1:40: none: cannot unpack text: not an archive"), "{}", ended.stderr);
    assert!(ended.stderr.contains("looks like a text") && !ended.stderr.contains("alloy-failed"), "{}", ended.stderr);
}

/// What an older alloy left when a job had failed for a moment: the archive's layer in another form, under the same key,
/// and no word of how it came. It is another layer altogether here, so that using it shows.
fn spoil(store: &Store, layer: &str) -> PathBuf {
    let opened = store.opened();
    let read = |(key, bytes): (String, Vec<u8>)| (key, serde_json::from_slice::<Value>(&bytes).unwrap());
    let all: Vec<(String, Value)> = opened.records("layers").unwrap().into_iter().map(read).collect();
    let other = all.iter().find(|(_, record)| record["name"] == "a.yml").unwrap().1["layer"].clone();
    let mut spoilt = 0;
    for (key, mut record) in all {
        if record["name"] == layer {
            let fields = record.as_object_mut().unwrap();
            assert_eq!(fields.remove("way").unwrap(), "streamed");
            fields.insert("archive".into(), Value::Null);
            fields.insert("layer".into(), other.clone());
            opened.put_record("layers", &key, record.to_string().as_bytes()).unwrap();
            spoilt += 1;
        }
    }
    // Under its own key, and under the bytes below.
    assert_eq!(spoilt, 2);
    store.path().join("cache")
}

#[test]
fn what_came_another_way_counts_as_missing() {
    let tasks = "- {name: env, action: write_env_file, file: /srv/env, content: A=1}\n\
                 - {name: one, action: unpack, source: one.tar.gz, dest: /opt/one}\n";
    let directory = on_files(tasks);
    std::fs::write(directory.path().join("one.tar.gz"), archive(1)).unwrap();
    let (store, name) = (Store::new(), text(directory.path()));
    let expected = store.build(&[name]);
    let cache = spoil(&store, "a.yml: one");
    // Others are told of it, as an older alloy told them, and do not believe it.
    let portable = store.path().join("store/records/portable");
    std::fs::remove_dir_all(&portable).unwrap();
    let planned = store.run(&["plan", name]).ok();
    assert!(planned.stdout.contains("an older alloy made it another way"), "{}", planned.stdout);
    let place = format!("type=local,dest={}", text(&cache));
    store.run(&["cache", "export", &place]).ok();
    let other = Store::new();
    let metadata = other.path().join("metadata.json");
    let from = format!("type=local,src={}", text(&cache));
    let ended = other.run(&["build", name, "--cache-from", &from, "--metadata-file", text(&metadata)]).ok();
    assert!(ended.stderr.contains("its layer came another way than it comes now"), "{}", ended.stderr);
    let metadata: Value = serde_json::from_slice(&std::fs::read(metadata).unwrap()).unwrap();
    assert_eq!(metadata["containerimage.digest"], expected["containerimage.digest"]);
    let built = store.build(&[name]);
    assert_eq!(built["containerimage.digest"], expected["containerimage.digest"]);
    assert_eq!(cached(&built), [("a.yml".to_owned(), true), ("a.yml: one".to_owned(), false)]);
    assert_eq!(cached(&store.build(&[name])).iter().filter(|(_, cached)| *cached).count(), 2);
}

#[test]
fn one_archive_is_one_layer_however_files_are_layered() {
    let directory = on_files("- {name: one, action: unpack, source: one.tar.gz, dest: /opt/one}\n");
    std::fs::write(directory.path().join("one.tar.gz"), archive(1)).unwrap();
    let build = |layers: &str| Store::new().build(&[text(directory.path()), "--layers", layers]);
    assert_eq!(build("file")["containerimage.digest"], build("portable")["containerimage.digest"]);
}

#[test]
fn few_descriptors_are_told_of() {
    shared().run(&["images"]).ok();
    for limit in [3, 8, 14, 20, 28] {
        let store = Store::new();
        let script = format!("ulimit -n {limit}; exec \"$0\" \"$@\"");
        let mut command = Command::new("sh");
        let directory = on_files("- {name: one, action: unpack, source: one.tar.gz, dest: /opt/one}\n");
        std::fs::write(directory.path().join("one.tar.gz"), archive(1)).unwrap();
        command
            .args(["-c", &script, ALLOY, "build", text(directory.path())])
            .env("ALLOY_HOME", store.path().join("store"));
        let ended = run(&mut command);
        // What cannot even be loaded is not alloy's to tell.
        let loaded = !ended.stderr.contains("loading shared libraries");
        assert!(!loaded || matches!(ended.code, Some(0 | 1 | 5)), "{limit}: {ended:?}");
        assert!(!loaded || ended.code == Some(0) || ended.stderr.contains("error: "), "{limit}: {ended:?}");
        assert!(!ended.stderr.contains("itself failed"), "{limit}: {ended:?}");
    }
}

#[test]
fn few_processes_are_told_of() {
    let user = crate::support::user::User::new();
    let directory = on_files("- {name: one, action: unpack, source: one.tar.gz, dest: /opt/one}\n");
    std::fs::write(directory.path().join("one.tar.gz"), archive(1)).unwrap();
    let name = crate::support::readable(&directory);
    // Both compress with more threads than one where there are any.
    for compression in ["zstd", "gzip"] {
        let build = format!("alloy build {name} --compression {compression}");
        let expected = user.shell(&build).ok().stdout;
        for limit in 1..16 {
            user.shell("rm -rf .local").ok();
            let ended = user.shell(&format!("ulimit -u {limit}; exec {build}"));
            match ended.code {
                Some(0) => assert_eq!(ended.stdout, expected),
                code => assert!(matches!(code, Some(1 | 5)) && ended.stderr.contains("error: "), "{limit}: {ended:?}"),
            }
            assert!(!ended.stderr.contains("itself failed"), "{limit}: {ended:?}");
            let left = user.shell("ls -A .local/share/alloy/work .local/share/alloy/tmp 2>&1 | grep '^build-'").stdout;
            assert_eq!(left, "", "{limit}: {ended:?}");
        }
    }
}

/// A build in a store on a disk of its own that has so many inodes; standard output is empty, and the disk goes with it.
fn on_few_inodes(inodes: usize, directory: &str) -> crate::support::Ended {
    let store = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=100m,nr_inodes=$1 tmpfs \"$ALLOY_HOME\" && exec \"$2\" build \"$3\"";
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh", &inodes.to_string(), ALLOY, directory])
        .env("ALLOY_HOME", store.path());
    run(&mut command)
}

#[test]
fn few_inodes_are_the_disk_s_fault() {
    let tasks = "- {name: env, action: write_env_file, file: /srv/env, content: A=1}\n\
                 - {name: odd, action: unpack, source: odd.tar, dest: /opt/odd}\n";
    let directory = on_files(tasks);
    // A name twice: it is unpacked in place.
    let script = "cd \"$0\" && echo 1 > a && tar cf odd.tar a && tar rf odd.tar a";
    tool("sh", &["-c", script, text(directory.path())]).ok();
    let (mut told, mut done) = (0, 0);
    for inodes in (10..160).step_by(2) {
        let ended = on_few_inodes(inodes, text(directory.path()));
        if ended.code == Some(0) {
            done += 1;
            continue;
        }
        told += 1;
        assert_eq!(ended.stderr.matches("error: ").count(), 1, "{inodes}: {}", ended.stderr);
        assert!(ended.stderr.contains("No space left on device"), "{inodes}: {}", ended.stderr);
        assert!(!ended.stderr.contains("Read-only"), "{inodes}: {}", ended.stderr);
    }
    assert!(told > 5 && done > 5, "{told} told, {done} done");
}
