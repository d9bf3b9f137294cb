//! The right to do something at a registry: what it asked for, and the tokens it gave.
//!
//! All requests of one user to one registry share them. Whoever needs a token that is not there asks for it; everybody
//! else waits, and uses the same.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use layers::path::shown;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use tokio::sync::Mutex;
use url::Url;
use url::form_urlencoded::Serializer;

use super::answer::{detail, elsewhere, failure};
use super::auth::{Challenge, Token};
use super::credentials::{Credentials, Known};
use super::error::server;
use super::reason::{is_page, title};
use super::scope::Scope;
use super::{RegistryError, connection};
use crate::fetch::{Unread, small};

/// Tokens are small: no header holds more.
const TOKEN_LIMIT: u64 = 1 << 20;
/// How long a token server may be silent within its answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// One user of one registry.
pub(super) struct Authority {
    pub(super) registry: String,
    pub(super) known: Known,
    state: Mutex<State>,
    /// Whether anybody was told what is known.
    told: AtomicBool,
}

#[derive(Default)]
struct State {
    /// What the registry asked for last.
    challenge: Option<Challenge>,
    /// That was not asked for: the registry was told who asks because it seemed to hide something from strangers.
    offered: bool,
    /// That was tried.
    introduced: bool,
    tokens: Vec<Held>,
}

struct Held {
    value: HeaderValue,
    scope: Scope,
    until: Instant,
}

/// What is sent along with a request.
#[derive(Clone)]
pub(super) struct Authorization {
    pub(super) value: HeaderValue,
    /// Nothing better can be had: a registry that refuses it refuses the user.
    pub(super) last: bool,
}

impl Authority {
    pub(super) fn new(registry: String, known: Known) -> Self {
        Self { registry, known, state: Mutex::default(), told: AtomicBool::new(false) }
    }

    /// The registry asks for this.
    pub(super) async fn learn(&self, challenge: Challenge) {
        let mut state = self.state.lock().await;
        (state.challenge, state.offered) = (Some(challenge), false);
    }

    /// The registry has nothing for strangers, and asked nobody who they are: what it would want to know is asked once,
    /// with `ask`. True if there is an answer by now.
    pub(super) async fn introduce(&self, ask: impl Future<Output = Option<Challenge>>) -> bool {
        let mut state = self.state.lock().await;
        if !std::mem::replace(&mut state.introduced, true) && state.challenge.is_none() {
            state.challenge = ask.await;
            state.offered = state.challenge.is_some();
        }
        state.challenge.is_some()
    }

    /// What was offered did not help: we are strangers again, until the registry asks.
    pub(super) async fn withdraw(&self) {
        let mut state = self.state.lock().await;
        (state.challenge, state.offered) = (None, false);
        state.tokens.clear();
        self.told.store(false, Ordering::Relaxed);
    }

    /// Which credentials were sent, for people; `None` if none were.
    pub(super) fn used(&self) -> Option<String> {
        self.known.used.clone().filter(|_| self.told.load(Ordering::Relaxed))
    }

    /// True if there is something to be kept from others.
    pub(super) fn has_secrets(&self) -> bool {
        self.known.credentials != Credentials::Anonymous
    }

    /// True if the registry asked who we are.
    pub(super) async fn was_asked(&self) -> bool {
        self.state.lock().await.challenge.is_some()
    }

    /// What a request takes along for which the registry has not asked yet: a stranger it may have told of another one
    /// alone that strangers are not let in.
    pub(super) async fn offer(
        &self,
        client: &reqwest::Client,
        secure: bool,
        what: &str,
        need: &Scope,
    ) -> Result<Option<Authorization>, RegistryError> {
        match self.authorization(client, secure, what, need, None).await {
            Err(RegistryError::Unauthorized { .. } | RegistryError::Token { .. }) if !self.has_secrets() => Ok(None),
            done => done,
        }
    }

