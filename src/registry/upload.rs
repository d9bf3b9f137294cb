//! One blob on its way into the registry (distribution-spec 1.1, "Pushing blobs"): whole where it is small, else as a
//! stream that goes on where it broke off, or in chunks where the registry wants them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use layers::media_type::Descriptor;
use layers::store::StoreError;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LOCATION};
use reqwest::{Body, RequestBuilder, Response, StatusCode};
use url::Url;

use super::manner::{Manner, Request, Step, is_html, received};
use super::pull::CONTENT_DIGEST;
use super::push::{Presence, header};
use super::scope::Scope;
use super::waiting::{Waiting, stalled};
use super::{Client, Pushed, RegistryError};
use crate::fetch::{Temporary, Transfer};
use crate::tasks::aside;

/// Larger blobs are worth going on with.
const LARGE: u64 = 32 << 20;
/// What is sent at once where a registry does not take all.
const CHUNK: u64 = 16 << 20;
/// Smaller ones than this no registry asks for.
const SMALLEST: u64 = 16 << 10;
/// What is sent within any time limit.
const SOON: u64 = 1 << 20;
const PIECE: u64 = 256 << 10;
/// The least that a chunk may hold.
const MIN_LENGTH: &str = "oci-chunk-min-length";

/// An upload that the registry knows of.
struct Session {
    location: Url,
    /// Bytes that the registry has.
    offset: u64,
}

/// A blob on its way.
pub(super) struct Upload<'a> {
    client: &'a Client,
    blob: &'a Descriptor,
    what: String,
    file: Arc<File>,
    transfer: Arc<Transfer>,
    manner: Manner,
    /// Whether that is the other manner than at first.
    turned: bool,
    /// What was asked for last.
    step: Step,
    /// Why it is sent in another manner than before.
    refused: Option<RegistryError>,
    /// The fewest bytes that were too many at once.
    too_large: Option<u64>,
    session: Option<Session>,
    /// Bytes that are shown as sent, up to the last word of the registry.
    settled: u64,
    /// Bytes that went since.
    moved: Arc<AtomicU64>,
}

impl<'a> Upload<'a> {
    pub(super) fn new(client: &'a Client, blob: &'a Descriptor) -> Result<Self, RegistryError> {
        let file = Arc::new(client.inner.store.open_blob(&blob.digest)?);
        if !client.inner.store.holds(blob) {
            return Err(StoreError::Missing(blob.digest).into());
        }
        let name = format!("{} {}", client.reference(), &blob.digest.hex()[..12]);
        Ok(Self {
            what: format!("push {} to {}", blob.digest, client.reference()),
            transfer: Transfer::start(&client.inner.reporter, name, Some(blob.size)),
            manner: if blob.size > LARGE { Manner::Stream } else { Manner::Whole },
            turned: false,
            step: Step::default(),
            refused: None,
            too_large: None,
            session: None,
            settled: 0,
            moved: Arc::default(),
            client,
            blob,
            file,
        })
    }

    /// Sends it, as often as it takes, and in the other manner where the registry does not take it in one.
    pub(super) async fn run(mut self) -> Result<Pushed, RegistryError> {
        let (host, reporter) = (&self.client.inner.origin.host, &self.client.inner.reporter);
        let mut waiting = Waiting::new(host, reporter, host.stall);
        let mut reached = 0;
        loop {
            let Err(error) = self.attempt().await else {
                waiting.succeeded();
                return Ok(Pushed::Sent);
            };
            let refused = self.step.is_refused(&error);
            if matches!(error, RegistryError::TooLarge { .. }) && self.smaller() {
                self.refused = Some(error);
                self.forget();
                continue;
            }
            if refused && !std::mem::replace(&mut self.turned, true) {
                self.manner = self.manner.other();
                self.refused.get_or_insert(error);
                self.forget();
                continue;
            }
            if !error.is_temporary() {
                return Err(self.cause(error, refused).await);
            }
            let offset = self.session.as_ref().map_or(0, |session| session.offset);
            if offset > reached {
                // An upload that gets on does not run out of attempts.
                reached = offset;
                waiting.renew();
            }
            if !waiting.outlasts(&error).await {
                return Err(self.cause(error, refused).await);
            }
            self.find_again(&error).await;
            // It may be that only the answer was lost.
            if self.session.is_none() && self.client.has_blob(&self.blob.digest).await? {
                return Ok(Pushed::Sent);
            }
        }
    }

    /// The error that is told: that the blob was damaged here, if it was, since nobody could have taken that; and where
    /// no manner is left, why the first one was `refused`.
    async fn cause(&mut self, error: RegistryError, refused: bool) -> RegistryError {
        if let Err(damaged) = self.verify().await {
            return damaged;
        }
        let mut error = if refused { self.refused.take().unwrap_or(error) } else { error };
        if let RegistryError::TooLarge { smallest, .. } = &mut error {
            *smallest = self.too_large;
        }
        error
    }

