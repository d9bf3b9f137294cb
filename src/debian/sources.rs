//! Which mirror and which keyring: from the command line, or as this machine's apt has them (sources.list(5)).

use std::path::{Path, PathBuf};

use super::DebianError;
use super::control;
use crate::fetch::{Login, taken_apart};

/// Suites by distribution, so that a machine's sources can be told apart.
const DEBIAN: [&str; 16] = [
    "jessie",
    "stretch",
    "buster",
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "sid",
    "oldoldstable",
    "oldstable",
    "stable",
    "testing",
    "unstable",
    "experimental",
    "rc-buggy",
];
const UBUNTU: [&str; 14] = [
    "trusty", "xenial", "bionic", "focal", "jammy", "kinetic", "lunar", "mantic", "noble", "oracular", "plucky",
    "questing", "resolute", "devel",
];

/// Whose archive it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// Debian.
    Debian,
    /// Ubuntu.
    Ubuntu,
}

impl Distribution {
    /// The distribution of a suite or one of its pockets. Names that nobody knows yet are Debian's unless an Ubuntu
    /// machine says otherwise.
    pub fn of(suite: &str) -> Option<Self> {
        let bare = suite.split(['-', '/']).next().unwrap_or(suite);
        match () {
            () if DEBIAN.contains(&bare) => Some(Self::Debian),
            () if UBUNTU.contains(&bare) => Some(Self::Ubuntu),
            () => None,
        }
    }

    /// The distribution that is called `name`; Debian for what is not known.
    pub fn named(name: &str) -> Self {
        if name == Self::Ubuntu.name() { Self::Ubuntu } else { Self::Debian }
    }

    /// In lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Debian => "debian",
            Self::Ubuntu => "ubuntu",
        }
    }

    /// Components of a base that this machine's sources do not describe.
    fn components(self) -> &'static str {
        match self {
            Self::Debian => "main",
            Self::Ubuntu => "main universe",
        }
    }
}

/// One source of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSource {
    /// The archive, without a slash at its end.
    pub uri: String,
    /// The suite or pocket.
    pub suite: String,
    components: String,
    /// Files of the keys that sign it, where it names them.
    pub signed_by: Vec<PathBuf>,
    /// What its URI says of user and password, which go no further than to the server.
    login: Option<Login>,
}

/// Where a suite comes from, and who signs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Whose it is.
    pub distribution: Distribution,
    /// The archive, without a slash at its end.
    pub main: String,
    /// The archive of security updates.
    pub security: Option<String>,
    /// Components of the base's own sources.
    pub components: String,
    /// Files of keys.
    pub keyrings: Vec<PathBuf>,
}

/// Bytes of a file that lists sources.
const FILE_LIMIT: u64 = 16 << 20;

/// The sources of this machine, below `etc`.
pub fn of_this_machine(etc: &Path) -> Vec<HostSource> {
    let mut files = vec![etc.join("apt/sources.list")];
    let entries = std::fs::read_dir(etc.join("apt/sources.list.d")).into_iter().flatten().flatten();
    files.extend(entries.map(|entry| entry.path()));
    files.sort();
    let mut sources = Vec::new();
    for file in files {
        let Ok(text) = layers::regular::text(&file, FILE_LIMIT) else { continue };
        sources.extend(of_file(&file, &text));
    }
    sources
}

/// The sources in the text of a file of that name (sources.list(5)).
pub fn of_file(file: &Path, text: &str) -> Vec<HostSource> {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("list") => text.lines().filter_map(one_line).collect(),
        Some("sources") => deb822(text),
        _ => Vec::new(),
    }
}

fn deb822(text: &str) -> Vec<HostSource> {
    let mut sources = Vec::new();
    for stanza in control::parse(text) {
        let words = |name: &str| stanza.get(name).unwrap_or_default().split_whitespace().map(str::to_owned);
        let enabled = stanza.get("Enabled").is_none_or(|value| value != "no");
        if !enabled || !words("Types").any(|kind| kind == "deb") {
            continue;
        }
        let components = words("Components").collect::<Vec<_>>().join(" ");
        let signed_by = keyring_files(stanza.get("Signed-By").unwrap_or_default());
        for uri in words("URIs") {
            for suite in words("Suites") {
                let ((uri, login), components) = (taken_apart(&uri), components.clone());
                sources.push(HostSource { uri, suite, components, signed_by: signed_by.clone(), login });
            }
        }
    }
    sources
}

