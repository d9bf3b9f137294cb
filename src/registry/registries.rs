//! All registries that a command reaches: what is configured for them, and what requests to one of them share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use layers::store::Store;

use super::certificates::CertificateFiles;
use super::client::Source;
use super::endpoint::Endpoint;
use super::host::{Host, Security};
use super::mirrors::{ConfigFiles, Mirrors};
use super::{Client, Keychain, Reference, RegistryError};
use crate::event::Reporter;
use crate::vars::Vars;

/// How registries are reached.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Credentials.
    pub keychain: Keychain,
    /// Registries that speak http, or https with any certificate.
    pub insecure: Vec<String>,
    /// Mirrors.
    pub config: ConfigFiles,
    /// Certificates.
    pub certificates: CertificateFiles,
    /// Without a byte for so long, a transfer counts as broken.
    pub stall: Duration,
    /// The environment, which names proxies.
    pub vars: Vars,
}

/// All registries.
pub struct Registries {
    settings: Settings,
    mirrors: OnceLock<Mirrors>,
    hosts: Mutex<BTreeMap<(String, Security), Arc<Host>>>,
}

impl Registries {
    /// Nothing is read or opened before the first client.
    pub fn new(settings: Settings) -> Self {
        Self { settings, mirrors: OnceLock::new(), hosts: Mutex::default() }
    }

    /// Where credentials are.
    pub fn keychain(&self) -> &Keychain {
        &self.settings.keychain
    }

    /// A client for a repository.
    pub fn client(&self, reference: &Reference, store: &Store, reporter: &Reporter) -> Result<Client, RegistryError> {
        let places = self.mirrors()?.places(reference)?;
        let origin = self.endpoint(reference, places.insecure)?;
        let mut sources = Vec::new();
        for place in places.mirrors.iter().chain(&places.location) {
            let endpoint = self.endpoint(&reference.moved(&place.registry, &place.repository), place.insecure)?;
            sources.push(Source { endpoint, by_tag: place.by_tag, by_digest: place.by_digest });
        }
        if places.location.is_none() {
            sources.push(Source { endpoint: origin.clone(), by_tag: true, by_digest: true });
        }
        Ok(Client::new(reference.clone(), origin, sources, store.clone(), Arc::clone(reporter)))
    }

    fn endpoint(&self, reference: &Reference, insecure: bool) -> Result<Endpoint, RegistryError> {
        let host = self.host(reference, insecure);
        let known = self.settings.keychain.find(reference)?;
        let authority = host.authority(&reference.registry, known);
        Ok(Endpoint::new(host, authority, &reference.repository))
    }

    /// The server of a registry.
    pub(super) fn host_of(&self, registry: &str) -> Result<Arc<Host>, RegistryError> {
        let invalid = |message: String| RegistryError::Invalid { reference: registry.to_owned(), message };
        let reference: Option<Reference> = format!("{registry}/any").parse().ok();
        let reference = reference.filter(Reference::names_registry);
        let reference = reference.ok_or_else(|| invalid("it is no registry: a host with a dot or a port".into()))?;
        let insecure = self.mirrors()?.places(&reference)?.insecure;
        Ok(self.host(&reference, insecure))
    }

    fn host(&self, reference: &Reference, insecure: bool) -> Arc<Host> {
        let security = match () {
            () if insecure || self.settings.insecure.contains(&reference.registry) => Security::Anything,
            () if reference.is_loopback() => Security::Loopback,
            () => Security::Strict,
        };
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Host::new(reference.host(), &reference.registry, security, &self.settings));
        Arc::clone(hosts.entry((reference.registry.clone(), security)).or_insert_with(new))
    }

    fn mirrors(&self) -> Result<&Mirrors, RegistryError> {
        if let Some(mirrors) = self.mirrors.get() {
            return Ok(mirrors);
        }
        let read = self.settings.config.read()?;
        Ok(self.mirrors.get_or_init(|| read))
    }
}