    /// From where the registry is to the end.
    async fn attempt(&mut self) -> Result<(), RegistryError> {
        if self.session.is_none() {
            self.begin().await?;
        }
        let most = match self.manner {
            Manner::Whole => 0,
            Manner::Stream => self.blob.size,
            Manner::Chunks(size) => size,
        };
        while let Some(session) = &self.session
            && most > 0
            && session.offset < self.blob.size
        {
            let (start, length) = (session.offset, most.min(self.blob.size - session.offset));
            self.chunk(start, length).await?;
        }
        self.close().await
    }

    fn location(&self) -> Result<&Session, RegistryError> {
        self.session.as_ref().ok_or_else(|| self.lost())
    }

    fn lost(&self) -> RegistryError {
        RegistryError::UploadLost { registry: self.client.reference().registry.clone(), what: self.what.clone() }
    }

    /// There is no such upload, or nothing that takes it in this way.
    fn missing(&mut self) -> RegistryError {
        self.step.misses();
        self.lost()
    }

    /// An error for `length` bytes that the registry did not take.
    async fn not_taken(&mut self, length: u64, response: Response) -> RegistryError {
        if response.status() == StatusCode::PAYLOAD_TOO_LARGE && length > 0 {
            self.too_large = Some(self.too_large.map_or(length, |least| least.min(length)));
        }
        self.client.failure(&self.what, response).await
    }

    fn invalid(&self, message: &str) -> RegistryError {
        RegistryError::Invalid { reference: self.client.reference().to_string(), message: message.to_owned() }
    }

    /// Where to go on, if the registry says so; may be relative to where the answer is from.
    fn next(&self, response: &Response) -> Result<Option<Url>, RegistryError> {
        let location = header(response, LOCATION.as_str()).and_then(|text| response.url().join(text).ok());
        let Some(location) = location.map(|location| self.client.inner.origin.host.secured(location)) else {
            return Ok(None);
        };
        if response.url().scheme() == "https" && location.scheme() != "https" {
            return Err(self.invalid("the registry wants it sent by http, where anybody can read it"));
        }
        Ok(Some(location))
    }

    /// Asks where to send it.
    async fn begin(&mut self) -> Result<(), RegistryError> {
        let base = format!("{}/blobs/uploads/", self.client.inner.base);
        self.step.is(Request::Post);
        let response = self.client.send(&self.what, |client| client.post(&base).header(CONTENT_LENGTH, 0)).await?;
        // What it answers matters little: the end proves all.
        if !response.status().is_success() {
            return Err(self.client.failure(&self.what, response).await);
        }
        let least: Option<u64> = header(&response, MIN_LENGTH).and_then(|text| text.parse().ok());
        if let Some(least) = least.filter(|_| self.manner == Manner::Stream) {
            self.manner = Manner::Chunks(least.max(CHUNK));
        }
        let Some(location) = self.next(&response)? else {
            return Err(match is_html(&response) {
                true => self.client.failure(&self.what, response).await,
                false => self.invalid("the registry does not say where to upload to"),
            });
        };
        self.session = Some(Session { location, offset: 0 });
        Ok(())
    }

    /// Sends bytes of the middle.
    async fn chunk(&mut self, start: u64, length: u64) -> Result<(), RegistryError> {
        let (location, end) = (self.location()?.location.clone(), start + length);
        let range = format!("{start}-{}", end - 1);
        self.step.is(Request::Patch);
        let response = self.send(start, length, |client| client.patch(location.clone()).header(CONTENT_RANGE, &range));
        let response = response.await?;
        match response.status() {
            // A page, in whose place nothing was taken.
            StatusCode::OK if is_html(&response) => return Err(self.client.failure(&self.what, response).await),
            StatusCode::ACCEPTED | StatusCode::NO_CONTENT | StatusCode::CREATED | StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(self.missing()),
            StatusCode::RANGE_NOT_SATISFIABLE => return Err(self.lost()),
            _ => return Err(self.not_taken(length, response).await),
        }
        self.step.went_well();
        let has = received(&response).unwrap_or(end);
        if has <= start || has > end {
            return Err(self.lost());
        }
        let location = self.next(&response)?.unwrap_or(location);
        self.session = Some(Session { location, offset: has });
        self.settle(has);
        Ok(())
    }

