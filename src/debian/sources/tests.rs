use std::path::PathBuf;

use super::*;
use crate::debian::Keyring;
use crate::debian::signed_by::Fingerprint;

impl Mirror {
    fn main(&self) -> &str {
        &self.places[0].uri
    }

    fn security(&self) -> Option<&str> {
        let place = self.places.iter().find(|place| place.pocket.ends_with("-security"))?;
        Some(&place.uri)
    }
}

/// On a machine without packages that name archives.
fn choose(
    suite: &str,
    mirror: Option<&str>,
    keyring: Option<&Path>,
    host: &[HostSource],
) -> Result<Mirror, DebianError> {
    let (native, usr) = (Platform::of_this_machine(), Path::new("/nowhere"));
    super::choose(&Asked { suite, architecture: native.debian_arch(), mirror, keyring, usr }, host)
}

fn host() -> Vec<HostSource> {
    let mut sources = deb822(
        "Types: deb\nURIs: http://m.example/debian/\nSuites: bookworm bookworm-updates\nComponents: main\n\n\
         Types: deb\nURIs: http://s.example/debian-security\nSuites: bookworm-security\nComponents: main\n\n\
         Types: deb\nEnabled: no\nURIs: http://off.example/x\nSuites: trixie\nComponents: main\n",
    );
    sources.extend(one_line("deb [arch=amd64 signed-by=/k.gpg] https://node.example/repo nodistro main"));
    sources
}

#[test]
fn another_suite_of_the_same_distribution_comes_from_the_same_place() {
    let keyring = Path::new("/k.gpg");
    for suite in ["bookworm", "trixie"] {
        let mirror = choose(suite, None, Some(keyring), &host()).unwrap();
        assert_eq!(mirror.main(), "http://m.example/debian");
        assert_eq!(mirror.security(), Some("http://s.example/debian-security"));
    }
    assert!(matches!(choose("noble", None, Some(keyring), &host()), Err(DebianError::NoMirror { .. })));
}

#[test]
fn a_mirror_that_is_missing_is_told_with_the_form_of_its_flag() {
    for (suite, host, form) in
        [("noble", host(), "--mirror http://HOST/ubuntu or"), ("trixie", Vec::new(), "--mirror http://HOST/debian or")]
    {
        let hint = choose(suite, None, None, &host).unwrap_err().hint().unwrap();
        assert!(hint.contains(form) && hint.contains("apt install python-apt-common"), "{hint}");
    }
}

/// A machine with a template that names one archive for `amd64` and another for the rest.
fn with_template() -> tempfile::TempDir {
    let usr = tempfile::tempdir().unwrap();
    let templates = usr.path().join("share/python-apt/templates");
    std::fs::create_dir_all(&templates).unwrap();
    for name in ["Debian", "Ubuntu"] {
        let place = name.to_lowercase();
        let ports = if name == "Ubuntu" { "ubuntu-ports" } else { "debian" };
        let text = format!(
            "Suite: {{series}}\nRepositoryType: deb\nBaseURI: http://t.example/{ports}/\n\
             BaseURI-amd64: http://t.example/{place}\n\n\
             Suite: {{series}}-security\nRepositoryType: deb\nBaseURI: http://s.example/{ports}\n"
        );
        std::fs::write(templates.join(format!("{name}.info")), text).unwrap();
    }
    usr
}

#[test]
fn packages_of_the_machine_name_what_its_sources_do_not() {
    let usr = with_template();
    let of = |suite: &str, architecture: &str, host: &[HostSource]| {
        let asked = Asked { suite, architecture, mirror: None, keyring: None, usr: usr.path() };
        let mirror = super::choose(&asked, host).unwrap();
        (mirror.main().to_owned(), mirror.security().unwrap_or_default().to_owned(), mirror.file.is_some())
    };
    let is = |main: &str, security: &str, named: bool| (main.to_owned(), security.to_owned(), named);
    let native = Platform::of_this_machine();
    assert_eq!(
        of("bookworm", native.debian_arch(), &host()),
        is("http://m.example/debian", "http://s.example/debian-security", false)
    );
    assert_eq!(of("jammy", "amd64", &host()), is("http://t.example/ubuntu", "http://s.example/ubuntu-ports", true));
    assert_eq!(
        of("jammy", "arm64", &host()),
        is("http://t.example/ubuntu-ports", "http://s.example/ubuntu-ports", true)
    );
    assert_eq!(of("trixie", "amd64", &[]), is("http://t.example/debian", "http://t.example/debian-security", true));
    // A flag comes before all.
    let asked = Asked {
        suite: "jammy",
        architecture: "amd64",
        mirror: Some("http://x.example/ubuntu"),
        keyring: None,
        usr: usr.path(),
    };
    let mirror = super::choose(&asked, &host()).unwrap();
    assert_eq!((mirror.main(), &mirror.file), ("http://x.example/ubuntu", &None));
}

