//! Package URLs (purl-spec 1.0, ECMA-427). Letters, digits, `.`, `-`, `_`, `~` and, wherever it stands, `:` are never
//! encoded; all else is, once.

use std::fmt::Write;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};

/// `pkg:KIND/NAMESPACE/NAME@VERSION?QUALIFIERS`, of parts that have nothing encoded; qualifiers must be sorted by name.
pub(super) fn purl(
    kind: &str,
    namespace: Option<&str>,
    name: &str,
    version: &str,
    qualifiers: &[(&str, &str)],
) -> String {
    let mut text = format!("pkg:{kind}/");
    if let Some(namespace) = namespace {
        let _ = write!(text, "{}/", encoded(namespace));
    }
    let _ = write!(text, "{}", encoded(name));
    if !version.is_empty() {
        let _ = write!(text, "@{}", encoded(version));
    }
    // One without a value is none.
    let said = qualifiers.iter().filter(|(_, value)| !value.is_empty());
    for (at, (name, value)) in said.enumerate() {
        let _ = write!(text, "{}{name}={}", if at == 0 { '?' } else { '&' }, encoded(value));
    }
    text
}

fn encoded(text: &str) -> PercentEncode<'_> {
    /// What stays as it is (purl-spec, "Character encoding").
    const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');
    utf8_percent_encode(text, ENCODED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_encoded() {
        let deb = purl("deb", Some("debian"), "libstdc++6", "1:12.2-1+b1", &[("arch", "amd64"), ("distro", "a b")]);
        assert_eq!(deb, "pkg:deb/debian/libstdc%2B%2B6@1:12.2-1%2Bb1?arch=amd64&distro=a%20b");
        assert_eq!(purl("pypi", None, "a/b@c", "", &[]), "pkg:pypi/a%2Fb%40c");
        let tilde = purl("deb", Some("debian"), "a", "2:1.0~rc1-1", &[("arch", "all"), ("distro", "")]);
        assert_eq!(tilde, "pkg:deb/debian/a@2:1.0~rc1-1?arch=all", "a `~` stays, and so does the `:` of an epoch");
        // Examples of the specification's own tests.
        let generic = [("checksum", "sha256:de4d501267da"), ("download_url", "https://openssl.example/s/o-1.tar.gz")];
        assert_eq!(
            purl("generic", None, "openssl", "1.1.10g", &generic),
            "pkg:generic/openssl@1.1.10g?checksum=sha256:de4d501267da&download_url=https:%2F%2Fopenssl.example%2Fs%2Fo-1.tar.gz"
        );
        let attr = purl("deb", Some("debian"), "attr", "1:2.4.47-2+b1", &[("arch", "amd64")]);
        assert_eq!(attr, "pkg:deb/debian/attr@1:2.4.47-2%2Bb1?arch=amd64");
    }
}