    /// Sends what is left, and says what it all is.
    async fn close(&mut self) -> Result<(), RegistryError> {
        let session = self.location()?;
        let (mut location, offset) = (session.location.clone(), session.offset);
        location.query_pairs_mut().append_pair("digest", &self.blob.digest.to_string());
        let length = self.blob.size - offset;
        self.step.is(if length > 0 { Request::Put } else { Request::End });
        let response = self.send(offset, length, |client| client.put(location.clone())).await?;
        match response.status() {
            StatusCode::CREATED => self.client.keeps_what_was_sent(&response, &self.blob.digest),
            StatusCode::OK | StatusCode::ACCEPTED | StatusCode::NO_CONTENT => {
                self.client.keeps_what_was_sent(&response, &self.blob.digest)?;
                let there = match header(&response, CONTENT_DIGEST) {
                    Some(_) => Presence::There,
                    None => self.client.presence(&self.blob.digest, Some(self.blob.size)).await?,
                };
                // None of them says that it is kept.
                if there == Presence::There { Ok(()) } else { Err(self.client.failure(&self.what, response).await) }
            }
            StatusCode::NOT_FOUND => Err(self.missing()),
            StatusCode::RANGE_NOT_SATISFIABLE => Err(self.lost()),
            status => {
                let error = self.not_taken(length, response).await;
                let damaged = error.status().is_some() && error.to_string().contains("DIGEST_INVALID");
                if status != StatusCode::BAD_REQUEST || !damaged {
                    return Err(error);
                }
                // Sent once more if it is what it should be here.
                self.verify().await?;
                Err(RegistryError::Damaged {
                    registry: self.client.reference().registry.clone(),
                    what: self.what.clone(),
                })
            }
        }
    }

    /// After a failure: what the registry has, or a new start where it does not say.
    async fn find_again(&mut self, error: &RegistryError) {
        let known = self.session.take().filter(|_| self.manner != Manner::Whole);
        // One that was answered has come to its end.
        let known = known.filter(|_| !matches!(error, RegistryError::Damaged { .. }));
        if let Some(session) = known
            && let Ok(response) = self.client.send(&self.what, |client| client.get(session.location.clone())).await
            && response.status() == StatusCode::NO_CONTENT
            && let Some(offset) = received(&response).filter(|offset| *offset <= self.blob.size)
            && let Ok(location) = self.next(&response)
        {
            let location = location.unwrap_or(session.location);
            self.session = Some(Session { location, offset });
        }
        self.settle(self.session.as_ref().map_or(0, |session| session.offset));
    }

    /// Sends `length` bytes of the blob from `start` on with what `make` makes.
    async fn send(
        &self,
        start: u64,
        length: u64,
        make: impl Fn(&reqwest::Client) -> RequestBuilder,
    ) -> Result<Response, RegistryError> {
        let origin = &self.client.inner.origin;
        let client = if length > SOON { origin.host.uploads().await? } else { origin.host.client().await? };
        let make = |client: &reqwest::Client| {
            // Once more after a new token: what went before counts no longer.
            self.transfer.take_back(self.moved.swap(0, Ordering::Relaxed));
            let request = make(client).header(CONTENT_TYPE, "application/octet-stream").header(CONTENT_LENGTH, length);
            if length == 0 { request } else { request.body(self.body(start, length)) }
        };
        let need = Scope::push(&origin.repository);
        tokio::select! {
            response = origin.send_for(&need, &self.what, client, make) => response,
            () = stalled(&self.moved, origin.host.stall) => {
                Err(RegistryError::Stalled { registry: self.client.reference().registry.clone() })
            }
        }
    }

    /// Bytes of the file, piece by piece as the connection takes them.
    fn body(&self, start: u64, length: u64) -> Body {
        let (moved, transfer) = (Arc::clone(&self.moved), Arc::clone(&self.transfer));
        let first = (Arc::clone(&self.file), start, length);
        let stream = futures_util::stream::try_unfold(first, move |(file, at, left)| {
            let (moved, transfer) = (Arc::clone(&moved), Arc::clone(&transfer));
            async move {
                if left == 0 {
                    return Ok::<_, io::Error>(None);
                }
                let read = aside(move |_| {
                    let mut piece = vec![0; usize::try_from(PIECE.min(left)).unwrap_or_default()];
                    file.read_exact_at(&mut piece, at).map(|()| (piece, file))
                });
                let (piece, file) = read.await.map_err(io::Error::other)??;
                let length = piece.len() as u64;
                moved.fetch_add(length, Ordering::Relaxed);
                transfer.add(length);
                Ok(Some((piece, (file, at + length, left - length))))
            }
        });
        Body::wrap_stream(stream)
    }

    /// The registry has this much.
    fn settle(&mut self, offset: u64) {
        let shown = self.settled + self.moved.swap(0, Ordering::Relaxed);
        if shown > offset {
            self.transfer.take_back(shown - offset);
        } else {
            self.transfer.add(offset - shown);
        }
        self.settled = offset;
    }

    /// An error if the blob is not what its name says.
    async fn verify(&self) -> Result<(), RegistryError> {
        let (store, digest) = (self.client.inner.store.clone(), self.blob.digest);
        let checked = aside(move |_| store.check_blob(&digest)).await;
        checked.map_err(|error| RegistryError::Connection {
            registry: self.client.reference().registry.clone(),
            at: None,
            message: error.to_string(),
        })??;
        Ok(())
    }

    fn forget(&mut self) {
        self.session = None;
        self.settle(0);
    }

    /// Less at once. False where that makes no sense any more.
    fn smaller(&mut self) -> bool {
        let size = match self.manner {
            Manner::Whole | Manner::Stream => CHUNK.min(self.blob.size / 2),
            Manner::Chunks(size) => size / 2,
        };
        self.manner = Manner::Chunks(size);
        size >= SMALLEST
    }
}
