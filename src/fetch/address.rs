//! URLs: as they are asked for, and as they are shown.

use url::Url;

use super::error::FetchError;
use crate::op::{Secrets, passwords_of, percent_encoded, without_userinfo};

/// A URL without `user:password@`.
pub fn without_credentials(url: &str) -> String {
    // What no URL can hold, an author may have written.
    let url = &without_userinfo(url, true);
    match Url::parse(url) {
        Ok(mut parsed) if !parsed.username().is_empty() || parsed.password().is_some() => {
            let cleared = parsed.set_username("").and_then(|()| parsed.set_password(None));
            if cleared.is_ok() { parsed.to_string() } else { "a URL with credentials".to_owned() }
        }
        _ => url.to_owned(),
    }
}

/// `url` as it may be shown: markers of secrets, their values and credentials are masked.
pub fn shown(url: &str, secrets: &Secrets) -> String {
    without_credentials(&secrets.mask(url))
}

/// `url` with the values of secrets. In `user:password@` they are encoded, since a `/` or `@` of theirs would end it;
/// elsewhere they are parts of a URL already, but that no `#` may cut them off.
pub(super) fn revealed(url: &str, secrets: &Secrets) -> String {
    let authority = url.find("://").map_or(0, |at| at + 3);
    let end = url[authority..].find(['/', '?', '#']).map_or(url.len(), |at| authority + at);
    let credentials = url[authority..end].rfind('@').map_or(authority, |at| authority + at);
    let (before, after) = url.split_at(credentials);
    secrets.reveal_as(before, percent_encoded) + &secrets.reveal_as(after, |value| value.replace('#', "%23"))
}

/// The last part of a URL's path: what a transfer is called.
pub(super) fn file_name(shown: &str) -> &str {
    let path = shown.split(['?', '#']).next().unwrap_or(shown);
    path.rsplit('/').find(|part| !part.is_empty()).unwrap_or(shown)
}

const PROXIES: [&str; 6] = ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];

/// Proxies that the environment names, with the variable of each.
fn named(var: impl Fn(&str) -> Option<String>) -> impl Iterator<Item = (&'static str, String)> {
    let set = PROXIES.into_iter().filter_map(move |name| Some((name, var(name).filter(|value| !value.is_empty())?)));
    set.map(|(name, value)| (name, if value.contains("://") { value } else { format!("http://{value}") }))
}

/// Proxies that the environment names, as they may be shown.
pub(crate) fn proxies(var: impl Fn(&str) -> Option<String>) -> Vec<String> {
    named(var).map(|(name, url)| format!("{name} is {}", without_credentials(&url).trim_end_matches('/'))).collect()
}

/// An error if the environment names a proxy in a way that is not understood: the HTTP client would go without it, and
/// nobody would know.
pub(super) fn check_proxies(var: impl Fn(&str) -> Option<String>) -> Result<(), FetchError> {
    // What RFC 3986 has in no URI (2), and brackets, which stand around addresses only, are left to the parser.
    let allowed = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte);
    for (name, value) in named(var) {
        let url = Url::parse(&value).ok().filter(|url| url.has_host() && value.bytes().all(allowed));
        match url {
            Some(url) if ["http", "https"].contains(&url.scheme()) => {}
            Some(url) => return Err(FetchError::ProxyScheme { name, scheme: url.scheme().to_owned() }),
            None => return Err(FetchError::Proxy { name }),
        }
    }
    Ok(())
}

/// Passwords of the environment's proxies, as they stand there and as they are meant.
pub fn proxy_passwords(var: impl Fn(&str) -> Option<String>) -> Vec<String> {
    PROXIES.into_iter().filter_map(var).flat_map(|value| passwords_of(&value, true)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::marker;

    #[test]
    fn secrets_are_asked_for_and_never_shown() {
        let mut secrets = Secrets::default();
        secrets.insert("A_TOKEN", "p@ss/word#1");
        let token = marker("A_TOKEN");
        let url = format!("https://ann:{token}@a.example/x?t={token}");
        let asked = revealed(&url, &secrets);
        assert_eq!(asked, "https://ann:p%40ss%2Fword%231@a.example/x?t=p@ss/word%231");
        assert_eq!(Url::parse(&asked).unwrap().host_str(), Some("a.example"));
        assert_eq!(shown(&url, &secrets), "https://a.example/x?t=***");
        assert_eq!(revealed("https://a.example/x@y", &secrets), "https://a.example/x@y");
    }

    #[test]
    fn a_proxy_s_password_holds_what_it_likes() {
        for value in
            ["http://ann:pr=W0rd@p:1", "ann:W0rd@p:1", "W0rd@p:1", "http://ann:pr/W0rd@p:1", "http://ann:%41W0rd@p"]
        {
            let passwords = proxy_passwords(|name| (name == "all_proxy").then(|| value.to_owned()));
            assert!(passwords.iter().all(|password| password.ends_with("W0rd")) && !passwords.is_empty(), "{value}");
            let shown = proxies(|name| (name == "ALL_PROXY").then(|| value.to_owned()));
            assert!(!shown[0].contains("W0rd"), "{shown:?}");
        }
    }

    #[test]
    fn a_proxy_that_is_none_is_no_way_round_it() {
        let checked = |value: &str| check_proxies(|name| (name == "https_proxy").then(|| value.to_owned()));
        for right in
            ["p:1", "http://p", "https://ann:p%40ss@p.example:3128/", "ann:pass@10.0.0.1:8080", "http://[::1]:3128", ""]
        {
            checked(right).unwrap();
        }
        for wrong in ["http://", "http://p:port", "p:99999", "http://p p:1", "http://ann:pr/W0rd@p:1", "http:// p"] {
            let error = checked(wrong).unwrap_err().to_string();
            assert!(error.starts_with("https_proxy is not the URL of a proxy") && !error.contains("W0rd"), "{error}");
        }
        assert!(checked("socks5h://p:1").unwrap_err().to_string().contains("`socks5h`"));
    }

    #[test]
    fn names_of_files() {
        assert_eq!(file_name("https://a.example/b/c.tar.gz?d=/e"), "c.tar.gz");
        assert_eq!(file_name("https://a.example/b/"), "b");
    }

    #[test]
    fn proxies_without_their_passwords() {
        let shown = proxies(|name| match name {
            "http_proxy" => Some("http://ann:secret@proxy.example:3128".into()),
            "HTTPS_PROXY" => Some("ann:secret@proxy.example:3129".into()),
            _ => None,
        });
        assert_eq!(shown, ["http_proxy is http://proxy.example:3128", "HTTPS_PROXY is http://proxy.example:3129"]);
    }
}
