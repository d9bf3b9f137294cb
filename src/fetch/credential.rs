//! Who this user is to servers of downloads: headers for those servers that the user names, whatever a blueprint says.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use url::{Host, Url};

use super::netrc::Machine;

/// What the client says itself; another word would change what is asked, or where a request ends.
const MANAGED: [&str; 15] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "if-range",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// A server, as a user names it: `HOST`, `HOST:PORT`, and either with `https://` or `http://`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Server {
    /// The scheme, where it is said.
    scheme: Option<String>,
    host: String,
    /// The port, where it is not that of the scheme.
    port: Option<u16>,
}

impl Server {
    fn read(text: &str) -> Option<Self> {
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme @ ("http" | "https"), rest)) => (Some(scheme.to_owned()), rest),
            Some(_) => return None,
            None => (None, text),
        };
        let plain = !rest.contains(['/', '?', '#', '@', '\\', '*']) && !rest.contains(char::is_whitespace);
        let url = Url::parse(&format!("{}://{rest}/", scheme.as_deref().unwrap_or("https"))).ok().filter(|_| plain)?;
        Some(Self { scheme, host: url.host_str()?.to_owned(), port: url.port() })
    }

    /// True if what is for this server may be sent with a request for `url`: without a scheme, by TLS, or to a server
    /// of this machine.
    fn fits(&self, url: &Url) -> bool {
        let port = self.port.or(if url.scheme() == "http" { Some(80) } else { Some(443) });
        let scheme = match &self.scheme {
            Some(scheme) => scheme == url.scheme(),
            None => is_private(url),
        };
        scheme && url.host_str() == Some(&self.host) && url.port_or_known_default() == port
    }

    /// Why what is for this server, by its name that of `url`, is not sent with a request for that; `None` if it is, or if
    /// the servers have other names.
    fn differs(&self, url: &Url) -> Option<String> {
        if url.host_str() != Some(&self.host) || self.fits(url) {
            return None;
        }
        let is_http = url.scheme() == "http";
        Some(match (&self.scheme, self.port) {
            (Some(scheme), _) if scheme != url.scheme() => format!("is for {scheme}"),
            (None, port) if !is_private(url) && port.unwrap_or(80) == url.port().unwrap_or(80) => {
                "is not sent by http, where others may read it".to_owned()
            }
            (_, Some(port)) => format!("is for port {port}"),
            (Some(_), None) => format!("is for port {}, that of {}", if is_http { 80 } else { 443 }, url.scheme()),
            (None, None) => "is for the usual ports, 443 of https and 80 of http".to_owned(),
        })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.scheme.as_ref().map_or_else(String::new, |scheme| format!("{scheme}://"));
        let port = self.port.map_or_else(String::new, |port| format!(":{port}"));
        write!(f, "{scheme}{}{port}", self.host)
    }
}

/// The server of `url`, as a user names it for a header.
pub(super) fn server(url: &Url) -> String {
    let scheme = Some("http".to_owned()).filter(|http| url.scheme() == http && !is_private(url));
    let host = url.host_str().unwrap_or("HOST").to_owned();
    Server { scheme, host, port: url.port() }.to_string()
}

/// True if nobody on the way reads what a request for `url` says.
fn is_private(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || url.scheme() == "http" && loopback
}

/// A header for one server. It is secret: nothing shows its value.
#[derive(Clone, Debug)]
pub struct Header {
    server: Server,
    /// The path that begins those of all requests that it is sent with, where it is not for the whole server.
    below: Option<String>,
    name: HeaderName,
    value: HeaderValue,
}

impl Header {
    /// The header `name` with `value` for `server`. An error says what is wrong, and never the value.
    pub fn new(server: &str, name: &str, value: &str) -> Result<Self, String> {
        let server = Server::read(server)
            .ok_or_else(|| format!("`{server}` is no server: write HOST, HOST:PORT or http://HOST"))?;
        let lower = name.to_ascii_lowercase();
        if MANAGED.contains(&lower.as_str()) {
            return Err(format!("alloy says `{name}` itself: another value would change what a request asks for"));
        }
        let known = HeaderName::from_bytes(lower.as_bytes());
        let name = known.map_err(|_| format!("`{name}` cannot be the name of a header"))?;
        let mut value = HeaderValue::from_str(value.trim())
            .ok()
            .filter(|value| !value.is_empty())
            .ok_or_else(|| format!("the value of `{name}` is empty, or holds what no header can hold"))?;
        value.set_sensitive(true);
        Ok(Self { server, below: None, name, value })
    }

    /// The `Authorization` of whatever lies below `url`, as the configuration of another tool has it; `None` for what is no
    /// URL or cannot be sent.
    pub fn below(url: &str, value: &str) -> Option<Self> {
        let url = Url::parse(url).ok()?;
        let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
        let server = format!("{}://{}{port}", url.scheme(), url.host_str()?);
        let header = Self::new(&server, AUTHORIZATION.as_str(), value).ok()?;
        Some(Self { below: Some(format!("{}/", url.path().trim_end_matches('/'))), ..header })
    }

    fn fits(&self, url: &Url) -> bool {
        self.server.fits(url) && self.below.as_ref().is_none_or(|below| url.path().starts_with(below.as_str()))
    }

