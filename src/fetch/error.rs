//! What can go wrong on the way, with the URL it went wrong for.

use std::error::Error;
use std::time::Duration;

use layers::digest::Digest;
use layers::unpack::Looks;

use super::hint;
use super::retry::Temporary;
use super::tls::{CA_AS_SERVER, CA_SHOWN, dated, nothing_in_common, other_name, out_of_time};
use super::unlike::{Known, told};
use super::witness::Wanted;

/// Why a download failed. URLs are shown without credentials and secrets.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are what the messages say; `near` is what kept a header from being sent")]
pub enum FetchError {
    #[error("cannot fetch {url}: {message}")]
    Connection { url: String, message: String },
    #[error("cannot fetch {url}: the server sends nothing more")]
    Stalled { url: String },
    #[error("cannot fetch {url}: {message}")]
    Certificate { url: String, message: String },
    #[error("cannot fetch {url}: {message}")]
    Redirect { url: String, message: String, login: bool, near: Option<String> },
    #[error("cannot fetch {url}: it is no URL: {message}")]
    Url { url: String, message: String },
    #[error("cannot fetch {url}: {} answered {status}", led_to(at.as_deref()))]
    Status {
        url: String,
        status: u16,
        retry_after: Option<Duration>,
        said: bool,
        at: Option<String>,
        near: Option<String>,
    },
    #[error("{url} is not what it should be: expected {expected}, found {}", known.found(found))]
    Digest { url: String, expected: Digest, found: Digest, known: Box<Known> },
    #[error("{url} gave no {}: {}", wanted.name(), told(*size, *looks))]
    Useless { url: String, size: u64, wanted: Wanted, looks: Looks, near: Option<String> },
    #[error("{url} should have {expected} bytes, {found} came")]
    Size { url: String, expected: u64, found: u64 },
    #[error("{url} should have {expected} bytes, more came")]
    Longer { url: String, expected: u64 },
    #[error(
        "{url} broke off, or is damaged: its server gives no length, and the {found} bytes that came do not read to an end: {message}"
    )]
    Cut { url: String, found: u64, message: String },
    #[error("{url} is larger than {limit} bytes")]
    TooLarge { url: String, limit: u64 },
    #[error("cannot fetch {url}: {reason}")]
    Refused { url: String, reason: &'static str },
    #[error("cannot write the download of {url}: {source}")]
    Write { url: String, source: std::io::Error },
    #[error("cannot take {path} from the blueprint: {source}")]
    Local { path: String, source: std::io::Error },
    #[error("{name} is not the URL of a proxy, as http://HOST:PORT")]
    Proxy { name: &'static str },
    #[error("{name} names a proxy that is spoken to by `{scheme}`; alloy knows http and https")]
    ProxyScheme { name: &'static str, scheme: String },
    #[error("cannot set up TLS: {0}")]
    Transport(String),
    #[error(transparent)]
    Ended(#[from] crate::tasks::Ended),
    #[error(transparent)]
    Store(#[from] layers::store::StoreError),
}

impl FetchError {
    /// What to do.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Digest { url, found, known, .. } => known.hint(url, found),
            Self::Useless { url, wanted, looks, near, .. } => hint::useless(url, *wanted, *looks, near.as_deref()),
            Self::Status { status: 401 | 403 | 404 | 410, at: Some(at), .. } => hint::elsewhere(at),
            Self::Status { url, status: 401 | 403, said, near, .. } => hint::refused(url, *said, near.as_deref()),
            Self::Status { url, status: 404 | 410, said, near, .. } => hint::missing(url, *said, near.as_deref()),
            Self::Status { status: 407, .. } => PROXY_CREDENTIALS.into(),
            Self::Status { status: 408 | 425 | 429 | 500..=599, .. } => {
                "the server is in trouble: try again later, or name a mirror in `url`".into()
            }
            Self::Proxy { name } => {
                format!("set {name}, or unset it; in a name or a password, `@`, `:`, `/` and what is no URL stand as %40, %3A, %2F")
            }
            Self::Connection { message, .. } if message.contains("proxy authorization") => PROXY_CREDENTIALS.into(),
            Self::Certificate { message, .. } if message.contains(CA_AS_SERVER) => CA_SHOWN.into(),
            Self::Certificate { message, .. } if other_name(message).is_some() => other_name(message)?.into(),
            Self::Certificate { message, .. } if out_of_time(message).is_some() => out_of_time(message)?.into(),
            Self::Connection { message, .. } if nothing_in_common(message).is_some() => {
                nothing_in_common(message)?.into()
            }
            Self::Certificate { .. } => {
                ADD_CA.into()
            }
            Self::Stalled { .. } => {
                "what came is kept, and the next build goes on there; --stall-timeout (ALLOY_STALL_TIMEOUT) waits longer"
                    .into()
            }
            Self::Size { expected, found, .. } if found < expected => "what came is kept, and the next build goes on there".into(),
            Self::Cut { .. } => "nothing of it was kept: try again, or name a mirror in `url`".into(),
            Self::Redirect { url, login: true, near, .. } => hint::refused(url, false, near.as_deref()),
            Self::Redirect { .. } => "put the URL of the file itself into `url`".into(),
            Self::Connection { .. } => CHECK_NETWORK.into(),
            _ => return None,
        };
        Some(text)
    }
}

/// Who answered, if that is not the URL's own server.
fn led_to(at: Option<&str>) -> String {
    at.map_or_else(|| "the server".to_owned(), |at| format!("it leads to {at}, which"))
}

/// What helps where a server is not reached. Whoever knows the proxies of the environment names them.
pub const CHECK_NETWORK: &str = "check the network, and http_proxy/https_proxy where a proxy is needed";

/// What helps where nobody vouches for a server. Whoever knows the environment says what these variables are.
pub const ADD_CA: &str = "if a proxy re-signs traffic, or the server has a CA of its own: add that CA to this machine \
                          (update-ca-certificates), or point SSL_CERT_FILE at a bundle or SSL_CERT_DIR at a directory \
                          with it";

const PROXY_CREDENTIALS: &str = "the proxy wants credentials: https_proxy=http://USER:PASSWORD@HOST";

impl Temporary for FetchError {
    fn is_temporary(&self) -> bool {
        match self {
            Self::Connection { message, .. } => nothing_in_common(message).is_none(),
            Self::Stalled { .. } | Self::Size { .. } | Self::Cut { .. } => true,
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
    let mut cause = error.source();
    let mut last = String::new();
    while let Some(error) = cause {
        last = error.to_string();
        cause = error.source();
    }
    let last = dated(&last).unwrap_or(last);
    let text = match () {
        () if error.is_redirect() && !last.is_empty() => return last,
        () if error.is_timeout() && error.is_connect() => "timed out while connecting",
        () if error.is_timeout() => "timed out",
        () if error.is_connect() => "cannot connect",
        () => "the connection failed",
    };
    if last.is_empty() || last == text { text.to_owned() } else { format!("{text}: {last}") }
}
