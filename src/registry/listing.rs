//! Lists that registries send page by page: how they go on, and when they have gone on for long enough.

use std::borrow::Cow;
use std::collections::BTreeSet;

use reqwest::Response;
use reqwest::header::LINK;
use url::Url;

use super::reason::brief;

/// More names than these nobody reads.
const MOST: usize = 100_000;
/// What the names may have together, in bytes.
const BYTES: usize = 16 << 20;
/// Parts in which they may come: some registries send a hundred at a time.
const PAGES: usize = 2000;

/// The pages of a list that were asked for.
#[derive(Debug)]
pub(super) struct Trail(BTreeSet<String>);

impl Trail {
    /// Of a list that begins at `first`.
    pub(super) fn from(first: &str) -> Self {
        Self(BTreeSet::from([first.to_owned()]))
    }

    /// The list goes on at `next`. An error if it was there before: a list in a circle has no end, and what is behind it
    /// is not known.
    pub(super) fn leads_to(&mut self, next: &Url) -> Result<(), String> {
        match self.0.insert(next.to_string()) {
            true => Ok(()),
            false => Err(format!("it goes in a circle: {} comes once more", brief(next.as_str()))),
        }
    }
}

/// What came of a list so far.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) names: Vec<String>,
    bytes: usize,
    pages: usize,
}

impl Listing {
    /// One more page; `more` if the registry says that it is not the last. An error says what is too much, or that the
    /// registry goes in circles: what it would list behind them is not known.
    pub(super) fn add(&mut self, page: Vec<String>, more: bool) -> Result<(), String> {
        let circle = more && self.pages > 0 && page.last() == self.names.last();
        self.pages += 1;
        self.bytes = page.iter().fold(self.bytes, |sum, name| sum.saturating_add(name.len()));
        self.names.extend(page);
        match () {
            () if self.names.len() > MOST => Err(format!("there are more than {MOST} names")),
            () if self.bytes > BYTES => Err(format!("the names have more than {BYTES} bytes")),
            () if self.pages > PAGES => Err(format!("there are more than {PAGES} pages")),
            () if circle => Err("the next page is the same again".to_owned()),
            () => Ok(()),
        }
    }
}

/// The next page that an answer of `url` tells of: `Link: <URL>; rel="next"` (RFC 8288). An error says why it cannot be
/// asked for: what comes without it is not the whole list.
pub(super) fn next_page(url: &str, response: &Response) -> Result<Option<Url>, String> {
    following(url, response.headers().get_all(LINK).iter().map(|value| String::from_utf8_lossy(value.as_bytes())))
}

pub(super) fn following<'a>(url: &str, headers: impl Iterator<Item = Cow<'a, str>>) -> Result<Option<Url>, String> {
    let url = Url::parse(url).map_err(|error| error.to_string())?;
    for header in headers {
        if let Some(target) = next_of(&header)? {
            return at_home(&url, &target).map(Some);
        }
    }
    Ok(None)
}

/// The target of the link of a header that leads to what is next.
fn next_of(header: &str) -> Result<Option<String>, String> {
    let unreadable = || format!("it names its next page in a way that cannot be read: {}", brief(header));
    let mut rest = header.trim_matches([' ', '\t', ',']);
    while !rest.is_empty() {
        let link = rest.strip_prefix('<').and_then(|rest| rest.split_once('>'));
        let Some((target, behind)) = link else {
            // What speaks of no next page takes nothing away.
            return if rest.to_ascii_lowercase().contains("next") { Err(unreadable()) } else { Ok(None) };
        };
        let (relations, left) = relations(behind);
        if relations.split_ascii_whitespace().any(|relation| relation.eq_ignore_ascii_case("next")) {
            return Ok(Some(target.trim().to_owned()));
        }
        rest = left.trim_start_matches([' ', '\t', ',']);
    }
    Ok(None)
}

/// The relations among the parameters of a link, and what follows it: `; rel="first next"; title="x", <...`.
fn relations(text: &str) -> (String, &str) {
    let (mut relations, mut rest) = (None, text.trim_start());
    while let Some(parameter) = rest.strip_prefix(';') {
        let end = parameter.find(['=', ';', ',']).unwrap_or(parameter.len());
        let name = parameter[..end].trim();
        rest = &parameter[end..];
        let mut value = String::new();
        if let Some(given) = rest.strip_prefix('=') {
            (value, rest) = quoted(given.trim_start());
        }
        if name.eq_ignore_ascii_case("rel") {
            // Of several, the first counts (RFC 8288, 3.3).
            relations.get_or_insert(value);
        }
        rest = rest.trim_start();
    }
    (relations.unwrap_or_default(), rest)
}

/// A value, in quotes or not, and what follows it.
fn quoted(text: &str) -> (String, &str) {
    let Some(inside) = text.strip_prefix('"') else {
        let end = text.find([';', ',']).unwrap_or(text.len());
        return (text[..end].trim().to_owned(), &text[end..]);
    };
    let (mut value, mut escaped) = (String::new(), false);
    for (at, c) in inside.char_indices() {
        match c {
            '"' if !escaped => return (value, &inside[at + 1..]),
            '\\' if !escaped => escaped = true,
            _ => {
                value.push(c);
                escaped = false;
            }
        }
    }
    (value, "")
}

