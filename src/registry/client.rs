//! Requests to one repository, with the authorisation it asks for.

use std::sync::Arc;
use std::time::Duration;

use layers::store::Store;
use reqwest::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::auth::{Challenge, Token};
use super::{Credentials, Reference, RegistryError};
use crate::event::Reporter;
use crate::fetch::{Transport, describe};

/// One repository of a registry. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) transport: Transport,
    pub(super) reference: Reference,
    pub(super) base: String,
    pub(super) store: Store,
    pub(super) reporter: Reporter,
    credentials: Credentials,
    /// What the registry accepted last.
    authorization: Mutex<Option<HeaderValue>>,
}

impl Client {
    /// A client for `reference`; `insecure` speaks http. Registries on this machine are always asked by http.
    pub fn new(
        transport: Transport,
        reference: Reference,
        credentials: Credentials,
        insecure: bool,
        store: Store,
        reporter: Reporter,
    ) -> Self {
        let scheme = if insecure || reference.is_loopback() { "http" } else { "https" };
        let base = format!("{scheme}://{}/v2/{}", reference.host(), reference.repository);
        let authorization = Mutex::new(None);
        Self { inner: Arc::new(Inner { transport, reference, base, store, reporter, credentials, authorization }) }
    }

    /// The repository's reference.
    pub fn reference(&self) -> &Reference {
        &self.inner.reference
    }

    pub(super) fn connection(&self, error: &reqwest::Error) -> RegistryError {
        RegistryError::Connection { registry: self.inner.reference.registry.clone(), message: describe(error) }
    }

    /// Sends what `make` makes, with authorisation; once more when the registry asks for another one. `make` may be
    /// called twice. Statuses are the caller's, but for 401.
    pub(super) async fn send(
        &self,
        what: &str,
        make: impl Fn(&reqwest::Client) -> RequestBuilder,
    ) -> Result<Response, RegistryError> {
        let client = self.inner.transport.client();
        let known = self.inner.authorization.lock().await.clone();
        // Credentials are for the registry itself: it may send uploads to a host of somebody else's.
        let own = |request: &reqwest::Request| {
            url::Url::parse(&self.inner.base).is_ok_and(|base| base.origin() == request.url().origin())
        };
        let with = |authorization: Option<HeaderValue>| async {
            let mut request = make(client).build()?;
            if let Some(value) = authorization.filter(|_| own(&request)) {
                request.headers_mut().insert(AUTHORIZATION, value);
            }
            client.execute(request).await
        };
        let response = with(known).await.map_err(|error| self.connection(&error))?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let challenges = response.headers().get_all(WWW_AUTHENTICATE).iter();
        let challenge = challenges.filter_map(|value| Challenge::parse(value.to_str().ok()?)).next();
        let Some(challenge) = challenge else { return Err(self.unauthorized(what, "")) };
        let authorization = self.answer(&challenge, what).await?;
        *self.inner.authorization.lock().await = Some(authorization.clone());
        let response = with(Some(authorization)).await.map_err(|error| self.connection(&error))?;
        if response.status() == StatusCode::UNAUTHORIZED {
            let detail = detail(response).await;
            return Err(self.unauthorized(what, &detail));
        }
        Ok(response)
    }

    fn unauthorized(&self, what: &str, detail: &str) -> RegistryError {
        let registry = self.inner.reference.registry.clone();
        RegistryError::Unauthorized { registry, what: what.to_owned(), detail: detail.to_owned() }
    }

    async fn answer(&self, challenge: &Challenge, what: &str) -> Result<HeaderValue, RegistryError> {
        let secret = |text: String| {
            let mut value =
                HeaderValue::from_str(&text).map_err(|_| self.unauthorized(what, "unusable credentials"))?;
            value.set_sensitive(true);
            Ok(value)
        };
        let Challenge::Bearer { realm, service, scope } = challenge else {
            let Credentials::Basic { username, password } = &self.inner.credentials else {
                return Err(self.unauthorized(what, ""));
            };
            return secret(format!("Basic {}", encode(username, password)));
        };
        let secure = realm.starts_with("https://") || self.inner.base.starts_with("http://");
        if !secure {
            return Err(self.unauthorized(what, "it would send the credentials over http"));
        }
        let client = self.inner.transport.client();
        let scope = scope.clone().unwrap_or_else(|| format!("repository:{}:pull", self.inner.reference.repository));
        let mut parameters: Vec<(&str, &str)> = vec![("scope", &scope)];
        parameters.extend(service.as_ref().map(|service| ("service", service.as_str())));
        let request = match &self.inner.credentials {
            Credentials::Identity(token) => {
                parameters.extend([("grant_type", "refresh_token"), ("client_id", "alloy"), ("refresh_token", token)]);
                let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
                client.post(realm).header("Content-Type", "application/x-www-form-urlencoded").body(body)
            }
            other => {
                let mut url = url::Url::parse(realm).map_err(|error| self.unauthorized(what, &error.to_string()))?;
                url.query_pairs_mut().extend_pairs(parameters);
                match other {
                    Credentials::Basic { username, password } => client.get(url).basic_auth(username, Some(password)),
                    _ => client.get(url),
                }
            }
        };
        let response = request.send().await.map_err(|error| self.connection(&error))?;
        if !response.status().is_success() {
            let detail = detail(response).await;
            return Err(self.unauthorized(what, &detail));
        }
        let bytes = response.bytes().await.map_err(|error| self.connection(&error))?;
        let token = serde_json::from_slice::<Token>(&bytes).ok().and_then(Token::value);
        secret(format!("Bearer {}", token.ok_or_else(|| self.unauthorized(what, "the token server sent no token"))?))
    }

    /// An error from a response that is not a good one.
    pub(super) async fn failure(&self, what: &str, response: Response) -> RegistryError {
        let status = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let registry = self.inner.reference.registry.clone();
        let detail = detail(response).await;
        if status == 403 {
            return RegistryError::Unauthorized { registry, what: what.to_owned(), detail };
        }
        let detail = if detail.is_empty() { detail } else { format!(": {detail}") };
        let retry_after = retry_after.map(Duration::from_secs);
        RegistryError::Status { what: what.to_owned(), registry, status, detail, retry_after }
    }
}

fn encode(username: &str, password: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}"))
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<OneError>,
}

#[derive(Deserialize)]
struct OneError {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// What the registry says (distribution-spec 1.1, "Error Codes").
async fn detail(response: Response) -> String {
    let Ok(bytes) = response.bytes().await else { return String::new() };
    let errors = serde_json::from_slice::<Errors>(&bytes).map(|errors| errors.errors).unwrap_or_default();
    let texts: Vec<String> = errors.iter().map(|error| format!("{} {}", error.code, error.message)).collect();
    texts.join("; ").trim().to_owned()
}
