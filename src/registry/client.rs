//! One repository: where it is written to, and where it is read from.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use layers::store::Store;
use reqwest::{RequestBuilder, Response};

use super::endpoint::Endpoint;
use super::{Reference, RegistryError};
use crate::event::Reporter;

/// One repository of a registry. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) reference: Reference,
    /// The address of the repository: of blobs, manifests and all else.
    pub(super) base: String,
    /// Where it is as it is named: pushes go there.
    pub(super) origin: Endpoint,
    /// Where it is read from: mirrors first.
    pub(super) sources: Vec<Source>,
    /// The source that was the last to answer.
    pub(super) best: AtomicUsize,
    pub(super) store: Store,
    pub(super) reporter: Reporter,
}

/// Where a repository is read from.
pub(super) struct Source {
    pub(super) endpoint: Endpoint,
    pub(super) by_tag: bool,
    pub(super) by_digest: bool,
}

impl Client {
    pub(super) fn new(
        reference: Reference,
        origin: Endpoint,
        sources: Vec<Source>,
        store: Store,
        reporter: Reporter,
    ) -> Self {
        let (base, best) = (origin.base.clone(), AtomicUsize::new(0));
        Self { inner: Arc::new(Inner { reference, base, origin, sources, best, store, reporter }) }
    }

    /// The repository's reference.
    pub fn reference(&self) -> &Reference {
        &self.inner.reference
    }

    /// Sends what `make` makes, with the authorisation that its method needs. `make` may be called more than once.
    /// Statuses are the caller's, but for 401.
    pub(super) async fn send(
        &self,
        what: &str,
        make: impl Fn(&reqwest::Client) -> RequestBuilder,
    ) -> Result<Response, RegistryError> {
        self.inner.origin.send(what, make).await
    }

    /// An error from a response that is not a good one.
    pub(super) async fn failure(&self, what: &str, response: Response) -> RegistryError {
        self.inner.origin.failure(what, response).await
    }
}
