use pgp::composed::{SignedKeyDetails, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::ed25519::{Mode, SecretKey as Seed};
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::packet::{
    KeyFlags, PubKeyInner, PublicKey, PublicSubkey, SecretKey, SecretSubkey, SignatureConfig, Subpacket, SubpacketData,
    UserId,
};
use pgp::types::{
    Duration, KeyVersion, PacketHeaderVersion, Password, PlainSecretParams, PublicParams, SecretParams, SignedUser,
    SigningKey, Tag, Timestamp,
};

use super::*;

const YEAR: u32 = 31_536_000;
/// When all keys are made.
const BORN: u32 = 30 * YEAR;
const NOW: u32 = 40 * YEAR;
const TEXT: &str = "Suite: x\nDate: Thu, 01 Jan 1970 00:00:00 UTC\n";

fn inner(seed: u8, born: u32) -> (PubKeyInner, SecretParams) {
    let seed = Seed::try_from_bytes([seed; 32], Mode::Ed25519).unwrap();
    let public = PublicParams::Ed25519((&seed).into());
    let inner = PubKeyInner::new(KeyVersion::V4, PublicKeyAlgorithm::Ed25519, Timestamp::from_secs(born), None, public)
        .unwrap();
    (inner, SecretParams::Plain(PlainSecretParams::Ed25519(seed)))
}

fn key(seed: u8, born: u32) -> SecretKey {
    let (inner, secret) = inner(seed, born);
    SecretKey::new(PublicKey::from_inner(inner).unwrap(), secret).unwrap()
}

fn subkey(seed: u8) -> SecretSubkey {
    let (inner, secret) = inner(seed, BORN);
    SecretSubkey::new(PublicSubkey::from_inner(inner).unwrap(), secret).unwrap()
}

/// A signature to be made at `made`, that says `parts`.
fn config(typ: SignatureType, by: &impl SigningKey, made: u32, parts: Vec<SubpacketData>) -> SignatureConfig {
    let mut config = SignatureConfig::v4(typ, by.algorithm(), HashAlgorithm::Sha256);
    let made = SubpacketData::SignatureCreationTime(Timestamp::from_secs(made));
    let parts = [made, SubpacketData::IssuerFingerprint(by.fingerprint())].into_iter().chain(parts);
    config.hashed_subpackets = parts.map(|part| Subpacket::regular(part).unwrap()).collect();
    config
}

fn flags(sign: bool) -> SubpacketData {
    let mut flags = KeyFlags::default();
    flags.set_certify(true);
    flags.set_sign(sign);
    SubpacketData::KeyFlags(flags)
}

fn lasts(years: u32) -> SubpacketData {
    SubpacketData::KeyExpirationTime(Duration::from_secs(years * YEAR))
}

/// A certificate: its names' signatures are made at the given times, and say the given things.
fn certificate(key: &SecretKey, said: Vec<(u32, Vec<SubpacketData>)>) -> SignedPublicKey {
    let id = UserId::from_str(PacketHeaderVersion::New, "archive").unwrap();
    let sign = |(made, parts)| {
        let config = config(SignatureType::CertPositive, key, made, parts);
        config.sign_certification(key, key.public_key(), &Password::empty(), Tag::UserId, &id).unwrap()
    };
    let users = vec![SignedUser::new(id.clone(), said.into_iter().map(sign).collect())];
    let details = SignedKeyDetails::new(Vec::new(), Vec::new(), users, Vec::new());
    SignedPublicKey::new(key.public_key().clone(), details, Vec::new())
}

fn plain(key: &SecretKey) -> SignedPublicKey {
    certificate(key, vec![(BORN, vec![flags(true)])])
}

fn bind(
    primary: &SecretKey,
    subkey: &SecretSubkey,
    parts: Vec<SubpacketData>,
    confirmed: Option<&SecretSubkey>,
) -> SignedPublicSubKey {
    let mut config = config(SignatureType::SubkeyBinding, primary, BORN, parts);
    if let Some(by) = confirmed {
        let back = super::tests::config(SignatureType::KeyBinding, by, BORN, Vec::new());
        let back =
            back.sign_primary_key_binding(by, by.public_key(), &Password::empty(), primary.public_key()).unwrap();
        config.unhashed_subpackets.push(Subpacket::regular(SubpacketData::EmbeddedSignature(Box::new(back))).unwrap());
    }
    let bound =
        config.sign_subkey_binding(primary, primary.public_key(), &Password::empty(), subkey.public_key()).unwrap();
    SignedPublicSubKey::new(subkey.public_key().clone(), vec![bound])
}

fn sign(key: &impl SigningKey, config: SignatureConfig) -> CleartextSignedMessage {
    CleartextSignedMessage::new(TEXT, config, key, &Password::empty()).unwrap()
}

/// Signed at a time when nothing was wrong.
fn signed(key: &impl SigningKey) -> CleartextSignedMessage {
    sign(key, config(SignatureType::Text, key, BORN + YEAR, Vec::new()))
}

fn wrong(message: &CleartextSignedMessage, certificate: SignedPublicKey) -> String {
    wrong_of(message, &[certificate])
}

fn wrong_of(message: &CleartextSignedMessage, certificates: &[SignedPublicKey]) -> String {
    let flaws = check(message, &certificates.into(), i64::from(NOW)).unwrap_err();
    assert_eq!(flaws.len(), 1, "{flaws:?}");
    flaws[0].to_string()
}

fn good(message: &CleartextSignedMessage, certificate: SignedPublicKey) {
    assert_eq!(
        check(message, &[certificate.clone()][..].into(), i64::from(NOW)),
        Ok(vec![name(&certificate.primary_key)])
    );
}

#[test]
fn a_good_signature_is_enough() {
    let (one, two) = (key(1, BORN), key(2, BORN));
    good(&signed(&one), plain(&one));
    // Somebody else's is as if there were none.
    assert_eq!(check(&signed(&one), &[plain(&two)][..].into(), i64::from(NOW)), Err(Vec::new()));
    // One of several, whatever is wrong with the other.
    let both = CleartextSignedMessage::new_many(TEXT, |text| {
        let sign = |key: &SecretKey| {
            config(SignatureType::Text, key, BORN + YEAR, Vec::new()).sign(key, &Password::empty(), text.as_bytes())
        };
        Ok(vec![sign(&one)?, sign(&two)?])
    });
    let expired = certificate(&one, vec![(BORN, vec![flags(true), lasts(2)])]);
    assert_eq!(
        check(&both.unwrap(), &[expired, plain(&two)][..].into(), i64::from(NOW)),
        Ok(vec![name(two.public_key())])
    );
}

#[test]
fn a_good_signature_does_not_excuse_a_wrong_one() {
    let (one, two) = (key(1, BORN), key(2, BORN));
    for first in [true, false] {
        let both = CleartextSignedMessage::new_many(TEXT, |text| {
            let sign = |key: &SecretKey, text: &str| {
                config(SignatureType::Text, key, BORN + YEAR, Vec::new()).sign(key, &Password::empty(), text.as_bytes())
            };
            let mut all = vec![sign(&one, text)?, sign(&two, "another text")?];
            if !first {
                all.reverse();
            }
            Ok(all)
        })
        .unwrap();
        assert!(wrong_of(&both, &[plain(&one), plain(&two)]).starts_with("the text is not what the key "));
        // Whose key is not known may have signed anything.
        good(&both, plain(&one));
    }
}

#[test]
fn another_text_than_the_signed_one_is_refused() {
    let key = key(1, BORN);
    let text = signed(&key).to_armored_string(Default::default()).unwrap().replace("Suite: x", "Suite: y");
    let (message, _) = CleartextSignedMessage::from_string(&text).unwrap();
    assert!(wrong(&message, plain(&key)).starts_with("the text is not what the key "));
}

#[test]
fn revoked_keys_are_refused() {
    let key = key(1, BORN);
    let mut revoked = plain(&key);
    // Also where the key was revoked long after it signed, or signed its name anew later.
    let config = config(SignatureType::KeyRevocation, &key, NOW - 1, Vec::new());
    revoked.details.revocation_signatures.push(config.sign_key(&key, &Password::empty(), key.public_key()).unwrap());
    let message = wrong(&signed(&key), revoked.clone());
    assert_eq!(message, format!("the key {:X} was revoked by its owner", key.fingerprint()));
    // What somebody else says is nothing.
    let other = super::tests::key(2, BORN);
    let config = super::tests::config(SignatureType::KeyRevocation, &other, NOW - 1, Vec::new());
    revoked.details.revocation_signatures =
        vec![config.sign_key(&other, &Password::empty(), key.public_key()).unwrap()];
    good(&signed(&key), revoked);
}

#[test]
fn expired_keys_are_refused_and_prolonged_ones_are_not() {
    let key = key(1, BORN);
    let (short, long) = ((BORN, vec![flags(true), lasts(2)]), (BORN + YEAR, vec![flags(true), lasts(20)]));
    let message = wrong(&signed(&key), certificate(&key, vec![short.clone()]));
    assert!(message.ends_with(" expired on 2001-12-24"), "{message}");
    // The latest self-signature counts, wherever it stands.
    good(&signed(&key), certificate(&key, vec![short.clone(), long.clone()]));
    good(&signed(&key), certificate(&key, vec![long.clone(), short]));
    let shortened = (BORN + 2 * YEAR, vec![flags(true), lasts(3)]);
    assert!(wrong(&signed(&key), certificate(&key, vec![shortened, long])).contains("expired on"));
    let unborn = super::tests::key(3, NOW + YEAR);
    let early = sign(&unborn, config(SignatureType::Text, &unborn, NOW, Vec::new()));
    assert!(wrong(&early, plain(&unborn)).contains("before its key"));
}

#[test]
fn signatures_have_their_time() {
    let key = key(1, BORN);
    let at = |made, parts| sign(&key, config(SignatureType::Text, &key, made, parts));
    let ends = |years| SubpacketData::SignatureExpirationTime(Duration::from_secs(years * YEAR));
    assert!(wrong(&at(BORN, vec![ends(1)]), plain(&key)).contains(" expired on "));
    good(&at(BORN, vec![ends(11)]), plain(&key));
    assert!(wrong(&at(BORN - 1, Vec::new()), plain(&key)).contains("before its key"));
    assert!(wrong(&at(NOW + 60, Vec::new()), plain(&key)).contains("still to come"));
    good(&at(NOW + 5, Vec::new()), plain(&key));
}

#[test]
fn weak_hashes_and_unknown_demands_are_refused() {
    let key = key(1, BORN);
    // Whether the rest of it is right is not even asked.
    let weak = CleartextSignedMessage::new_many(TEXT, |_| {
        let mut weak = config(SignatureType::Text, &key, BORN, Vec::new());
        weak.hash_alg = HashAlgorithm::Sha1;
        let bytes = signed(&key).signatures()[0].signature().unwrap().clone();
        Ok(vec![Signature::from_config(weak, [0, 0], bytes)?])
    });
    let said = wrong(&weak.unwrap(), plain(&key));
    assert!(said.contains("SHA1, which proves nothing any more"), "{said}");
    let mut unknown = config(SignatureType::Text, &key, BORN, Vec::new());
    unknown.hashed_subpackets.push(Subpacket::critical(SubpacketData::Experimental(101, vec![1].into())).unwrap());
    assert!(wrong(&sign(&key, unknown), plain(&key)).contains("asks for something"));
}

#[test]
fn only_keys_for_signing_sign() {
    let (primary, sub) = (key(1, BORN), subkey(2));
    let certify = certificate(&primary, vec![(BORN, vec![flags(false)])]);
    assert!(wrong(&signed(&primary), certify.clone()).ends_with("is not for signing"));
    let unsigned = SignedPublicKey::new(
        primary.public_key().clone(),
        SignedKeyDetails::new(Vec::new(), Vec::new(), Vec::new(), Vec::new()),
        Vec::new(),
    );
    assert!(wrong(&signed(&primary), unsigned).contains("no signature of its own"));
    let with = |bound| SignedPublicKey { public_subkeys: vec![bound], ..certify.clone() };
    let message = signed(&sub);
    good(&message, with(bind(&primary, &sub, vec![flags(true)], Some(&sub))));
    assert!(wrong(&message, with(bind(&primary, &sub, vec![flags(false)], Some(&sub)))).ends_with("not for signing"));
    // Somebody's certificate with the archive's subkey in it.
    assert!(wrong(&message, with(bind(&primary, &sub, vec![flags(true)], None))).contains("did not confirm"));
    let stranger = subkey(7);
    assert!(
        wrong(&message, with(bind(&primary, &sub, vec![flags(true)], Some(&stranger)))).contains("did not confirm")
    );
    let by_stranger = bind(&key(9, BORN), &sub, vec![flags(true)], Some(&sub));
    assert!(wrong(&message, with(by_stranger)).contains("no signature of its own"));
    let expired = with(bind(&primary, &sub, vec![flags(true), lasts(2)], Some(&sub)));
    assert!(wrong(&message, expired).contains("expired on 2001-12-24"));
    let mut revoked = bind(&primary, &sub, vec![flags(true)], Some(&sub));
    let config = config(SignatureType::SubkeyRevocation, &primary, BORN, Vec::new());
    let made = config.sign_subkey_binding(&primary, primary.public_key(), &Password::empty(), sub.public_key());
    revoked.signatures.push(made.unwrap());
    assert!(wrong(&message, with(revoked)).ends_with("was revoked by its owner"));
    // A subkey is no better than its primary key.
    let old = certificate(&primary, vec![(BORN, vec![flags(false), lasts(2)])]);
    let old = SignedPublicKey { public_subkeys: vec![bind(&primary, &sub, vec![flags(true)], Some(&sub))], ..old };
    assert!(wrong(&message, old).contains("expired on 2001-12-24"));
}

#[test]
fn chosen_keys_alone_sign() {
    use crate::debian::keys::{Keyring, Trust};
    use crate::debian::signed_by::SignedBy;

    let (a, b, sub) = (key(1, BORN), key(2, BORN), subkey(3));
    let bound = bind(&a, &sub, vec![flags(true)], Some(&sub));
    let a_with = SignedPublicKey { public_subkeys: vec![bound], ..plain(&a) };
    let block = |certificate: &SignedPublicKey| {
        Keyring::Block(certificate.to_armored_string(pgp::composed::ArmorOptions::default()).unwrap())
    };
    let (a_name, b_name, sub_name) = (name(a.public_key()), name(b.public_key()), name(sub.public_key()));
    let who = |only: &str, message: &CleartextSignedMessage| {
        let only = match SignedBy::read(only) {
            Ok(SignedBy::Keys { only, .. }) => only,
            other => panic!("{other:?}"),
        };
        let trust = Trust { keyrings: vec![block(&a_with), block(&plain(&b))], only };
        check(message, &trust.keys().unwrap(), i64::from(NOW))
    };
    let by = |name: &String| Ok(vec![name.clone()]);
    for (only, a_signs, sub_signs, b_signs) in [
        (a_name.clone(), true, true, false),
        (format!("{a_name}!"), true, false, false),
        (sub_name.to_lowercase(), false, true, false),
        (format!("{sub_name}!"), false, true, false),
        (b_name.clone(), false, false, true),
        (format!("{b_name} {a_name}!"), true, false, true),
    ] {
        let expected = |signs: bool, name: &String| if signs { by(name) } else { Err(Vec::new()) };
        assert_eq!(who(&only, &signed(&a)), expected(a_signs, &a_name), "{only}");
        assert_eq!(who(&only, &signed(&sub)), expected(sub_signs, &a_name), "{only}");
        assert_eq!(who(&only, &signed(&b)), expected(b_signs, &b_name), "{only}");
    }
    // A wrong signature counts, whoever made it.
    let both = CleartextSignedMessage::new_many(TEXT, |text| {
        let sign = |key: &SecretKey, text: &str| {
            config(SignatureType::Text, key, BORN + YEAR, Vec::new()).sign(key, &Password::empty(), text.as_bytes())
        };
        Ok(vec![sign(&a, text)?, sign(&b, "another text")?])
    });
    assert!(matches!(who(&a_name, &both.unwrap()).unwrap_err().as_slice(), [Flaw::Wrong(_)]));
}

#[test]
fn a_revocation_counts_in_whichever_keyring_it_is() {
    use pgp::ser::Serialize;

    use crate::debian::keys::Trust;
    use crate::debian::lists::{Archive, vouch};

    let key = key(1, BORN);
    let mut revoked = plain(&key);
    let config = config(SignatureType::KeyRevocation, &key, BORN + 1, Vec::new());
    revoked.details.revocation_signatures.push(config.sign_key(&key, &Password::empty(), key.public_key()).unwrap());
    let place = tempfile::tempdir().unwrap();
    let (old, new) = (place.path().join("old.gpg"), place.path().join("new.gpg"));
    std::fs::write(&old, plain(&key).to_bytes().unwrap()).unwrap();
    std::fs::write(&new, revoked.to_bytes().unwrap()).unwrap();
    let index = "Package: a\n";
    let hash = layers::digest::Digest::of(index).hex();
    let text = format!("{TEXT}SHA256:\n {hash} {} main/Packages\n", index.len());
    let by = super::tests::config(SignatureType::Text, &key, BORN + YEAR, Vec::new());
    let release = CleartextSignedMessage::new(&text, by, &key, &Password::empty()).unwrap();
    let kept = |keyrings: &[&std::path::PathBuf]| {
        let lists = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(lists.path().join(name), text).unwrap();
        write("m.example_dists_x_InRelease", &release.to_armored_string(Default::default()).unwrap());
        write("m.example_dists_x_main_Packages", index);
        let trust = Trust::files(keyrings.iter().map(|path| path.to_path_buf()));
        let archive = Archive { uri: "http://m.example".into(), suite: "x".into(), trust };
        vouch(lists.path(), &[archive], i64::from(NOW)).unwrap();
        std::fs::read_dir(lists.path()).unwrap().count()
    };
    assert_eq!([kept(&[&old]), kept(&[&old, &new]), kept(&[&new, &old])], [2, 0, 0]);
    // One that is not there says nothing.
    assert_eq!(kept(&[&place.path().join("none.gpg"), &old]), 2);
}
