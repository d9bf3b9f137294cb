//! `[host[:port]/]name[:tag][@digest]`, with Docker's defaults for what is left out.

use std::fmt;
use std::str::FromStr;

use layers::digest::Digest;

/// The registry of references that name none, as Docker has it.
const DEFAULT_REGISTRY: &str = "docker.io";
/// Where that registry really answers.
const DEFAULT_REGISTRY_HOST: &str = "registry-1.docker.io";
const DEFAULT_TAG: &str = "latest";

/// An image in a registry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// Host, and port if it has one.
    pub registry: String,
    /// Name of the repository.
    pub repository: String,
    /// Tag; `latest` where neither tag nor digest is given.
    pub tag: Option<String>,
    /// Digest of the manifest or index.
    pub digest: Option<Digest>,
    /// The registry was named, not taken by default.
    explicit: bool,
}

/// Not a reference.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not an image reference: {reason}")]
pub struct ReferenceError {
    text: String,
    reason: &'static str,
}

impl Reference {
    /// The host that answers for the registry.
    pub fn host(&self) -> &str {
        if self.registry == DEFAULT_REGISTRY { DEFAULT_REGISTRY_HOST } else { &self.registry }
    }

    /// True for a registry on this machine, where http is as good as https.
    pub fn is_loopback(&self) -> bool {
        let host = match self.registry.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or(rest),
            None => self.registry.split(':').next().unwrap_or(&self.registry),
        };
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// What a manifest is asked for by: the digest, else the tag.
    pub fn manifest(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => DEFAULT_TAG.to_owned(),
        }
    }

    /// True if the author named the registry.
    pub fn names_registry(&self) -> bool {
        self.explicit
    }

    /// The repository alone.
    #[must_use]
    pub fn bare(&self) -> Self {
        Self { tag: None, digest: None, ..self.clone() }
    }

    /// The same image in another place.
    pub(super) fn moved(&self, registry: &str, repository: &str) -> Self {
        Self { registry: registry.to_owned(), repository: repository.to_owned(), ..self.clone() }
    }
}

/// OCI distribution-spec 1.1, "Pulling manifests": `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*` between slashes.
fn is_component(text: &str) -> bool {
    let separators = text.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
        && separators.filter(|s| !s.is_empty()).all(|s| matches!(s, "." | "_" | "__") || s.chars().all(|c| c == '-'))
}

fn is_tag(text: &str) -> bool {
    text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

fn is_host(text: &str) -> bool {
    let text = text.trim_start_matches('[');
    text.contains(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || ".-:]".contains(c))
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let error = |reason| ReferenceError { text: text.to_owned(), reason };
        if text.contains("://") {
            return Err(error("leave out the `scheme://`"));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                let digest =
                    digest.parse().map_err(|_| error("the digest must be `sha256:` and 64 hexadecimal digits"))?;
                (rest, Some(digest))
            }
            None => (text, None),
        };
        let (host, rest) = match rest.split_once('/') {
            Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (Some(host), rest),
            _ => (None, rest),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) => (name, Some(tag)),
            None => (rest, None),
        };
        if !tag.is_none_or(is_tag) {
            return Err(error("a tag has at most 128 letters, digits and `_.-`"));
        }
        if !host.is_none_or(is_host) {
            return Err(error("the registry's host is not one"));
        }
        if name.is_empty() || !name.split('/').all(is_component) {
            return Err(error("a name has lower-case letters, digits and single `.`, `_`, `-` between them"));
        }
        let registry = match host {
            None | Some("index.docker.io") => DEFAULT_REGISTRY,
            Some(host) => host,
        };
        let repository = match registry {
            DEFAULT_REGISTRY if !name.contains('/') => format!("library/{name}"),
            _ => name.to_owned(),
        };
        let tag = tag.map(str::to_owned).or_else(|| digest.is_none().then(|| DEFAULT_TAG.to_owned()));
        Ok(Self { registry: registry.to_owned(), repository, tag, digest, explicit: host.is_some() })
    }
}

/// The short form that people write: Docker's defaults left out, the tag always there.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.registry == DEFAULT_REGISTRY {
            // Behind more than one name the prefix is not what was added.
            let short = self.repository.strip_prefix("library/").filter(|name| !name.contains('/'));
            f.write_str(short.unwrap_or(&self.repository))?;
        } else {
            write!(f, "{}/{}", self.registry, self.repository)?;
        }
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_forms() {
        let parts = |text: &str| {
            let r: Reference = text.parse().unwrap();
            (r.registry.clone(), r.repository.clone(), r.manifest(), r.to_string())
        };
        let owned = |a: &str, b: &str, c: &str, d: &str| (a.to_owned(), b.to_owned(), c.to_owned(), d.to_owned());
        assert_eq!(parts("debian"), owned("docker.io", "library/debian", "latest", "debian:latest"));
        assert_eq!(parts("team/x:1"), owned("docker.io", "team/x", "1", "team/x:1"));
        for long in ["library/team/x:1", "library/localhost/x:1"] {
            assert_eq!(parts(long), owned("docker.io", long.trim_end_matches(":1"), "1", long));
        }
        let local = "127.0.0.1:5000/arm-env:v1";
        assert_eq!(parts(local), owned("127.0.0.1:5000", "arm-env", "v1", local));
        let digest = format!("sha256:{}", "0".repeat(64));
        let pinned = format!("r.example/a/b@{digest}");
        assert_eq!(parts(&pinned), owned("r.example", "a/b", &digest, &pinned));
    }

    #[test]
    fn what_is_not_a_reference() {
        for bad in [
            "",
            "UPPER",
            "a//b",
            "a:b:c d",
            "https://r.example/x",
            "x@sha256:00",
            "-x",
            "x_",
            "a:",
            "r.example/",
            "../x",
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
    }

    #[test]
    fn loopback() {
        for (text, loopback) in [
            ("localhost/x", true),
            ("127.0.0.1:5000/x", true),
            ("[::1]:5000/x", true),
            ("r.example/x", false),
            ("x", false),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().is_loopback(), loopback, "{text}");
        }
    }
}
