//! One download into the store: by one process at a time, from where the last attempt stopped.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use layers::digest::{Digest, Hasher};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_RANGE, ETAG, IF_RANGE, LAST_MODIFIED, RANGE};
use serde::{Deserialize, Serialize};

use super::client::{checked, connection};
use super::{Download, FetchError, Fetched, Fetcher, RECORDS, Transfer, retry};

/// What the server said of a file that is on its way (RFC 9110, 8.8).
#[derive(Debug, Default, Serialize, Deserialize)]
struct Validator {
    etag: Option<String>,
    last_modified: Option<String>,
}

/// One attempt's view of the files.
struct Job<'a> {
    fetcher: &'a Fetcher,
    url: String,
    shown: String,
    part: PathBuf,
    validator: PathBuf,
    download: &'a Download,
    transfer: Arc<Transfer>,
}

pub(super) async fn run(fetcher: &Fetcher, download: &Download) -> Result<Fetched, FetchError> {
    let store = fetcher.inner.store.clone();
    let key = Digest::of(&download.url).hex();
    let name = format!("fetch-{key}");
    // Another process may need a while for the same file.
    let locked = tokio::task::spawn_blocking(move || store.lock(&name)).await;
    let _lock = locked.map_err(|error| FetchError::Transport(error.to_string()))??;
    if let Some(digest) = download.sha256.filter(|digest| fetcher.have(digest)) {
        let size = fetcher.path(&digest).metadata().map(|m| m.len()).unwrap_or_default();
        return Ok(Fetched { digest, size });
    }
    let shown = fetcher.shown(&download.url);
    let short = shown.split(['?', '#']).next().and_then(|url| url.rsplit('/').find(|part| !part.is_empty()));
    let transfer = download
        .part_of
        .clone()
        .unwrap_or_else(|| Transfer::start(fetcher.reporter(), short.unwrap_or(&shown).to_owned(), download.size));
    let place = fetcher.inner.store.downloads();
    let job = Job {
        fetcher,
        url: fetcher.inner.secrets.reveal(&download.url),
        shown,
        part: place.join(format!("{key}.part")),
        validator: place.join(format!("{key}.validator")),
        download,
        transfer,
    };
    let fetched = if job.url.starts_with("file:") { job.copy() } else { job.repeated().await }?;
    let bytes = serde_json::to_vec(&fetched).unwrap_or_default();
    fetcher.inner.store.put_record(RECORDS, &key, &bytes)?;
    Ok(fetched)
}

