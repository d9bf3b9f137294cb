//! One repository at one server, and requests to it.

use std::sync::Arc;

use reqwest::header::AUTHORIZATION;
use reqwest::{Method, RequestBuilder, Response, StatusCode};

use super::answer::{detail, elsewhere, failure};
use super::auth::Challenge;
use super::authority::{Authority, Authorization};
use super::credentials::Credentials;
use super::error::server;
use super::host::Host;
use super::reason::{is_page, title};
use super::scope::Scope;
use super::{RegistryError, connection};
use crate::fetch::led;

/// Rounds of authorisation; a token that others use up while it is on its way is no reason to give up at once.
const ROUNDS: usize = 4;

/// One repository at one server. Cheap to clone.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) host: Arc<Host>,
    pub(super) authority: Arc<Authority>,
    pub(super) repository: String,
    /// `scheme://host/v2/repository`.
    pub(super) base: String,
}

impl Endpoint {
    pub(super) fn new(host: Arc<Host>, authority: Arc<Authority>, repository: &str) -> Self {
        let base = format!("{}://{}/v2/{repository}", host.scheme(), host.name);
        Self { host, authority, repository: repository.to_owned(), base }
    }

    /// As [`Endpoint::send_for`], for what the method of the request needs.
    pub(super) async fn send(
        &self,
        what: &str,
        make: impl Fn(&reqwest::Client) -> RequestBuilder,
    ) -> Result<Response, RegistryError> {
        let client = self.host.client().await?;
        let method = make(client).build().map_err(|error| self.connection(&error))?.method().clone();
        let reads = method == Method::GET || method == Method::HEAD;
        let need = if reads { Scope::pull(&self.repository) } else { Scope::push(&self.repository) };
        self.send_for(&need, what, client, make).await
    }

    /// Sends what `make` makes, with the authorisation that `need` needs. `make` may be called more than once. Statuses
    /// are the caller's, but for a 401 of the registry's own. Some registries answer strangers that there is nothing: who is known to such a one
    /// asks once more by name.
    pub(super) async fn send_for(
        &self,
        need: &Scope,
        what: &str,
        client: &reqwest::Client,
        make: impl Fn(&reqwest::Client) -> RequestBuilder,
    ) -> Result<Response, RegistryError> {
        let (response, named) = self.send_as_known(need, what, client, &make).await?;
        let hidden = matches!(response.status(), StatusCode::NOT_FOUND | StatusCode::FORBIDDEN);
        let worth = hidden && self.authority.has_secrets() && need.parts().next().is_some();
        if !worth || named || !self.host.owns(response.url()) {
            return Ok(response);
        }
        let secure = response.url().scheme() == "https" || self.host.is_loopback();
        if !self.authority.introduce(self.asks_for(client, secure)).await {
            return Ok(response);
        }
        match self.send_as_known(need, what, client, &make).await {
            // Whom it does not know, it has said all that there is to say.
            Err(RegistryError::Unauthorized { .. } | RegistryError::Token { .. }) => {
                self.authority.withdraw().await;
                Ok(response)
            }
            done => done.map(|(response, _)| response),
        }
    }

    /// What the registry asks for where it asks at all. One that lets everybody in there may want a password
    /// nevertheless; over http it is not told one unasked, but on this machine.
    async fn asks_for(&self, client: &reqwest::Client, secure: bool) -> Option<Challenge> {
        let url = format!("{}://{}/v2/", self.host.scheme(), self.host.name);
        let response = self.once(client, None, |client| client.get(&url)).await.ok()?;
        if !self.host.owns(response.url()) || response.status() == StatusCode::NOT_FOUND {
            return None;
        }
        let basic = secure && matches!(self.authority.known.credentials, Credentials::Basic { .. });
        Challenge::best(response.headers()).map(|it| it.against(response.url())).or(basic.then_some(Challenge::Basic))
    }

