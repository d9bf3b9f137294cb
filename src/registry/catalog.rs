//! What a registry has (distribution's `/v2/_catalog`, which no specification asks for: many have none, or do not let
//! everybody read it).

use reqwest::StatusCode;
use serde::Deserialize;
use url::Url;

use super::listing::{Listing, Trail, next_page};
use super::scope::Scope;
use super::{Client, RegistryError};

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    repositories: Option<Vec<String>>,
}

impl Client {
    /// All repositories of the client's registry; `None` if it does not say.
    pub async fn catalog(&self) -> Result<Option<Vec<String>>, RegistryError> {
        let origin = &self.inner.origin;
        let registry = &self.reference().registry;
        let what = format!("list the repositories of {registry}");
        let need = Scope::parse("registry:catalog:*");
        // The length of a page is the registry's to choose: some refuse a longer one.
        let first = format!("{}://{}/v2/_catalog", origin.host.scheme(), origin.host.name);
        let (mut next, mut all, mut trail) = (Url::parse(&first).ok(), Listing::default(), Trail::from(&first));
        while let Some(url) = next.take() {
            let answer = self.retry(|| async {
                let client = origin.host.client().await?;
                let response = match origin.send_for(&need, &what, client, |client| client.get(url.clone())).await {
                    Err(RegistryError::Unauthorized { .. } | RegistryError::Token { .. }) => return Ok(None),
                    response => response?,
                };
                match response.status() {
                    StatusCode::OK => {}
                    StatusCode::FORBIDDEN
                    | StatusCode::NOT_FOUND
                    | StatusCode::METHOD_NOT_ALLOWED
                    | StatusCode::NOT_IMPLEMENTED
                        if url.as_str() == first =>
                    {
                        return Ok(None);
                    }
                    _ => return Err(self.failure(&what, response).await),
                }
                let next = next_page(url.as_str(), &response).map_err(|why| self.cut("repositories", &why))?;
                let at = response.url().clone();
                let bytes = self.bounded(response).await?;
                if let Some(page) = self.inner.origin.page(&what, &at, &bytes) {
                    return Err(page);
                }
                let page: Page = serde_json::from_slice(&bytes).map_err(|error| RegistryError::Invalid {
                    reference: registry.clone(),
                    message: format!("its list of repositories is damaged: {error}"),
                })?;
                Ok(Some((page.repositories.unwrap_or_default(), next)))
            });
            let Some((page, following)) = answer.await? else { return Ok(None) };
            // Of a list without end, the beginning is enough to choose from.
            let goes_on = all.add(page, following.is_some()).ok().and(following);
            next = goes_on.filter(|next| trail.leads_to(next).is_ok());
        }
        Ok(Some(all.names))
    }
}
