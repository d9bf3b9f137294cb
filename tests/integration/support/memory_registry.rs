//! A registry in memory, on loopback, for what Debian's cannot be made to do: list referrers, and let somebody else
//! write a tag at the same moment.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use layers::digest::Digest;
use serde_json::{Value, json};

/// What it holds, and what it was asked.
#[derive(Default)]
pub struct State {
    pub blobs: BTreeMap<String, Vec<u8>>,
    /// By tag and by digest.
    pub manifests: BTreeMap<String, Vec<u8>>,
    /// Method and path of each request.
    pub asked: Vec<String>,
    /// What came so far, by where it is sent to.
    uploads: BTreeMap<String, Vec<u8>>,
    /// Lists referrers.
    api: bool,
    /// What somebody else puts over the next index.
    rival: Option<(&'static str, Value)>,
}

/// A request.
pub struct Request<'a> {
    pub method: &'a str,
    /// Path and query.
    pub path: &'a str,
    fields: &'a [String],
    pub body: &'a [u8],
}

impl Request<'_> {
    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.fields.iter().find_map(|field| {
            let (known, value) = field.split_once(": ")?;
            known.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// True for this method, with `part` in its path.
    pub fn is(&self, method: &str, part: &str) -> bool {
        self.method == method && self.path.contains(part)
    }

    /// What is put, if that is JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(self.body).unwrap_or_default()
    }
}