    /// `HOST: NAME: value`, where the value may name variables.
    pub fn read(text: &str, var: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let form = || "a header is `HOST: NAME: value`, with a space behind the first colon".to_owned();
        let (server, rest) = text.trim().split_once(": ").ok_or_else(form)?;
        let (name, value) = rest.split_once(':').ok_or_else(form)?;
        Self::new(server.trim(), name.trim(), &expanded(value.trim(), var)?)
    }

    /// What must not be shown: the value, and what stands behind a word such as `Bearer`.
    fn secrets(&self) -> Vec<String> {
        let value = self.value.to_str().unwrap_or_default();
        let behind = value.split_once(' ').map(|(_, rest)| rest.trim());
        let known = self.name == ACCEPT;
        [Some(value), behind].into_iter().flatten().filter(|_| !known).map(str::to_owned).collect()
    }
}

/// `text` with the values of `$NAME` and `${NAME}`; `$$` is a dollar. An error names the variable, never the text.
pub fn expanded(text: &str, var: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (name, end) = match after.strip_prefix('{') {
            Some(braced) => braced.split_once('}').ok_or("a `${` in the value is not closed")?,
            None => after.split_at(after.find(|c| !is_name(c)).unwrap_or(after.len())),
        };
        if name.is_empty() || !name.chars().all(is_name) {
            return Err("a `$` in the value names no variable; `$$` is a dollar".to_owned());
        }
        let value = var(name).filter(|value| !value.is_empty());
        out.push_str(&value.ok_or_else(|| format!("the variable `{name}` is not set"))?);
        rest = end;
    }
    Ok(out + rest)
}

/// All that a user says of servers: earlier headers count before later ones of the same name, and all of them before
/// a netrc file.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    headers: Vec<Header>,
    machines: Vec<Machine>,
    missing: Vec<Missing>,
}

/// A header whose value nobody has given, such as that of a token which only jobs of CI have.
#[derive(Clone, Debug)]
pub struct Missing {
    server: Server,
    why: String,
}

impl Missing {
    /// For a server; `why` it has no value.
    pub fn new(server: &str, why: String) -> Option<Self> {
        Some(Self { server: Server::read(server)?, why })
    }
}

impl Credentials {
    /// Of headers and the machines of a netrc file.
    pub fn new(headers: Vec<Header>, machines: Vec<Machine>) -> Self {
        Self { headers, machines, missing: Vec::new() }
    }

    /// The same, and headers that have no value.
    #[must_use]
    pub fn without(self, missing: Vec<Missing>) -> Self {
        Self { missing, ..self }
    }

    /// Why a header for the server of `url` cannot be sent.
    pub(super) fn missing(&self, url: &str) -> Option<&str> {
        let url = Url::parse(url).ok()?;
        self.missing.iter().find(|missing| missing.server.fits(&url)).map(|missing| missing.why.as_str())
    }

    /// What keeps a header for the host of `url` from being sent with a request for that, where none is sent.
    pub(super) fn near(&self, url: &Url) -> Option<String> {
        let headers = || self.headers.iter().filter(|header| header.name != ACCEPT && header.below.is_none());
        let own = !url.username().is_empty() || url.password().is_some();
        if own || self.headers.iter().any(|header| header.name != ACCEPT && header.fits(url)) {
            return None;
        }
        let found = headers().find_map(|header| Some((header, header.server.differs(url)?)));
        let server = server(url);
        let Some((header, why)) = found else {
            let machine = self.machine(url).filter(|_| !is_private(url))?;
            return Some(format!(
                "`machine {}` of the netrc file is not told by http, where others may read it: name the file by https, or \
                 say so yourself with a header, `{server}: Authorization: Basic …`",
                machine.name
            ));
        };
        let (name, of) = (&header.name, &header.server);
        Some(format!("the header `{name}` for {of} {why}: for this URL write `{server}: {name}: …`"))
    }

    /// What the netrc file has for the host of `url`.
    fn machine(&self, url: &Url) -> Option<&Machine> {
        let host = url.host_str().unwrap_or_default();
        self.machines.iter().find(|machine| machine.name.eq_ignore_ascii_case(host))
    }

    /// What must not be shown.
    pub fn secrets(&self) -> Vec<String> {
        let machines = self.machines.iter().flat_map(|machine| [machine.password.clone(), basic(machine)]);
        self.headers.iter().flat_map(Header::secrets).chain(machines).filter(|secret| !secret.is_empty()).collect()
    }

    /// Headers of a request for `url`. Its own user and password count before them.
    pub(super) fn of(&self, url: &Url) -> HeaderMap {
        let mut out = HeaderMap::new();
        let own = !url.username().is_empty() || url.password().is_some();
        for header in self.headers.iter().filter(|header| header.fits(url)) {
            let said = out.contains_key(&header.name) || own && header.name == AUTHORIZATION;
            if !said {
                out.insert(header.name.clone(), header.value.clone());
            }
        }
        let said = own || out.keys().any(|name| name != ACCEPT);
        if let Some(machine) = self.machine(url).filter(|_| !said && is_private(url))
            && let Ok(mut value) = HeaderValue::from_str(&format!("Basic {}", basic(machine)))
        {
            value.set_sensitive(true);
            out.insert(AUTHORIZATION, value);
        }
        out
    }
}

fn basic(machine: &Machine) -> String {
    STANDARD.encode(format!("{}:{}", machine.login, machine.password))
}

#[cfg(test)]
mod tests;
