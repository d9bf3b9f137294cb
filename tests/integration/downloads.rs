//! Downloads from servers that misbehave.

use std::io::Write;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::download::{Downloads, content, sha256};
use crate::support::http::{Asked, Server, ranged, send, until, whole};

const SIZE: usize = 1 << 20;
const TAG: &str = "ETag: \"v1\"\r\n";

/// Half of `content` under the length of all of it, then the line goes dead.
fn half(stream: &mut dyn Write, content: &[u8]) {
    send(stream, "200 OK", &format!("{TAG}Content-Length: {SIZE}\r\n"), &content[..SIZE / 2]);
}

#[test]
fn a_transfer_that_breaks_off_is_continued() {
    let server = Server::start(|number, asked, stream| match number {
        0 => half(stream, &content(1)),
        1 => send(stream, "503 Service Unavailable", "Retry-After: 0\r\nContent-Length: 0\r\n", b""),
        _ => ranged(stream, asked, TAG, &content(1)),
    });
    let downloads = Downloads::one(&server.url(), None);
    downloads.build(&[]).ok();
    let asked = server.asked();
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert!(asked[2].range().is_some_and(|start| start > 0 && start <= SIZE / 2), "{asked:?}");
    assert_eq!(asked[2].header("if-range"), Some("\"v1\""));
    assert_eq!(downloads.got(0), content(1));
    assert_eq!(server.asked().len(), 3, "what is known is not fetched again");
    assert!(downloads.kept(".part").is_empty() && downloads.kept(".validator").is_empty());
}

/// Breaks off once, then answers as `then` does. The right bytes must come, with a digest that says so and without.
fn changed_meanwhile(then: fn(usize, &Asked, &mut dyn Write)) {
    for pin in [Some(sha256(&content(2))), None] {
        let server = Server::start(move |number, asked, stream| match number {
            0 => send(stream, "200 OK", &format!("{TAG}Content-Length: {SIZE}\r\n"), &vec![7; SIZE / 3]),
            _ => then(number, asked, stream),
        });
        let downloads = Downloads::one(&server.url(), pin.as_deref());
        downloads.build(&[]).ok();
        assert_eq!(downloads.got(0), content(2), "{pin:?}");
    }
}

#[test]
fn a_server_that_ignores_ranges_begins_again() {
    changed_meanwhile(|_, _, stream| whole(stream, &content(2)));
}

#[test]
fn a_part_of_another_file_is_not_put_to_the_first() {
    // Such a server passes over `If-Range`.
    changed_meanwhile(|_, asked, stream| ranged(stream, asked, "ETag: \"v2\"\r\n", &content(2)));
}

#[test]
fn a_part_from_another_place_is_not_taken() {
    changed_meanwhile(|_, asked, stream| match asked.range() {
        Some(_) => {
            let headers = format!("{TAG}Content-Range: bytes 5-9/{SIZE}\r\nContent-Length: 5\r\n");
            send(stream, "206 Partial Content", &headers, b"abcde");
        }
        None => whole(stream, &content(2)),
    });
}

#[test]
fn a_file_that_shrank_begins_again() {
    changed_meanwhile(|_, asked, stream| match asked.range() {
        Some(_) => send(stream, "416 Range Not Satisfiable", "Content-Range: bytes */5\r\nContent-Length: 0\r\n", b""),
        None => whole(stream, &content(2)),
    });
}

#[test]
fn a_part_that_differs_in_silence_is_found_by_its_digest() {
    let server = Server::start(|number, asked, stream| match number {
        0 => send(stream, "200 OK", &format!("{TAG}Content-Length: {SIZE}\r\n"), &vec![7; SIZE / 3]),
        _ => ranged(stream, asked, TAG, &content(3)),
    });
    let downloads = Downloads::one(&server.url(), Some(&sha256(&content(3))));
    downloads.build(&[]).ok();
    assert_eq!(server.asked().last().unwrap().range(), None, "from the start, once");
}

/// The error shows `field` as it stands in the task file, with a line drawn below it, and says in which column it begins.
fn underlined(said: &str, field: &str) {
    let lines: Vec<&str> = said.lines().collect();
    let at =
        lines.iter().position(|line| line.contains(" │ ") && line.contains(field)).unwrap_or_else(|| panic!("{said}"));
    let column = |line: &str, what: &str| line.find(what).map(|at| line[..at].chars().count());
    let begins = column(lines[at], field).unwrap();
    let mark = lines[at + 1].chars().skip(begins).take_while(|c| "─┬".contains(*c)).count();
    assert!(mark >= field.chars().count(), "{said}");
    let place = said.split("tasks.yml:1:").nth(1).and_then(|rest| rest.split(':').next()).unwrap();
    assert!(place.parse::<usize>().is_ok() && said.contains(&format!("tasks.yml:1:{place}]")), "{said}");
}

