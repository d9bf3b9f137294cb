//! One download into the store: by one process at a time, from where the last attempt stopped.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use layers::digest::Digest;
use layers::stop::Stop;
use layers::store::{Lock, Store};
use layers::unpack::{Looks, is_whole};
use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_RANGE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_RANGE, LAST_MODIFIED, RANGE,
    TRANSFER_ENCODING,
};
use reqwest::{Response, StatusCode, Version};

use super::client::connection;
use super::pace::Pace;
use super::part::{Part, Place, Validator};
use super::retry::{Patience, Temporary};
use super::unlike::unlike_its_name;
use super::witness::Witnessed;
use super::{Download, FetchError, Fetched, Fetcher, RECORDS, Transfer, address};
use crate::event::{Event, Wait};
use crate::json;
use crate::tasks::{Behind, Held, aside, aside_holding};

/// How often one looks whether another download of the same is done.
const POLL: Duration = Duration::from_millis(100);
/// How often in vain before it is told.
const UNTOLD: usize = 20;

/// One download under way.
struct Job<'a> {
    fetcher: &'a Fetcher,
    url: String,
    shown: String,
    place: Place,
    download: &'a Download,
    transfer: Arc<Transfer>,
    /// Pieces of several attempts are put together.
    resumed: AtomicBool,
    /// How far any attempt came, in bytes.
    reached: AtomicU64,
    /// Neither the server nor the file says where it ends: it may be the beginning of one.
    unproven: AtomicBool,
    /// Bytes that it has when it is whole, as far as that is known; else 0.
    whole: AtomicU64,
    /// Nobody else has the file as long as somebody holds these.
    locks: Arc<Locks>,
}

/// Those of the content, where its digest is known, and of the URL.
type Locks = (Option<Lock>, Lock);

pub(super) async fn run(fetcher: &Fetcher, download: &Download) -> Result<Fetched, FetchError> {
    let store = &fetcher.shared.store;
    let shown = fetcher.shown(&download.url);
    let key = Digest::of(&download.url).hex();
    // The same content under two URLs comes once, and so does the same URL with and without a digest. The URL's lock
    // is always the second, so that no two wait for each other.
    let content = match &download.sha256 {
        Some(digest) => Some(alone(fetcher, &format!("fetch-{}", digest.hex()), &shown).await?),
        None => None,
    };
    let before = fetcher.known(&download.url);
    let locks = Arc::new((content, alone(fetcher, &format!("fetch-{key}"), &shown).await?));
    // What somebody else has fetched meanwhile is as good as what would come now.
    let meanwhile = fetcher.known(&download.url).filter(|digest| download.sha256.is_none() && before != Some(*digest));
    if let Some(digest) = meanwhile.or(download.sha256)
        && !fetcher.doubts(download)
        && let Some(size) = fetcher.checked(&digest).await?
    {
        download.part_of.iter().for_each(|transfer| transfer.add(size));
        return Ok(Fetched { digest, size });
    }
    let _permit = fetcher.shared.permits.acquire().await;
    let name = address::file_name(&shown).to_owned();
    let transfer = download.part_of.clone();
    let transfer = transfer.unwrap_or_else(|| Transfer::start(fetcher.reporter(), name, download.size));
    let job = Job {
        fetcher,
        url: fetcher.asked(&download.url),
        shown,
        place: Place::new(&store.downloads(), &key),
        download,
        transfer,
        resumed: AtomicBool::new(false),
        reached: AtomicU64::new(0),
        unproven: AtomicBool::new(false),
        whole: AtomicU64::new(download.size.unwrap_or_default()),
        locks,
    };
    if let Some(why) = fetcher.shared.credentials.missing(&job.url) {
        fetcher.reporter().event(Event::Warning(format!("{} is asked for without a header: {why}", job.shown)));
    }
    let fetched = if job.url.starts_with("file:") { job.copy().await } else { job.repeated().await }?;
    if job.unproven.load(Ordering::Relaxed) {
        let told = "nothing says that it came whole: its server gives no length. It is asked for again each time";
        fetcher.reporter().event(Event::Warning(format!("{}: {told}; a `sha256` settles it", job.shown)));
        return Ok(fetched);
    }
    let bytes = json::bytes(&fetched);
    let (store, witnessed) = (store.clone(), Witnessed::new(&download.url, fetched.digest));
    aside_holding(job.held(), move |_| {
        store.put_record(RECORDS, &key, &bytes)?;
        witnessed.keep(&store)
    })
    .await??;
    Ok(fetched)
}

/// The lock `name`, once nobody else has it: another process may need a while for the same file. Not waited for in
/// the kernel, where a build that ends could not be told.
async fn alone(fetcher: &Fetcher, name: &str, shown: &str) -> Result<Lock, FetchError> {
    let store: &Store = &fetcher.shared.store;
    let (mut waited, mut wait) = (0, None);
    loop {
        if let Some(lock) = store.try_lock(name)? {
            return Ok(lock);
        }
        waited += 1;
        if waited == UNTOLD {
            fetcher.reporter().event(Event::Note(format!("waiting for another download of {shown}")));
            wait.get_or_insert_with(|| Wait::start(fetcher.reporter(), format!("another download of {shown}")));
        }
        tokio::time::sleep(POLL).await;
    }
}

