//! The HTTP client: TLS with the machine's certificates, the environment's proxies, time limits and careful redirects.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, Response, StatusCode, Url};
use rustls::pki_types::CertificateDer;

use super::address::{check_proxies, without_credentials};
use super::bypass;
use super::credential::Credentials;
use super::error::{FetchError, describe};
use super::follow;
use super::names::System;
use super::pace::{Unread, small};
use super::retry::{retry, retry_after};
use super::tls::{self, Identity};
use crate::vars::Vars;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
const REDIRECTS: usize = 10;

tokio::task_local! {
    /// Where a request was redirected to last: errors of the client name the first address alone.
    static LED: RefCell<Option<Url>>;
}

/// What becomes of `request`, and where it was redirected to, if it was.
pub async fn led<T>(request: impl Future<Output = T>) -> (T, Option<Url>) {
    let noted = async {
        let done = request.await;
        (done, LED.with(|led| led.borrow().clone()))
    };
    LED.scope(RefCell::new(None), noted).await
}

/// Why a redirect is not followed.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(super) enum RedirectError {
    #[error("the server redirects from https to http, where anybody can change the file")]
    Downgrade,
    #[error("the server redirects in a circle")]
    Circle,
    #[error("the server redirects more than {REDIRECTS} times")]
    TooMany,
    #[error("the server redirects to another server, which would get the credentials")]
    Elsewhere,
}

/// Whom a client trusts, and how it shows itself, where that is not the same for all servers.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Authorities beside the machine's own.
    pub roots: Vec<CertificateDer<'static>>,
    /// What the server may ask for.
    pub identity: Option<Identity>,
    /// Any certificate is as good as another.
    pub anyone: bool,
    /// The environment's proxies are not for this server.
    pub direct: bool,
    /// Requests hold secrets in what a redirect repeats: the server itself may send them on, to nobody else.
    pub secret: bool,
    /// No redirect is followed by the client itself.
    pub still: bool,
}

/// An open HTTP client.
#[derive(Clone, Debug)]
pub struct Transport {
    client: Client,
    stall: Duration,
    /// Who this user is to which server; redirects are followed with care for that.
    credentials: Option<Credentials>,
}

impl Transport {
    /// A client. Without a byte for as long as `stall`, a transfer counts as broken.
    pub fn new(stall: Duration, vars: &Vars) -> Result<Self, FetchError> {
        Self::with(stall, Some(stall), &Trust::default(), vars)
    }

