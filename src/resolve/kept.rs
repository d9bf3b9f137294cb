//! What servers have lost, and the lockfile's mirror has: how many files of each server.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use url::Url;

use crate::event::{Event, Reporter};

/// What was taken from the mirror so far. Says so when it is dropped.
pub(super) struct Kept {
    reporter: Reporter,
    servers: Mutex<BTreeMap<String, Server>>,
}

#[derive(Debug, Default)]
struct Server {
    files: usize,
    /// Where they came from.
    mirror: String,
    /// It does not answer.
    silent: bool,
}

impl Kept {
    /// Nothing was taken yet.
    pub(super) fn new(reporter: Reporter) -> Self {
        Self { reporter, servers: Mutex::default() }
    }

    /// Notes that `mirror` had a file that the server of `url` has lost. True for the first one of that server.
    pub(super) fn note(&self, url: &str, mirror: &str, silent: bool) -> bool {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let server = servers.entry(server(url)).or_default();
        server.files += 1;
        mirror.clone_into(&mut server.mirror);
        server.silent |= silent;
        server.files == 1
    }

    /// True if the server of `url` was found not to answer.
    pub(super) fn is_silent(&self, url: &str) -> bool {
        let servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers.get(&server(url)).is_some_and(|server| server.silent)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let servers = self.servers.get_mut().unwrap_or_else(PoisonError::into_inner);
        for (name, Server { files, mirror, .. }) in servers {
            let files = if *files == 1 { "1 file".to_owned() } else { format!("{files} files") };
            self.reporter.event(Event::Note(format!("{files} of {name} came from {mirror}")));
        }
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
    use std::sync::Arc;

    use super::*;
    use crate::event::Report;

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Report for Heard {
        fn event(&self, event: Event) {
            let Event::Note(note) = event else { return };
            self.0.lock().unwrap().push(note);
        }
    }

    #[test]
    fn files_are_counted_for_each_server() {
        let heard = Arc::new(Heard::default());
        let kept = Kept::new(heard.clone());
        assert!(kept.note("http://a.example/x", "m.example/r", false) && !kept.is_silent("http://a.example/y"));
        assert!(!kept.note("http://ann:secret@a.example/y", "m.example/r", true));
        assert!(kept.is_silent("http://a.example/x"));
        assert!(kept.note("http://a.example:81/x", "m.example/r", false));
        drop(kept);
        let told = ["2 files of a.example came from m.example/r", "1 file of a.example:81 came from m.example/r"];
        assert_eq!(heard.0.lock().unwrap().as_slice(), told);
    }
}
