//! Which servers `no_proxy` keeps from the environment's proxies, in the forms that Go's `httpproxy` documents: names with
//! what is below them, `.NAME` and `*.NAME` for that alone, addresses and their ranges, each with a port if it is for that
//! port alone, and `*`.

use std::net::IpAddr;

use reqwest::Proxy;
use url::{Host, Url};

/// What `no_proxy` says.
#[derive(Debug, Default)]
pub(super) struct Bypass {
    everything: bool,
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    which: Which,
    /// For this port alone.
    port: Option<u16>,
}

#[derive(Debug)]
enum Which {
    /// The leading bits of addresses.
    Range(IpAddr, u8),
    /// What ends so, behind a dot; `itself` if the name is meant, too.
    Name { name: String, itself: bool },
}

impl Bypass {
    /// Of a list, with commas or spaces between.
    pub(super) fn parse(text: &str) -> Self {
        let parts = || text.split([',', ' ', '\t']).filter(|part| !part.is_empty());
        Self { everything: parts().any(|part| part == "*"), rules: parts().filter_map(rule).collect() }
    }

    /// True if the server of `url` is asked without a proxy.
    pub(super) fn covers(&self, url: &Url) -> bool {
        let Some(host) = url.host() else { return false };
        let port = url.port_or_known_default();
        let of_port = |rule: &&Rule| rule.port.is_none() || rule.port == port;
        self.everything || self.rules.iter().filter(of_port).any(|rule| rule.which.is(&host))
    }
}

/// The environment's proxies, for what `no_proxy` does not keep from them. The client of HTTP has a `no_proxy` of its own,
/// which knows fewer forms.
pub(super) fn proxy(var: impl Fn(&str) -> Option<String>) -> Option<Proxy> {
    let set = |names: [&str; 2]| names.into_iter().find_map(|name| var(name).filter(|value| !value.is_empty()));
    let url = |names| {
        let value = set(names)?;
        let value = if value.contains("://") { value } else { format!("http://{value}") };
        Url::parse(&value).ok()
    };
    // In a CGI script it may be a header of whoever asks.
    let http = url(["HTTP_PROXY", "http_proxy"]).filter(|_| var("REQUEST_METHOD").is_none());
    let (https, all) = (url(["HTTPS_PROXY", "https_proxy"]), url(["ALL_PROXY", "all_proxy"]));
    if http.is_none() && https.is_none() && all.is_none() {
        return None;
    }
    let bypass = Bypass::parse(&set(["NO_PROXY", "no_proxy"]).unwrap_or_default());
    Some(Proxy::custom(move |asked| {
        let own = if asked.scheme() == "https" { &https } else { &http };
        own.as_ref().or(all.as_ref()).filter(|_| !bypass.covers(asked)).cloned()
    }))
}

fn rule(part: &str) -> Option<Rule> {
    if let Some(which) = range(part) {
        return Some(Rule { which, port: None });
    }
    // An address of IPv6 has colons of its own, and brackets where a port follows.
    let (name, port) = match part.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, Some(port.parse().ok()?)),
        _ => (part, None),
    };
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    if let Some(which) = range(name) {
        return Some(Rule { which, port });
    }
    let below = name.strip_prefix("*.").or(name.strip_prefix('.'));
    let written = below.unwrap_or(name).trim_end_matches('.');
    let name = Host::parse(written).map_or_else(|_| written.to_ascii_lowercase(), |host| host.to_string());
    (!name.is_empty()).then_some(Rule { which: Which::Name { name, itself: below.is_none() }, port })
}

/// One address, or as many as begin with the same bits.
fn range(text: &str) -> Option<Which> {
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let address: IpAddr = address.parse().ok()?;
    let all = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(all), |bits| bits.parse().ok())?;
    (bits <= all).then_some(Which::Range(address, bits))
}

impl Which {
    fn is(&self, host: &Host<&str>) -> bool {
        let address = match host {
            Host::Ipv4(address) => IpAddr::V4(*address),
            Host::Ipv6(address) => IpAddr::V6(*address),
            Host::Domain(domain) => {
                let Self::Name { name, itself } = self else { return false };
                let rest = domain.trim_end_matches('.').strip_suffix(name.as_str());
                return rest.is_some_and(|rest| rest.ends_with('.') || *itself && rest.is_empty());
            }
        };
        match (self, address) {
            (Self::Range(IpAddr::V4(range), bits), IpAddr::V4(address)) => {
                let differs = u32::from(*range) ^ u32::from(address);
                differs.leading_zeros() >= u32::from(*bits)
            }
            (Self::Range(IpAddr::V6(range), bits), IpAddr::V6(address)) => {
                let differs = u128::from(*range) ^ u128::from(address);
                differs.leading_zeros() >= u32::from(*bits)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for (list, covered, others) in [
            (
                "reg.test",
                &["http://reg.test/", "https://a.reg.test:5000/", "http://REG.test./"][..],
                &["http://xreg.test/"][..],
            ),
            ("*.test", &["http://reg.test/", "http://a.reg.test/"], &["http://test/", "http://regtest/"]),
            (".test", &["http://reg.test/"], &["http://test/", "http://x.tests/"]),
            ("reg.test:5000", &["http://reg.test:5000/"], &["http://reg.test/", "http://reg.test:5001/"]),
            (".test:443", &["https://reg.test/"], &["http://reg.test/"]),
            ("10.0.0.1", &["http://10.0.0.1:80/"], &["http://10.0.0.2/", "http://x.10.0.0.test/"]),
            ("10.0.0.1:81", &["http://10.0.0.1:81/"], &["http://10.0.0.1/"]),
            ("10.0.0.0/8,x", &["http://10.255.0.1/", "http://x/"], &["http://11.0.0.1/", "http://[::1]/"]),
            ("0.0.0.0/0", &["http://10.255.0.1/"], &["http://[::1]/", "http://a.test/"]),
            ("::1", &["http://[::1]:5000/"], &["http://[::2]/"]),
            ("[::1]", &["http://[::1]:5000/"], &["http://[::2]/"]),
            ("[::1]:5000", &["http://[::1]:5000/"], &["http://[::1]/"]),
            ("fd00::/8", &["http://[fdff::1]/"], &["http://[fc00::1]/"]),
            ("bücher.test", &["http://bücher.test/", "http://a.xn--bcher-kva.test/"], &[]),
            ("*", &["http://a/", "https://[::1]/", "http://10.0.0.1/"], &[]),
            (" a.test , b.test c.test", &["http://a.test/", "http://b.test/", "http://c.test/"], &["http://d.test/"]),
            ("", &[], &["http://a/"]),
            ("a.test:x,10.0.0.0/33,:80,.,/", &[], &["http://a.test/", "http://10.0.0.0/", "http://b/"]),
        ] {
            let bypass = Bypass::parse(list);
            for url in covered {
                assert!(bypass.covers(&Url::parse(url).unwrap()), "{list}: {url}");
            }
            for url in others {
                assert!(!bypass.covers(&Url::parse(url).unwrap()), "{list}: {url}");
            }
        }
    }
}
