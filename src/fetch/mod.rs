//! Downloads: resumed, retried, checked, and kept by what they hold.
//!
//! `downloads/<sha256>` is complete, and checked again by whoever uses it later; `downloads/<hash of URL>.part` is on its way. What a URL held when it
//! was fetched last is a record, so that a build without a digest works again without a network.

mod address;
mod bypass;
mod client;
mod credential;
mod error;
mod follow;
mod git;
mod hint;
mod login;
mod names;
mod netrc;
mod pace;
mod part;
mod progress;
mod retry;
mod tls;
mod transfer;
mod unlike;
mod witness;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use layers::digest::Digest;
use layers::store::Store;
use serde::{Deserialize, Serialize};
use tokio::sync::{OnceCell, Semaphore};

pub(crate) use address::proxies;
pub use address::without_credentials;
pub use address::{proxy_passwords, shown};
pub use client::{Transport, Trust, led};
pub use credential::{Credentials, Header, Missing, expanded};
pub use error::{ADD_CA, CHECK_NETWORK, FetchError, describe};
pub use login::{Login, taken_apart};
pub use netrc::{Machine, machines};
pub use pace::{Pace, Unread, beginning, small};
pub use progress::Transfer;
pub use retry::{LONGEST_SAID, Patience, Temporary, retry, retry_after};
pub use tls::{CA_AS_SERVER, CA_SHOWN, Identity, certificates, nothing_in_common, other_name, out_of_time};
pub use unlike::{Came, Known, unlike_its_name};
pub use witness::{WITNESSED, Wanted, Witnessed};

use crate::event::Reporter;
use crate::op::Secrets;
use crate::vars::Vars;

/// Downloads under way at once.
const PARALLEL: usize = 8;
const RECORDS: &str = "downloads";

/// What is to be fetched.
#[derive(Clone, Debug)]
pub struct Download {
    /// From where; may hold markers of secrets.
    pub url: String,
    /// What it must be.
    pub sha256: Option<Digest>,
    /// Its length in bytes, where that is known.
    pub size: Option<u64>,
    /// Counted there, instead of being shown by itself.
    pub part_of: Option<Arc<Transfer>>,
}

/// A file that is there and checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// What it holds.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
}

/// Fetches into a store. Cheap to clone: clones share connections, and what was checked already.
#[derive(Clone)]
pub struct Fetcher {
    shared: Arc<Shared>,
    secrets: Arc<Secrets>,
    allow_file_urls: bool,
    /// Beginnings of URLs, each with one to try before it.
    nearer: Arc<[(String, String)]>,
    logins: Arc<[Login]>,
    /// URLs whose digests were written by the blueprint's author.
    doubted: Arc<BTreeSet<String>>,
    /// URLs as they are written, whose digests the lockfile has.
    pins: Arc<BTreeMap<String, Digest>>,
}

/// What does not depend on the blueprint.
struct Shared {
    store: Store,
    reporter: Reporter,
    stall: Duration,
    credentials: Credentials,
    vars: Vars,
    transport: OnceCell<Transport>,
    permits: Semaphore,
    /// Files that this process has hashed.
    checked: Mutex<BTreeSet<Digest>>,
    /// What others have seen, who are believed: keys of [`Witnessed`].
    vouched: Mutex<BTreeSet<Digest>>,
}

impl Fetcher {
    /// A fetcher into `store`. Nothing is opened before the first download. Without a byte for as long as `stall`, a
    /// transfer counts as broken; no server is waited for longer, whatever it asks. `vars` name proxies.
    pub fn new(store: Store, reporter: Reporter, stall: Duration, credentials: Credentials, vars: Vars) -> Self {
        let (transport, permits) = (OnceCell::new(), Semaphore::new(PARALLEL));
        let (checked, vouched) = Default::default();
        let shared = Shared { store, reporter, stall, credentials, vars, transport, permits, checked, vouched };
        let fetcher = Self {
            shared: Arc::new(shared),
            secrets: Arc::default(),
            allow_file_urls: false,
            nearer: Arc::new([]),
            logins: Arc::new([]),
            doubted: Arc::default(),
            pins: Arc::default(),
        };
        fetcher.with_secrets(Secrets::default())
    }

    /// The same, for URLs that hold markers of these secrets.
    #[must_use]
    pub fn with_secrets(self, mut secrets: Secrets) -> Self {
        self.shared.credentials.secrets().iter().for_each(|secret| secrets.hide(secret));
        Self { secrets: Arc::new(secrets), ..self }
    }

    /// The same, which reads `file:` URLs if `allow` is true.
    #[must_use]
    pub fn with_file_urls(self, allow: bool) -> Self {
        Self { allow_file_urls: allow, ..self }
    }