/// What is answered before the registry itself does; `None` where it may.
type Gate = dyn Fn(&mut State, &Request<'_>) -> Option<Answer> + Send + Sync;

/// Answers until the test ends.
pub struct MemoryRegistry {
    pub address: String,
    state: Arc<Mutex<State>>,
}

impl MemoryRegistry {
    /// One that lists referrers.
    pub fn listing() -> Self {
        Self::with(State { api: true, ..State::default() })
    }

    /// One that does not, where somebody else writes `rival` over the first index that is put under a tag that begins
    /// with `tag`.
    pub fn contested(tag: &'static str, rival: Value) -> Self {
        Self::with(State { rival: Some((tag, rival)), ..State::default() })
    }

    /// One at whose gate is somebody who answers as some registries do.
    pub fn odd(gate: impl Fn(&mut State, &Request<'_>) -> Option<Answer> + Send + Sync + 'static) -> Self {
        Self::behind(State::default(), Arc::new(gate))
    }

    fn with(state: State) -> Self {
        Self::behind(state, Arc::new(|_, _| None))
    }

    fn behind(state: State, gate: Arc<Gate>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        // Bounded: no test needs more.
        std::thread::spawn(move || {
            for stream in listener.incoming().take(500).flatten() {
                let (state, gate) = (Arc::clone(&shared), Arc::clone(&gate));
                std::thread::spawn(move || answer(&state, &*gate, stream));
            }
        });
        Self { address, state }
    }

    /// A reference into it.
    pub fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    pub fn look<T>(&self, at: impl FnOnce(&mut State) -> T) -> T {
        at(&mut self.state.lock().unwrap())
    }

    /// The manifest of that name.
    pub fn manifest(&self, name: &str) -> Option<Value> {
        self.look(|state| Some(serde_json::from_slice(state.manifests.get(name)?).unwrap()))
    }
}

/// Status, headers, body.
pub struct Answer(pub &'static str, pub String, pub Vec<u8>);

impl Answer {
    /// One without anything.
    pub fn of(status: &'static str) -> Self {
        Self(status, String::new(), Vec::new())
    }

    /// None: the connection ends.
    pub fn none() -> Self {
        Self::of("")
    }

    /// With a header.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.1 += &format!("{name}: {value}\r\n");
        self
    }

    /// With this body.
    pub fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self(self.0, self.1, body.into())
    }

    /// The same answer with another status.
    pub fn status(self, status: &'static str) -> Self {
        Self(status, self.1, self.2)
    }
}

fn answer(state: &Mutex<State>, gate: &Gate, stream: TcpStream) {
    let mut reader = BufReader::new(&stream);
    let mut head = Vec::new();
    for line in reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()) {
        head.push(line);
    }
    let Some((request, fields)) = head.split_first() else { return };
    let length = fields.iter().find_map(|field| {
        let (name, value) = field.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse().unwrap())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    let (method, path) = request.rsplit_once(' ').unwrap().0.split_once(' ').unwrap();
    let Answer(status, headers, content) = {
        let mut state = state.lock().unwrap();
        state.asked.push(format!("{method} {path}"));
        let answer = gate(&mut state, &Request { method, path, fields, body: &body });
        answer.unwrap_or_else(|| state.respond(method, path, body))
    };
    if status.is_empty() {
        return;
    }
    let length = content.len();
    // A client that hangs up is no failure of the server.
    let _ = write!(&stream, "HTTP/1.1 {status}\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n");
    if method != "HEAD" {
        let _ = (&stream).write_all(&content);
    }
}

impl State {
    /// What the registry itself answers.
    pub fn respond(&mut self, method: &str, path: &str, body: Vec<u8>) -> Answer {
        let state = self;
        let nothing = || Answer("404 Not Found", String::new(), Vec::new());
        let name = path.rsplit('/').next().unwrap_or_default();
        match method {
            "POST" => Answer("202 Accepted", format!("Location: {path}{}\r\n", state.asked.len()), Vec::new()),
            "PATCH" => {
                state.uploads.entry(path.to_owned()).or_default().extend(body);
                Answer("202 Accepted", format!("Location: {path}\r\n"), Vec::new())
            }
            "PUT" if path.contains("/uploads/") => {
                let mut blob = state.uploads.remove(path.split('?').next().unwrap_or_default()).unwrap_or_default();
                blob.extend(body);
                state.blobs.insert(Digest::of(&blob).to_string(), blob);
                Answer("201 Created", String::new(), Vec::new())
            }
            "PUT" => put(state, name, body),
            _ if path.contains("/blobs/") => {
                state.blobs.get(name).map_or_else(nothing, |blob| Answer("200 OK", String::new(), blob.clone()))
            }
            _ if path.contains("/referrers/") && state.api => {
                let index = json!({"schemaVersion": 2, "manifests": referrers(state, name)});
                let kind = "Content-Type: application/vnd.oci.image.index.v1+json\r\n";
                Answer("200 OK", kind.into(), index.to_string().into_bytes())
            }
            _ if path.contains("/manifests/") => state.manifests.get(name).map_or_else(nothing, |manifest| {
                let value: Value = serde_json::from_slice(manifest).unwrap();
                let kind = format!("Content-Type: {}\r\n", value["mediaType"].as_str().unwrap());
                Answer("200 OK", kind, manifest.clone())
            }),
            _ => nothing(),
        }
    }
}

fn put(state: &mut State, name: &str, body: Vec<u8>) -> Answer {
    let value: Value = serde_json::from_slice(&body).unwrap();
    let rival = state.rival.take_if(|(tag, _)| value.get("manifests").is_some() && name.starts_with(*tag));
    let body = rival.map_or(body, |(_, rival)| rival.to_string().into_bytes());
    state.manifests.insert(Digest::of(&body).to_string(), body.clone());
    state.manifests.insert(name.to_owned(), body);
    let subject = value["subject"]["digest"].as_str().filter(|_| state.api);
    let headers = subject.map_or(String::new(), |subject| format!("OCI-Subject: {subject}\r\n"));
    Answer("201 Created", headers, Vec::new())
}

fn referrers(state: &State, subject: &str) -> Vec<Value> {
    let about = state.manifests.iter().filter_map(|(name, bytes)| {
        let value: Value = serde_json::from_slice(bytes).unwrap();
        (name.contains(':') && value["subject"]["digest"] == subject).then(|| {
            json!({
                "mediaType": value["mediaType"], "digest": name, "size": bytes.len(),
                "artifactType": value["artifactType"], "annotations": value.get("annotations").unwrap_or(&json!({})),
            })
        })
    });
    about.collect()
}
