//! One registry's server: how it is reached, and how much is asked of it at once.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use layers::digest::Digest;
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};
use url::Url;

use super::authority::Authority;
use super::certificates::CertificateFiles;
use super::credentials::Known;
use super::waiting::Limit;
use super::{Reference, RegistryError, Settings, connection};
use crate::fetch::{Transport, Trust, describe, nothing_in_common};
use crate::vars::Vars;

/// Blobs under way at once, both ways.
const PARALLEL: usize = 6;
/// How long a server may think about whether it speaks TLS.
const PROBE: Duration = Duration::from_secs(5);

/// How far a server is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Security {
    /// https, with a certificate that holds.
    Strict,
    /// On this machine: http, or https with a certificate that holds.
    Loopback,
    /// http, or https with any certificate.
    Anything,
}

/// A registry's server.
pub(super) struct Host {
    /// Host, and port if it has one.
    pub(super) name: String,
    /// The registry it answers for: its certificates are kept under that name.
    registry: String,
    security: Security,
    files: CertificateFiles,
    pub(super) stall: Duration,
    /// The environment, which names proxies.
    vars: Vars,
    transport: OnceCell<Transport>,
    uploads: OnceCell<Transport>,
    tokens: OnceCell<Transport>,
    /// A server that is asked by http turned out to speak TLS.
    tls: OnceCell<bool>,
    permits: Semaphore,
    /// Pauses that it has asked for.
    pub(super) limit: Limit,
    authorities: Mutex<Vec<Arc<Authority>>>,
    there: Mutex<HashSet<(String, Digest)>>,
    /// Blobs that repositories were seen to lack.
    absent: Mutex<HashSet<(String, Digest)>>,
}

impl Host {
    pub(super) fn new(name: &str, registry: &str, security: Security, settings: &Settings) -> Self {
        Self {
            name: name.to_owned(),
            registry: registry.to_owned(),
            security,
            files: settings.certificates.clone(),
            stall: settings.stall,
            vars: settings.vars.clone(),
            transport: OnceCell::new(),
            uploads: OnceCell::new(),
            tokens: OnceCell::new(),
            tls: OnceCell::new(),
            permits: Semaphore::new(PARALLEL),
            limit: Limit::default(),
            authorities: Mutex::default(),
            there: Mutex::default(),
            absent: Mutex::default(),
        }
    }

