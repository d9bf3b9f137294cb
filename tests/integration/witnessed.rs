//! Statements only of what was seen: a digest that is known from another URL, and downloads that nobody could use.

use crate::support::download::{Downloads, sha256};
use crate::support::http::{Server, send, whole};
use crate::support::team::{Team, hits};
use crate::support::{Ended, Store, run, text, tool};

/// A tar with one file of that content.
fn archive(content: &str) -> Vec<u8> {
    let place = Store::new();
    std::fs::write(place.path().join("file"), content).unwrap();
    let tar = place.path().join("a.tar");
    tool("tar", &["-cf", text(&tar), "-C", text(place.path()), "file"]).ok();
    std::fs::read(tar).unwrap()
}

/// The release of each number is an archive of its own; 1.6 is 1.4 under another name, and there is no 1.7.
fn releases() -> Server {
    let (old, new) = (archive("1.4"), archive("1.5"));
    Server::start(move |_, asked, stream| match asked.line.split_whitespace().nth(1) {
        Some("/tool-1.4.tar" | "/tool-1.6.tar") => whole(stream, &old),
        Some("/tool-1.5.tar") => whole(stream, &new),
        _ => send(stream, "404 Not Found", "Content-Length: 0\r\n", b""),
    })
}

fn task(action: &str, url: &str, digest: Option<&str>) -> String {
    let pin = digest.map_or(String::new(), |digest| format!(", sha256: {digest}"));
    format!("- {{name: tool, action: {action}, url: '{url}', dest: /opt/tool{pin}}}\n")
}

#[test]
fn an_old_digest_under_a_new_url_is_an_error() {
    for action in ["get_file", "unarchive_from_url"] {
        let server = releases();
        let url = |version: &str| server.path(&format!("tool-{version}.tar"));
        let old = sha256(&archive_of(&server, "1.4"));
        let downloads = Downloads::of_tasks(&task(action, &url("1.4"), Some(&old)));
        downloads.build(&[]).ok();
        let at = |version: &str| {
            downloads.write("tasks.yml", &task(action, &url(version), Some(&old)));
            downloads.build(&[])
        };
        let wrong = at("1.5").fails(4);
        assert!(wrong.stderr.contains("tool-1.5.tar is not what it should be"), "{action}: {}", wrong.stderr);
        assert!(wrong.stderr.contains(&format!("that digest is what {} gave", url("1.4"))), "{}", wrong.stderr);
        let gone = at("1.7").fails(4);
        assert!(gone.stderr.contains("404"), "{action}: {}", gone.stderr);
        // The same under another name is asked for once.
        let asked = || server.asked().iter().filter(|asked| asked.line.contains("1.6")).count();
        downloads.write("tasks.yml", &task(action, &url("1.6"), Some(&old)));
        let plan = || downloads.store.run(&["plan", text(downloads.blueprint.path())]).ok().stdout;
        assert!(plan().contains("tool-1.6.tar, which may give another file"), "{action}: {}", plan());
        let moved = at("1.6").ok();
        assert!(!plan().contains("tool-1.6.tar"), "{action}: {}", plan());
        assert!(moved.stderr.contains("tool-1.6.tar is asked for"), "{action}: {}", moved.stderr);
        for _ in 0..2 {
            at("1.6").ok();
            assert_eq!(asked(), 1, "{action}");
        }
        // What was seen before is known still.
        at("1.4").ok();
        assert!(downloads.store.run(&["provenance", "got"]).ok().stdout.contains("tool-1.4.tar"));
    }
}

#[test]
fn what_one_machine_has_seen_the_team_knows() {
    let server = releases();
    let old = sha256(&archive_of(&server, "1.4"));
    let url = |version: &str| server.path(&format!("tool-{version}.tar"));
    let team = Team::new();
    let image = team.image("team/image:1");
    team.write("c.yml", &task("unarchive_from_url", &url("1.4"), Some(&old)));
    team.build(&Store::new(), &["-t", &image, "--push"]);
    let asked = server.asked().len();
    // A machine that has seen nothing believes whoever has left the layer.
    let (built, _) = team.build(&Store::new(), &["-t", &image, "--push"]);
    assert!(hits(&built).iter().all(Option::is_some), "{built}");
    assert_eq!(server.asked().len(), asked, "{:?}", server.asked());
    // Nobody has seen that.
    team.write("c.yml", &task("unarchive_from_url", &url("1.5"), Some(&old)));
    let wrong = crate::support::run(&mut team.command(&Store::new(), &["-t", &image, "--push"])).fails(4);
    assert!(wrong.stderr.contains("tool-1.5.tar is not what it should be"), "{}", wrong.stderr);
}