#[test]
fn another_architecture_may_have_another_archive() {
    let (usr, native) = (with_template(), Platform::of_this_machine());
    let foreign = if native.debian_arch() == "amd64" { "arm64" } else { "amd64" };
    let of = |suite: &str, host: &[HostSource]| {
        let asked = Asked { suite, architecture: foreign, mirror: None, keyring: None, usr: usr.path() };
        super::choose(&asked, host).unwrap().main().to_owned()
    };
    let line = |text: &str| one_line(text).unwrap();
    let own = line("deb http://own.example/ubuntu jammy main");
    assert!(of("jammy", std::slice::from_ref(&own)).starts_with("http://t.example/ubuntu"));
    // One that says so is for it.
    let said = line(&format!("deb [arch={foreign} signed-by=/k.gpg] http://p.example/ubuntu jammy main"));
    assert_eq!(of("jammy", &[own, said]), "http://p.example/ubuntu");
    // Debian has all in one.
    assert_eq!(of("bookworm", &host()), "http://m.example/debian");
}

#[test]
fn a_suite_is_known_by_the_name_of_its_image() {
    for (image, suite) in [
        ("bookworm", Some("bookworm")),
        ("debian:bookworm-slim", Some("bookworm")),
        ("debian", Some("stable")),
        ("ubuntu:22.04", Some("jammy")),
        ("alpine", None),
        ("debian:nothing", None),
    ] {
        assert_eq!(super::suite_of(image), suite, "{image}");
    }
}

#[test]
fn a_mirror_that_is_named_comes_first() {
    let mirror = choose("noble", Some("http://x.example/ubuntu/"), Some(Path::new("/k")), &host()).unwrap();
    assert_eq!((mirror.main(), mirror.distribution), ("http://x.example/ubuntu", Distribution::Ubuntu));
    assert_eq!(mirror.security(), Some("http://x.example/ubuntu"));
}

#[test]
fn passwords_go_to_the_server_alone() {
    let mut host = deb822("Types: deb\nURIs: http://ann:pw@m.example/debian/\nSuites: bookworm bookworm-updates\n");
    host.extend(one_line("deb https://eve:pw2@s.example/debian-security bookworm-security main"));
    let mirror = choose("bookworm", None, Some(Path::new("/k")), &host).unwrap();
    assert_eq!(mirror.main(), "http://m.example/debian");
    assert_eq!(mirror.security(), Some("https://s.example/debian-security"));
    let known: Vec<_> =
        logins(None, &host).into_iter().map(|login| (login.place, login.user, login.password)).collect();
    let of = |place: &str, user: &str, password: &str| (place.to_owned(), user.to_owned(), password.to_owned());
    let expected = [of("http://m.example/debian", "ann", "pw"), of("https://s.example/debian-security", "eve", "pw2")];
    assert_eq!(known, expected);
    let named = Some("http://bob:pw3@x.example/debian/");
    let mirror = choose("bookworm", named, Some(Path::new("/k")), &host).unwrap();
    assert_eq!(mirror.security(), Some("http://x.example/debian-security"));
    let places: Vec<_> = logins(named, &host).into_iter().map(|login| login.place).collect();
    assert_eq!(places, ["http://x.example/debian", "http://x.example/debian-security"]);
}

#[test]
fn a_source_is_signed_by_what_it_names_alone() {
    let sources =
        deb822("Types: deb\nURIs: http://m.example/debian/\nSuites: bookworm\nSigned-By: /a.gpg /b.gpg, /c.gpg\n\n");
    let expected = Trust::files(["/a.gpg", "/b.gpg", "/c.gpg"].map(PathBuf::from));
    // Its updates as well, of which no source says anything.
    let mirror = choose("bookworm", None, None, &sources).unwrap();
    assert!(mirror.places.iter().all(|place| place.trust == expected), "{mirror:?}");
    let listed = one_line("deb [signed-by=/a.gpg,/b.gpg arch=amd64] http://m.example/debian trixie main").unwrap();
    let trust = choose("trixie", None, None, &[listed]).unwrap().places.remove(0).trust;
    assert_eq!(trust, Trust::files(["/a.gpg", "/b.gpg"].map(PathBuf::from)));
    // Of another suite the distribution's own are looked for as well; a mirror that is named has nothing to do with
    // what the machine's source says.
    let looked = |suite: &str, mirror: Option<&str>| match choose(suite, mirror, None, &sources) {
        Ok(mirror) => format!("{:?}", mirror.places[0].trust),
        Err(error) => error.to_string(),
    };
    assert!(looked("trixie", None).contains("/usr/share/keyrings/debian-archive-keyring."));
    let named = looked("bookworm", Some("http://x.example/debian"));
    assert!(named.contains("/usr/share/keyrings/debian-archive-keyring.") && !named.contains("/a.gpg"), "{named}");
}