fn one_line(line: &str) -> Option<HostSource> {
    let rest = line.split('#').next()?.trim().strip_prefix("deb")?;
    let rest = rest.strip_prefix([' ', '\t'])?.trim();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace();
    let (uri, login) = taken_apart(words.next()?);
    let suite = words.next()?.to_owned();
    let components = words.collect::<Vec<_>>().join(" ");
    let signed_by = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="));
    Some(HostSource { uri, suite, components, signed_by: keyring_files(signed_by.unwrap_or_default()), login })
}

/// The files of a `Signed-By` (sources.list(5)), which also may have fingerprints, or a key itself.
fn keyring_files(value: &str) -> Vec<PathBuf> {
    let words = value.split([',', ' ', '\t', '\n']);
    words.filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

/// Logins of `mirror`, and of the archives beside it that it stands for; without one, of this machine's sources.
pub fn logins(mirror: Option<&str>, host: &[HostSource]) -> Vec<Login> {
    let Some(mirror) = mirror else {
        let mut logins: Vec<Login> = Vec::new();
        for login in host.iter().filter_map(|source| source.login.clone()) {
            if !logins.contains(&login) {
                logins.push(login);
            }
        }
        return logins;
    };
    let main = taken_apart(mirror).1;
    let security = main.as_ref().and_then(|login| {
        let start = login.place.strip_suffix("/debian")?;
        Some(Login { place: format!("{start}/debian-security"), ..login.clone() })
    });
    main.into_iter().chain(security).collect()
}

/// Decides on mirror and keyrings for `suite`.
pub fn choose(
    suite: &str,
    mirror: Option<&str>,
    keyring: Option<&Path>,
    host: &[HostSource],
) -> Result<Mirror, DebianError> {
    let same = host.iter().find(|source| source.suite == suite);
    let distribution = Distribution::of(suite).or_else(|| {
        let mut known = host.iter().filter_map(|source| Distribution::of(&source.suite));
        known.find(|_| same.is_some())
    });
    let distribution = distribution.unwrap_or(Distribution::Debian);
    let ours = |source: &&HostSource| {
        Distribution::of(&source.suite).map_or(source.suite == suite, |of| of == distribution)
            && source.uri.starts_with("http")
    };
    let pocket = |source: &HostSource| source.suite.contains(['-', '/']);
    let main = host.iter().filter(ours).find(|source| source.suite == suite);
    let main = main.or_else(|| host.iter().filter(ours).find(|source| !pocket(source)));
    let security = host.iter().filter(ours).find(|source| source.suite.contains("security"));
    let (uri, security, components) = match (mirror, main) {
        (Some(mirror), _) => {
            let mirror = taken_apart(mirror).0;
            let security = match distribution {
                Distribution::Debian => mirror.strip_suffix("/debian").map(|start| format!("{start}/debian-security")),
                Distribution::Ubuntu => Some(mirror.clone()),
            };
            (mirror, security, distribution.components().to_owned())
        }
        (None, Some(main)) => (main.uri.clone(), security.map(|source| source.uri.clone()), main.components.clone()),
        (None, None) => return Err(DebianError::NoMirror { suite: suite.to_owned() }),
    };
    let main = main.filter(|_| mirror.is_none());
    let signed_by = main.map(|source| source.signed_by.clone()).unwrap_or_default();
    let keyrings = match (keyring, main) {
        (Some(keyring), _) => vec![keyring.to_owned()],
        // What the machine's own source of the suite is signed by, and by nothing else, as apt has it.
        (None, Some(main)) if main.suite == suite && !signed_by.is_empty() => signed_by,
        (None, _) => usual_keyrings(suite, distribution, signed_by)?,
    };
    Ok(Mirror { distribution, main: uri, security, components, keyrings })
}

fn usual_keyrings(
    suite: &str,
    distribution: Distribution,
    signed_by: Vec<PathBuf>,
) -> Result<Vec<PathBuf>, DebianError> {
    let name = distribution.name();
    let usual = ["gpg", "pgp"].map(|kind| PathBuf::from(format!("/usr/share/keyrings/{name}-archive-keyring.{kind}")));
    let usual = usual.into_iter().filter(|path| !signed_by.contains(path));
    let looked: Vec<PathBuf> = signed_by.iter().cloned().chain(usual).collect();
    let found: Vec<PathBuf> = looked.iter().filter(|path| path.is_file()).cloned().collect();
    if found.is_empty() {
        let looked: Vec<String> = looked.iter().map(|path| path.display().to_string()).collect();
        return Err(DebianError::NoKeyring { suite: suite.to_owned(), looked: looked.join(", ") });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(mirror.main, "http://m.example/debian");
            assert_eq!(mirror.security.as_deref(), Some("http://s.example/debian-security"));
        }
        assert!(matches!(choose("noble", None, Some(keyring), &host()), Err(DebianError::NoMirror { .. })));
    }

    #[test]
    fn a_mirror_that_is_named_comes_first() {
        let mirror = choose("noble", Some("http://x.example/ubuntu/"), Some(Path::new("/k")), &host()).unwrap();
        assert_eq!((mirror.main.as_str(), mirror.distribution), ("http://x.example/ubuntu", Distribution::Ubuntu));
        assert_eq!(mirror.security.as_deref(), Some("http://x.example/ubuntu"));
    }

    #[test]
    fn passwords_go_to_the_server_alone() {
        let mut host = deb822("Types: deb\nURIs: http://ann:pw@m.example/debian/\nSuites: bookworm bookworm-updates\n");
        host.extend(one_line("deb https://eve:pw2@s.example/debian-security bookworm-security main"));
        let mirror = choose("bookworm", None, Some(Path::new("/k")), &host).unwrap();
        assert_eq!(mirror.main, "http://m.example/debian");
        assert_eq!(mirror.security.as_deref(), Some("https://s.example/debian-security"));
        let known: Vec<_> =
            logins(None, &host).into_iter().map(|login| (login.place, login.user, login.password)).collect();
        let of = |place: &str, user: &str, password: &str| (place.to_owned(), user.to_owned(), password.to_owned());
        let expected =
            [of("http://m.example/debian", "ann", "pw"), of("https://s.example/debian-security", "eve", "pw2")];
        assert_eq!(known, expected);
        let named = Some("http://bob:pw3@x.example/debian/");
        let mirror = choose("bookworm", named, Some(Path::new("/k")), &host).unwrap();
        assert_eq!(mirror.security.as_deref(), Some("http://x.example/debian-security"));
        let places: Vec<_> = logins(named, &host).into_iter().map(|login| login.place).collect();
        assert_eq!(places, ["http://x.example/debian", "http://x.example/debian-security"]);
    }

    #[test]
    fn a_source_is_signed_by_what_it_names_alone() {
        let sources = deb822(
            "Types: deb\nURIs: http://m.example/debian/\nSuites: bookworm\nSigned-By: /a.gpg /b.gpg, /c.gpg\n\n\
             Types: deb\nURIs: http://m.example/debian/\nSuites: sid\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n",
        );
        let expected = ["/a.gpg", "/b.gpg", "/c.gpg"].map(PathBuf::from);
        assert_eq!(choose("bookworm", None, None, &sources).unwrap().keyrings, expected);
        let listed = one_line("deb [signed-by=/a.gpg,/b.gpg arch=amd64] http://m.example/debian trixie main").unwrap();
        assert_eq!(choose("trixie", None, None, &[listed]).unwrap().keyrings, expected[..2]);
        assert!(sources[1].signed_by.is_empty());
        // Of another suite the distribution's own are looked for as well; a mirror that is named has nothing to do with
        // what the machine's source says.
        let looked = |suite: &str, mirror: Option<&str>| match choose(suite, mirror, None, &sources) {
            Ok(mirror) => format!("{:?}", mirror.keyrings),
            Err(error) => error.to_string(),
        };
        assert!(looked("trixie", None).contains("/usr/share/keyrings/debian-archive-keyring."));
        let named = looked("bookworm", Some("http://x.example/debian"));
        assert!(named.contains("/usr/share/keyrings/debian-archive-keyring.") && !named.contains("/a.gpg"), "{named}");
    }

    #[test]
    fn comments_and_source_packages_are_passed_over() {
        assert!(one_line("# deb http://a b c").is_none());
        assert!(one_line("deb-src http://a b c").is_none());
        assert!(one_line("").is_none());
    }
}
