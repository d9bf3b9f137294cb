//! Lists that registries send page by page: how they go on, and when they have gone on for long enough.

use reqwest::Response;
use reqwest::header::LINK;
use url::Url;

/// More names than these nobody reads.
const MOST: usize = 100_000;
/// What the names may have together, in bytes.
const BYTES: usize = 16 << 20;
/// Parts in which they may come: some registries send a hundred at a time.
const PAGES: usize = 2000;

/// What came of a list so far.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) names: Vec<String>,
    bytes: usize,
    pages: usize,
}

impl Listing {
    /// One more page. False if the registry goes in circles: it is not followed. An error says how much is too much.
    pub(super) fn add(&mut self, page: Vec<String>) -> Result<bool, String> {
        let fresh = page.last() != self.names.last();
        self.pages += 1;
        self.bytes = page.iter().fold(self.bytes, |sum, name| sum.saturating_add(name.len()));
        self.names.extend(page);
        match () {
            () if self.names.len() > MOST => Err(format!("there are more than {MOST} names")),
            () if self.bytes > BYTES => Err(format!("the names have more than {BYTES} bytes")),
            () if self.pages > PAGES => Err(format!("there are more than {PAGES} pages")),
            () => Ok(fresh),
        }
    }
}

/// The next page that an answer of `url` tells of: `Link: <URL>; rel="next"` (RFC 8288), of the same server.
pub(super) fn next_page(url: &str, response: &Response) -> Option<Url> {
    following(url, response.headers().get(LINK)?.to_str().ok()?)
}

pub(super) fn following(url: &str, link: &str) -> Option<Url> {
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let url = Url::parse(url).ok()?;
    let next = url.join(target).ok()?;
    (parameters.contains("next") && next.origin() == url.origin()).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_have_an_end() {
        let page =
            |from: usize, count: usize| (from..from + count).map(|number| number.to_string()).collect::<Vec<_>>();
        let mut listing = Listing::default();
        assert_eq!(listing.add(page(0, 1000)), Ok(true));
        assert_eq!(listing.add(page(500, 500)), Ok(false));
        let pages = (1..).map(|number| listing.add(page(number * 1000, 1000))).find(Result::is_err);
        assert!(pages.unwrap().unwrap_err().contains("100000 names"));
        let mut listing = Listing::default();
        let long = (0..).map(|number| listing.add(vec![number.to_string(), "x".repeat(1 << 20)])).find(Result::is_err);
        assert!(long.unwrap().unwrap_err().contains("bytes"));
        // Two pages that name each other, or empty ones.
        let mut listing = Listing::default();
        let empty = (0..).map(|number| listing.add(page(number % 2, 1))).find(Result::is_err);
        assert!(empty.unwrap().unwrap_err().contains("pages"));
    }

    #[test]
    fn the_next_page_is_of_the_same_server() {
        let url = "https://r.example/v2/a/tags/list";
        let link = |target: &str| following(url, &format!("<{target}>; rel=\"next\""));
        assert_eq!(link("/v2/a/tags/list?n=1").unwrap().as_str(), "https://r.example/v2/a/tags/list?n=1");
        assert_eq!(link("https://evil.example/x"), None);
        assert_eq!(following(url, "</v2/a>; rel=\"prev\""), None);
        assert_eq!(following(url, "nonsense"), None);
    }
}
