//! TLS: whose certificates are trusted, and how this side shows itself.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::client::Trust;

/// How rustls tells that a server shows a CA's certificate as its own.
pub const CA_AS_SERVER: &str = "CaUsedAsEndEntity";
/// What helps then.
pub const CA_SHOWN: &str = "the certificate that the server shows says of itself that it is a CA's (basicConstraints CA:TRUE), \
                            and it is none of those that are trusted: have one made for the server with CA:FALSE, or give \
                            this very certificate as the CA";

/// A certificate of one's own, and its key.
#[derive(Clone, Debug)]
pub struct Identity(Arc<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>);

impl Identity {
    /// From PEM; `None` if either is missing.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Option<Self> {
        let certificates = certificates(certificate)?;
        Some(Self(Arc::new((certificates, PrivateKeyDer::from_pem_slice(key).ok()?))))
    }
}

/// The certificates in a PEM file; `None` if there are none, or one of them is damaged.
pub fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()?;
    let sound = |one: &CertificateDer<'static>| RootCertStore::empty().add(one.clone()).is_ok();
    Some(all).filter(|all| !all.is_empty() && all.iter().all(sound))
}

/// What `trust` says, as rustls has it. The machine's own certificates are read anew: they may have changed.
pub(super) fn config(trust: &Trust) -> Result<ClientConfig, Error> {
    let provider = CryptoProvider::get_default().cloned();
    let provider = provider.unwrap_or_else(|| Arc::new(rustls::crypto::ring::default_provider()));
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier(trust, provider)?);
    let mut config = match &trust.identity {
        Some(Identity(own)) => builder.with_client_auth_cert(own.0.clone(), own.1.clone_key())?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn verifier(trust: &Trust, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    if trust.anyone {
        return Ok(Arc::new(Blind { everybody: true, provider }));
    }
    let mut roots = RootCertStore::empty();
    for root in trust.roots.iter().filter(|root| !is_a_server_s(root)) {
        roots.add(root.clone())?;
    }
    // Of the machine's, one that is damaged is passed over.
    let mut trusted = rustls_native_certs::load_native_certs().certs;
    roots.add_parsable_certificates(trusted.iter().filter(|root| !is_a_server_s(root)).cloned());
    trusted.extend(trust.roots.iter().cloned());
    if trusted.is_empty() {
        // A machine without certificates can still speak http; https then trusts nobody.
        return Ok(Arc::new(Blind { everybody: false, provider }));
    }
    let any_authority = !roots.is_empty();
    if !any_authority {
        roots.add_parsable_certificates(trusted.iter().cloned());
    }
    let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
    let chains = chains.build().map_err(|error| Error::General(error.to_string()))?;
    Ok(Arc::new(Trusted { chains, any_authority, trusted: trusted.into_iter().collect() }))
}

/// True for a certificate that says of itself that it is no CA's (RFC 5280 4.2.1.9, basicConstraints without `cA`): it
/// vouches for nobody but itself.
fn is_a_server_s(certificate: &CertificateDer<'_>) -> bool {
    /// The extension's name, 2.5.29.19, in DER.
    const BASIC_CONSTRAINTS: [u8; 5] = [0x06, 0x03, 0x55, 0x1d, 0x13];
    const TRUE: [u8; 3] = [0x01, 0x01, 0xff];
    let all: &[u8] = certificate;
    let Some(at) = all.windows(BASIC_CONSTRAINTS.len()).position(|window| window == BASIC_CONSTRAINTS) else {
        return false;
    };
    let rest = &all[at + BASIC_CONSTRAINTS.len()..];
    // It may be critical; then come an octet string and the sequence in it, both short.
    let rest = rest.strip_prefix(&TRUE).unwrap_or(rest);
    match rest {
        [0x04, outer, 0x30, inner, fields @ ..] if *outer < 0x80 && *inner < 0x80 => !fields.starts_with(&TRUE),
        _ => false,
    }
}

/// Trusts whom a CA vouches for, and who shows the very certificate that is trusted: `openssl req -x509` makes
/// certificates that are a CA's and a server's at once.
#[derive(Debug)]
struct Trusted {
    chains: Arc<WebPkiServerVerifier>,
    /// Any of those that are trusted may be a CA's.
    any_authority: bool,
    trusted: HashSet<CertificateDer<'static>>,
}

impl ServerCertVerifier for Trusted {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if !self.any_authority && !self.trusted.contains(end_entity) {
            return Err(CertificateError::UnknownIssuer.into());
        }
        match self.chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The period of validity is looked at before this; the name is not.
            Err(Error::InvalidCertificate(why)) if vouches_for_nobody(&why) && self.trusted.contains(end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            done => done,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

/// True if nothing is wrong with a certificate but that no CA that is trusted vouches for it, or that it is a CA's itself.
fn vouches_for_nobody(why: &CertificateError) -> bool {
    match why {
        CertificateError::UnknownIssuer => true,
        CertificateError::Other(why) => why.to_string() == CA_AS_SERVER,
        _ => false,
    }
}

/// What helps where a certificate is sound, and for another name; `None` of another message.
pub fn other_name(message: &str) -> Option<&'static str> {
    let other = message.contains("not valid for name") || message.contains("NotValidForName");
    other.then_some(
        "the certificate is for other names: ask for the server by one of those, or have a certificate made with this one \
         (subjectAltName)",
    )
}

/// A moment that rustls names in seconds, behind `mark`.
fn moment(text: &str, mark: &str) -> Option<Timestamp> {
    let digits = text.split_once(mark)?.1.trim_start();
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    Timestamp::from_second(digits[..end].parse().ok()?).ok()
}

/// What rustls says of a certificate whose time is over, or has not begun, with the moments as people read them; `None`
/// of another text.
pub fn dated(text: &str) -> Option<String> {
    if text.ends_with("certificate: Expired") {
        return Some(
            "the server's certificate expired before it began: its last day is before its first one".to_owned(),
        );
    }
    let now = moment(text, "verification time")?;
    let (moment, how, relation) = match moment(text, "not valid after") {
        Some(end) => (end, "expired on", "ago"),
        None => (moment(text, "not valid before")?, "is not valid before", "from now"),
    };
    let seconds = now.duration_since(moment).as_secs().unsigned_abs();
    let (count, unit) = match seconds {
        0..120 => (seconds, "seconds"),
        120..7_200 => (seconds / 60, "minutes"),
        7_200..172_800 => (seconds / 3600, "hours"),
        _ => (seconds / 86_400, "days"),
    };
    Some(format!("the server's certificate {how} {moment}, {count} {unit} {relation}; this machine's clock says {now}"))
}

/// What helps where the time of a certificate is over or has not begun; `None` of another message.
pub fn out_of_time(message: &str) -> Option<&'static str> {
    let over = message.contains("certificate expired ") || message.contains("certificate is not valid before");
    over.then_some(
        "whoever runs the server has to renew its certificate, or the one of its CA; where this machine's clock is wrong, set \
         that",
    )
}

/// What helps where both sides know no common way to speak TLS; `None` of another message.
pub fn nothing_in_common(message: &str) -> Option<&'static str> {
    let alerts = ["HandshakeFailure", "ProtocolVersion", "InsufficientSecurity"];
    let alert = message.contains("received fatal alert") && alerts.iter().any(|alert| message.contains(alert));
    (alert || message.contains("peer is incompatible")).then_some(
        "the server and alloy have no version or cipher of TLS in common: alloy knows TLS 1.2 and 1.3, with ECDHE and \
         AES-GCM or ChaCha20-Poly1305; let the server offer one of these",
    )
}

