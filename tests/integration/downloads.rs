//! Downloads from servers that misbehave. The server is ours: no real one fails on request.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::{Store, shared, tasks, text};

const SIZE: usize = 3 << 20;

/// Of every test another: what one has fetched, the next would find in the store.
fn content(seed: usize) -> Vec<u8> {
    (0..SIZE).map(|at| u8::try_from(at * (seed + 31) % 251).unwrap()).collect()
}

/// What a client asked for.
#[derive(Clone, Debug, Default)]
struct Asked {
    range: Option<usize>,
    if_range: bool,
}

/// Serves `content` on loopback until the test ends: `each` sees the request's number and answers.
struct Server {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    fn start(each: impl Fn(usize, &Asked, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (log, count, each) = (Arc::clone(&asked), AtomicUsize::new(0), Arc::new(each));
        // Bounded: no test needs more.
        std::thread::spawn(move || {
            for stream in listener.incoming().take(32).flatten() {
                let request = read(&stream);
                let number = count.fetch_add(1, Ordering::SeqCst);
                log.lock().unwrap().push(request.clone());
                let mut stream = stream;
                each(number, &request, &mut stream);
            }
        });
        Self { address, asked }
    }

    fn url(&self) -> String {
        format!("http://{}/file.bin", self.address)
    }
}

fn read(stream: &TcpStream) -> Asked {
    let mut asked = Asked::default();
    for line in BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty()) {
        let line = line.to_ascii_lowercase();
        if let Some(range) = line.strip_prefix("range: bytes=") {
            asked.range = range.trim_end_matches('-').parse().ok();
        }
        asked.if_range |= line.starts_with("if-range:");
    }
    asked
}

fn send(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) {
    // A client that hangs up is no failure of the server.
    let _ = write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n");
    let _ = stream.write_all(body);
}

fn build(store: &Store, url: &str, sha256: Option<&str>) -> crate::support::Ended {
    let pin = sha256.map_or(String::new(), |sha256| format!(", sha256: {sha256}"));
    let blueprint = tasks(&format!("- {{name: get, action: get_file, url: '{url}', dest: /srv/file{pin}}}\n"));
    store.run(&["build", text(blueprint.path()), "-t", "got"])
}

fn sha256(seed: usize) -> String {
    layers::digest::Digest::of(content(seed)).hex()
}

#[test]
fn a_transfer_that_breaks_off_is_continued() {
    let server = Server::start(|number, asked, stream| {
        let content = content(1);
        let start = asked.range.unwrap_or_default();
        let etag = "ETag: \"v1\"\r\n";
        match number {
            // Half, then the line goes dead.
            0 => send(stream, "200 OK", &format!("{etag}Content-Length: {SIZE}\r\n"), &content[..SIZE / 2]),
            1 => send(stream, "503 Service Unavailable", "Retry-After: 0\r\nContent-Length: 0\r\n", b""),
            _ => {
                let headers = format!(
                    "{etag}Content-Range: bytes {start}-{}/{SIZE}\r\nContent-Length: {}\r\n",
                    SIZE - 1,
                    SIZE - start
                );
                send(stream, "206 Partial Content", &headers, &content[start..]);
            }
        }
    });
    let ended = build(shared(), &server.url(), Some(&sha256(1))).ok();
    let asked = server.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 3, "{}", ended.stderr);
    assert!(asked[2].range.is_some_and(|start| start > 0 && start <= SIZE / 2) && asked[2].if_range, "{asked:?}");
    let sum = shared().run(&["run", "got", "sha256sum", "/srv/file"]).ok().stdout;
    assert!(sum.starts_with(&sha256(1)), "{sum}");
}

#[test]
fn a_file_that_changed_meanwhile_is_fetched_anew() {
    let server = Server::start(|number, _, stream| {
        let content = content(2);
        match number {
            0 => send(stream, "200 OK", &format!("ETag: \"old\"\r\nContent-Length: {SIZE}\r\n"), &vec![7; SIZE / 3]),
            _ => send(stream, "200 OK", &format!("ETag: \"new\"\r\nContent-Length: {SIZE}\r\n"), &content),
        }
    });
    build(shared(), &server.url(), Some(&sha256(2))).ok();
}

#[test]
fn what_is_not_what_it_should_be_is_refused() {
    let server = Server::start(|_, _, stream| send(stream, "200 OK", "Content-Length: 4\r\n", b"evil"));
    let store = shared();
    let ended = build(store, &server.url(), Some(&sha256(3))).fails(4);
    let found = layers::digest::Digest::of("evil").to_string();
    assert!(ended.stderr.contains(&found) && ended.stderr.contains("tasks.yml:1"), "{}", ended.stderr);
    let missing = Server::start(|_, _, stream| send(stream, "404 Not Found", "Content-Length: 0\r\n", b""));
    let ended = build(store, &missing.url(), Some(&sha256(3))).fails(4);
    assert!(ended.stderr.contains("answered 404"), "{}", ended.stderr);
    assert_eq!(missing.asked.lock().unwrap().len(), 1, "a file that is not there is not asked for again");
}

#[test]
fn a_download_without_a_digest_is_shown_and_kept() {
    let server = Server::start(|_, _, stream| {
        let content = content(4);
        send(stream, "200 OK", &format!("Content-Length: {SIZE}\r\n"), &content);
    });
    let store = shared();
    let ended = build(store, &server.url(), None).ok();
    assert!(ended.stderr.contains(&format!("add `sha256: {}`", sha256(4))), "{}", ended.stderr);
    build(store, &server.url(), None).ok();
    assert_eq!(server.asked.lock().unwrap().len(), 1, "what is known is not fetched again");
    let blueprint = tasks(&format!("- {{name: get, action: get_file, url: '{}', dest: /srv/file}}\n", server.url()));
    store.run(&["build", text(blueprint.path()), "--locked"]).fails(3);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "local").unwrap();
    let url = format!("file://{}", text(file.path()));
    let ended = build(store, &url, None).fails(4);
    assert!(ended.stderr.contains("--allow-file-urls"), "{}", ended.stderr);
}
