//! Manifests and blobs, from the registry or its mirrors into the store.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use layers::digest::Digest;
use layers::document;
use layers::media_type::{self, Descriptor};
use layers::store::{BlobWriter, StoreError};
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use reqwest::{Response, StatusCode};

use super::client::Source;
use super::endpoint::Endpoint;
use super::reason::brief;
use super::waiting::Waiting;
use super::{Client, RegistryError};
use crate::event::{Event, Wait};
use crate::fetch::{Pace, Temporary, Transfer, Unread, small};
use crate::tasks::{Behind, Ended, aside};

/// Manifests are small (distribution-spec 1.1 asks registries for at least 4 MiB).
pub(super) const MANIFEST_LIMIT: u64 = 8 << 20;
/// What configs have at most.
const DOCUMENT_LIMIT: u64 = 16 << 20;
pub(super) const ACCEPTED: [&str; 4] =
    [media_type::OCI_INDEX, media_type::OCI_MANIFEST, media_type::DOCKER_LIST, media_type::DOCKER_MANIFEST];
/// What a registry says of a manifest's or blob's content.
pub(super) const CONTENT_DIGEST: &str = "docker-content-digest";
/// Times that a blob is fetched whole, and is another one.
const WRONG: usize = 2;
/// How often one looks whether another process has pulled the same blob.
const POLL: Duration = Duration::from_millis(100);

impl Client {
    /// The manifest or index `name` (a tag or digest): its descriptor and its bytes, stored as a blob.
    pub async fn manifest(&self, name: &str) -> Result<(Descriptor, Vec<u8>), RegistryError> {
        let sources = self.sources(name.contains(':'));
        for (at, source) in &sources[..sources.len() - 1] {
            // A mirror gets one chance: there is somebody else to ask.
            match self.manifest_from(&source.endpoint, name).await {
                Err(error) if !error.is_of_this_machine() => self.passed_over(source, &error),
                found => return self.answered(*at, found),
            }
        }
        let (at, last) = sources[sources.len() - 1];
        self.answered(at, self.retry_at(&last.endpoint, || self.manifest_from(&last.endpoint, name)).await)
    }

    /// Sources that may be asked, the registry itself last. Never none.
    fn sources(&self, by_digest: bool) -> Vec<(usize, &Source)> {
        let best = self.inner.best.load(Ordering::Relaxed);
        let all: Vec<_> = self.inner.sources.iter().enumerate().skip(best).collect();
        let last = all.len() - 1;
        let may = |(at, source): &(usize, &Source)| {
            *at == last + best || if by_digest { source.by_digest } else { source.by_tag }
        };
        all.into_iter().filter(may).collect()
    }

    /// What comes next is asked for where this came from.
    fn answered<T>(&self, at: usize, found: Result<T, RegistryError>) -> Result<T, RegistryError> {
        if found.is_ok() {
            self.inner.best.store(at, Ordering::Relaxed);
        }
        found
    }

    fn passed_over(&self, source: &Source, error: &RegistryError) {
        // A pull-through cache that has nothing of the name is nothing to tell.
        if !error.is_missing() {
            let note = format!("the mirror {} is passed over: {error}", source.endpoint.named());
            self.inner.reporter.event(Event::Note(note));
        }
    }