/// Looks at no certificate: it trusts everybody, where whoever asked for that has said so, or nobody.
#[derive(Debug)]
struct Blind {
    everybody: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Blind {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.everybody {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_certificate_is_told_in_words() {
        let time = |seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let expired = CertificateError::ExpiredContext { time: time(1_700_000_000), not_after: time(1_699_900_000) };
        let early = CertificateError::NotValidYetContext { time: time(1_700_000_000), not_before: time(1_700_300_000) };
        for (error, told) in [
            (expired, "the server's certificate expired on 2023-11-13T18:26:40Z, 27 hours ago; "),
            (early, "the server's certificate is not valid before 2023-11-18T09:33:20Z, 3 days from now; "),
        ] {
            let text = dated(&Error::InvalidCertificate(error).to_string()).unwrap();
            assert_eq!(text, format!("{told}this machine's clock says 2023-11-14T22:13:20Z"));
            assert!(out_of_time(&text).is_some());
        }
        assert!(dated("invalid peer certificate: Expired").is_some_and(|text| out_of_time(&text).is_some()));
        for other in
            ["invalid peer certificate: UnknownIssuer", "not valid after", "verification time 7 not valid after x"]
        {
            assert_eq!((dated(other), out_of_time(other)), (None, None));
        }
    }
}
