//! Signatures and attestations in the forms that cosign and containers/image verify.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use layers::digest::Digest;
use serde_json::json;

use super::IN_TOTO;
use crate::json;
use crate::registry::Reference;
use crate::sign::SigningKey;

/// Media type of what a signature signs.
pub const SIGNATURE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// Media type of a signed statement.
pub const ATTESTATION: &str = "application/vnd.dsse.envelope.v1+json";

/// The tag that the signatures of a manifest have.
pub fn signature_tag(manifest: &Digest) -> String {
    format!("sha256-{}.sig", manifest.hex())
}

/// The tag that the signed statements about a manifest have.
pub fn attestation_tag(manifest: &Digest) -> String {
    format!("sha256-{}.att", manifest.hex())
}

/// What an image is called in a signature: its repository, without a tag, as cosign has it.
pub fn identity(reference: &Reference) -> String {
    let registry = if reference.registry == "docker.io" { "index.docker.io" } else { &reference.registry };
    format!("{registry}/{}", reference.repository)
}

/// What a signature signs (containers/image, `containers-signature(5)`).
pub fn simple_signing(identity: &str, manifest: &Digest) -> Vec<u8> {
    let payload = json!({
        "critical": {
            "identity": {"docker-reference": identity},
            "image": {"docker-manifest-digest": manifest},
            "type": "cosign container image signature",
        },
        "optional": null,
    });
    json::bytes(&payload)
}

/// A signed statement (DSSE 1.0.2).
pub fn envelope(statement: &[u8], key: &SigningKey) -> Vec<u8> {
    let mut message = format!("DSSEv1 {} {IN_TOTO} {} ", IN_TOTO.len(), statement.len()).into_bytes();
    message.extend_from_slice(statement);
    let envelope = json!({
        "payloadType": IN_TOTO,
        "payload": STANDARD.encode(statement),
        "signatures": [{"keyid": "", "sig": STANDARD.encode(key.sign(&message))}],
    });
    json::bytes(&envelope)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_is_what_cosign_writes() {
        let digest = Digest::of("x");
        let reference = |text: &str| identity(&text.parse().unwrap());
        assert_eq!(reference("registry.example:5000/team/x:1"), "registry.example:5000/team/x");
        assert_eq!(reference("debian"), "index.docker.io/library/debian");
        let expected = format!(
            "{{\"critical\":{{\"identity\":{{\"docker-reference\":\"r.example/x\"}},\"image\":\
             {{\"docker-manifest-digest\":\"{digest}\"}},\"type\":\"cosign container image signature\"}},\"optional\":null}}"
        );
        assert_eq!(String::from_utf8(simple_signing("r.example/x", &digest)).unwrap(), expected);
    }
}
