//! The log of a build: what was shown, and all that its tasks printed. The store keeps the last ones.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::hidden::{hiding, masked};
use super::plain::Plain;
use crate::cli::CommandError;
use crate::event::{Event, Report, Reporter};
use crate::yaml::shown;

/// Where a store has its logs.
const DIRECTORY: &str = "logs";
/// How many are kept.
const KEPT: usize = 20;
/// Bytes of one log.
const MOST: u64 = 64 << 20;

/// The log of this process.
static OPEN: Mutex<Option<Log>> = Mutex::new(None);

struct Log {
    file: File,
    left: u64,
}

impl Log {
    fn line(&mut self, line: &str) {
        let line = shown(line, false);
        let length = line.len() as u64 + 1;
        if self.left < length {
            return;
        }
        self.left -= length;
        let end = if self.left < 1 << 10 { "\nthe log ends here: it is full" } else { "" };
        // What is not written is lost; the build is not.
        let _ = self.file.write_all(format!("{line}{end}\n").as_bytes());
        if !end.is_empty() {
            self.left = 0;
        }
    }
}

fn line(line: &str) {
    if let Some(log) = OPEN.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        log.line(line);
    }
}

/// Tells two.
struct Both(Reporter, Reporter);

impl Report for Both {
    fn event(&self, event: Event) {
        self.1.event(event.clone());
        self.0.event(event);
    }
}

/// `reporter`, and a new log in `store` of what `what` does; `now` is when it begins. A store that takes none does
/// without.
pub fn logging(reporter: Reporter, store: &Path, what: &str, now: jiff::Timestamp) -> Reporter {
    let directory = store.join(DIRECTORY);
    let name = format!("{}-{}.log", now.strftime("%Y%m%dT%H%M%SZ"), std::process::id());
    let open = || {
        fs::create_dir_all(&directory)?;
        OpenOptions::new().append(true).create(true).mode(0o600).open(directory.join(name))
    };
    let Ok(file) = open() else { return reporter };
    *OPEN.lock().unwrap_or_else(PoisonError::into_inner) = Some(Log { file, left: MOST });
    line(&format!("{}  {what}", now.strftime("%Y-%m-%d %H:%M:%S UTC")));
    for old in logs(store).iter().skip(KEPT) {
        let _ = fs::remove_file(old);
    }
    Arc::new(Both(reporter, hiding(Arc::new(Plain::new(true, line)))))
}

/// How the command failed is part of its log.
pub fn failure(error: &CommandError) {
    line(&format!("error: {}", masked(error.message.trim_end())));
    error.hints.iter().for_each(|hint| line(&format!("hint: {}", masked(hint))));
}

/// The logs of `store`, newest first.
pub fn logs(store: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(store.join(DIRECTORY)).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut logs: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|kind| kind == "log")).collect();
    logs.sort();
    logs.reverse();
    logs
}
