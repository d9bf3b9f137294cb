//! Package URLs (purl-spec 1.0, ECMA-427).

use std::fmt::Write;

/// `pkg:KIND/NAMESPACE/NAME@VERSION?QUALIFIERS`; qualifiers must be sorted by name.
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
    text += &encoded(name);
    if !version.is_empty() {
        let _ = write!(text, "@{}", encoded(version));
    }
    for (at, (name, value)) in qualifiers.iter().enumerate() {
        let _ = write!(text, "{}{name}={}", if at == 0 { '?' } else { '&' }, encoded(value));
    }
    text
}

fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_encoded() {
        let deb = purl("deb", Some("debian"), "libstdc++6", "1:12.2-1+b1", &[("arch", "amd64"), ("distro", "a b")]);
        assert_eq!(deb, "pkg:deb/debian/libstdc%2B%2B6@1:12.2-1%2Bb1?arch=amd64&distro=a%20b");
        assert_eq!(purl("pypi", None, "a/b@c", "", &[]), "pkg:pypi/a%2Fb%40c");
    }
}
