//! A reverse proxy on loopback, in front of a real registry: it counts what passes, and fails on request as no real
//! registry would.
//!
//! ```ignore
//! let proxy = Proxy::with(&registry.address, vec![Rule::on("PUT", "/manifests/").fault(Fault::status(503))]);
//! ```

mod message;
mod rule;
mod serve;
mod tokens;

use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

pub use rule::{Fault, Rule};
pub use tokens::Tokens;

/// What passed.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Of the request, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Bytes of the request's body that came.
    pub sent: u64,
    /// What was answered; 0 for nothing.
    pub status: u16,
}

impl Exchange {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Default)]
struct Shared {
    upstream: String,
    address: String,
    rules: Mutex<Vec<Rule>>,
    tokens: Option<Tokens>,
    /// Uploads of which the registry has a part that the client does not know of: path, and where it goes on.
    continued: Mutex<BTreeMap<String, String>>,
    /// With the number of each.
    log: Mutex<Vec<(u64, Exchange)>>,
    count: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    ended: AtomicBool,
}

impl Shared {
    /// Notes what is known of a request. Before its answer goes: who has the answer may look at once.
    fn note(&self, number: u64, exchange: &Exchange) {
        if let Some((_, known)) = self.log.lock().unwrap().iter_mut().rev().find(|(known, _)| *known == number) {
            known.clone_from(exchange);
        }
    }
}

/// A running proxy; ends with the test.
pub struct Proxy {
    pub address: String,
    shared: Arc<Shared>,
}

impl Proxy {
    /// One that only counts. `upstream` is `HOST:PORT`.
    pub fn start(upstream: &str) -> Self {
        Self::with(upstream, Vec::new())
    }

    /// One that fails as `rules` say. Of several that apply, the first counts.
    pub fn with(upstream: &str, rules: Vec<Rule>) -> Self {
        Self::build(upstream, rules, None)
    }

    /// One that wants bearer tokens for everything, and gives them out.
    pub fn guarded(upstream: &str, rules: Vec<Rule>, tokens: Tokens) -> Self {
        Self::build(upstream, rules, Some(tokens))
    }

    fn build(upstream: &str, rules: Vec<Rule>, tokens: Option<Tokens>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (upstream, rules) = (upstream.to_owned(), Mutex::new(rules));
        let shared = Arc::new(Shared { upstream, address: address.clone(), rules, tokens, ..Shared::default() });
        let all = Arc::clone(&shared);
        // Bounded: no test needs more.
        std::thread::spawn(move || {
            for stream in listener.incoming().take(10_000).flatten() {
                if all.ended.load(Ordering::Relaxed) {
                    break;
                }
                let shared = Arc::clone(&all);
                std::thread::spawn(move || serve::connection(&shared, stream));
            }
        });
        Self { address, shared }
    }

    /// A reference into the registry behind it.
    pub fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// All requests so far, in the order in which they came.
    pub fn requests(&self) -> Vec<Exchange> {
        self.shared.log.lock().unwrap().iter().map(|(_, exchange)| exchange.clone()).collect()
    }

    /// How many of them have this method and this in their target.
    pub fn count(&self, method: &str, part: &str) -> usize {
        self.requests().iter().filter(|one| one.method == method && one.target.contains(part)).count()
    }

    /// Bytes that came from clients, heads included.
    pub fn bytes_in(&self) -> u64 {
        self.shared.bytes_in.load(Ordering::Relaxed)
    }

    /// Bytes that went to clients, heads included.
    pub fn bytes_out(&self) -> u64 {
        self.shared.bytes_out.load(Ordering::Relaxed)
    }

    /// Forgets what was counted.
    pub fn reset(&self) {
        self.shared.log.lock().unwrap().clear();
        self.shared.bytes_in.store(0, Ordering::Relaxed);
        self.shared.bytes_out.store(0, Ordering::Relaxed);
    }

    /// Faults that never happened.
    pub fn left(&self) -> Vec<Rule> {
        self.shared.rules.lock().unwrap().iter().filter(|rule| !rule.happened()).cloned().collect()
    }

    /// From now on nothing goes wrong.
    pub fn calm(&self) {
        self.shared.rules.lock().unwrap().clear();
    }

    /// The token server, where there is one.
    pub fn tokens(&self) -> &Tokens {
        self.shared.tokens.as_ref().unwrap()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        // Wakes who waits for the next client.
        let _ = TcpStream::connect(&self.address);
    }
}
