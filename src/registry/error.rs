//! Why a registry did not do what it was asked.

use std::time::Duration;

use layers::digest::Digest;
use layers::path::shown;

use crate::fetch::{FetchError, LONGEST_SAID, Temporary, describe, nothing_in_common};

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are what the messages say")]
pub enum RegistryError {
    #[error("{}: {message}", led(registry, at.as_ref()))]
    Connection { registry: String, at: Option<String>, message: String },
    #[error("{}: {message}", led(registry, at.as_ref()))]
    Certificate { registry: String, at: Option<String>, message: String },
    #[error("{registry} sends nothing more")]
    Stalled { registry: String },
    #[error("{what}: {registry} answered {status}{detail}")]
    Status { what: String, registry: String, status: u16, detail: String, retry_after: Option<Duration> },
    #[error("{what}: {} answered {status}{detail}", which(registry, Some(at)))]
    Elsewhere { what: String, registry: String, at: String, status: u16, detail: String, retry_after: Option<Duration> },
    #[error("{what}: {registry} answered {status}{detail}")]
    Immutable { what: String, registry: String, status: u16, detail: String },
    #[error("{what}: {} answered {status} with a web page{title}", which(registry, at.as_ref()))]
    Page { what: String, registry: String, at: Option<String>, status: u16, title: String },
    #[error("{}", unauthorized(registry, what, used.as_ref(), detail))]
    Unauthorized { registry: String, what: String, used: Option<String>, detail: String },
    #[error("{what}: {registry} names {at} for its tokens, which {message}")]
    Token { what: String, registry: String, at: String, message: String },
    #[error("{what}: {registry} does not allow it{}{detail}", used.as_ref().map_or(String::new(), |used| format!(" to {used}")))]
    Denied { registry: String, what: String, used: Option<String>, detail: String },
    #[error("{what}: {registry} answered 429{}{detail}", retry_after.map_or(String::new(), |pause| format!(", and asks to wait {}", span(pause))))]
    Limited { what: String, registry: String, used: Option<String>, detail: String, retry_after: Option<Duration> },
    #[error("{what}: {registry} answered 413{}{detail}", smallest.map_or(String::new(), |size| format!(", even for {size} bytes at once")))]
    TooLarge { what: String, registry: String, detail: String, smallest: Option<u64> },
    #[error("{registry} is blocked by {path}")]
    Blocked { registry: String, path: String },
    #[error("{reference} was not found")]
    NotFound { reference: String },
    #[error("{reference} has no image for {platform}; it has {available}")]
    NoPlatform { reference: String, platform: String, available: String },
    // It may quote what a server sent: that begins no line of its own, and steers no terminal.
    #[error("{reference}: {}", shown(message.as_bytes()))]
    Invalid { reference: String, message: String },
    #[error("{reference}: the registry sent {found} for {expected}")]
    Digest { reference: String, expected: String, found: String },
    #[error("{digest} of {reference} broke off after {done} of {size} bytes")]
    Short { reference: String, digest: Digest, done: u64, size: u64 },
    #[error("{what}: {registry} lost the upload")]
    UploadLost { registry: String, what: String },
    #[error("{what}: it arrived damaged at {registry}")]
    Damaged { registry: String, what: String },
    #[error("{reference}: the registry keeps {digest} damaged, though it was sent again")]
    Keeps { reference: String, digest: Digest },
    #[error("cannot ask {helper}, which {place} names: {message}")]
    Helper { helper: String, place: String, message: String },
    #[error("cannot read {path}: {message}")]
    CredentialFile { path: String, message: String },
    #[error("cannot write {path}: {message}")]
    WriteCredentials { path: String, message: String },
    #[error("{path}: {message}")]
    Certificates { path: String, message: String },
    #[error("{path}: {message}")]
    Config { path: String, message: String },
    #[error("{doing}: {error}")]
    While { doing: String, error: Box<RegistryError> },
    #[error(transparent)]
    Store(#[from] layers::store::StoreError),
    #[error(transparent)]
    Ended(#[from] crate::tasks::Ended),
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

fn unauthorized(registry: &str, what: &str, used: Option<&String>, detail: &str) -> String {
    match used {
        Some(used) => format!("{what}: {registry} does not accept {used}{detail}"),
        None => format!("{registry} wants credentials for {what}{detail}"),
    }
}

/// A pause, for people: `30s`, `4m`, `2h 5m`.
pub(super) fn span(pause: Duration) -> String {
    if pause >= LONGEST_SAID {
        return "for a day or longer".to_owned();
    }
    let seconds = pause.as_millis().div_ceil(1000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let parts = [(hours, "h"), (minutes, "m"), (if hours > 0 { 0 } else { seconds }, "s")];
    let parts: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count}{unit}")).collect();
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

/// Who was asked in the end, where a registry leads to another server.
fn led(registry: &str, at: Option<&String>) -> String {
    at.map_or_else(|| registry.to_owned(), |at| format!("{registry} leads to {at}"))
}

/// The same, and what it did follows.
fn which(registry: &str, at: Option<&String>) -> String {
    format!("{}{}", led(registry, at), if at.is_some() { ", which" } else { "" })
}

/// What became of a connection to a registry, or to the server `at` which it leads to.
pub(super) fn connection(registry: &str, at: Option<String>, error: &reqwest::Error) -> RegistryError {
    let (registry, message) = (registry.to_owned(), describe(error));
    match () {
        () if message.to_ascii_lowercase().contains("certificate") => {
            RegistryError::Certificate { registry, at, message }
        }
        () if error.is_timeout() && !error.is_connect() => {
            RegistryError::Stalled { registry: which(&registry, at.as_ref()) }
        }
        () if error.is_redirect() || error.is_builder() => RegistryError::Invalid { reference: registry, message },
        () => RegistryError::Connection { registry, at, message },
    }
}

/// The server of a URL, with its port where that is not the usual one.
pub(super) fn server(url: &url::Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// How it reads when a server ends a connection. In TLS 1.3 it does so, and may not be heard to say why, when it misses
/// a certificate of ours (RFC 8446, 4.4.2.4).
const HUNG_UP: [&str; 3] = ["reset by peer", "closed before message completed", "broken pipe"];

pub(super) fn hung_up(message: &str) -> bool {
    HUNG_UP.iter().any(|how| message.to_ascii_lowercase().contains(how))
}

/// How registries word that a tag stays what it is.
fn kept(detail: &str) -> bool {
    let detail = detail.to_ascii_lowercase();
    ["immutab", "overwrit", "tag_invalid", "already exist"].iter().any(|word| detail.contains(word))
}

impl RegistryError {
    /// True if whoever answered speaks TLS.
    pub(super) fn is_certificate(&self) -> bool {
        matches!(self, Self::Certificate { .. })
    }

    /// True if what was answered is no HTTP, or nothing: so do servers that speak TLS alone.
    pub(super) fn is_no_http(&self) -> bool {
        matches!(self, Self::Connection { message, .. } if message.contains("invalid HTTP") || hung_up(message))
    }

    /// The blobs that a registry misses where a manifest names them, as far as it names them itself; `None` of another
    /// error (distribution-spec 1.1, "Error Codes").
    pub fn unknown_blobs(&self) -> Option<Vec<Digest>> {
        let Self::Status { status: 400 | 404, detail, .. } = self else { return None };
        if !detail.contains("BLOB_UNKNOWN") {
            return None;
        }
        let words = detail.split(|c: char| !c.is_ascii_alphanumeric() && c != ':');
        Some(words.filter_map(|word| word.parse().ok()).collect())
    }

    /// The same of a tag, which the registry does not write over as it seems. Registries have no common word for that.
    pub(super) fn of_a_tag(self) -> Self {
        let (what, registry, status, detail) = match self {
            Self::Status { what, registry, status: status @ (400 | 405 | 409 | 412), detail, .. } => {
                (what, registry, status, detail)
            }
            Self::Denied { what, registry, detail, .. } if kept(&detail) => (what, registry, 403, detail),
            other => return other,
        };
        match matches!(status, 403 | 409 | 412) || kept(&detail) {
            true => Self::Immutable { what, registry, status, detail },
            false => Self::Status { what, registry, status, detail, retry_after: None },
        }
    }

    /// The status that was answered, if that says all.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } | Self::Elsewhere { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// True if the registry did not take what was sent, as it came: another thing it may take.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Status { .. }
                | Self::Elsewhere { .. }
                | Self::Immutable { .. }
                | Self::Page { .. }
                | Self::TooLarge { .. }
                | Self::Denied { .. }
                | Self::Unauthorized { .. }
                | Self::Token { .. }
                | Self::Invalid { .. }
                | Self::Keeps { .. }
        )
    }

    /// True for what may stand in the way of one request and of no other: a registry refuses it or limits it, or what
    /// is between here and there lets it not pass.
    pub fn is_of_one_request(&self) -> bool {
        match self {
            Self::Connection { .. } | Self::Stalled { .. } | Self::Limited { .. } => true,
            Self::While { error, .. } => error.is_of_one_request(),
            error => error.is_refusal(),
        }
    }

    /// The server that asks for a pause, and the status by which it does; of a registry's own server, without a name.
    pub(super) fn asks_for_pause(&self) -> Option<(Option<&str>, u16, Duration)> {
        match self {
            Self::Limited { retry_after, .. } => Some((None, 429, (*retry_after)?)),
            Self::Status { status, retry_after, .. } => Some((None, *status, (*retry_after)?)),
            Self::Elsewhere { at, status, retry_after, .. } => Some((Some(at), *status, (*retry_after)?)),
            Self::While { error, .. } => error.asks_for_pause(),
            _ => None,
        }
    }

    /// The same error of a larger undertaking: `doing` says which, such as `sign r.example/x:1`.
    #[must_use]
    pub(super) fn while_doing(mut self, doing: &str) -> Self {
        match &mut self {
            Self::Status { what, .. }
            | Self::Elsewhere { what, .. }
            | Self::Immutable { what, .. }
            | Self::Page { what, .. }
            | Self::TooLarge { what, .. }
            | Self::Limited { what, .. }
            | Self::Denied { what, .. }
            | Self::Unauthorized { what, .. }
            | Self::Token { what, .. }
            | Self::UploadLost { what, .. }
            | Self::Damaged { what, .. } => doing.clone_into(what),
            Self::Invalid { reference, .. } | Self::Keeps { reference, .. } => doing.clone_into(reference),
            Self::Connection { .. } | Self::Certificate { .. } | Self::Stalled { .. } => {
                return Self::While { doing: doing.to_owned(), error: Box::new(self) };
            }
            _ => {}
        }
        self
    }

    /// True if there is nothing of the name.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::NotFound { .. } | Self::Status { status: 404, .. } | Self::Elsewhere { status: 404, .. })
    }

    /// True for what is wrong with this machine's settings, credentials or helpers: no server was at fault.
    pub fn is_of_a_file(&self) -> bool {
        matches!(
            self,
            Self::Config { .. }
                | Self::CredentialFile { .. }
                | Self::WriteCredentials { .. }
                | Self::Certificates { .. }
                | Self::Helper { .. }
        )
    }

    /// True for what another server would not change.
    pub(super) fn is_of_this_machine(&self) -> bool {
        matches!(self, Self::Store(_) | Self::Ended(_))
    }
}

impl Temporary for RegistryError {
    fn is_temporary(&self) -> bool {
        match self {
            Self::Connection { message, .. } => nothing_in_common(message).is_none(),
            Self::Stalled { .. }
            | Self::Limited { .. }
            | Self::Short { .. }
            | Self::Digest { .. }
            | Self::UploadLost { .. }
            | Self::Damaged { .. } => true,
            // A registry may be writing the same blob for somebody else just now.
            Self::Status { status: 400 | 404, detail, .. } => detail.contains("BLOB_UNKNOWN"),
            Self::Status { status, .. } => matches!(status, 408 | 425 | 500..=599),
            Self::Elsewhere { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
            Self::Fetch(error) => error.is_temporary(),
            Self::While { error, .. } => error.is_temporary(),
            _ => false,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. }
            | Self::Elsewhere { retry_after, .. }
            | Self::Limited { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
