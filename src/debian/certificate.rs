//! What an OpenPGP certificate says of its keys (RFC 9580, 10.1): which may sign, until when, and which it takes back.
//! Decided as gpg does, whom apt asks: of self-signatures the latest counts, and a revocation counts whenever it was
//! made. rPGP itself checks no more than the mathematics.

use pgp::composed::{SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType, Subpacket, SubpacketData};
use pgp::types::{KeyDetails, Tag};

/// Why a key is no good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFlaw {
    #[error("was revoked by its owner")]
    Revoked,
    #[error("expired on {}", day(*.0))]
    Expired(i64),
    #[error("was made on {}, which is still to come: a clock is wrong", day(*.0))]
    Unborn(i64),
    #[error("has no signature of its own that is good")]
    Unbound,
    #[error("is not for signing")]
    NotForSigning,
    #[error("did not confirm that it belongs to its primary key")]
    Unconfirmed,
}

/// The day of a time in seconds since 1970.
pub fn day(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(
        |_| "a day out of all calendars".into(),
        |time| time.to_zoned(jiff::tz::TimeZone::UTC).date().to_string(),
    )
}

/// When a signature was made, in seconds since 1970.
pub fn made(signature: &Signature) -> Option<i64> {
    signature.created().map(|created| i64::from(created.as_secs()))
}

/// When a signature ends; `None` if it does not.
pub fn ends(signature: &Signature) -> Option<i64> {
    let lasts = signature.signature_expiration_time().map(|lasts| i64::from(lasts.as_secs()))?;
    Some(made(signature)?.saturating_add(lasts)).filter(|_| lasts > 0)
}

/// True if the signature holds something that must be understood, and is not (RFC 9580, 5.2.3.7).
pub fn asks_too_much(signature: &Signature) -> bool {
    let unknown = |part: &Subpacket| {
        part.is_critical
            && matches!(
                part.data,
                SubpacketData::Other(..) | SubpacketData::Experimental(..) | SubpacketData::Notation(_)
            )
    };
    signature.config().is_some_and(|config| config.hashed_subpackets().any(unknown))
}

/// True if a self-signature may count at `now`. SHA-1 is good enough for these, as it is for gpg: old keys of archives
/// have no other, and their file was chosen by whoever trusts it.
fn counts(signature: &Signature, now: i64) -> bool {
    !matches!(signature.hash_alg(), None | Some(HashAlgorithm::Md5 | HashAlgorithm::Ripemd160))
        && !asks_too_much(signature)
        && made(signature).is_some_and(|made| made <= now.saturating_add(super::FUTURE))
        && ends(signature).is_none_or(|end| end > now)
}

fn latest<'s>(signatures: impl Iterator<Item = &'s Signature>) -> Option<&'s Signature> {
    signatures.max_by_key(|signature| made(signature))
}

/// If it says so, whether its key may sign.
fn for_signing(signature: &Signature) -> Option<bool> {
    let said = |part: &Subpacket| matches!(part.data, SubpacketData::KeyFlags(_));
    let said = signature.config().is_some_and(|config| config.hashed_subpackets().any(said));
    said.then(|| signature.key_flags().sign())
}

/// When a key that was made at `born` ends, if the signature says so.
fn end_of_key(signature: &Signature, born: i64) -> Option<i64> {
    let lasts = signature.key_expiration_time().map(|lasts| i64::from(lasts.as_secs()));
    lasts.filter(|lasts| *lasts > 0).map(|lasts| born.saturating_add(lasts))
}

fn born(key: &impl KeyDetails) -> i64 {
    i64::from(key.created_at().as_secs())
}

fn alive(born: i64, end: Option<i64>, now: i64) -> Result<(), KeyFlaw> {
    match end {
        _ if born > now.saturating_add(super::FUTURE) => Err(KeyFlaw::Unborn(born)),
        Some(end) if end <= now => Err(KeyFlaw::Expired(end)),
        _ => Ok(()),
    }
}

/// Whether the primary key is good at all; and if it says so, whether it may sign.
fn primary(certificate: &SignedPublicKey, now: i64) -> Result<Option<bool>, KeyFlaw> {
    let (key, details) = (&certificate.primary_key, &certificate.details);
    // By whichever hash: to believe a revocation too many is the safe side.
    if details.revocation_signatures.iter().any(|it| it.verify_key(key).is_ok()) {
        return Err(KeyFlaw::Revoked);
    }
    let direct = details.direct_signatures.iter();
    let direct = latest(
        direct.filter(|it| it.typ() == Some(SignatureType::Key) && counts(it, now) && it.verify_key(key).is_ok()),
    );
    // The last word on each name. A name that was taken back says nothing more.
    let users = details.users.iter().filter_map(|user| {
        let own = |it: &&Signature| counts(it, now) && it.verify_certification(key, Tag::UserId, &user.id).is_ok();
        latest(user.signatures.iter().filter(own))
    });
    let attributes = details.user_attributes.iter().filter_map(|user| {
        let own =
            |it: &&Signature| counts(it, now) && it.verify_certification(key, Tag::UserAttribute, &user.attr).is_ok();
        latest(user.signatures.iter().filter(own))
    });
    let mut users: Vec<_> =
        users.chain(attributes).filter(|it| it.typ() != Some(SignatureType::CertRevocation)).collect();
    users.sort_by_key(|it| std::cmp::Reverse(made(it)));
    if direct.is_none() && users.is_empty() {
        return Err(KeyFlaw::Unbound);
    }
    let said = || direct.into_iter().chain(users.iter().copied());
    let born = born(key);
    alive(born, said().find_map(|it| end_of_key(it, born)), now)?;
    Ok(said().find_map(for_signing))
}

/// Whether the primary key may sign.
pub fn primary_signs(certificate: &SignedPublicKey, now: i64) -> Result<(), KeyFlaw> {
    if primary(certificate, now)? == Some(false) { Err(KeyFlaw::NotForSigning) } else { Ok(()) }
}

/// Whether a subkey may sign.
pub fn subkey_signs(certificate: &SignedPublicKey, subkey: &SignedPublicSubKey, now: i64) -> Result<(), KeyFlaw> {
    primary(certificate, now)?;
    let (above, key) = (&certificate.primary_key, &subkey.key);
    let of = |kind| {
        let all = subkey.signatures.iter().filter(move |it| it.typ() == Some(kind));
        all.filter(move |it| it.verify_subkey_binding(above, key).is_ok())
    };
    if of(SignatureType::SubkeyRevocation).next().is_some() {
        return Err(KeyFlaw::Revoked);
    }
    let bound = latest(of(SignatureType::SubkeyBinding).filter(|it| counts(it, now))).ok_or(KeyFlaw::Unbound)?;
    let born = born(key);
    alive(born, end_of_key(bound, born), now)?;
    if for_signing(bound) == Some(false) {
        return Err(KeyFlaw::NotForSigning);
    }
    // Else anybody could pass a key of somebody else's off as his own.
    let confirmed = |it: &Signature| counts(it, now) && it.verify_primary_key_binding(key, above).is_ok();
    if bound.embedded_signature().is_some_and(confirmed) { Ok(()) } else { Err(KeyFlaw::Unconfirmed) }
}
