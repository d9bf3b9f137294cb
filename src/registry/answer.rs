//! What a registry says when it does not do what it was asked (distribution-spec 1.1, "Error Codes").

use jiff::Timestamp;
use reqwest::Response;
use reqwest::header::RETRY_AFTER;
use serde::Deserialize;

use super::RegistryError;
use super::authority::colon;
use super::credentials::Known;
use crate::fetch::retry_after;

/// More than this of an explanation is not read.
const LIMIT: usize = 64 << 10;

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

/// Codes and messages, on one line.
pub(super) async fn detail(mut response: Response) -> String {
    let mut bytes = Vec::new();
    while let Ok(Some(piece)) = response.chunk().await
        && bytes.len() < LIMIT
    {
        bytes.extend_from_slice(&piece);
    }
    let errors = serde_json::from_slice::<Errors>(&bytes).map(|errors| errors.errors).unwrap_or_default();
    let texts: Vec<String> = errors.iter().map(|error| format!("{} {}", error.code, error.message)).collect();
    // It goes to a terminal.
    texts.join("; ").trim().chars().filter(|c| !c.is_control()).collect()
}

/// An error from a response that is not a good one.
pub(super) async fn failure(registry: &str, known: &Known, what: &str, response: Response) -> RegistryError {
    let status = response.status().as_u16();
    let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = asked.and_then(|text| retry_after(text, Timestamp::now()));
    let detail = colon(&detail(response).await);
    let (what, registry) = (what.to_owned(), registry.to_owned());
    match status {
        403 => RegistryError::Denied { what, registry, used: known.used.clone(), detail },
        _ => RegistryError::Status { what, registry, status, detail, retry_after },
    }
}
