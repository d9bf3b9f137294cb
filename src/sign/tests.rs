use p256::pkcs8::EncodePrivateKey;

use super::*;

/// RFC 6979, A.2.5.
const KEY: &str = "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721";
const R: &str = "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716";
const S: &str = "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8";

fn secret(hex: &str) -> SecretKey {
    SecretKey::from_slice(&hex::decode(hex).unwrap()).unwrap()
}

fn parse(text: &str, password: Option<&str>) -> Result<SigningKey, KeyError> {
    SigningKey::parse(text, Path::new("key.pem"), || password.map(str::to_owned))
}

fn pkcs8(hex: &str) -> String {
    secret(hex).to_pkcs8_pem(LineEnding::LF).unwrap().to_string()
}

#[test]
fn signatures_are_those_of_rfc_6979() {
    let signature = parse(&pkcs8(KEY), None).unwrap().sign(b"sample");
    let expected = Signature::from_scalars(
        <[u8; 32]>::try_from(hex::decode(R).unwrap()).unwrap(),
        <[u8; 32]>::try_from(hex::decode(S).unwrap()).unwrap(),
    );
    assert_eq!(signature, expected.unwrap().to_der().as_bytes());
}

#[test]
fn the_other_half_verifies_and_nothing_else_does() {
    let key = parse(&pkcs8(KEY), None).unwrap();
    let public = VerifyingKey::parse(&key.public_pem(), Path::new("key.pub")).unwrap();
    assert_eq!(public, key.verifying_key());
    let signature = key.sign(b"message");
    assert!(public.verify(b"message", &signature));
    assert!(!public.verify(b"massage", &signature));
    assert!(!public.verify(b"message", &signature[1..]));
    assert!(!public.verify(b"message", b""));
    let other = parse(&pkcs8(&KEY.replace('c', "d")), None).unwrap().verifying_key();
    assert!(!other.verify(b"message", &signature));
}

#[test]
fn every_form_of_a_key_is_the_same_key() {
    let plain = parse(&pkcs8(KEY), None).unwrap();
    let sec1 = secret(KEY).to_sec1_pem(LineEnding::LF).unwrap();
    // As `openssl ecparam -genkey` writes it.
    let sec1 = format!("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{}", *sec1);
    assert_eq!(parse(&sec1, None).unwrap().public_pem(), plain.public_pem());
    let sealed = sealed::seal(secret(KEY).to_pkcs8_der().unwrap().as_bytes(), b"tiger");
    assert_eq!(parse(&sealed, Some("tiger")).unwrap().public_pem(), plain.public_pem());
}

#[test]
fn what_is_wrong_is_said_with_the_file_and_what_to_do() {
    let sealed = sealed::seal(secret(KEY).to_pkcs8_der().unwrap().as_bytes(), b"tiger");
    let rsa = pkcs8(KEY).replace("BEGIN PRIVATE", "BEGIN RSA PRIVATE").replace("END PRIVATE", "END RSA PRIVATE");
    let other = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    for (text, password, message, hint) in [
        ("", None, "key.pem holds no private key in PEM", "openssl genpkey"),
        (rsa.as_str(), None, "key.pem holds no private key in PEM", "openssl genpkey"),
        (other, None, "ECDSA on P-256", "openssl genpkey"),
        (&sealed, None, "key.pem is encrypted, and there is no COSIGN_PASSWORD", "COSIGN_PASSWORD"),
        (&sealed, Some("lion"), "key.pem cannot be opened: the password is wrong", "COSIGN_PASSWORD"),
    ] {
        let error = parse(text, password).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
        assert!(error.hint().contains(hint), "{}", error.hint());
    }
    let error = SigningKey::read(Path::new("/there/is/none"), &Vars::default()).unwrap_err();
    assert_eq!(error.to_string(), "cannot read the key /there/is/none");
    let error = VerifyingKey::parse(&pkcs8(KEY), Path::new("key.pem")).unwrap_err();
    assert_eq!(error.to_string(), "key.pem holds no public key in PEM");
}

#[test]
fn nobody_sees_a_key() {
    let key = parse(&pkcs8(KEY), None).unwrap();
    assert_eq!(format!("{key:?}"), "SigningKey { .. }");
}

#[test]
fn a_costly_or_strange_seal_is_refused() {
    for (n, cipher) in [(1_u64 << 31, "nacl/secretbox"), (1 << 10, "rot13"), (1000, "nacl/secretbox")] {
        let envelope = serde_json::json!({
            "kdf": {"name": "scrypt", "params": {"N": n, "r": 8, "p": 1}, "salt": ""},
            "cipher": {"name": cipher, "nonce": ""}, "ciphertext": "",
        });
        assert_eq!(sealed::open(envelope.to_string().as_bytes(), b"").unwrap_err(), sealed::SealError::Format);
    }
}
