//! Docker's credential helpers: programs that keep passwords. The server, or an entry, goes to standard input; JSON
//! comes from standard output.

use std::io::{Read, Seek, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::{Credentials, RegistryError};

/// How often one looks whether a helper is done.
const POLL: Duration = Duration::from_millis(10);
/// The name under which helpers keep refresh tokens.
const TOKEN_USER: &str = "<token>";

/// A helper, and the setting that names it.
pub(super) struct Helper {
    pub(super) name: String,
    /// `` `credsStore` in FILE ``.
    pub(super) place: String,
    pub(super) patience: Duration,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

impl Helper {
    /// What it knows of `server`.
    pub(super) fn get(&self, server: &str) -> Result<Option<Credentials>, RegistryError> {
        let (status, output) = self.run("get", server.as_bytes())?;
        if !status.success() {
            return if is_unknown(&output) { Ok(None) } else { Err(self.refused(status, &output)) };
        }
        let answer: Answer = serde_json::from_str(&output)
            .map_err(|error| self.failed(format!("what it answers is not what a helper should: {error}")))?;
        Ok(match answer.username.as_str() {
            _ if answer.secret.is_empty() => None,
            TOKEN_USER => Some(Credentials::Identity(answer.secret)),
            _ => Some(Credentials::Basic { username: answer.username, password: answer.secret }),
        })
    }

    /// Has it keep a password.
    pub(super) fn store(&self, server: &str, username: &str, password: &str) -> Result<(), RegistryError> {
        let entry = serde_json::json!({"ServerURL": server, "Username": username, "Secret": password});
        let (status, output) = self.run("store", entry.to_string().as_bytes())?;
        if status.success() { Ok(()) } else { Err(self.refused(status, &output)) }
    }

    /// Has it forget `server`. False if it knew nothing of it.
    pub(super) fn erase(&self, server: &str) -> Result<bool, RegistryError> {
        let (status, output) = self.run("erase", server.as_bytes())?;
        match status.success() {
            true => Ok(true),
            false if is_unknown(&output) => Ok(false),
            false => Err(self.refused(status, &output)),
        }
    }

    fn program(&self) -> String {
        format!("docker-credential-{}", self.name)
    }

    fn failed(&self, message: String) -> RegistryError {
        RegistryError::Helper { helper: self.program(), place: self.place.clone(), message }
    }

    fn refused(&self, status: ExitStatus, output: &str) -> RegistryError {
        let text: String = output.trim().chars().filter(|c| !layers::path::steers(*c)).collect();
        self.failed(if text.is_empty() { status.to_string() } else { text })
    }

    /// Runs it to its end, or as long as one has patience.
    fn run(&self, verb: &str, input: &[u8]) -> Result<(ExitStatus, String), RegistryError> {
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => self.failed("there is no such program on PATH".into()),
            _ => self.failed(error.to_string()),
        };
        // A file, and not a pipe: what a helper leaves running may hold a pipe open for ever.
        let mut output = tempfile::tempfile().map_err(failed)?;
        let (out, err) = (output.try_clone().map_err(failed)?, output.try_clone().map_err(failed)?);
        let mut command = Command::new(self.program());
        command.arg(verb).stdin(Stdio::piped()).stdout(out);
        // What helpers say of a failure is on either; what is asked for is on standard output alone.
        if verb == "get" {
            command.stderr(Stdio::null())
        } else {
            command.stderr(err)
        };
        let mut child = command.spawn().map_err(failed)?;
        if let Some(mut pipe) = child.stdin.take() {
            // One that needs no input may be gone by now; its status says how it went.
            let _ = pipe.write_all(input);
        }
        let start = Instant::now();
        let status = loop {
            match child.try_wait().map_err(failed)? {
                Some(status) => break status,
                None if start.elapsed() > self.patience => {
                    let _ = child.kill().and_then(|()| child.wait());
                    return Err(self.failed(format!("it does not answer within {} s", self.patience.as_secs())));
                }
                None => std::thread::sleep(POLL),
            }
        };
        let mut text = String::new();
        output.rewind().and_then(|()| output.read_to_string(&mut text)).map_err(failed)?;
        Ok((status, text))
    }
}

/// All helpers say `credentials not found in native keychain`, or nearly so.
fn is_unknown(output: &str) -> bool {
    output.contains("not found")
}
