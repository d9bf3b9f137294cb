//! The HTTP client: TLS with the machine's certificates, the environment's proxies, time limits and careful redirects.

use std::future::Future;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use reqwest::header::RETRY_AFTER;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use url::Url;

use super::error::{FetchError, describe};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Without a byte for this long, a transfer counts as broken.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
const REDIRECTS: usize = 10;
const ATTEMPTS: usize = 5;
/// What a server may ask us to wait.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// An open HTTP client.
#[derive(Clone, Debug)]
pub struct Transport {
    client: Client,
}

impl Transport {
    /// A client.
    pub fn new() -> Result<Self, FetchError> {
        // Somebody else in this process may have been first; the provider is the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("alloy/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .redirect(Policy::custom(|attempt| {
                let downgraded = attempt.url().scheme() != "https"
                    && attempt.previous().last().is_some_and(|previous| previous.scheme() == "https");
                match () {
                    () if downgraded => attempt.error("a redirect from https to http"),
                    () if attempt.previous().len() > REDIRECTS => attempt.error("too many redirects"),
                    () => attempt.follow(),
                }
            }))
            .build()
            .map_err(|error| FetchError::Transport(describe(&error)))?;
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

pub(super) fn connection(url: &str, error: &reqwest::Error) -> FetchError {
    FetchError::Connection { url: url.to_owned(), message: describe(error) }
}

/// The response, if its status is a good one.
pub(super) fn checked(url: &str, response: reqwest::Result<Response>) -> Result<Response, FetchError> {
    let response = response.map_err(|error| connection(url, &error))?;
    if response.status().is_success() || response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
        return Ok(response);
    }
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let retry_after = retry_after.map(Duration::from_secs);
    Err(FetchError::Status { url: url.to_owned(), status: response.status().as_u16(), retry_after })
}

/// A failure that may be over when one asks again.
pub trait Temporary {
    /// True if it may be.
    fn is_temporary(&self) -> bool;

    /// How long the server asks to wait.
    fn retry_after(&self) -> Option<Duration>;
}

/// Tries again, with growing pauses, as long as the failure may be a temporary one.
pub async fn retry<T, E: Temporary, F>(mut attempt: impl FnMut() -> F) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    let pauses = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(300))
        .with_max_delay(Duration::from_secs(8))
        .with_max_times(ATTEMPTS - 1)
        .with_jitter();
    for pause in pauses.build() {
        match attempt().await {
            Err(error) if error.is_temporary() => {
                let asked = error.retry_after().unwrap_or_default().min(LONGEST_WAIT);
                tokio::time::sleep(pause.max(asked)).await;
            }
            done => return done,
        }
    }
    attempt().await
}

/// A URL without `user:password@`.
pub(super) fn without_credentials(url: &str) -> String {
    match Url::parse(url) {
        Ok(mut parsed) if !parsed.username().is_empty() || parsed.password().is_some() => {
            let cleared = parsed.set_username("").and_then(|()| parsed.set_password(None));
            if cleared.is_ok() { parsed.to_string() } else { url.to_owned() }
        }
        _ => url.to_owned(),
    }
}
