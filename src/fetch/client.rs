//! The HTTP client: TLS with the machine's certificates, the environment's proxies, time limits and careful redirects.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::RETRY_AFTER;
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Certificate, Client, Identity, Response, StatusCode};

use super::address::without_credentials;
use super::error::{FetchError, describe};
use super::retry::{retry, retry_after};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
const REDIRECTS: usize = 10;

/// Why a redirect is not followed.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(super) enum RedirectError {
    #[error("the server redirects from https to http, where anybody can change the file")]
    Downgrade,
    #[error("the server redirects in a circle")]
    Circle,
    #[error("the server redirects more than {REDIRECTS} times")]
    TooMany,
}

/// Whom a client trusts, and how it shows itself, where that is not the same for all servers.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Authorities beside the machine's own.
    pub roots: Vec<Certificate>,
    /// What the server may ask for.
    pub identity: Option<Identity>,
    /// Any certificate is as good as another.
    pub anyone: bool,
    /// The environment's proxies are not for this server.
    pub direct: bool,
}

/// An open HTTP client.
#[derive(Clone, Debug)]
pub struct Transport {
    client: Client,
}

impl Transport {
    /// A client. Without a byte for as long as `stall`, a transfer counts as broken.
    pub fn new(stall: Duration) -> Result<Self, FetchError> {
        Self::with(stall, Some(stall), &Trust::default())
    }

    /// A client with a trust of its own. Without `read`, whoever sends for longer than that has to watch over it.
    pub fn with(stall: Duration, read: Option<Duration>, trust: &Trust) -> Result<Self, FetchError> {
        // Somebody else in this process may have been first; the provider is the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            let mut builder = Client::builder()
                .user_agent(concat!("alloy/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT_TIMEOUT.min(stall))
                .tls_certs_merge(trust.roots.iter().cloned())
                .tls_danger_accept_invalid_certs(trust.anyone)
                // A URL's query may hold a secret; the next server is not told.
                .referer(false)
                .redirect(Policy::custom(|attempt| match refusal(&attempt) {
                    Some(refusal) => attempt.error(refusal),
                    None => attempt.follow(),
                }));
            if let Some(read) = read {
                builder = builder.read_timeout(read);
            }
            if let Some(identity) = &trust.identity {
                builder = builder.identity(identity.clone());
            }
            if trust.direct { builder.no_proxy() } else { builder }
        };
        // A machine without certificates can still speak http; https then trusts nobody.
        let client = builder().build().or_else(|_| builder().tls_certs_only([]).build());
        let client = client.map_err(|error| FetchError::Transport(describe(&error)))?;
        Ok(Self { client })
    }

    /// For requests of other kinds.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// A small file, whole, with retries.
    pub async fn get(&self, url: &str, limit: u64) -> Result<Vec<u8>, FetchError> {
        let shown = without_credentials(url);
        retry(|| async {
            let response = self.client.get(url).send().await;
            let mut response = checked(&shown, response)?;
            let mut bytes = Vec::new();
            while let Some(piece) = response.chunk().await.map_err(|error| connection(&shown, &error))? {
                if (bytes.len() + piece.len()) as u64 > limit {
                    return Err(FetchError::TooLarge { url: shown.clone(), limit });
                }
                bytes.extend_from_slice(&piece);
            }
            Ok(bytes)
        })
        .await
    }
}

fn refusal(attempt: &Attempt<'_>) -> Option<RedirectError> {
    let (next, before) = (attempt.url(), attempt.previous());
    match () {
        () if next.scheme() != "https" && before.last().is_some_and(|last| last.scheme() == "https") => {
            Some(RedirectError::Downgrade)
        }
        () if before.len() > REDIRECTS && before.contains(next) => Some(RedirectError::Circle),
        () if before.len() > REDIRECTS => Some(RedirectError::TooMany),
        () => None,
    }
}

pub(super) fn connection(url: &str, error: &reqwest::Error) -> FetchError {
    let (url, message) = (url.to_owned(), describe(error));
    match () {
        () if error.is_redirect() => FetchError::Redirect { url, message },
        () if error.is_builder() => FetchError::Url { url, message },
        () if message.contains("certificate") => FetchError::Certificate { url, message },
        () if error.is_timeout() && !error.is_connect() => FetchError::Stalled { url },
        () => FetchError::Connection { url, message },
    }
}

/// The response, if its status is a good one.
pub(super) fn checked(url: &str, response: reqwest::Result<Response>) -> Result<Response, FetchError> {
    let response = response.map_err(|error| connection(url, &error))?;
    let good = [
        StatusCode::OK,
        StatusCode::NON_AUTHORITATIVE_INFORMATION,
        StatusCode::PARTIAL_CONTENT,
        StatusCode::RANGE_NOT_SATISFIABLE,
    ];
    if good.contains(&response.status()) {
        return Ok(response);
    }
    let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = asked.and_then(|text| retry_after(text, Timestamp::now()));
    Err(FetchError::Status { url: url.to_owned(), status: response.status().as_u16(), retry_after })
}