#[test]
fn what_is_not_what_it_should_be_is_refused_and_deleted() {
    let server = Server::start(|_, _, stream| whole(stream, b"evil"));
    let downloads = Downloads::one(&server.url(), Some(&sha256(b"good")));
    let ended = downloads.build(&[]).fails(4);
    for part in
        [&sha256(b"evil"), &sha256(b"good"), &server.url(), "tasks.yml:1:", ": get 0: ", "hint: if the publisher"]
    {
        assert!(ended.stderr.contains(part), "no {part}: {}", ended.stderr);
    }
    underlined(&ended.stderr, &sha256(b"good"));
    assert!(downloads.kept("").is_empty(), "{:?}", downloads.kept(""));
    assert_eq!(server.asked().len(), 1, "the same bytes would come again");
}

#[test]
fn a_file_that_is_not_there_is_asked_for_once() {
    let server = Server::start(|_, _, stream| send(stream, "404 Not Found", "Content-Length: 0\r\n", b""));
    for pin in [None, Some(sha256(b"x"))] {
        let ended = Downloads::one(&server.url(), pin.as_deref()).build(&[]).fails(4);
        let expected = format!(": get 0: cannot fetch {}: the server answered 404", server.url());
        assert!(ended.stderr.contains(&expected) && ended.stderr.contains("hint: check the URL"), "{}", ended.stderr);
        underlined(&ended.stderr, &server.url());
    }
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn a_body_that_is_always_cut_is_an_error_and_goes_on_later() {
    let broken = Arc::new(AtomicBool::new(true));
    let still = Arc::clone(&broken);
    let server = Server::start(move |_, asked, stream| match still.load(Ordering::SeqCst) {
        true => half(stream, &content(4)),
        false => ranged(stream, asked, TAG, &content(4)),
    });
    let downloads = Downloads::one(&server.url(), Some(&sha256(&content(4))));
    let ended = downloads.build(&[]).fails(4);
    let expected = format!("{} should have {SIZE} bytes, {} came", server.url(), SIZE / 2);
    assert!(ended.stderr.contains(&expected) && ended.stderr.contains("hint: what came is kept"), "{}", ended.stderr);
    assert_eq!(downloads.kept(".part").len(), 1);
    broken.store(false, Ordering::SeqCst);
    downloads.build(&[]).ok();
    assert_eq!(server.asked().last().unwrap().range(), Some(SIZE / 2));
    assert_eq!(downloads.got(0), content(4));
}

#[test]
fn a_server_that_falls_silent_is_given_up() {
    let server = Server::start(|number, asked, stream| match number {
        // A part, and then nothing more for as long as anybody waits.
        0 => {
            half(stream, &content(5));
            std::thread::sleep(Duration::from_secs(30));
        }
        _ => ranged(stream, asked, TAG, &content(5)),
    });
    let downloads = Downloads::one(&server.url(), None);
    downloads.build(&["--stall-timeout=1"]).ok();
    assert!(server.asked()[1].range().is_some());
    assert_eq!(downloads.got(0), content(5));
    let silent = Server::start(|_, _, _| std::thread::sleep(Duration::from_secs(30)));
    let ended = Downloads::one(&silent.url(), None).build(&["--stall-timeout=1"]).fails(4);
    let expected = format!(": get 0: cannot fetch {}: the server sends nothing more", silent.url());
    assert!(ended.stderr.contains(&expected) && ended.stderr.contains("ALLOY_STALL_TIMEOUT"), "{}", ended.stderr);
    downloads.build(&["--stall-timeout=0"]).fails(2);
}

#[test]
fn a_busy_server_is_asked_again_when_it_says() {
    let server = Server::start(|number, _, stream| {
        // A date that has passed, and a pause that nobody would wait for: it is cut to the stall timeout.
        let later = ["Sun, 06 Nov 1994 08:49:37 GMT", "86400"];
        match later.get(number) {
            Some(later) => {
                let headers = format!("Retry-After: {later}\r\nContent-Length: 0\r\n");
                send(stream, "429 Too Many Requests", &headers, b"");
            }
            None => whole(stream, &content(6)),
        }
    });
    Downloads::one(&server.url(), Some(&sha256(&content(6)))).build(&[]).ok();
    let broken = Server::start(|_, _, stream| send(stream, "502 Bad Gateway", "Content-Length: 0\r\n", b""));
    let ended = Downloads::one(&broken.url(), None).build(&[]).fails(4);
    assert!(ended.stderr.contains("the server answered 502") && ended.stderr.contains("hint: "), "{}", ended.stderr);
    assert!(broken.asked().len() > 2);
}

#[test]
fn bytes_are_kept_as_they_come() {
    // No length: the connection's end is the file's. An encoding is none of ours: a digest is of these bytes.
    let server = Server::start(|_, asked, stream| match asked.line.contains("chunked") {
        true => send(stream, "200 OK", "Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"),
        false => send(stream, "200 OK", "Content-Encoding: gzip\r\n", &content(7)),
    });
    let files = [(server.path("a.gz"), Some(sha256(&content(7)))), (server.path("chunked"), None)];
    let downloads = Downloads::new(&files);
    downloads.build(&[]).ok();
    assert_eq!((downloads.got(0), downloads.got(1)), (content(7), b"abcde".to_vec()));
    assert!(server.asked().iter().all(|asked| asked.header("accept-encoding") == Some("identity")));
}

#[test]
fn ctrl_c_leaves_what_came() {
    let server = Server::start(|number, asked, stream| match number {
        0 => {
            half(stream, &content(8));
            std::thread::sleep(Duration::from_secs(30));
        }
        _ => ranged(stream, asked, TAG, &content(8)),
    });
    let downloads = Downloads::one(&server.url(), None);
    let mut command = downloads.command(&["--stall-timeout=60"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let came = || downloads.kept(".part").iter().any(|part| part.metadata().is_ok_and(|m| m.len() == SIZE as u64 / 2));
    until("nothing came", came);
    crate::support::tool("kill", &["-INT", &child.id().to_string()]).ok();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    downloads.build(&[]).ok();
    assert_eq!(server.asked()[1].range(), Some(SIZE / 2));
    assert_eq!(downloads.got(0), content(8));
}

/// A tar with one file of some length, compressed.
fn packed() -> Vec<u8> {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("file"), content(3)).unwrap();
    let at = crate::support::text(place.path());
    crate::support::tool("tar", &["-czf", &format!("{at}/a.tar.gz"), "-C", at, "file"]).ok();
    std::fs::read(place.path().join("a.tar.gz")).unwrap()
}

#[test]
fn what_is_cut_off_without_a_length_is_fetched_once_more() {
    let task = |url: &str| {
        Downloads::of_tasks(&format!("- {{name: one, action: unarchive_from_url, url: '{url}', dest: /srv/one}}\n"))
    };
    let bytes = packed();
    let (cut, all) = (bytes[..bytes.len() / 2].to_vec(), bytes);
    // Neither a length nor chunks: the end of the connection is all that there is.
    let (half, rest) = (cut.clone(), all.clone());
    let server =
        Server::start(move |number, _, stream| send(stream, "200 OK", "", if number == 0 { &half } else { &rest }));
    let downloads = task(&server.path("a.tar.gz"));
    downloads.build(&[]).ok();
    assert_eq!(server.asked().len(), 2);
    // What came whole, as the archive itself says, is remembered.
    downloads.build(&["--no-cache"]).ok();
    assert_eq!(server.asked().len(), 2);
    // A server that always breaks off is told; nothing of it stays for the next build.
    let broken = Arc::new(AtomicBool::new(true));
    let breaks = Arc::clone(&broken);
    let server = Server::start(move |_, _, stream| {
        send(stream, "200 OK", "", if breaks.load(Ordering::Relaxed) { &cut } else { &all });
    });
    let downloads = task(&server.path("a.tar.gz"));
    let ended = downloads.build(&[]).fails(4);
    assert!(ended.stderr.contains("broke off, or is damaged: its server gives no length"), "{}", ended.stderr);
    broken.store(false, Ordering::Relaxed);
    downloads.build(&[]).ok();
}

#[test]
fn what_nothing_proves_whole_is_not_remembered() {
    let text = b"a text that ends somewhere";
    let server = Server::start(move |number, _, stream| {
        send(stream, "200 OK", "", &text[..if number == 0 { 6 } else { text.len() }])
    });
    let downloads = Downloads::one(&server.url(), None);
    let ended = downloads.build(&[]).ok();
    assert!(ended.stderr.contains("nothing says that it came whole"), "{}", ended.stderr);
    assert_eq!(downloads.got(0), text);
    // With a digest there is nothing to doubt.
    let server = Server::start(move |_, _, stream| send(stream, "200 OK", "", text));
    let downloads = Downloads::one(&server.url(), Some(&sha256(text)));
    let ended = downloads.build(&[]).ok();
    assert!(!ended.stderr.contains("nothing says"), "{}", ended.stderr);
    assert_eq!(downloads.got(0), text);
    assert_eq!(server.asked().len(), 1);
}