/// Builds an archive from a server that gives `first` once and an archive from then on. Gives both ends.
fn mended(first: Vec<u8>) -> [Ended; 2] {
    let good = archive("good");
    let server = Server::start(move |number, _, stream| match number {
        0 => whole(stream, &first),
        _ => whole(stream, &good),
    });
    let downloads = Downloads::of_tasks(&task("unarchive_from_url", &server.path("tool.tar"), None));
    [downloads.build(&[]), downloads.build(&[])]
}

#[test]
fn what_is_no_archive_is_told_and_not_remembered() {
    for (content, looks) in [
        (&b"<!DOCTYPE html><html><title>Log in</title></html>"[..], "49 bytes, which look like an HTML page"),
        (b"", ": an empty file"),
        (b"{\"message\":\"404 Project Not Found\"}", "JSON"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n", "a pointer of Git LFS"),
        (b"7z\xbc\xaf\x27\x1c\0\x04 and so on", "a 7z archive"),
    ] {
        let [first, second] = mended(content.to_vec());
        let first = first.fails(4).stderr;
        assert!(first.contains("/tool.tar gave no archive") && first.contains(looks), "{first}");
        assert!(first.contains("tasks.yml:1") && !first.contains("alloy-failed"), "{first}");
        // The server is mended: no flag is needed.
        second.ok();
    }
}

#[test]
fn a_page_in_the_place_of_a_pinned_file_is_told_and_no_pin_offered() {
    for (content, looks) in [
        (&b"<!DOCTYPE html><html><title>Log in</title></html>"[..], "found 49 bytes, which look like an HTML page"),
        (b"", "found an empty file"),
        (b"{\"message\":\"404 Project Not Found\"}", "JSON"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n", "a pointer of Git LFS"),
    ] {
        let server = Server::start(move |_, _, stream| whole(stream, content));
        for action in ["get_file", "unarchive_from_url", "sdk_install"] {
            let task = task(action, &server.path("tool.tgz"), Some(&"1".repeat(64)));
            let said = Downloads::of_tasks(&task).build(&[]).fails(4).stderr;
            assert!(said.contains("/tool.tgz is not what it should be") && said.contains(looks), "{said}");
            assert!(!said.contains(&sha256(content)) && !said.contains("put the new digest"), "{said}");
        }
    }
}

#[test]
fn a_file_that_is_not_what_the_lockfile_pins_is_pinned_anew_by_lock() {
    let (old, new) = (archive("old"), archive("new"));
    let server = Server::start(move |number, _, stream| whole(stream, if number == 0 { &old } else { &new }));
    let url = server.path("tool.tar");
    let downloads = Downloads::of_tasks(&task("unarchive_from_url", &url, None));
    run(&mut downloads.alloy("lock")).ok();
    let kept = downloads.store.path().join("store/downloads");
    std::fs::remove_dir_all(&kept).unwrap();
    std::fs::create_dir(&kept).unwrap();
    let said = downloads.build(&["--locked"]).fails(4).stderr;
    assert!(said.contains(&format!("alloy lock --update='{url}'")) && !said.contains("into `sha256`"), "{said}");
}

#[test]
fn a_damaged_archive_is_not_remembered() {
    let place = Store::new();
    std::fs::write(place.path().join("file"), archive("x").repeat(50)).unwrap();
    let tar = place.path().join("a.tar.gz");
    tool("tar", &["-czf", text(&tar), "-C", text(place.path()), "file"]).ok();
    let mut damaged = std::fs::read(tar).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle..].iter_mut().for_each(|byte| *byte ^= 0x55);
    let [first, second] = mended(damaged);
    let first = first.fails(1).stderr;
    assert!(first.contains("/tool.tar gave is forgotten"), "{first}");
    second.ok();
}

/// What the server has as that version.
fn archive_of(server: &Server, version: &str) -> Vec<u8> {
    let place = Store::new();
    let file = place.path().join("a.tar");
    tool("curl", &["-sfo", text(&file), &server.path(&format!("tool-{version}.tar"))]).ok();
    std::fs::read(file).unwrap()
}