impl Job<'_> {
    fn failed(&self) -> impl Fn(io::Error) -> FetchError + '_ {
        |source| FetchError::Write { url: self.shown.clone(), source }
    }

    fn copy(&self) -> Result<Fetched, FetchError> {
        if !self.fetcher.inner.allow_file_urls {
            let reason = "`file:` URLs are only read with --allow-file-urls";
            return Err(FetchError::Refused { url: self.shown.clone(), reason });
        }
        let path = url::Url::parse(&self.url).ok().and_then(|url| url.to_file_path().ok());
        let path = path.ok_or(FetchError::Refused { url: self.shown.clone(), reason: "not a path of this machine" })?;
        let mut source = File::open(path).map_err(self.failed())?;
        let mut out = Output::create(&self.part).map_err(self.failed())?;
        io::copy(&mut source, &mut out).map_err(self.failed())?;
        self.finish(out)
    }

    async fn repeated(&self) -> Result<Fetched, FetchError> {
        let result = retry(|| self.attempt()).await;
        match result {
            // Pieces of two different files may have met: once more from the start.
            Err(FetchError::Digest { .. } | FetchError::Size { .. })
                if self.part.with_extension("resumed").exists() =>
            {
                let _ = fs::remove_file(self.part.with_extension("resumed"));
                retry(|| self.attempt()).await
            }
            other => other,
        }
    }

    async fn attempt(&self) -> Result<Fetched, FetchError> {
        let transport = self.fetcher.transport().await?;
        let mut out = Output::resume(&self.part).map_err(self.failed())?;
        let validator = self.read_validator();
        let condition = validator.etag.filter(|etag| !etag.starts_with("W/")).or(validator.last_modified);
        // Without a validator only a known digest can tell that the pieces belong together.
        if out.size > 0 && condition.is_none() && self.download.sha256.is_none() {
            out.restart().map_err(self.failed())?;
        }
        let mut request = transport.client().get(&self.url);
        if out.size > 0 {
            request = request.header(RANGE, format!("bytes={}-", out.size));
            if let Some(condition) = condition {
                request = request.header(IF_RANGE, condition);
            }
        }
        let mut response = checked(&self.shown, request.send().await)?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let range = header(CONTENT_RANGE).unwrap_or_default();
        let continued = response.status() == StatusCode::PARTIAL_CONTENT
            && range.strip_prefix("bytes ").and_then(|range| range.split('-').next()?.parse().ok()) == Some(out.size);
        let complete = response.status() == StatusCode::RANGE_NOT_SATISFIABLE
            && range.strip_prefix("bytes */").and_then(|size| size.parse().ok()) == Some(out.size);
        if complete {
            return self.finish(out);
        }
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            out.restart().map_err(self.failed())?;
            let message = "the server does not continue this file".to_owned();
            return Err(FetchError::Connection { url: self.shown.clone(), message });
        }
        let validator = Validator { etag: header(ETAG), last_modified: header(LAST_MODIFIED) };
        if continued {
            let _ = File::create(self.part.with_extension("resumed"));
        } else {
            out.restart().map_err(self.failed())?;
            let _ = fs::write(&self.validator, serde_json::to_vec(&validator).unwrap_or_default());
        }
        let before = out.size;
        self.transfer.add(before);
        let expected = response.content_length().map(|length| length + before);
        let result = self.body(&mut response, &mut out).await;
        let result = result.and_then(|()| match expected {
            Some(expected) if expected != out.size => {
                Err(FetchError::Size { url: self.shown.clone(), expected, found: out.size })
            }
            _ => Ok(()),
        });
        match result {
            Ok(()) => self.finish(out),
            Err(error) => {
                self.transfer.take_back(out.size);
                Err(error)
            }
        }
    }

    async fn body(&self, response: &mut reqwest::Response, out: &mut Output) -> Result<(), FetchError> {
        while let Some(piece) = response.chunk().await.map_err(|error| connection(&self.shown, &error))? {
            out.write_all(&piece).map_err(self.failed())?;
            self.transfer.add(piece.len() as u64);
        }
        Ok(())
    }

    fn read_validator(&self) -> Validator {
        fs::read(&self.validator).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// Checks what came, and gives it its name.
    fn finish(&self, out: Output) -> Result<Fetched, FetchError> {
        let (found, size) = (out.hasher.finish(), out.size);
        let clean = || {
            for path in [&self.part, &self.validator] {
                let _ = fs::remove_file(path);
            }
        };
        if let Some(expected) = self.download.sha256.filter(|expected| *expected != found) {
            clean();
            return Err(FetchError::Digest { url: self.shown.clone(), expected, found });
        }
        if let Some(expected) = self.download.size.filter(|expected| *expected != size) {
            clean();
            return Err(FetchError::Size { url: self.shown.clone(), expected, found: size });
        }
        out.file.sync_data().map_err(self.failed())?;
        fs::rename(&self.part, self.fetcher.path(&found)).map_err(self.failed())?;
        clean();
        let _ = fs::remove_file(self.part.with_extension("resumed"));
        Ok(Fetched { digest: found, size })
    }
}

/// A file that is hashed while it grows.
struct Output {
    file: File,
    hasher: Hasher,
    size: u64,
}

impl Output {
    fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::create(path)?, hasher: Hasher::new(), size: 0 })
    }

    fn resume(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut hasher = Hasher::new();
        let mut buffer = vec![0; 256 << 10];
        let mut size = 0;
        loop {
            let length = file.read(&mut buffer)?;
            if length == 0 {
                break;
            }
            hasher.update(&buffer[..length]);
            size += length as u64;
        }
        Ok(Self { file, hasher, size })
    }

    fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.hasher = Hasher::new();
        self.size = 0;
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let length = self.file.write(buf)?;
        self.hasher.update(&buf[..length]);
        self.size += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
