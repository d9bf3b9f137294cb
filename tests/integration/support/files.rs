//! Files of a directory by HTTP, on loopback: archives to download, git repositories to clone ("dumb" protocol).

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tempfile::TempDir;

use super::{text, tool};

/// A server that ends with the test.
pub struct Files {
    address: String,
    directory: TempDir,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Files {
    /// Serves an empty directory, to be filled.
    pub fn serve() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let ended = Arc::new(AtomicBool::new(false));
        let (root, end) = (directory.path().to_owned(), Arc::clone(&ended));
        let thread = std::thread::spawn(move || {
            // One request after the other: bounded, and quick enough for one test.
            for stream in listener.incoming().flatten() {
                if end.load(Ordering::SeqCst) {
                    break;
                }
                answer(&root, stream);
            }
        });
        Self { address, directory, ended, thread: Some(thread) }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The URL of a file or repository.
    pub fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }

    /// Runs a shell script in the directory.
    #[track_caller]
    pub fn script(&self, script: &str) {
        tool("bash", &["-c", &format!("set -eu; cd {}; {script}", text(self.path()))]).ok();
    }

    /// The digest of a file.
    pub fn sha256(&self, name: &str) -> String {
        layers::digest::Digest::of(std::fs::read(self.path().join(name)).unwrap()).hex()
    }

    /// Makes a git repository of what a shell script puts into its working directory; the script commits and tags.
    #[track_caller]
    pub fn repository(&self, name: &str, script: &str) -> String {
        let identity = "export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.com \
                        GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.com \
                        GIT_AUTHOR_DATE='2024-01-01T00:00:00Z' GIT_COMMITTER_DATE='2024-01-01T00:00:00Z'";
        let commit = "commit() { git add -A && git commit -qm \"$1\" && git tag \"$1\"; }";
        self.script(&format!(
            "{identity}; {commit}; git init -q -b main {name}; cd {name}; {script}\n\
             cd ..; git clone -q --bare {name} {name}.git; git -C {name}.git update-server-info"
        ));
        self.url(&format!("{name}.git"))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the thread.
        let _ = TcpStream::connect(&self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(root: &Path, mut stream: TcpStream) {
    // A client that says nothing must not hold up the others.
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut lines = BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let request = lines.next().unwrap_or_default();
    lines.for_each(drop);
    let path = request.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default();
    let path: PathBuf = root.join(path.trim_start_matches('/'));
    let path = if path.is_dir() { path.join("index.html") } else { path };
    let content = if path.components().any(|part| part.as_os_str() == "..") { None } else { std::fs::read(&path).ok() };
    let (status, body) = content.map_or(("404 Not Found", Vec::new()), |content| ("200 OK", content));
    let kind = if path.extension().is_some_and(|end| end == "html") { "text/html" } else { "application/octet-stream" };
    // A client that hangs up is no failure of the server.
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    if !request.starts_with("HEAD") {
        let _ = stream.write_all(&body);
    }
}
