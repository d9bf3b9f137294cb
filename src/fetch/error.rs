//! What can go wrong on the way, with the URL it went wrong for.

use std::error::Error;
use std::time::Duration;

use layers::digest::Digest;

use super::client::Temporary;

/// Why a download failed. URLs are shown without credentials and secrets.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are what the messages say")]
pub enum FetchError {
    #[error("cannot fetch {url}: {message}")]
    Connection { url: String, message: String },
    #[error("cannot fetch {url}: the server answered {status}")]
    Status { url: String, status: u16, retry_after: Option<Duration> },
    #[error("{url} is not what it should be: expected sha256 {expected}, found {found}")]
    Digest { url: String, expected: Digest, found: Digest },
    #[error("{url} should have {expected} bytes, {found} came")]
    Size { url: String, expected: u64, found: u64 },
    #[error("{url} is larger than {limit} bytes")]
    TooLarge { url: String, limit: u64 },
    #[error("cannot fetch {url}: {reason}")]
    Refused { url: String, reason: &'static str },
    #[error("cannot write the download of {url}: {source}")]
    Write { url: String, source: std::io::Error },
    #[error("cannot set up TLS: {0}")]
    Transport(String),
    #[error(transparent)]
    Store(#[from] layers::store::StoreError),
}

impl FetchError {
    /// What to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Digest { .. } => {
                Some("if the publisher replaced the file, check it and put the new digest into `sha256`".into())
            }
            Self::Status { status: 401 | 403, .. } => Some("the server wants credentials for this URL".into()),
            Self::Status { status: 407, .. } => {
                Some("the proxy wants credentials: https_proxy=http://USER:PASSWORD@HOST".into())
            }
            Self::Connection { message, .. } if message.contains("certificate") => Some(
                "if a proxy re-signs traffic, add its CA to this machine, or point SSL_CERT_FILE at a bundle".into(),
            ),
            Self::Connection { .. } => {
                Some("check the network, and http_proxy/https_proxy where a proxy is needed".into())
            }
            _ => None,
        }
    }
}

impl Temporary for FetchError {
    fn is_temporary(&self) -> bool {
        match self {
            Self::Connection { .. } | Self::Size { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
            _ => false,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// An error of the HTTP client with its causes, without the URL it repeats.
pub fn describe(error: &reqwest::Error) -> String {
    let mut text = match () {
        () if error.is_timeout() => "timed out".to_owned(),
        () if error.is_connect() => "cannot connect".to_owned(),
        () if error.is_redirect() => "redirected where it must not go".to_owned(),
        () => "the connection failed".to_owned(),
    };
    let mut cause = error.source();
    let mut last = String::new();
    while let Some(error) = cause {
        last = error.to_string();
        cause = error.source();
    }
    if !last.is_empty() && last != text {
        text = format!("{text}: {last}");
    }
    text
}
