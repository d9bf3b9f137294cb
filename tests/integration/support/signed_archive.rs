//! Archives of a test's own, signed by keys that it makes, and served on loopback.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use layers::compress::Encoder;
use layers::digest::Digest;
use pgp::composed::{ArmorOptions, CleartextSignedMessage, SignedKeyDetails, SignedPublicKey};
use pgp::crypto::ed25519::{Mode, SecretKey as Seed};
use pgp::crypto::hash::HashAlgorithm;
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::packet::{
    KeyFlags, PubKeyInner, PublicKey, SecretKey, SignatureConfig, SignatureType, Subpacket, SubpacketData, UserId,
};
use pgp::types::{
    KeyDetails, KeyVersion, PacketHeaderVersion, Password, PlainSecretParams, PublicParams, SecretParams, SignedUser,
    Tag, Timestamp,
};

use super::http::{Server, send, whole};
use super::{ALLOY, Ended, Store, blueprint, run, text};

/// When all keys are made.
const BORN: u32 = 1_600_000_000;

/// A key of an archive.
pub struct Key(SecretKey);

impl Key {
    pub fn new(seed: u8) -> Self {
        let seed = Seed::try_from_bytes([seed; 32], Mode::Ed25519).unwrap();
        let public = PublicParams::Ed25519((&seed).into());
        let algorithm = PublicKeyAlgorithm::Ed25519;
        let inner = PubKeyInner::new(KeyVersion::V4, algorithm, Timestamp::from_secs(BORN), None, public).unwrap();
        let secret = SecretParams::Plain(PlainSecretParams::Ed25519(seed));
        Self(SecretKey::new(PublicKey::from_inner(inner).unwrap(), secret).unwrap())
    }

    pub fn fingerprint(&self) -> String {
        format!("{:X}", self.0.fingerprint())
    }

    fn config(&self, typ: SignatureType, more: Vec<SubpacketData>) -> SignatureConfig {
        let mut config = SignatureConfig::v4(typ, self.0.algorithm(), HashAlgorithm::Sha256);
        let made = SubpacketData::SignatureCreationTime(Timestamp::from_secs(BORN));
        let parts = [made, SubpacketData::IssuerFingerprint(self.0.fingerprint())].into_iter().chain(more);
        config.hashed_subpackets = parts.map(|part| Subpacket::regular(part).unwrap()).collect();
        config
    }

    /// Its certificate, armoured.
    pub fn armoured(&self) -> String {
        let mut flags = KeyFlags::default();
        flags.set_certify(true);
        flags.set_sign(true);
        let id = UserId::from_str(PacketHeaderVersion::New, "archive").unwrap();
        let config = self.config(SignatureType::CertPositive, vec![SubpacketData::KeyFlags(flags)]);
        let public = self.0.public_key();
        let bound = config.sign_certification(&self.0, public, &Password::empty(), Tag::UserId, &id).unwrap();
        let users = vec![SignedUser::new(id, vec![bound])];
        let details = SignedKeyDetails::new(Vec::new(), Vec::new(), users, Vec::new());
        let certificate = SignedPublicKey::new(public.clone(), details, Vec::new());
        certificate.to_armored_string(ArmorOptions::default()).unwrap()
    }

    fn sign(&self, text: &str) -> String {
        let config = self.config(SignatureType::Text, Vec::new());
        let message = CleartextSignedMessage::new(text, config, &self.0, &Password::empty()).unwrap();
        message.to_armored_string(ArmorOptions::default()).unwrap()
    }
}

/// A date as releases write it, some days before now.
pub fn days_ago(days: i64) -> String {
    let time = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * days);
    time.strftime("%a, %d %b %Y %H:%M:%S UTC").to_string()
}

/// A release of a suite and its index.
#[derive(Clone, Default)]
pub struct Release {
    suite: String,
    signed: String,
    index: Vec<u8>,
}

impl Release {
    /// Of bookworm and of that `date`, signed by `key`, with packages of that version.
    pub fn new(key: &Key, date: &str, version: &str) -> Self {
        Self::of("bookworm", &["apt", "base-files", "passwd"], key, date, version)
    }