    /// Sends with what the registry has asked for so far, and asks for now. True if it said who asks.
    async fn send_as_known(
        &self,
        need: &Scope,
        what: &str,
        client: &reqwest::Client,
        make: impl Fn(&reqwest::Client) -> RequestBuilder,
    ) -> Result<(Response, bool), RegistryError> {
        let mut refused: Option<Authorization> = None;
        let mut explanation = String::new();
        for round in 0..ROUNDS {
            let secure = self.host.secured(self.url()?).scheme() == "https";
            // Whom a token server sends us to is not shown what only it is to see.
            let secret = self.authority.has_secrets();
            let asked = if secret { self.host.tokens().await? } else { self.host.client().await? };
            let authorization = match round {
                0 => self.authority.offer(asked, secure, what, need).await?,
                _ => self.authority.authorization(asked, secure, what, need, refused.as_ref()).await?,
            };
            let response = self.once(client, authorization.as_ref(), &make).await?;
            // Credentials are for the registry itself, not for whom it sends us to.
            if response.status() != StatusCode::UNAUTHORIZED || !self.host.owns(response.url()) {
                return Ok((response, authorization.is_some()));
            }
            let challenge = Challenge::best(response.headers()).map(|it| it.against(response.url()));
            explanation = detail(response).await;
            match challenge {
                Some(challenge) if !authorization.as_ref().is_some_and(|it| it.last) => {
                    self.authority.learn(challenge).await;
                }
                _ => break,
            }
            refused = authorization.or(refused);
        }
        Err(self.authority.unauthorized(what, &explanation))
    }

    async fn once(
        &self,
        client: &reqwest::Client,
        authorization: Option<&Authorization>,
        make: impl Fn(&reqwest::Client) -> RequestBuilder,
    ) -> Result<Response, RegistryError> {
        let attempt = || async {
            let mut request = make(client).build()?;
            *request.url_mut() = self.host.secured(request.url().clone());
            // A registry may send uploads to a host of somebody else's.
            if let Some(authorization) = authorization.filter(|_| self.host.owns(request.url())) {
                request.headers_mut().insert(AUTHORIZATION, authorization.value.clone());
            }
            client.execute(request).await
        };
        let (response, mut to) = led(attempt()).await;
        let tls = match &response {
            Ok(response) if response.status() == StatusCode::BAD_REQUEST => self.host.turns_out_tls().await?,
            Ok(_) => self.host.speaks_http(),
            Err(error) if (error.is_connect() && self.host.has_two_ports()) || self.connection(error).is_no_http() => {
                self.host.turns_out_tls().await?
            }
            Err(_) => false,
        };
        let response = match tls {
            true => {
                let (response, led) = led(attempt()).await;
                to = led;
                response
            }
            false => response,
        };
        response.map_err(|error| self.failed(to.as_ref().or(error.url()), &error))
    }

    fn url(&self) -> Result<url::Url, RegistryError> {
        url::Url::parse(&self.base).map_err(|error| RegistryError::Invalid {
            reference: self.named(),
            message: format!("{} is no URL: {error}", self.base),
        })
    }

    /// `HOST/REPOSITORY`.
    pub(super) fn named(&self) -> String {
        format!("{}/{}", self.host.name, self.repository)
    }

    pub(super) fn connection(&self, error: &reqwest::Error) -> RegistryError {
        self.failed(error.url(), error)
    }

    /// What became of a connection to the server of `url`.
    fn failed(&self, url: Option<&url::Url>, error: &reqwest::Error) -> RegistryError {
        let at = url.filter(|url| !self.host.owns(url)).map(server);
        connection(&self.authority.registry, at, error)
    }

    /// The error if `bytes`, which `url` answered where something else was asked for, is a page.
    pub(super) fn page(&self, what: &str, url: &url::Url, bytes: &[u8]) -> Option<RegistryError> {
        let at = (!self.host.owns(url)).then(|| server(url));
        let (what, registry) = (what.to_owned(), self.authority.registry.clone());
        is_page(bytes).then(|| RegistryError::Page { what, registry, at, status: 200, title: title(bytes) })
    }

    /// An error from a response that is not a good one.
    pub(super) async fn failure(&self, what: &str, response: Response) -> RegistryError {
        if self.host.owns(response.url()) {
            return failure(&self.authority.registry, self.authority.used(), what, response).await;
        }
        // Credentials were not shown to it: it has not refused them.
        elsewhere(&self.authority.registry, what, response).await
    }
}
