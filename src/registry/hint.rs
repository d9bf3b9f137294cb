//! What to do about what a registry did not do.

use super::error::hung_up;
use super::{Reference, RegistryError};
use crate::fetch::{CA_AS_SERVER, CA_SHOWN, CHECK_NETWORK, nothing_in_common, other_name, out_of_time};

/// True for a registry on this machine, which no proxy stands before.
fn is_here(registry: &str) -> bool {
    format!("{registry}/any").parse().is_ok_and(|any: Reference| any.is_loopback())
}

/// How to have a certificate of one's own.
fn own(registry: &str) -> String {
    format!(
        "put a certificate and its key into /etc/containers/certs.d/{registry}/client.cert and client.key, or name \
         their directory with --cert-dir"
    )
}

impl RegistryError {
    /// What to do.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Unauthorized { registry, .. } => format!("log in: alloy login {registry}"),
            Self::Token { .. } => {
                "that is no fault of any credentials: a proxy or a page to log in at may answer in the place of the token \
                 server, or whoever runs the registry has to mend the `realm` that it names"
                    .into()
            }
            Self::Denied { registry, .. } => {
                format!(
                    "ask whoever runs the registry for that right, or log in as somebody who has it: alloy login {registry}"
                )
            }
            Self::Certificate { registry, message, .. } if message.contains("received fatal alert") => own(registry),
            Self::Certificate { message, .. } if message.contains(CA_AS_SERVER) => CA_SHOWN.into(),
            Self::Certificate { message, .. } if other_name(message).is_some() => other_name(message)?.into(),
            Self::Certificate { message, .. } if out_of_time(message).is_some() => out_of_time(message)?.into(),
            Self::Certificate { registry, .. } => format!(
                "put the registry's CA into /etc/containers/certs.d/{registry}/ca.crt, or name its directory with \
                 --cert-dir; SSL_CERT_FILE and this machine's CAs count, too"
            ),
            Self::Connection { registry, message, .. } if nothing_in_common(message).is_some() => {
                let (common, own) = (nothing_in_common(message)?, own(registry));
                format!("{common}. One that wants a certificate may say the same: if so, {own}")
            }
            Self::Connection { at: Some(at), .. } => format!(
                "see that {at} can be reached from here, or whether the registry gives a wrong name for itself: behind \
                 a proxy, it has to be told how it is called from outside (X-Forwarded-Host, X-Forwarded-Proto)"
            ),
            Self::Elsewhere { registry, at, status: 401 | 403, .. } => format!(
                "{at} is asked without credentials, in the name of {registry}: a link of its that has expired, or a \
                 firewall or proxy in between, is answered like this; try again, or ask whoever runs the registry"
            ),
            Self::Connection { registry, message, .. }
                if message.contains("InvalidContentType") || message.contains("corrupt message") =>
            {
                format!("{registry} does not speak TLS; if it is meant to, use --insecure-registry {registry}")
            }
            Self::Connection { registry, message, .. } if hung_up(message) => {
                let own = own(registry);
                format!("check the network; a registry that wants a certificate may hang up, too: if so, {own}")
            }
            Self::Connection { registry, .. } if is_here(registry) => {
                "see that the registry runs, and listens on that port of this machine".into()
            }
            Self::Connection { .. } => CHECK_NETWORK.into(),
            Self::Stalled { .. } => "--stall-timeout (ALLOY_STALL_TIMEOUT) waits longer".into(),
            Self::TooLarge { .. } => {
                "the registry, or a proxy in front of it, takes no more at once: raise its limit".into()
            }
            Self::Limited { registry, used: None, .. } => {
                format!("the limit is that of strangers: log in, which allows more: alloy login {registry}")
            }
            Self::Limited { used: Some(used), .. } => {
                format!("the limit is that of the account: {used}; wait until it has passed, or use another account")
            }
            Self::Status { status: 408 | 425 | 500..=599, .. }
            | Self::Elsewhere { status: 408 | 425 | 429 | 500..=599, .. } => {
                "the registry is in trouble: try again later".into()
            }
            Self::Immutable { .. } => {
                "as it seems, the tag is there, and the registry does not let tags be written over (immutable tags): push \
                 under another tag, or have whoever runs the registry delete that one"
                    .into()
            }
            Self::Page { registry, .. } => format!(
                "such a page is often one to log in at, or that of a proxy or a gateway: check the registry's name, and \
                 look at what answers there: curl -iL https://{registry}/v2/"
            ),
            Self::NotFound { .. } => {
                "check name and tag; a private repository looks the same without credentials".into()
            }
            Self::Digest { .. } => {
                "something between here and the registry changes what is sent, or it is damaged".into()
            }
            Self::Keeps { digest, .. } => {
                format!(
                    "a registry does not overwrite what it has: whoever runs it has to delete {digest} from its storage"
                )
            }
            Self::Helper { place, .. } => format!("install it and see that it works, or take it out of {place}"),
            Self::Fetch(error) => return error.hint(),
            Self::While { error, .. } => return error.hint(),
            _ => return None,
        };
        Some(text)
    }
}
