//! What a registry says when it does not do what it was asked (distribution-spec 1.1, "Error Codes").

use std::time::Duration;

use jiff::Timestamp;
use reqwest::Response;
use reqwest::header::RETRY_AFTER;
use serde::Deserialize;

use super::RegistryError;
use super::authority::colon;
use super::error::server;
use crate::fetch::{retry_after, small};

/// More than this of an explanation is not read.
const LIMIT: u64 = 64 << 10;
/// How long a server may be silent within one.
const PATIENCE: Duration = Duration::from_secs(5);
/// Nobody reads more errors than these, or more characters.
const MOST: usize = 16;
const LONGEST: usize = 2000;

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
    /// Of what the code says; for a blob that is missing, its digest.
    #[serde(default)]
    detail: serde_json::Value,
}

impl OneError {
    fn text(&self) -> String {
        let digest =
            self.detail["digest"].as_str().or(self.detail["Digest"].as_str()).filter(|it| !self.message.contains(it));
        let digest = digest.map_or(String::new(), |digest| format!(": {digest}"));
        format!("{} {}{digest}", self.code, self.message)
    }
}

/// Codes and messages, on one line.
pub(super) async fn detail(response: Response) -> String {
    let bytes = small(response, LIMIT, PATIENCE).await.unwrap_or_default();
    explanation(&bytes)
}

/// The same, of the body of an answer.
pub(super) fn explanation(bytes: &[u8]) -> String {
    let errors = serde_json::from_slice::<Errors>(bytes).map(|errors| errors.errors).unwrap_or_default();
    let texts = errors.iter().take(MOST).map(OneError::text);
    let text = texts.collect::<Vec<_>>().join("; ");
    // It goes to a terminal.
    text.trim().chars().filter(|c| !c.is_control()).take(LONGEST).collect()
}

/// An error from a response that is not a good one; `used` says which credentials went along, if any did.
pub(super) async fn failure(registry: &str, used: Option<String>, what: &str, response: Response) -> RegistryError {
    let (status, retry_after) = (response.status().as_u16(), pause(&response));
    let detail = colon(&detail(response).await);
    let (what, registry) = (what.to_owned(), registry.to_owned());
    match status {
        403 => RegistryError::Denied { what, registry, used, detail },
        413 => RegistryError::TooLarge { what, registry, detail, smallest: None },
        429 => RegistryError::Limited { what, registry, used, detail, retry_after },
        _ => RegistryError::Status { what, registry, status, detail, retry_after },
    }
}

/// The same from the server to which `registry` leads.
pub(super) async fn elsewhere(registry: &str, what: &str, response: Response) -> RegistryError {
    let (status, retry_after, at) = (response.status().as_u16(), pause(&response), server(response.url()));
    let detail = colon(&detail(response).await);
    let (what, registry) = (what.to_owned(), registry.to_owned());
    if status == 413 {
        return RegistryError::TooLarge { what, registry: at, detail, smallest: None };
    }
    RegistryError::Elsewhere { what, registry, at, status, detail, retry_after }
}

/// How long it asks to wait.
fn pause(response: &Response) -> Option<Duration> {
    let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    asked.and_then(|text| retry_after(text, Timestamp::now()))
}