    /// The same of another suite with other packages.
    pub fn of(suite: &str, packages: &[&str], key: &Key, date: &str, version: &str) -> Self {
        let package = |name: &str| {
            let hash = Digest::of(format!("{name} {version}")).hex();
            format!(
                "Package: {name}\nEssential: yes\nVersion: {version}\nArchitecture: amd64\n\
                 Filename: pool/main/{name}.deb\nSize: 100\nSHA256: {hash}\n\n"
            )
        };
        let mut encoder = Encoder::new(Vec::new(), "gzip".parse().unwrap()).unwrap();
        encoder.write_all(packages.iter().map(|name| package(name)).collect::<String>().as_bytes()).unwrap();
        let index = encoder.finish().unwrap();
        let text = format!(
            "Origin: Debian\nSuite: {suite}\nCodename: {suite}\nDate: {date}\nArchitectures: amd64\nComponents: main\n\
             SHA256:\n {} {} main/binary-amd64/Packages.gz\n",
            Digest::of(&index).hex(),
            index.len()
        );
        Self { suite: suite.to_owned(), signed: key.sign(&text), index }
    }
}

/// A server of an archive whose release can be exchanged. Whatever directory is asked for is the archive.
pub struct Archive {
    server: Server,
    /// What is served; the last one of a suite stays.
    releases: Arc<Mutex<Vec<Release>>>,
}

impl Archive {
    pub fn serve(release: Release) -> Self {
        let releases = Arc::new(Mutex::new(vec![release]));
        let served = Arc::clone(&releases);
        let server = Server::start(move |_, asked, stream| {
            let mut served = served.lock().unwrap();
            let is_for =
                |release: &Release, file: &str| asked.line.contains(&format!("/dists/{}/{file}", release.suite));
            let of = |file: &str| served.iter().position(|release| is_for(release, file));
            if let Some(at) = of("InRelease") {
                let first = served[at].clone();
                if served.iter().filter(|release| release.suite == first.suite).count() > 1 {
                    served.remove(at);
                }
                whole(stream, first.signed.as_bytes());
            } else if let Some(at) = of("main/binary-amd64/Packages.gz") {
                whole(stream, &served[at].index);
            } else {
                send(stream, "404 Not Found", "Content-Length: 0\r\n", b"");
            }
        });
        Self { server, releases }
    }

    /// Serves these one after another.
    pub fn now(&self, releases: &[Release]) {
        *self.releases.lock().unwrap() = releases.to_vec();
    }

    pub fn url(&self, path: &str) -> String {
        self.server.path(path)
    }
}

/// A blueprint on bookworm.
pub fn on_bookworm() -> tempfile::TempDir {
    blueprint(&[
        ("manifest.yml", "name: x\nversion: 1.0.0\nrun_order: [t.yml]\nimage: {base: 'deb:bookworm'}\n"),
        ("t.yml", "- {name: one, action: write_env_file, file: /etc/one, content: 'ONE=1'}\n"),
    ])
}

/// Runs alloy on a machine whose apt has what is in `apt`, and whose keyrings are those in `keyrings`.
pub fn with_apt(store: &Store, apt: &Path, keyrings: &Path, arguments: &[&str]) -> Ended {
    let script = "mount --bind \"$1\" /etc/apt && mount --bind \"$2\" /usr/share/keyrings && shift 2 && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-ec", script, "sh", text(apt), text(keyrings), ALLOY, "--progress=plain"]);
    run(command.args(arguments).env("ALLOY_HOME", store.path().join("store")).env_remove("ALLOY_MIRROR"))
}

/// Runs alloy on a machine of which all is in `root`: what its apt has in `apt`, keyrings in `keyrings`, and what
/// packages name archives in `python-apt`. It has nothing of debootstrap.
pub fn on_machine(store: &Store, root: &Path, arguments: &[&str]) -> Ended {
    let script = "mount --bind \"$1/apt\" /etc/apt; mount --bind \"$1/keyrings\" /usr/share/keyrings; \
                  mount --bind \"$1/python-apt\" /usr/share/python-apt; mkdir -p \"$1/none\"; \
                  for it in /usr/share/debootstrap /usr/sbin/debootstrap; do \
                  [ ! -e $it ] || mount --bind \"$1/none\" $it || mount --bind /dev/null $it; done; shift; exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-ec", script, "sh", text(root), ALLOY, "--progress=plain"]);
    run(command.args(arguments).env("ALLOY_HOME", store.path().join("store")).env_remove("ALLOY_MIRROR"))
}