const FINGERPRINT: &str = "0123456789ABCDEF0123456789ABCDEF01234567";

/// A source of bookworm with that `Signed-By`.
fn signed_by(value: &str) -> Vec<HostSource> {
    deb822(&format!("Types: deb\nURIs: http://m.example/debian\nSuites: bookworm\nSigned-By: {value}\n"))
}

#[test]
fn keys_are_chosen_by_fingerprints() {
    let only = |word: &str| match SignedBy::read(word) {
        Ok(SignedBy::Keys { only, .. }) => only,
        other => panic!("{word}: {other:?}"),
    };
    let trust = |value: &str| choose("bookworm", None, None, &signed_by(value)).unwrap().places.remove(0).trust;
    let files = |names: &[&str]| names.iter().map(PathBuf::from).map(Keyring::File).collect::<Vec<_>>();
    let chosen = trust(&format!("/a.gpg, {FINGERPRINT}!\n /b.gpg"));
    let expected: Vec<Fingerprint> = only(&format!("{FINGERPRINT}!"));
    assert_eq!(chosen, Trust { keyrings: files(&["/a.gpg", "/b.gpg"]), only: expected });
    // From what is trusted already, if this machine has such keyrings.
    assert_eq!(trust(FINGERPRINT).only, only(FINGERPRINT));
    // They say nothing of another suite's keys.
    let other = choose("trixie", None, None, &signed_by(&format!("/a.gpg {FINGERPRINT}"))).unwrap();
    assert!(other.places[0].trust.only.is_empty());
}

#[test]
fn a_key_in_a_source_is_its_keyring() {
    let block = "\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n /abc\n -----END PGP PUBLIC KEY BLOCK-----";
    let trust = choose("bookworm", None, None, &signed_by(block)).unwrap().places.remove(0).trust;
    let text = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n/abc\n-----END PGP PUBLIC KEY BLOCK-----\n";
    assert_eq!(trust, Trust { keyrings: vec![Keyring::Block(text.into())], only: Vec::new() });
}

#[test]
fn every_pocket_is_signed_as_its_own_source_says() {
    let mut sources = signed_by("/main.gpg");
    sources.extend(one_line("deb [signed-by=/security.gpg] http://s.example/debian-security bookworm-security main"));
    let places = choose("bookworm", None, None, &sources).unwrap().places;
    let found: Vec<_> = places.into_iter().map(|place| (place.pocket, place.trust)).collect();
    let of = |pocket: &str, file: &str| (pocket.to_owned(), Trust::files([PathBuf::from(file)]));
    let expected =
        [of("bookworm", "/main.gpg"), of("bookworm-updates", "/main.gpg"), of("bookworm-security", "/security.gpg")];
    assert_eq!(found, expected);
}

#[test]
fn what_a_source_says_of_its_keys_is_understood_or_refused() {
    let refused = |sources: &[HostSource]| {
        let error = choose("bookworm", None, None, sources).unwrap_err();
        assert!(matches!(error, DebianError::SignedBy { .. }), "{error}");
        // A keyring that is named stands in its place.
        choose("bookworm", None, Some(Path::new("/k")), sources).unwrap();
        choose("bookworm", Some("http://x.example/debian"), Some(Path::new("/k")), sources).unwrap();
    };
    let twice = format!("/a.gpg\nSigned-By: {FINGERPRINT}");
    for value in ["DEADBEEF", "x.gpg", "/a.gpg and more", &twice] {
        refused(&signed_by(value));
    }
    refused(&[one_line("deb [signed-by+=/a.gpg] http://m.example/debian bookworm main").unwrap()]);
    let mut two = signed_by("/a.gpg");
    two.extend(one_line("deb http://m.example/debian bookworm contrib"));
    refused(&two);
}

#[test]
fn comments_and_source_packages_are_passed_over() {
    assert!(one_line("# deb http://a b c").is_none());
    assert!(one_line("deb-src http://a b c").is_none());
    assert!(one_line("").is_none());
}