    async fn manifest_from(&self, from: &Endpoint, name: &str) -> Result<(Descriptor, Vec<u8>), RegistryError> {
        let reference = self.reference().to_string();
        let url = format!("{}/manifests/{name}", from.base);
        let what = format!("pull {reference}");
        let response = from.send(&what, |client| client.get(&url).header(ACCEPT, ACCEPTED.join(", "))).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(RegistryError::NotFound { reference }),
            _ => return Err(from.failure(&what, response).await),
        }
        let invalid = |message: String| RegistryError::Invalid { reference: reference.clone(), message };
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let said = header(CONTENT_TYPE.as_str()).and_then(|text| text.split(';').next()).unwrap_or_default();
        let (said, promised) = (said.trim().to_owned(), header(CONTENT_DIGEST).map(str::to_owned));
        let url = response.url().clone();
        let Some(bytes) = whole(from, response, MANIFEST_LIMIT).await? else {
            return Err(invalid(format!("its manifest is larger than {MANIFEST_LIMIT} bytes")));
        };
        if let Some(page) = from.page(&what, &url, &bytes) {
            return Err(page);
        }
        let digest = Digest::of(&bytes);
        let expected = Some(name.to_owned()).filter(|name| name.contains(':')).or(promised);
        if let Some(expected) = expected.filter(|expected| expected.starts_with("sha256:"))
            && expected != digest.to_string()
        {
            let expected = brief(&expected);
            return Err(RegistryError::Digest { reference, expected, found: digest.to_string() });
        }
        let media_type = document::own_type(&bytes, "the server", &said).map_err(invalid)?;
        if !media_type::is_index(&media_type) && !media_type::is_manifest(&media_type) {
            return Err(invalid(format!(
                "`{}` is not an image: Docker's schema 1 and artifacts are not read",
                layers::path::shown(media_type.as_bytes())
            )));
        }
        let store = self.inner.store.clone();
        let bytes = aside(move |_| store.put_blob(&bytes).map(|_| bytes)).await??;
        Ok((Descriptor { media_type, digest, size: bytes.len() as u64 }, bytes))
    }

    /// A blob, into the store unless it is there.
    pub async fn blob(&self, descriptor: &Descriptor) -> Result<(), RegistryError> {
        let store = &self.inner.store;
        if store.holds(descriptor) {
            return Ok(());
        }
        // Another build may be pulling the same one.
        let name = format!("pull-{}", descriptor.digest.hex());
        let mut wait = None;
        // Not waited for in the kernel, where a build that ends could not be told.
        let _lock = loop {
            match store.try_lock(&name)? {
                Some(lock) => break lock,
                None => {
                    let what = || format!("another pull of {} of {}", descriptor.digest, self.reference());
                    wait.get_or_insert_with(|| Wait::start(&self.inner.reporter, what()));
                    tokio::time::sleep(POLL).await;
                }
            }
        };
        drop(wait);
        if store.holds(descriptor) {
            return Ok(());
        }
        let name = format!("{} {}", self.reference(), &descriptor.digest.hex()[..12]);
        let transfer = Transfer::start(&self.inner.reporter, name, Some(descriptor.size));
        let sources = self.sources(true);
        let mut wrong = 0;
        let mut writer = Behind::new(store.blob_writer()?, 0, None);
        for (position, (at, source)) in sources.iter().enumerate() {
            let last = position + 1 == sources.len();
            loop {
                let done = match self.continued(&source.endpoint, descriptor, &mut writer, &transfer, last).await {
                    Ok(()) => {
                        let whole = std::mem::replace(&mut writer, Behind::new(store.blob_writer()?, 0, None));
                        self.committed(self.written(whole.finish().await, descriptor)?, descriptor).await
                    }
                    Err(error) => Err(error),
                };
                match done {
                    Ok(()) => return self.answered(*at, Ok(())),
                    // Pieces of an honest and of a damaged answer may have met: once more, from the start.
                    Err(RegistryError::Digest { .. }) if wrong + 1 < WRONG => {
                        wrong += 1;
                        transfer.take_back(descriptor.size);
                    }
                    Err(error) if last || error.is_of_this_machine() => return Err(error),
                    Err(error) => {
                        self.passed_over(source, &error);
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// A blob that is read whole, such as a config: the length that its manifest names says whether it is small.
    pub async fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, RegistryError> {
        let Descriptor { digest, size, .. } = descriptor;
        if *size > DOCUMENT_LIMIT {
            let message = format!("{digest} is to be read whole, and has {size} bytes, more than {DOCUMENT_LIMIT}");
            return Err(RegistryError::Invalid { reference: self.reference().to_string(), message });
        }
        self.blob(descriptor).await?;
        Ok(self.inner.store.read_blob(digest, DOCUMENT_LIMIT)?)
    }

    /// Gives a blob its name, if it is what it should be.
    async fn committed(&self, writer: BlobWriter, descriptor: &Descriptor) -> Result<(), RegistryError> {
        let expected = (descriptor.digest, descriptor.size);
        match aside(move |_| writer.commit(Some(expected))).await? {
            Ok(_) => Ok(()),
            Err(StoreError::Mismatch { expected, found }) => {
                Err(RegistryError::Digest { reference: self.reference().to_string(), expected, found })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What is missing of a blob. As long as something comes, it is worth going on.
    async fn continued(
        &self,
        from: &Endpoint,
        descriptor: &Descriptor,
        writer: &mut Behind<BlobWriter>,
        transfer: &Transfer,
        patient: bool,
    ) -> Result<(), RegistryError> {
        let _permit = from.host.permit().await;
        let mut waiting = Waiting::new(&from.host, &self.inner.reporter, from.host.stall);
        loop {
            let before = writer.size();
            let Err(error) = self.part(from, descriptor, writer, transfer).await else {
                waiting.succeeded();
                return Ok(());
            };
            if writer.size() > before {
                waiting.renew();
            }
            if !error.is_temporary() || !patient || !waiting.outlasts(&error).await {
                return Err(error);
            }
        }
    }

    async fn part(
        &self,
        from: &Endpoint,
        descriptor: &Descriptor,
        writer: &mut Behind<BlobWriter>,
        transfer: &Transfer,
    ) -> Result<(), RegistryError> {
        let url = format!("{}/blobs/{}", from.base, descriptor.digest);
        let what = format!("pull {} of {}", descriptor.digest, self.reference());
        let start = writer.size();
        // The last one sent all, and more.
        if start > 0 && start == descriptor.size {
            return Ok(());
        }
        let ask = async |start: u64| {
            let response = from.send(&what, |client| {
                // The digest is that of the bytes as they lie there.
                let request = client.get(&url).header(ACCEPT_ENCODING, "identity");
                if start == 0 { request } else { request.header(RANGE, format!("bytes={start}-")) }
            });
            response.await
        };
        let mut response = ask(start).await?;
        // One that sends no such part may send all of it.
        let other_part = response.status() == StatusCode::PARTIAL_CONTENT && begins_at(&response) != Some(start);
        if start > 0 && (other_part || response.status() == StatusCode::RANGE_NOT_SATISFIABLE) {
            response = ask(0).await?;
        }
        // A page in the place of a blob is nothing to go on with.
        let kind = response.headers().get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
        let other = response.content_length() != Some(descriptor.size);
        if response.status() == StatusCode::OK && kind.starts_with(b"text/html") && other {
            return Err(from.failure(&what, response).await);
        }
        let mut skip = match response.status() {
            StatusCode::PARTIAL_CONTENT if begins_at(&response) == Some(start) => 0,
            StatusCode::OK => start,
            StatusCode::PARTIAL_CONTENT => {
                let message = "it sends another part of the blob than the one it was asked for".to_owned();
                return Err(RegistryError::Connection { registry: from.named(), at: None, message });
            }
            _ => return Err(from.failure(&what, response).await),
        };
        let mut pace = Pace::new(from.host.stall);
        loop {
            let chunk = response.chunk().await.map_err(|error| from.connection(&error));
            let Some(chunk) = self.short(chunk, descriptor, writer)? else { break };
            if !pace.keeps(chunk.len()) {
                return Err(RegistryError::Stalled { registry: from.authority.registry.clone() });
            }
            let skipped = skip.min(chunk.len() as u64);
            skip -= skipped;
            let fresh = &chunk[usize::try_from(skipped).unwrap_or(chunk.len())..];
            if writer.size().saturating_add(fresh.len() as u64) > descriptor.size {
                let message = format!("{} is longer than {} bytes", descriptor.digest, descriptor.size);
                return Err(RegistryError::Invalid { reference: self.reference().to_string(), message });
            }
            self.written(writer.write(fresh).await, descriptor)?;
            transfer.add(fresh.len() as u64);
        }
        self.short(Ok(None::<()>), descriptor, writer).map(drop)
    }

    /// What became of bytes that were to be written.
    fn written<T>(&self, done: Result<io::Result<T>, Ended>, blob: &Descriptor) -> Result<T, RegistryError> {
        let path = self.inner.store.root();
        let failed = |source| StoreError::Io {
            what: "write a blob to",
            path: path.to_owned(),
            source: layers::disk::told_with(source, path, Some(blob.size)),
        };
        Ok(done?.map_err(failed)?)
    }

    /// That a connection ended says less than how much is missing.
    fn short<T>(
        &self,
        piece: Result<Option<T>, RegistryError>,
        descriptor: &Descriptor,
        writer: &Behind<BlobWriter>,
    ) -> Result<Option<T>, RegistryError> {
        let (digest, done, size) = (descriptor.digest, writer.size(), descriptor.size);
        match piece {
            Ok(None) | Err(RegistryError::Connection { .. }) if done < size => {
                Err(RegistryError::Short { reference: self.reference().to_string(), digest, done, size })
            }
            piece => piece,
        }
    }
}

/// A body; `None` if it is longer than `limit` bytes.
pub(super) async fn whole(from: &Endpoint, response: Response, limit: u64) -> Result<Option<Vec<u8>>, RegistryError> {
    match small(response, limit, from.host.stall).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(Unread::Larger) => Ok(None),
        Err(Unread::Slow) => Err(RegistryError::Stalled { registry: from.authority.registry.clone() }),
        Err(Unread::Failed(error)) => Err(from.connection(&error)),
    }
}

/// The first byte of a part (RFC 9110, 14.4).
fn begins_at(response: &Response) -> Option<u64> {
    let range = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}
