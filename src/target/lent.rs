//! What the machine lends to a sandbox and no layer ever holds: resolver, CA bundle, proxies, package caches.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::sandbox::Bind;

/// Where lent files appear; below `/run`, which is not part of a layer.
pub const PLACE: &str = "/run/alloy";

/// Where distributions keep the bundle of trusted certificates.
const CA_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Variables by which the programs of a build find that bundle.
const CA_VARIABLES: [&str; 7] = [
    "CARGO_HTTP_CAINFO",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
];

/// Variables handed on as they are: how this site reaches the network.
const HANDED_ON: [&str; 7] =
    ["http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"];

/// Loans of this machine, as a value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lent {
    /// Variables for every command.
    pub env: BTreeMap<String, String>,
    /// Files and directories for every command.
    pub binds: Vec<Bind>,
}

impl Lent {
    /// Looks at the machine; `var` reads the environment.
    pub fn by_this_machine(var: impl Fn(&str) -> Option<String>) -> Self {
        let mut lent = Self::default();
        for name in HANDED_ON {
            for name in [name.to_owned(), name.to_uppercase()] {
                if let Some(value) = var(&name).filter(|value| !value.is_empty()) {
                    lent.env.insert(name, value);
                }
            }
        }
        for file in ["/etc/resolv.conf", "/etc/hosts"] {
            if Path::new(file).exists() {
                lent.lend(file, file);
            }
        }
        let bundle = var("SSL_CERT_FILE").into_iter().chain(CA_BUNDLES.map(str::to_owned));
        if let Some(bundle) = bundle.map(PathBuf::from).find(|path| path.is_file()) {
            let target = format!("{PLACE}/ca-certificates.crt");
            lent.env.extend(CA_VARIABLES.map(|name| (name.to_owned(), target.clone())));
            lent.lend(bundle, target);
        }
        lent
    }

    fn lend(&mut self, source: impl Into<PathBuf>, target: impl Into<PathBuf>) {
        self.binds.push(Bind { source: source.into(), target: target.into(), read_only: true });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_handed_on_and_nothing_else() {
        let lent = Lent::by_this_machine(|name| match name {
            "https_proxy" => Some("http://proxy.example.com:3128".into()),
            "NO_PROXY" => Some("localhost".into()),
            "HOME" => Some("/home/ann".into()),
            _ => None,
        });
        assert_eq!(lent.env["https_proxy"], "http://proxy.example.com:3128");
        assert_eq!(lent.env["NO_PROXY"], "localhost");
        assert!(!lent.env.contains_key("HOME"));
    }

    #[test]
    fn a_named_bundle_comes_before_the_usual_places() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        let lent = Lent::by_this_machine(|name| (name == "SSL_CERT_FILE").then(|| path.clone()));
        let target = PathBuf::from(format!("{PLACE}/ca-certificates.crt"));
        let bind = lent.binds.iter().find(|bind| bind.target == target).unwrap();
        assert_eq!(bind.source, file.path());
        assert_eq!(lent.env["SSL_CERT_FILE"], target.to_str().unwrap());
    }
}
