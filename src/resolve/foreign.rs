//! Layers that their authors do not want in registries: an image names them by URLs, and may not have them.

use layers::media_type::Descriptor;
use layers::path::shown;
use layers::store::Store;
use url::Url;

use super::{ResolveError, Resolver, Result};
use crate::cache::elsewhere;
use crate::fetch::{Download, Fetcher};
use crate::image::{self, Files, Image};

/// URLs of a layer that are tried.
const MOST_URLS: usize = 8;

impl Resolver<'_> {
    /// Brings foreign layers of `image`, which is called `what`, that came without their blobs.
    pub(super) fn foreign(&self, what: &str, image: &Image) -> Result<()> {
        for (at, layer) in image.layers.iter().enumerate().filter(|(_, layer)| layer.foreign.is_some()) {
            let digest = layer.descriptor.digest;
            elsewhere::note_urls(self.store, &digest, layer.urls())?;
            if self.store.holds(&layer.descriptor) {
                continue;
            }
            let fetched = from_urls(self.fetcher(), self.store, &layer.descriptor, layer.urls());
            self.runtime().block_on(fetched).map_err(|reason| {
                let (what, number, count) = (what.to_owned(), at + 1, image.layers.len());
                ResolveError::Foreign { what, number, count, digest, reason }
            })?;
        }
        Ok(())
    }
}

/// Brings a blob into the store from the first of `urls` that has it. What went wrong is said of each.
pub async fn from_urls(
    fetcher: &Fetcher,
    store: &Store,
    blob: &Descriptor,
    urls: &[String],
) -> std::result::Result<(), String> {
    let mut wrong = Vec::new();
    for url in urls.iter().take(MOST_URLS) {
        let Some(address) = address(url) else {
            wrong.push(format!("{}: only http and https are asked", shown(url.as_bytes())));
            continue;
        };
        let (sha256, size) = (Some(blob.digest), Some(blob.size));
        let download = Download { url: address.clone(), sha256, size, part_of: None };
        if let Err(error) = fetcher.fetch(&download).await {
            let error = error.to_string();
            let named = error.contains(&address);
            wrong.push(if named { error } else { format!("{address}: {error}") });
            continue;
        }
        let (store, path, blob) = (store.clone(), fetcher.path(&blob.digest), blob.clone());
        let copied = crate::tasks::aside(move |stop| image::copy_blob(&store, Files::default(), &path, &blob, stop));
        return match copied.await {
            Ok(done) => done.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
    }
    if wrong.is_empty() {
        wrong.push("no URL says where it is".to_owned());
    }
    Err(wrong.join("; "))
}

/// What is asked for: whoever made the image wrote it, so that nothing but an address may stand in it.
fn address(url: &str) -> Option<String> {
    let url = Url::parse(url).ok().filter(|_| !url.contains(char::is_control))?;
    let plain = ["http", "https"].contains(&url.scheme()) && url.username().is_empty() && url.password().is_none();
    plain.then(|| url.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_addresses_are_asked() {
        assert_eq!(address("https://a.example/l?x=1").unwrap(), "https://a.example/l?x=1");
        for bad in [
            "ftp://a.example/l",
            "file:///etc/passwd",
            "/l",
            "https://a.example/\0secret:TOKEN\0",
            "https://u:p@a.example/",
        ] {
            assert_eq!(address(bad), None, "{bad:?}");
        }
    }
}
