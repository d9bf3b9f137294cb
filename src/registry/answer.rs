//! What a registry says when it does not do what it was asked (distribution-spec 1.1, "Error Codes").

use std::time::Duration;

use jiff::Timestamp;
use reqwest::Response;
use reqwest::header::{LOCATION, RETRY_AFTER};

use super::RegistryError;
use super::authority::colon;
use super::error::server;
use super::reason::{brief, is_page, reason, title};
use crate::fetch::{beginning, retry_after};

/// More than this of an explanation is not read.
const LIMIT: u64 = 64 << 10;
/// How long a server may be silent within one.
const PATIENCE: Duration = Duration::from_secs(5);

/// Codes and messages, on one line.
pub(super) async fn detail(response: Response) -> String {
    reason(&body(response).await)
}

/// The body, or as much of it as is read and as comes: the beginning says why.
async fn body(response: Response) -> Vec<u8> {
    beginning(response, LIMIT, PATIENCE).await
}

/// An error from a response that is not a good one; `used` says which credentials went along, if any did.
pub(super) async fn failure(registry: &str, used: Option<String>, what: &str, response: Response) -> RegistryError {
    let (status, retry_after) = (response.status().as_u16(), pause(&response));
    let place = leads_to(&response);
    let bytes = body(response).await;
    let (what, registry) = (what.to_owned(), registry.to_owned());
    let detail = colon(&told(&bytes, place.as_deref()));
    match status {
        200..=299 if is_page(&bytes) => RegistryError::Page { what, registry, at: None, status, title: title(&bytes) },
        403 => RegistryError::Denied { what, registry, used, detail },
        413 => RegistryError::TooLarge { what, registry, detail, smallest: None },
        429 => RegistryError::Limited { what, registry, used, detail, retry_after },
        _ => RegistryError::Status { what, registry, status, detail, retry_after },
    }
}

/// The same from the server to which `registry` leads.
pub(super) async fn elsewhere(registry: &str, what: &str, response: Response) -> RegistryError {
    let (status, retry_after, at) = (response.status().as_u16(), pause(&response), server(response.url()));
    let place = leads_to(&response);
    let bytes = body(response).await;
    let (what, registry) = (what.to_owned(), registry.to_owned());
    let detail = colon(&told(&bytes, place.as_deref()));
    if (200..300).contains(&status) && is_page(&bytes) {
        return RegistryError::Page { what, registry, at: Some(at), status, title: title(&bytes) };
    }
    if status == 413 {
        return RegistryError::TooLarge { what, registry: at, detail, smallest: None };
    }
    RegistryError::Elsewhere { what, registry, at, status, detail, retry_after }
}

/// The reason in a body; of an answer that leads to another place and could not be followed, that place. What stands behind
/// a `?` may be somebody's secret.
fn told(bytes: &[u8], place: Option<&str>) -> String {
    let text = reason(bytes);
    let place = place.and_then(|place| place.split(['?', '#']).next());
    match place.filter(|_| text.is_empty()) {
        Some(place) => format!("it leads to {}", brief(place)),
        None => text,
    }
}

/// Where an answer leads to.
fn leads_to(response: &Response) -> Option<String> {
    let place = response.headers().get(LOCATION).filter(|_| response.status().is_redirection())?;
    Some(place.to_str().ok()?.to_owned())
}

/// How long it asks to wait.
fn pause(response: &Response) -> Option<Duration> {
    let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    asked.and_then(|text| retry_after(text, Timestamp::now()))
}