    /// A client with a trust of its own, by the proxies that `vars` name. Without `read`, whoever sends for longer than that has to watch over it.
    pub fn with(stall: Duration, read: Option<Duration>, trust: &Trust, vars: &Vars) -> Result<Self, FetchError> {
        if !trust.direct {
            check_proxies(|name| vars.get(name))?;
        }
        // Somebody else in this process may have been first; the provider is the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let secret = trust.secret;
        let follow = Policy::custom(move |attempt| match refusal(&attempt, secret) {
            Some(refusal) => attempt.error(refusal),
            None => {
                // Whoever does not want to know has not asked.
                let _ = LED.try_with(|led| *led.borrow_mut() = Some(attempt.url().clone()));
                attempt.follow()
            }
        });
        let mut builder = Client::builder()
            .user_agent(concat!("alloy/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Arc::new(System))
            .connect_timeout(CONNECT_TIMEOUT.min(stall))
            .tls_backend_preconfigured(tls::config(trust).map_err(|error| FetchError::Transport(error.to_string()))?)
            // A URL's query may hold a secret; the next server is not told.
            .referer(false)
            .redirect(if trust.still { Policy::none() } else { follow });
        if let Some(read) = read {
            builder = builder.read_timeout(read);
        }
        let proxy = if trust.direct { None } else { bypass::proxy(|name| vars.get(name)) };
        let client = if let Some(proxy) = proxy { builder.proxy(proxy) } else { builder.no_proxy() }.build();
        let client = client.map_err(|error| FetchError::Transport(describe(&error)))?;
        Ok(Self { client, stall, credentials: None })
    }

    /// For requests of other kinds.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// A client that says who this user is to the servers that the user names, and to nobody they redirect to.
    pub(super) fn named(stall: Duration, credentials: Credentials, vars: &Vars) -> Result<Self, FetchError> {
        let trust = Trust { still: true, ..Trust::default() };
        Ok(Self { credentials: Some(credentials), ..Self::with(stall, Some(stall), &trust, vars)? })
    }

    /// The good answer to a request for `url`, which `shown` names. Redirects are followed.
    pub(super) async fn ask(&self, url: &str, shown: &str, headers: &HeaderMap) -> Result<Response, FetchError> {
        match &self.credentials {
            Some(credentials) => follow::ask(&self.client, credentials, url, shown, headers).await,
            None => {
                let response = self.client.get(url).headers(headers.clone()).send().await;
                checked(shown, response.map_err(|error| connection(shown, &error))?, false, None, None)
            }
        }
    }

    /// Where the server of `url` redirects to, if it does.
    pub(super) async fn leads_to(&self, url: &Url) -> Option<Url> {
        let headers = self.credentials.as_ref().map(|credentials| credentials.of(url)).unwrap_or_default();
        let response = self.client.get(url.clone()).headers(headers).send().await.ok()?;
        follow::target(&response, url)
    }

    /// A small file, whole, with retries.
    pub async fn get(&self, url: &str, limit: u64) -> Result<Vec<u8>, FetchError> {
        let shown = without_credentials(url);
        retry(|| async {
            let response = self.ask(url, &shown, &HeaderMap::new()).await?;
            small(response, limit, self.stall).await.map_err(|why| match why {
                Unread::Larger => FetchError::TooLarge { url: shown.clone(), limit },
                Unread::Slow => FetchError::Stalled { url: shown.clone() },
                Unread::Failed(error) => connection(&shown, &error),
            })
        })
        .await
    }
}

fn refusal(attempt: &Attempt<'_>, secret: bool) -> Option<RedirectError> {
    unfit(attempt.url(), attempt.previous(), secret)
}

/// Why `next` is not asked behind those `before`.
pub(super) fn unfit(next: &Url, before: &[Url], secret: bool) -> Option<RedirectError> {
    match () {
        () if next.scheme() != "https" && before.last().is_some_and(|last| last.scheme() == "https") => {
            Some(RedirectError::Downgrade)
        }
        () if secret && before.last().is_some_and(|last| !same_server(last, next)) => Some(RedirectError::Elsewhere),
        () if before.len() > REDIRECTS && before.contains(next) => Some(RedirectError::Circle),
        () if before.len() > REDIRECTS => Some(RedirectError::TooMany),
        () => None,
    }
}

/// True if both are of one server; from http to https it is one, too.
pub(super) fn same_server(one: &Url, other: &Url) -> bool {
    let upgraded = one.scheme() == "http" && other.scheme() == "https";
    one.host() == other.host()
        && (one.origin() == other.origin() || upgraded && one.port().is_none() && other.port().is_none())
}

pub(super) fn connection(url: &str, error: &reqwest::Error) -> FetchError {
    let (url, message) = (url.to_owned(), describe(error));
    match () {
        () if error.is_redirect() => FetchError::Redirect { url, message, login: false, near: None },
        () if error.is_builder() => FetchError::Url { url, message },
        () if message.contains("certificate") => FetchError::Certificate { url, message },
        () if error.is_timeout() && !error.is_connect() => FetchError::Stalled { url },
        () => FetchError::Connection { url, message },
    }
}

/// The response, if its status is a good one; `said` if the server was told who asks, `near` what kept it from that, and
/// `at` who answered, if that is another server.
pub(super) fn checked(
    url: &str,
    response: Response,
    said: bool,
    at: Option<String>,
    near: Option<String>,
) -> Result<Response, FetchError> {
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
    Err(FetchError::Status { url: url.to_owned(), status: response.status().as_u16(), retry_after, said, at, near })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_stay_with_their_server() {
        let same = |one: &str, other: &str| same_server(&one.parse().unwrap(), &other.parse().unwrap());
        assert!(same("https://a.example/token", "https://a.example/v2/token"));
        assert!(same("http://a.example/token", "https://a.example/token"));
        assert!(!same("https://a.example/token", "https://b.example/token"));
        assert!(!same("https://a.example/token", "https://a.example:444/token"));
        assert!(!same("http://a.example:80/", "http://a.example:81/"));
    }
}