    /// The same, which knows of these URLs that their digests are the lockfile's.
    #[must_use]
    pub fn with_pins(self, pins: BTreeMap<String, Digest>) -> Self {
        Self { pins: Arc::new(pins), ..self }
    }

    /// The same, which asks other servers before those of URLs that begin so, where a digest says what must come.
    #[must_use]
    pub fn nearer(self, nearer: Vec<(String, String)>) -> Self {
        Self { nearer: nearer.into(), ..self }
    }

    /// The same, which has logins for what lies below some URLs.
    #[must_use]
    pub fn with_logins(self, logins: Vec<Login>) -> Self {
        Self { logins: logins.into(), ..self }
    }

    /// `url` as it is asked for.
    fn asked(&self, url: &str) -> String {
        login::put_in(address::revealed(url, &self.secrets), &self.logins)
    }

    /// What keeps a header for the host of `url` from being sent with a request for that, where none is sent.
    pub fn unsent(&self, url: &str) -> Option<String> {
        self.shared.credentials.near(&url::Url::parse(&self.asked(url)).ok()?)
    }

    /// Where a fetched file is.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.shared.store.downloads().join(digest.hex())
    }

    /// The file of that digest, if it was fetched before.
    pub fn have(&self, digest: &Digest) -> bool {
        self.path(digest).is_file()
    }

    /// What `url` held when it was fetched last, if that is still here.
    pub fn known(&self, url: &str) -> Option<Digest> {
        let bytes = self.shared.store.record(RECORDS, &Digest::of(url).hex()).ok()??;
        let fetched: Fetched = serde_json::from_slice(&bytes).ok()?;
        self.have(&fetched.digest).then_some(fetched.digest)
    }

    /// The means of transport, opened on first use.
    async fn transport(&self) -> Result<&Transport, FetchError> {
        let shared = &self.shared;
        let open = || async { Transport::named(shared.stall, shared.credentials.clone(), &shared.vars) };
        self.shared.transport.get_or_try_init(open).await
    }

    /// Who hears of progress.
    pub fn reporter(&self) -> &Reporter {
        &self.shared.reporter
    }

    /// The URL as it may be shown: without secrets and credentials.
    pub fn shown(&self, url: &str) -> String {
        address::shown(url, &self.secrets)
    }

    /// Fetches a small file whole, without keeping it.
    pub async fn get(&self, url: &str, limit: u64) -> Result<Vec<u8>, FetchError> {
        let _permit = self.shared.permits.acquire().await;
        self.transport().await?.get(&login::put_in(url.to_owned(), &self.logins), limit).await
    }

    /// Fetches a file into the store, unless it is there.
    pub async fn fetch(&self, download: &Download) -> Result<Fetched, FetchError> {
        if let Some(digest) = download.sha256
            && !self.doubts(download)
            && let Some(size) = self.checked(&digest).await?
        {
            if let Some(transfer) = &download.part_of {
                transfer.add(size);
            }
            return Ok(Fetched { digest, size });
        }
        let Some(near) = self.near(download) else { return transfer::run(self, download).await };
        let error = match transfer::run(self, &near).await {
            Err(error) => error,
            fetched => return fetched,
        };
        match transfer::run(self, download).await {
            // Why the server that was chosen does not do says more.
            Err(FetchError::Connection { .. } | FetchError::Stalled { .. }) => Err(error),
            fetched => fetched,
        }
    }

    /// The length of the file of that digest, if it was fetched before and still is what it was: it is hashed once in the
    /// life of this fetcher, since disks forget.
    async fn checked(&self, digest: &Digest) -> Result<Option<u64>, FetchError> {
        if self.is_checked(digest) {
            return Ok(self.path(digest).metadata().ok().map(|metadata| metadata.len()));
        }
        let (store, digest) = (self.shared.store.clone(), *digest);
        let size = crate::tasks::aside(move |stop| store.checked_download(&digest, stop)).await??;
        if size.is_some() {
            self.note_checked(digest);
        }
        Ok(size)
    }

    fn is_checked(&self, digest: &Digest) -> bool {
        self.shared.checked.lock().unwrap_or_else(PoisonError::into_inner).contains(digest)
    }

    fn note_checked(&self, digest: Digest) {
        self.shared.checked.lock().unwrap_or_else(PoisonError::into_inner).insert(digest);
    }

    /// The same file of a nearer server.
    fn near(&self, download: &Download) -> Option<Download> {
        download.sha256?;
        let url = self.nearer.iter().find_map(|(far, near)| {
            let path = download.url.strip_prefix(far.as_str()).filter(|path| path.starts_with('/'))?;
            Some(format!("{near}{path}"))
        })?;
        Some(Download { url, ..download.clone() })
    }
}
