//! A small HTTP server on loopback that answers as a test says: no real one fails on request.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

use super::{text, tool};

/// What a client asked for.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The method and the target, as in the request line.
    pub line: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The first byte it wants.
    pub fn range(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.trim_end_matches('-').parse().ok()
    }

    fn read(stream: &mut dyn Read) -> Option<Self> {
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
        let line = lines.next()?;
        let pair = |line: String| line.split_once(':').map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned()));
        Some(Self { line, headers: lines.filter_map(pair).collect() })
    }
}

/// Answers until the test ends; `each` sees the request's number and the request.
pub struct Server {
    pub address: String,
    scheme: &'static str,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    pub fn start(each: impl Fn(usize, &Asked, &mut dyn Write) + Send + Sync + 'static) -> Self {
        Self::with(None, each)
    }

    /// One that speaks TLS, with a certificate of `authority`.
    pub fn tls(authority: &Authority, each: impl Fn(usize, &Asked, &mut dyn Write) + Send + Sync + 'static) -> Self {
        Self::with(Some(authority.server()), each)
    }

    fn with(
        tls: Option<Arc<ServerConfig>>,
        each: impl Fn(usize, &Asked, &mut dyn Write) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (log, each) = (Arc::clone(&asked), Arc::new(each));
        // Bounded: no test needs more.
        std::thread::spawn(move || {
            for stream in listener.incoming().take(100).flatten() {
                let (log, each, tls) = (Arc::clone(&log), Arc::clone(&each), tls.clone());
                std::thread::spawn(move || match tls {
                    Some(config) => {
                        let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
                        answer(&log, &*each, &mut stream);
                        stream.conn.send_close_notify();
                        let _ = stream.flush();
                    }
                    None => answer(&log, &*each, &mut { stream }),
                });
            }
        });
        Self { address, scheme, asked }
    }

    pub fn url(&self) -> String {
        self.path("file.bin")
    }

    pub fn path(&self, path: &str) -> String {
        format!("{}://{}/{path}", self.scheme, self.address)
    }

    /// All requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer<S: Read + Write>(log: &Mutex<Vec<Asked>>, each: &dyn Fn(usize, &Asked, &mut dyn Write), stream: &mut S) {
    // A client that hangs up, or that does not trust the certificate, asks for nothing.
    let Some(asked) = Asked::read(stream) else { return };
    let number = {
        let mut log = log.lock().unwrap();
        log.push(asked.clone());
        log.len() - 1
    };
    each(number, &asked, stream);
}

/// Sends an answer; a client that hangs up is no failure of the server.
pub fn send(stream: &mut dyn Write, status: &str, headers: &str, body: &[u8]) {
    let _ = write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n");
    let _ = stream.write_all(body);
    let _ = stream.flush();
}

/// Sends all of `body`, with its length.
pub fn whole(stream: &mut dyn Write, body: &[u8]) {
    send(stream, "200 OK", &format!("Content-Length: {}\r\n", body.len()), body);
}

/// Sends what `asked` wants of `body`.
pub fn ranged(stream: &mut dyn Write, asked: &Asked, headers: &str, body: &[u8]) {
    let Some(start) = asked.range() else {
        return send(stream, "200 OK", &format!("{headers}Content-Length: {}\r\n", body.len()), body);
    };
    let (last, size) = (body.len() - 1, body.len());
    let range = format!("Content-Range: bytes {start}-{last}/{size}\r\nContent-Length: {}\r\n", size - start);
    send(stream, "206 Partial Content", &format!("{headers}{range}"), &body[start..]);
}

/// An address where nobody listens.
pub fn refused() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// A certificate authority that nobody knows, and a certificate of its for 127.0.0.1 and registry.example.
pub struct Authority {
    directory: TempDir,
}

impl Authority {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let script = "exec 2>&1; set -e; cd \"$1\"; new() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \"$@\"; }
            new -x509 -days 2 -subj /CN=alloy-test -keyout ca.key -out ca.pem \
                -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
            new -subj /CN=server -keyout server.key -out server.csr
            new -subj /CN=client -keyout client.key -out client.csr
            printf 'extendedKeyUsage=clientAuth\\n' > client
            openssl x509 -req -days 2 -in client.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile client -out client.pem
            printf 'subjectAltName=IP:127.0.0.1,DNS:registry.example\\nextendedKeyUsage=serverAuth\\n' > extensions
            openssl x509 -req -days 2 -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile extensions -out server.pem
            mkdir hashed; cp ca.pem \"hashed/$(openssl x509 -hash -noout -in ca.pem).0\"";
        tool("sh", &["-c", script, "sh", text(directory.path())]).ok();
        Self { directory }
    }

    /// One whose certificate is its own server's, too, as `openssl req -x509` makes it: for `address`, and so many days.
    pub fn self_signed(address: &str, days: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let script = "exec 2>&1; set -e; cd \"$1\"
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -x509 -subj /CN=self -keyout server.key \
                -out first.pem -addext subjectAltName=IP:\"$2\"
            openssl x509 -in first.pem -signkey server.key -days \"$3\" -out server.pem
            cp server.pem ca.pem; mkdir hashed";
        tool("sh", &["-c", script, "sh", text(directory.path()), address, days]).ok();
        Self { directory }
    }

    /// Its certificate, as a bundle.
    pub fn bundle(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// Its certificate in a directory, under its hash.
    pub fn hashed(&self) -> PathBuf {
        self.directory.path().join("hashed")
    }

    /// A server's certificate, and its key.
    pub fn certificate(&self) -> (PathBuf, PathBuf) {
        (self.directory.path().join("server.pem"), self.directory.path().join("server.key"))
    }

    /// A directory below `place` as containers-certs.d(5) has them, with a client's certificate or without.
    pub fn certs(&self, place: &Path, client: bool) -> PathBuf {
        let directory = place.join("certs");
        std::fs::create_dir_all(&directory).unwrap();
        let copy = |from: &str, to: &str| std::fs::copy(self.directory.path().join(from), directory.join(to)).unwrap();
        copy("ca.pem", "ca.crt");
        if client {
            copy("client.pem", "client.cert");
            copy("client.key", "client.key");
        }
        directory
    }

    fn server(&self) -> Arc<ServerConfig> {
        let path = |name: &str| self.directory.path().join(name);
        let certificate = CertificateDer::from_pem_file(path("server.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(path("server.key")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap())
    }
}

/// Waits until `done`, and fails the test if it never is.
pub fn until(what: &str, done: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !done() {
        assert!(start.elapsed().as_secs() < 60, "{what}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