    /// What a request for `need` takes along; nothing as long as the registry has not asked. Not `refused`, which the
    /// registry did not accept.
    pub(super) async fn authorization(
        &self,
        client: &reqwest::Client,
        secure: bool,
        what: &str,
        need: &Scope,
        refused: Option<&Authorization>,
    ) -> Result<Option<Authorization>, RegistryError> {
        let mut state = self.state.lock().await;
        let Some(challenge) = state.challenge.clone() else { return Ok(None) };
        let Challenge::Bearer { realm, service, scope } = challenge else {
            let Credentials::Basic { username, password } = &self.known.credentials else {
                return Err(self.unauthorized(what, ""));
            };
            let value = header(format!("Basic {}", encode(username, password)));
            let value = value.ok_or_else(|| self.unauthorized(what, "they cannot be sent in a header"))?;
            self.told.store(true, Ordering::Relaxed);
            return Ok(Some(Authorization { value, last: !state.offered }));
        };
        state.tokens.retain(|held| held.until > Instant::now() && refused.is_none_or(|it| it.value != held.value));
        if let Some(held) = state.tokens.iter().find(|held| held.scope.covers(need)) {
            return Ok(Some(Authorization { value: held.value.clone(), last: false }));
        }
        let url = Url::parse(&realm).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let Some(url) = url else {
            return Err(self.token_server(
                what,
                &format!("`{}`", shown(realm.as_bytes())),
                "is no URL of http or https",
            ));
        };
        if secure && url.scheme() != "https" {
            return Err(self.token_server(what, &server(&url), "would get the credentials over http"));
        }
        // What it named last may be for another request: it only adds.
        let asked = scope.map(|text| Scope::parse(&text)).filter(|_| refused.is_some() || state.tokens.is_empty());
        let scope = need.clone().and(&asked.unwrap_or_default());
        let at = server(&url);
        let token = self.token(client, what, url, service.as_deref(), &scope).await?;
        let until = Instant::now() + token.lasts();
        let value = token.value().ok_or_else(|| self.token_server(what, &at, "sent no token"))?;
        let value = header(format!("Bearer {value}"));
        let value = value.ok_or_else(|| self.token_server(what, &at, "sent a token that cannot stand in a header"))?;
        state.tokens.push(Held { value: value.clone(), scope, until });
        Ok(Some(Authorization { value, last: true }))
    }

    /// Asks a token server (distribution's token and OAuth2 specifications).
    async fn token(
        &self,
        client: &reqwest::Client,
        what: &str,
        mut url: Url,
        service: Option<&str>,
        scope: &Scope,
    ) -> Result<Token, RegistryError> {
        let realm = server(&url);
        let request = match &self.known.credentials {
            Credentials::Identity(token) => {
                let scopes = scope.parts().collect::<Vec<_>>().join(" ");
                let mut form = Serializer::new(String::new());
                form.extend_pairs([("grant_type", "refresh_token"), ("client_id", "alloy"), ("refresh_token", token)]);
                form.extend_pairs(service.map(|service| ("service", service)));
                form.extend_pairs((!scopes.is_empty()).then_some(("scope", scopes.as_str())));
                client.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.finish())
            }
            other => {
                url.query_pairs_mut()
                    .extend_pairs(service.map(|service| ("service", service)))
                    .extend_pairs(scope.parts().map(|part| ("scope", part)));
                match other {
                    Credentials::Basic { username, password } => client.get(url).basic_auth(username, Some(password)),
                    _ => client.get(url),
                }
            }
        };
        self.told.fetch_or(self.has_secrets(), Ordering::Relaxed);
        let at = |url: Option<&Url>| url.map(server).filter(|at| *at != self.registry);
        let failed = |error: reqwest::Error| connection(&self.registry, at(error.url()), &error);
        let response = request.send().await.map_err(failed)?;
        if matches!(response.status().as_u16(), 400 | 401 | 403) {
            let detail = detail(response).await;
            return Err(self.unauthorized(what, &detail));
        }
        let (status, place) = (response.status(), at(Some(response.url())));
        if !status.is_success() {
            let what = format!("get a token to {what}");
            let error = match place {
                Some(_) => elsewhere(&self.registry, &what, response).await,
                None => failure(&self.registry, self.used(), &what, response).await,
            };
            // What is missing there is not what was asked for.
            return Err(match error {
                RegistryError::Status { what, status, detail, .. }
                | RegistryError::Elsewhere { what, status, detail, .. }
                    if !error_may_pass(status) =>
                {
                    self.token_server(&what, &realm, &format!("answered {status}{detail}"))
                }
                error => error,
            });
        }
        let bytes = small(response, TOKEN_LIMIT, PATIENCE).await.map_err(|why| match why {
            Unread::Larger => self.token_server(what, &realm, &format!("sent more than {TOKEN_LIMIT} bytes")),
            Unread::Slow => RegistryError::Stalled { registry: self.registry.clone() },
            Unread::Failed(error) => failed(error),
        })?;
        serde_json::from_slice(&bytes).map_err(|error| {
            let sent = match is_page(&bytes) {
                true => format!("sent a web page{} and no token", title(&bytes)),
                false => format!("sent no token: {error}"),
            };
            self.token_server(what, &realm, &sent)
        })
    }

    /// The token server does not do what token servers do.
    fn token_server(&self, what: &str, at: &str, message: &str) -> RegistryError {
        let (what, registry) = (what.to_owned(), self.registry.clone());
        RegistryError::Token { what, registry, at: at.to_owned(), message: message.to_owned() }
    }

    /// The registry does not let this user do that.
    pub(super) fn unauthorized(&self, what: &str, detail: &str) -> RegistryError {
        RegistryError::Unauthorized {
            registry: self.registry.clone(),
            what: what.to_owned(),
            used: self.used(),
            detail: colon(detail),
        }
    }
}

/// A header that is not to be shown; `None` of what cannot stand in one.
fn header(text: String) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// True of what may be over when one asks again.
fn error_may_pass(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..=599)
}

/// A detail behind what it belongs to.
pub(super) fn colon(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(": {detail}") }
}

fn encode(username: &str, password: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}"))
}
