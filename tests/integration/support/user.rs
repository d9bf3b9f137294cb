//! A fresh ordinary user, with an empty home and a range of subordinate ids.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{ALLOY, Ended, run, tool};

/// A user of this machine; deleted with all it owns when the test ends.
pub struct User {
    name: String,
}

impl User {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("alloy-t{}-{number}", std::process::id());
        tool("useradd", &["--create-home", "--shell", "/bin/bash", &name]).ok();
        let user = Self { name };
        let ranges = std::fs::read_to_string("/etc/subuid").unwrap_or_default();
        if !ranges.lines().any(|line| line.starts_with(&format!("{}:", user.name))) {
            let start = 1_000_000_000 + u64::from(std::process::id() % 10_000) * 200_000 + u64::from(number) * 65_536;
            let range = format!("{start}-{}", start + 65_535);
            tool("usermod", &["--add-subuids", &range, "--add-subgids", &range, &user.name]).ok();
        }
        // The program stands in a directory that only root may read.
        tool("install", &["-m", "755", ALLOY, &format!("{}/alloy", user.home().display())]).ok();
        user
    }

    pub fn home(&self) -> PathBuf {
        PathBuf::from("/home").join(&self.name)
    }

    /// Runs a shell command as this user, `alloy` on its PATH.
    #[track_caller]
    pub fn shell(&self, command: &str) -> Ended {
        let text = format!("export PATH=$HOME:$PATH; {command}");
        let mut su = Command::new("su");
        su.args(["-", &self.name, "-c", &text]);
        run(&mut su)
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = Command::new("pkill").args(["-KILL", "-u", &self.name]).status();
        let _ = std::fs::remove_dir_all(self.home());
        let _ = Command::new("userdel").args(["--remove", "--force", &self.name]).output();
    }
}
