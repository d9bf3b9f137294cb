//! What servers have lost, and the lockfile's mirror has: how many files of each server.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use url::Url;

/// What was taken from the mirror so far.
#[derive(Debug, Default)]
pub struct Kept {
    servers: Mutex<BTreeMap<String, Server>>,
}

#[derive(Debug, Default)]
struct Server {
    files: usize,
    /// It does not answer.
    silent: bool,
}

impl Kept {
    /// Notes that a file of the server of `url` was taken. True for the first one of that server.
    pub fn note(&self, url: &str, silent: bool) -> bool {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let server = servers.entry(server(url)).or_default();
        server.files += 1;
        server.silent |= silent;
        server.files == 1
    }

    /// True if the server of `url` was found not to answer.
    pub fn is_silent(&self, url: &str) -> bool {
        let servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers.get(&server(url)).is_some_and(|server| server.silent)
    }

    /// How many files of each server came from the mirror.
    pub fn sums(&self) -> Vec<(String, usize)> {
        let servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers.iter().map(|(name, server)| (name.clone(), server.files)).collect()
    }
}

/// The server of a URL, without who asks.
fn server(url: &str) -> String {
    let parsed = Url::parse(url).ok();
    let host = parsed.as_ref().and_then(Url::host_str).unwrap_or_default();
    let port = parsed.as_ref().and_then(Url::port);
    port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_counted_for_each_server() {
        let kept = Kept::default();
        assert!(kept.note("http://a.example/x", false) && !kept.is_silent("http://a.example/y"));
        assert!(!kept.note("http://ann:secret@a.example/y", true) && kept.is_silent("http://a.example/x"));
        assert!(kept.note("http://a.example:81/x", false));
        assert_eq!(kept.sums(), [("a.example".to_owned(), 2), ("a.example:81".to_owned(), 1)]);
    }
}
