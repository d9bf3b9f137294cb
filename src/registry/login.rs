//! Logging in and out: credentials are tried, then written where Docker, podman and skopeo find them.

use std::path::{Path, PathBuf};

use layers::regular;
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;

use super::auth_file::{AuthFile, entry, key, replace};
use super::credentials::Known;
use super::endpoint::Endpoint;
use super::scope::Scope;
use super::{Credentials, Keychain, Registries, RegistryError};

/// What a registry says of credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// They are good.
    Accepted,
    /// It lets in everybody who asks no more than that.
    NotAsked,
}

impl Registries {
    /// Asks `registry` whether it knows this user (distribution-spec 1.1, "Determining Support").
    pub async fn check(&self, registry: &str, username: &str, password: &str) -> Result<Checked, RegistryError> {
        let credentials = Credentials::Basic { username: username.to_owned(), password: password.to_owned() };
        let used = Some(format!("this password of {username}"));
        let host = self.host_of(registry)?;
        let authority = host.authority(registry, Known { credentials, used });
        let endpoint = Endpoint::new(host, authority, "");
        let (what, client) = ("log in", endpoint.host.client().await?);
        let response = endpoint.send_for(&Scope::default(), what, client, |client| client.get(&endpoint.base)).await?;
        let kind = response.headers().get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
        match response.status() {
            // Everybody is shown a page to log in at, and it is no registry's answer.
            StatusCode::OK if kind.starts_with(b"text/html") => Err(endpoint.failure(what, response).await),
            StatusCode::OK if endpoint.authority.was_asked().await => Ok(Checked::Accepted),
            StatusCode::OK => Ok(Checked::NotAsked),
            StatusCode::NOT_FOUND => Err(RegistryError::Invalid {
                reference: registry.to_owned(),
                message: "there is no registry at this address".into(),
            }),
            _ => Err(endpoint.failure(what, response).await),
        }
    }
}

impl Keychain {
    /// Keeps a password for `registry`, in the file or with the helper that the file names. Gives where it is now.
    pub fn store(&self, registry: &str, username: &str, password: &str) -> Result<String, RegistryError> {
        let path = self.own_file()?;
        match self.helper_of(path, registry)? {
            Some(helper) => {
                helper.store(key(registry), username, password)?;
                // Docker lists what helpers keep.
                replace(path, registry, Some(serde_json::json!({})))?;
                Ok(format!("docker-credential-{}", helper.name))
            }
            None => {
                replace(path, registry, Some(entry(username, password)))?;
                Ok(path.display().to_string())
            }
        }
    }

    /// Forgets what `store` has kept. Gives where it was, if there was anything.
    pub fn erase(&self, registry: &str) -> Result<Option<String>, RegistryError> {
        let path = self.own_file()?;
        let helper = self.helper_of(path, registry)?;
        let by_helper = helper.as_ref().map_or(Ok(false), |helper| helper.erase(key(registry)))?;
        let in_file = replace(path, registry, None)?;
        Ok(match helper.filter(|_| by_helper) {
            Some(helper) => Some(format!("docker-credential-{}", helper.name)),
            None => in_file.then(|| path.display().to_string()),
        })
    }

    fn own_file(&self) -> Result<&PathBuf, RegistryError> {
        self.own.as_ref().ok_or_else(|| RegistryError::WriteCredentials {
            path: "credentials".into(),
            message: "there is no home directory; name a file with REGISTRY_AUTH_FILE".into(),
        })
    }

    fn helper_of(&self, path: &Path, registry: &str) -> Result<Option<super::helper::Helper>, RegistryError> {
        let shown = path.display().to_string();
        let failed = |message: String| RegistryError::CredentialFile { path: shown.clone(), message };
        let bytes = match regular::given(path, super::FILE_LIMIT) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error.to_string())),
        };
        let helper = AuthFile::parse(&bytes).map_err(failed)?.helper(registry);
        Ok(helper.map(|(name, field)| self.helper(name, field, &shown)))
    }
}