    /// What its addresses begin with.
    pub(super) fn scheme(&self) -> &'static str {
        if self.security == Security::Strict { "https" } else { "http" }
    }

    /// The state that requests of one user share.
    pub(super) fn authority(&self, registry: &str, known: Known) -> Arc<Authority> {
        let mut all = self.authorities.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(same) = all.iter().find(|one| one.known == known) {
            return Arc::clone(same);
        }
        let new = Arc::new(Authority::new(registry.to_owned(), known));
        all.push(Arc::clone(&new));
        new
    }

    /// The client for everything but what takes long to send.
    pub(super) async fn client(&self) -> Result<&reqwest::Client, RegistryError> {
        let open = || async {
            Ok::<_, RegistryError>(Transport::with(self.stall, Some(self.stall), &self.trust()?, &self.vars)?)
        };
        Ok(self.transport.get_or_try_init(open).await?.client())
    }

    /// The client for what takes long to send: its time limit would end a transfer that gets on.
    pub(super) async fn uploads(&self) -> Result<&reqwest::Client, RegistryError> {
        let open = || async { Ok::<_, RegistryError>(Transport::with(self.stall, None, &self.trust()?, &self.vars)?) };
        Ok(self.uploads.get_or_try_init(open).await?.client())
    }

    /// The client for requests that hold credentials in their body.
    pub(super) async fn tokens(&self) -> Result<&reqwest::Client, RegistryError> {
        let trust = || Ok::<_, RegistryError>(Trust { secret: true, ..self.trust()? });
        let open =
            || async { Ok::<_, RegistryError>(Transport::with(self.stall, Some(self.stall), &trust()?, &self.vars)?) };
        Ok(self.tokens.get_or_try_init(open).await?.client())
    }

    fn trust(&self) -> Result<Trust, RegistryError> {
        let trust = self.files.trust(&self.registry)?;
        Ok(Trust { anyone: self.security == Security::Anything, direct: self.is_loopback(), ..trust })
    }

    /// True if the server is on this machine.
    pub(super) fn is_loopback(&self) -> bool {
        format!("{}/any", self.registry).parse().is_ok_and(|any: Reference| any.is_loopback())
    }

    /// Leave to move one more blob.
    pub(super) async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.permits.acquire().await.ok()
    }

    /// True if `url` is on this server.
    pub(super) fn owns(&self, url: &Url) -> bool {
        let own = Url::parse(&format!("{}://{}", url.scheme(), self.name));
        own.is_ok_and(|own| own.host() == url.host() && own.port() == url.port())
    }

    /// `url` as it is asked for: never by http where the server speaks TLS.
    pub(super) fn secured(&self, mut url: Url) -> Url {
        let tls = self.security == Security::Strict || self.tls.get() == Some(&true);
        if tls && url.scheme() == "http" && self.owns(&url) {
            // Between these two schemes it cannot fail.
            let _ = url.set_scheme("https");
        }
        url
    }

    /// A request was answered as by a registry. False: there is nothing to ask once more.
    pub(super) fn speaks_http(&self) -> bool {
        if self.security != Security::Strict {
            let _ = self.tls.set(false);
        }
        false
    }

    /// After an http request that was not answered as by a registry: true if the server turns out to speak TLS.
    pub(super) async fn turns_out_tls(&self) -> Result<bool, RegistryError> {
        if self.security == Security::Strict || self.tls.initialized() {
            return Ok(false);
        }
        let client = self.client().await?;
        let url = format!("https://{}/v2/", self.name);
        let ask = || async {
            match client.get(&url).timeout(PROBE).send().await {
                Ok(_) => Ok(true),
                // Only who speaks TLS has certificates, or gets as far as hanging up on a request: who misses ours does.
                Err(error) if connection(&self.name, None, &error).is_certificate() => Ok(true),
                Err(error) if nothing_in_common(&describe(&error)).is_some() => Ok(true),
                Err(error) if !error.is_connect() && !error.is_timeout() => Ok(true),
                // It may be too busy to say: the next request finds out.
                Err(error) => Err(error),
            }
        };
        Ok(self.tls.get_or_try_init(ask).await.is_ok_and(|tls| *tls))
    }

    /// True if http and https are at different ports: where one is closed, the other may be open.
    pub(super) fn has_two_ports(&self) -> bool {
        Url::parse(&format!("{}://{}", self.scheme(), self.name)).is_ok_and(|url| url.port().is_none())
    }

    /// Remembers that a repository has a blob.
    pub(super) fn keeps(&self, repository: &str, digest: &Digest) {
        let mut there = self.there.lock().unwrap_or_else(PoisonError::into_inner);
        there.insert((repository.to_owned(), *digest));
    }

    /// Remembers that a repository lacks a blob, until somebody wants to know.
    pub(super) fn lacks(&self, repository: &str, digest: &Digest) {
        let key = (repository.to_owned(), *digest);
        self.there.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        self.absent.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
    }

    /// True if a repository was just seen to lack a blob: it is asked for once, since somebody may be sending it.
    pub(super) fn lacked(&self, repository: &str, digest: &Digest) -> bool {
        self.absent.lock().unwrap_or_else(PoisonError::into_inner).remove(&(repository.to_owned(), *digest))
    }

    /// True if a repository was seen to have a blob.
    pub(super) fn kept(&self, repository: &str, digest: &Digest) -> bool {
        let there = self.there.lock().unwrap_or_else(PoisonError::into_inner);
        there.contains(&(repository.to_owned(), *digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Keychain;

    #[test]
    fn addresses_of_a_server_are_its_own() {
        let settings = Settings {
            keychain: Keychain::of_this_user(|_| None),
            insecure: Vec::new(),
            config: Default::default(),
            certificates: CertificateFiles::default(),
            stall: Duration::from_secs(1),
            vars: Vars::default(),
        };
        let host = |name, security| Host::new(name, name, security, &settings);
        let strict = host("r.example", Security::Strict);
        let url = |text: &str| Url::parse(text).unwrap();
        assert!(strict.owns(&url("https://r.example/v2/")) && strict.owns(&url("http://r.example/v2/")));
        assert!(!strict.owns(&url("https://r.example:5000/v2/")) && !strict.owns(&url("https://x.example/")));
        assert_eq!(strict.secured(url("http://r.example/a?b")).as_str(), "https://r.example/a?b");
        assert_eq!(strict.secured(url("http://x.example/a")).as_str(), "http://x.example/a");
        let loopback = host("127.0.0.1:5000", Security::Loopback);
        assert!(strict.has_two_ports() && !loopback.has_two_ports());
        assert_eq!(loopback.secured(url("http://127.0.0.1:5000/a")).as_str(), "http://127.0.0.1:5000/a");
    }
}