/// `target` as it is asked for: at the server of `url`, whatever a proxy between us and the registry makes of its name.
/// Nobody else is told who we are.
fn at_home(url: &Url, target: &str) -> Result<Url, String> {
    let next = url.join(target).map_err(|error| format!("its next page, {}, is no URL: {error}", brief(target)))?;
    if next.origin() == url.origin() {
        return Ok(next);
    }
    if !next.path().starts_with("/v2/") {
        let target = brief(target);
        return Err(format!("its next page, {target}, is at another server, and at no place of a registry's"));
    }
    let mut home = url.clone();
    home.set_path(next.path());
    home.set_query(next.query());
    Ok(home)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_have_an_end() {
        let page =
            |from: usize, count: usize| (from..from + count).map(|number| number.to_string()).collect::<Vec<_>>();
        let mut listing = Listing::default();
        assert_eq!(listing.add(page(0, 1000), true), Ok(()));
        assert!(listing.add(page(500, 500), true).unwrap_err().contains("the same again"));
        let pages = (1..).map(|number| listing.add(page(number * 1000, 1000), true)).find(Result::is_err);
        assert!(pages.unwrap().unwrap_err().contains("100000 names"));
        let mut listing = Listing::default();
        let long = |number: usize| vec![number.to_string(), number.to_string() + &"x".repeat(1 << 20)];
        let long = (0..).map(|number| listing.add(long(number), true)).find(Result::is_err);
        assert!(long.unwrap().unwrap_err().contains("bytes"));
        // Two pages that name each other.
        let mut listing = Listing::default();
        let two = (0..).map(|number| listing.add(page(number % 2, 1), true)).find(Result::is_err);
        assert!(two.unwrap().unwrap_err().contains("pages"));
        // The last page may be one that was there, and the first may be empty.
        let mut listing = Listing::default();
        for (names, more) in [(page(0, 0), true), (page(0, 2), true), (page(1, 1), false)] {
            assert_eq!(listing.add(names, more), Ok(()));
        }
    }

    #[test]
    fn a_page_that_comes_once_more_is_a_circle() {
        let page = |number: usize| Url::parse(&format!("https://r.example/v2/a/tags/list?last={number}")).unwrap();
        let mut trail = Trail::from(page(0).as_str());
        assert_eq!([1, 2].map(|number| trail.leads_to(&page(number))), [Ok(()), Ok(())]);
        for number in [0, 1, 2] {
            assert!(trail.leads_to(&page(number)).unwrap_err().contains("goes in a circle"));
        }
        assert_eq!(trail.leads_to(&page(3)), Ok(()));
    }

    const URL: &str = "https://r.example/v2/a/tags/list?n=4";

    fn next(headers: &[&str]) -> Result<Option<String>, String> {
        let found = following(URL, headers.iter().map(|text| Cow::Borrowed(*text)));
        found.map(|next| next.map(String::from))
    }

    #[test]
    fn a_next_page_is_found_however_it_is_written() {
        let expected = Ok(Some("https://r.example/v2/a/tags/list?n=1&last=b,c".to_owned()));
        for headers in [
            &["</v2/a/tags/list?n=1&last=b,c>; rel=\"next\""][..],
            &["</v2/a/tags/list?n=1&last=b,c>; rel=next"],
            &["</v2/a/tags/list?n=1&last=b,c>;REL = \"prev Next\""],
            &["<?n=1&last=b,c>; rel=\"next\""],
            &["</v2/a>; rel=\"first\", </v2/a/tags/list?n=1&last=b,c>; rel=\"next\""],
            &["</v2/a>; title=\"a, b; rel=next\"; rel=\"first\", </v2/a/tags/list?n=1&last=b,c>; rel=\"next\""],
            &["</v2/a>; rel=\"first\"", "</v2/a/tags/list?n=1&last=b,c>; rel=\"next\""],
            &["</v2/a/tags/list?n=1&last=b,c>; crossorigin; rel=\"next\"; rel=\"prev\""],
            // Behind a proxy, registries take themselves for somebody else.
            &["<http://r.example/v2/a/tags/list?n=1&last=b,c>; rel=\"next\""],
            &["<https://inner.example:5000/v2/a/tags/list?n=1&last=b,c>; rel=\"next\""],
            &["<//inner.example/v2/a/tags/list?n=1&last=b,c>; rel=\"next\""],
        ] {
            assert_eq!(next(headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn what_leads_nowhere_else_is_the_last_page() {
        for header in
            ["</v2/a>; rel=\"prev\"", "</v2/a>; rel=\"nextish\"", "</v2/a>", "nonsense", "", "</v2/a>; title=next"]
        {
            assert_eq!(next(&[header]), Ok(None), "{header}");
        }
        assert_eq!(next(&[]), Ok(None));
    }

    #[test]
    fn a_next_page_that_cannot_be_asked_for_is_no_end() {
        for header in [
            "<https://evil.example/x>; rel=\"next\"",
            "<https://r.example:9/x>; rel=\"next\"",
            "<https://[/v2/x>; rel=\"next\"",
            "/v2/a/tags/list?n=1; rel=\"next\"",
            "</v2/a; rel=\"next\"",
            "<data:,/v2/>; rel=\"next\"",
        ] {
            assert!(next(&[header]).is_err(), "{header}");
        }
    }
}