impl Job<'_> {
    fn failed(&self) -> impl Fn(io::Error) -> FetchError + '_ {
        |source| {
            let whole = Some(self.whole.load(Ordering::Relaxed)).filter(|whole| *whole > 0);
            let source = layers::disk::told_with(source, &self.place.part, whole);
            FetchError::Write { url: self.shown.clone(), source }
        }
    }

    /// The locks, for who works aside.
    fn held(&self) -> Held {
        let locks: Arc<Locks> = Arc::clone(&self.locks);
        Some(locks)
    }

    /// Does `work` aside. The locks last until it is done, also where nobody waits for it any more: another process would
    /// take up the same file.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Stop) -> io::Result<T> + Send + 'static,
    ) -> Result<T, FetchError> {
        aside_holding(self.held(), work).await?.map_err(self.failed())
    }

    async fn copy(&self) -> Result<Fetched, FetchError> {
        if !self.fetcher.allow_file_urls {
            let reason = "`file:` URLs are only read with --allow-file-urls";
            return Err(FetchError::Refused { url: self.shown.clone(), reason });
        }
        let path = url::Url::parse(&self.url).ok().and_then(|url| url.to_file_path().ok());
        let path = path.ok_or(FetchError::Refused { url: self.shown.clone(), reason: "not a path of this machine" })?;
        let mut source = layers::regular::open(&path).map_err(self.failed())?;
        let mut out = Part::create(&self.place.part).map_err(self.failed())?;
        let copied = self.aside(move |stop| {
            io::copy(&mut stop.reader(&mut source), &mut out)?;
            Ok(out)
        });
        self.finish(copied.await?).await
    }

    async fn repeated(&self) -> Result<Fetched, FetchError> {
        let mut patience = Patience::new(self.fetcher.shared.stall);
        loop {
            let before = self.reached.load(Ordering::Relaxed);
            match self.attempt().await {
                // Pieces of two different files may have met: once more from the start.
                Err(FetchError::Digest { .. } | FetchError::Longer { .. })
                    if self.resumed.swap(false, Ordering::Relaxed) => {}
                Err(error) if error.is_temporary() => {
                    // A download that gets on does not run out of attempts.
                    if self.reached.load(Ordering::Relaxed) > before {
                        patience = Patience::new(self.fetcher.shared.stall);
                    }
                    if !patience.outlasts(&error).await {
                        return Err(error);
                    }
                }
                done => return done,
            }
        }
    }

    async fn attempt(&self) -> Result<Fetched, FetchError> {
        let path = self.place.part.clone();
        let mut out = self.aside(move |stop| Part::resume(&path, stop)).await?;
        let known = self.place.validator();
        // Without a validator only a known digest can tell that the pieces belong together.
        if out.size > 0 && known.condition().is_none() && self.download.sha256.is_none() {
            out.restart().map_err(self.failed())?;
        }
        // The digest is that of the bytes as they lie there.
        let mut headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("identity"))]);
        if out.size > 0 {
            headers.extend(HeaderValue::from_str(&format!("bytes={}-", out.size)).ok().map(|value| (RANGE, value)));
            let condition = known.condition().and_then(|condition| HeaderValue::from_str(condition).ok());
            headers.extend(condition.map(|value| (IF_RANGE, value)));
        }
        let mut response = self.fetcher.transport().await?.ask(&self.url, &self.shown, &headers).await?;
        let found = Validator { etag: header(&response, &ETAG), last_modified: header(&response, &LAST_MODIFIED) };
        let range = header(&response, &CONTENT_RANGE).unwrap_or_default();
        let same = !known.contradicts(&found);
        match response.status() {
            StatusCode::RANGE_NOT_SATISFIABLE if same && size_of(&range) == Some(out.size) => {
                return self.finish(out).await;
            }
            StatusCode::PARTIAL_CONTENT if same && start_of(&range) == Some(out.size) => {
                self.resumed.store(out.size > 0, Ordering::Relaxed);
            }
            StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::PARTIAL_CONTENT => {
                self.place.clear();
                let message = "the server goes on with another file than it began with".to_owned();
                return Err(FetchError::Connection { url: self.shown.clone(), message });
            }
            _ => {
                out.restart().map_err(self.failed())?;
                self.resumed.store(false, Ordering::Relaxed);
                self.place.remember(&found);
            }
        }
        self.transfer.add(out.size);
        let expected = response.content_length().map(|length| length.saturating_add(out.size));
        self.whole.store(expected.unwrap_or_default(), Ordering::Relaxed);
        let size = out.size;
        let open = expected.is_none() && ends_with_connection(&response);
        let mut behind = Behind::new(out, size, self.held());
        let result = self.body(&mut response, &mut behind).await;
        let reached = behind.size();
        let lost = |error| {
            self.transfer.take_back(reached);
            error
        };
        // What came is kept, however it ended. What cannot be written counts before a connection that broke as well.
        let out = match behind.finish().await {
            Ok(Ok(out)) => out,
            Ok(Err(error)) => return Err(lost(self.failed()(error))),
            Err(ended) => return Err(lost(result.err().unwrap_or_else(|| ended.into()))),
        };
        self.reached.fetch_max(out.size, Ordering::Relaxed);
        // That the connection ended is known in other words, which do not say how much is missing.
        let result = match (result, expected) {
            (Ok(()) | Err(FetchError::Connection { .. }), Some(expected)) if expected > out.size => {
                Err(FetchError::Size { url: self.shown.clone(), expected, found: out.size })
            }
            (result, _) => result,
        };
        match result {
            Ok(()) if open => {
                let proven = self.proven(out.size).await.inspect_err(|_| self.transfer.take_back(out.size))?;
                self.unproven.store(!proven, Ordering::Relaxed);
                self.finish(out).await
            }
            Ok(()) => self.finish(out).await,
            Err(error) => {
                self.transfer.take_back(out.size);
                Err(error)
            }
        }
    }

    async fn body(&self, response: &mut Response, out: &mut Behind<Part>) -> Result<(), FetchError> {
        let mut pace = Pace::new(self.fetcher.shared.stall);
        while let Some(piece) = response.chunk().await.map_err(|error| connection(&self.shown, &error))? {
            // What is longer than it may be is not what was asked for, however much there is of it.
            if self.download.size.is_some_and(|size| out.size().saturating_add(piece.len() as u64) > size) {
                self.place.clear();
                let (url, expected) = (self.shown.clone(), self.download.size.unwrap_or_default());
                return Err(FetchError::Longer { url, expected });
            }
            out.write(&piece).await?.map_err(self.failed())?;
            self.transfer.add(piece.len() as u64);
            if !pace.keeps(piece.len()) {
                return Err(FetchError::Stalled { url: self.shown.clone() });
            }
        }
        Ok(())
    }

    /// Whether what came by a connection that just ended, `size` bytes, is known to be all: by what it should be, or by
    /// what it says itself. What is cut is deleted.
    async fn proven(&self, size: u64) -> Result<bool, FetchError> {
        if self.download.sha256.is_some() || self.download.size.is_some() {
            return Ok(true);
        }
        let file = layers::regular::open(&self.place.part).map_err(self.failed())?;
        aside(move |stop| is_whole(file, stop)).await?.map_err(|error| {
            self.place.clear();
            FetchError::Cut { url: self.shown.clone(), found: size, message: error.to_string() }
        })
    }

    /// What came looks like, if it is no file as the URL names one.
    async fn unlike(&self) -> Option<Looks> {
        let (mut file, shown) = (layers::regular::open(&self.place.part).ok()?, self.shown.clone());
        aside(move |_| unlike_its_name(&shown, &mut file).ok().flatten()).await.ok().flatten()
    }

    /// Checks what came, and gives it its name.
    async fn finish(&self, out: Part) -> Result<Fetched, FetchError> {
        let (found, size) = (out.hasher.finish(), out.size);
        if let Some(expected) = self.download.sha256.filter(|expected| *expected != found) {
            let looks = self.unlike().await;
            self.place.clear();
            return Err(self.fetcher.other(self.download, expected, found, looks.map(|looks| (size, looks))));
        }
        if let Some(expected) = self.download.size.filter(|expected| *expected != size) {
            self.place.clear();
            return Err(FetchError::Size { url: self.shown.clone(), expected, found: size });
        }
        let (part, whole) = (self.place.part.clone(), self.fetcher.path(&found));
        self.aside(move |_| {
            out.file.sync_data()?;
            fs::rename(part, whole)
        })
        .await?;
        self.place.clear();
        self.fetcher.note_checked(found);
        Ok(Fetched { digest: found, size })
    }
}

/// True if the body has no other end than that of the connection, be it its last byte or a fault (RFC 9112, 6.3).
fn ends_with_connection(response: &Response) -> bool {
    let chunked = header(response, &TRANSFER_ENCODING).is_some_and(|how| how.to_ascii_lowercase().contains("chunked"));
    response.version() <= Version::HTTP_11 && !chunked
}

fn header(response: &Response, name: &HeaderName) -> Option<String> {
    response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// The first byte of a `Content-Range` (RFC 9110, 14.4).
fn start_of(range: &str) -> Option<u64> {
    range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

/// The file's length, of an unsatisfied `Content-Range`.
fn size_of(range: &str) -> Option<u64> {
    range.strip_prefix("bytes */")?.parse().ok()
}
