//! Many downloads, and the same one wanted more than once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::download::{Downloads, content, sha256};
use crate::support::http::{Server, until, whole};

#[test]
fn several_at_once_but_not_all() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count, highest) = (Arc::clone(&now), Arc::clone(&most));
    let server = Server::start(move |_, asked, stream| {
        highest.fetch_max(count.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        // Nobody is answered before a second one asks.
        until("one at a time", || highest.load(Ordering::SeqCst) > 1);
        std::thread::sleep(Duration::from_millis(100));
        count.fetch_sub(1, Ordering::SeqCst);
        whole(stream, asked.line.as_bytes());
    });
    for pinned in [true, false] {
        most.store(0, Ordering::SeqCst);
        let file = |at: usize| {
            let path = format!("{pinned}-{at}");
            let pin = pinned.then(|| sha256(format!("GET /{path} HTTP/1.1").as_bytes()));
            (server.path(&path), pin)
        };
        let ended = Downloads::new(&(0..24).map(file).collect::<Vec<_>>()).build(&["--stall-timeout=60"]).ok();
        let most = most.load(Ordering::SeqCst);
        assert!((2..=8).contains(&most), "{most}");
        assert_eq!(ended.stderr.matches("is not pinned").count(), if pinned { 0 } else { 24 }, "{}", ended.stderr);
    }
}

#[test]
fn the_same_file_comes_once() {
    let server = Server::start(|_, _, stream| {
        std::thread::sleep(Duration::from_millis(300));
        whole(stream, &content(20));
    });
    let pin = Some(sha256(&content(20)));
    // Two mirrors of one digest, one of them twice.
    let files = [(server.path("a"), pin.clone()), (server.path("b"), pin.clone()), (server.path("a"), pin.clone())];
    let downloads = Downloads::new(&files);
    downloads.build(&[]).ok();
    // Each of them is said to give it: each is asked, once.
    assert_eq!(server.asked().len(), 2);
    assert_eq!((downloads.got(0), downloads.got(1)), (content(20), content(20)));
    // One URL, with a digest and without.
    let files = [(server.path("c"), None), (server.path("c"), pin), (server.path("c"), None)];
    Downloads::new(&files).build(&[]).ok();
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn two_builds_share_one_download() {
    let server = Server::start(|_, _, stream| {
        std::thread::sleep(Duration::from_secs(1));
        whole(stream, &content(21));
    });
    for pin in [Some(sha256(&content(21))), None] {
        let before = server.asked().len();
        let downloads = Downloads::one(&server.url(), pin.as_deref());
        // The store is made first: it is the download that they contend for.
        let other = Downloads::of_tasks("- {name: write, action: write_env_file, file: /srv/x, content: x}\n");
        crate::support::run(other.command(&[]).env("ALLOY_HOME", downloads.store.path().join("store"))).ok();
        let start = || {
            let mut command = downloads.command(&["--stall-timeout=60"]);
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).spawn().unwrap()
        };
        let children = [start(), start(), start()];
        for child in children {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        assert_eq!(server.asked().len() - before, 1, "{pin:?}");
    }
}
