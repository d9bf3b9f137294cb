//! Redirects, followed so that nobody but the first server learns who asks.

use reqwest::header::{ACCEPT, HeaderMap, LOCATION, SET_COOKIE};
use reqwest::{Client, Response, Url};

use super::FetchError;
use super::client::{RedirectError, checked, connection, same_server, unfit};
use super::credential::Credentials;

/// Asks for `url`, and for what it redirects to. Credentials go to the server that was asked first, as long as no other
/// one stands between.
pub(super) async fn ask(
    client: &Client,
    credentials: &Credentials,
    url: &str,
    shown: &str,
    headers: &HeaderMap,
) -> Result<Response, FetchError> {
    let wrong = |message: String| FetchError::Url { url: shown.to_owned(), message };
    let first = Url::parse(url).map_err(|error| wrong(error.to_string()))?;
    let (mut next, mut before, mut trusted, mut cookies) = (first.clone(), Vec::<Url>::new(), true, false);
    loop {
        let mut all = if trusted { credentials.of(&next) } else { HeaderMap::new() };
        let said = all.keys().any(|name| name != ACCEPT) || !next.username().is_empty() || shown.contains("***");
        // What the client says of its own counts.
        for (name, value) in headers {
            all.insert(name, value.clone());
        }
        let response = client.get(next.clone()).headers(all).send().await;
        let response = response.map_err(|error| connection(shown, &error))?;
        let Some(mut target) = target(&response, &next) else {
            let at = (!same_server(&first, &next)).then(|| server(&next));
            return checked(shown, response, said, at, credentials.near(&first));
        };
        cookies |= response.headers().contains_key(SET_COOKIE);
        before.push(next);
        if let Some(refusal) = unfit(&target, &before, false) {
            let lost = matches!(refusal, RedirectError::Circle | RedirectError::TooMany);
            let (login, mut message) = (cookies && lost, refusal.to_string());
            if login {
                message += ", and sets cookies: it wants a login";
            }
            let near = credentials.near(&first);
            return Err(FetchError::Redirect { url: shown.to_owned(), message, login, near });
        }
        trusted &= before.last().is_some_and(|last| same_server(last, &target));
        if trusted && target.username().is_empty() && target.password().is_none() {
            // The same server is asked in the same name.
            let _ = target.set_username(first.username()).and_then(|()| target.set_password(first.password()));
        }
        next = target;
    }
}

/// The server of a URL, with its port where that is not the usual one.
fn server(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Where a response leads, from `url`.
pub(super) fn target(response: &Response, url: &Url) -> Option<Url> {
    let redirects = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = response.headers().get(LOCATION).filter(|_| redirects)?;
    url.join(location.to_str().ok()?).ok()
}
