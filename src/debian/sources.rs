//! Which mirror and which keyring: from the command line, as this machine's apt has them (sources.list(5)), or as
//! packages name them that are installed on it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::control;
use super::keyring::Suite;
use super::keys::Trust;
use super::machine_mirrors::{self, Known};
use super::signed_by::SignedBy;
use super::{DebianError, keyring};
use crate::fetch::{Login, taken_apart};
use crate::plan::Platform;

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

/// Versions of both, and their suites.
const VERSIONS: [(&str, &str); 14] = [
    ("debian", "stable"),
    ("debian:latest", "stable"),
    ("debian:10", "buster"),
    ("debian:11", "bullseye"),
    ("debian:12", "bookworm"),
    ("debian:13", "trixie"),
    ("ubuntu", "noble"),
    ("ubuntu:latest", "noble"),
    ("ubuntu:18.04", "bionic"),
    ("ubuntu:20.04", "focal"),
    ("ubuntu:22.04", "jammy"),
    ("ubuntu:24.04", "noble"),
    ("ubuntu:25.04", "plucky"),
    ("ubuntu:25.10", "questing"),
];

/// The suite that is meant by the name of an image: `bookworm`, `debian:bookworm`, `ubuntu:22.04`.
pub fn suite_of(image: &str) -> Option<&'static str> {
    let version = VERSIONS.iter().find(|(name, _)| *name == image).map(|(_, suite)| *suite);
    let name = image.strip_prefix("debian:").or_else(|| image.strip_prefix("ubuntu:")).unwrap_or(image);
    let name = name.strip_suffix("-slim").unwrap_or(name);
    version.or_else(|| DEBIAN.iter().chain(&UBUNTU).copied().find(|suite| *suite == name))
}

/// Whose archive it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

    /// As it writes itself.
    pub fn title(self) -> &'static str {
        match self {
            Self::Debian => "Debian",
            Self::Ubuntu => "Ubuntu",
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
    /// Those that it is for; none for this machine's.
    architectures: Vec<String>,
    /// Who signs it, or why that is not understood.
    pub signed_by: Result<SignedBy, String>,
    /// What its URI says of user and password, which go no further than to the server.
    login: Option<Login>,
}

/// Where a suite comes from, and who signs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Whose it is.
    pub distribution: Distribution,
    /// Components of the base's own sources.
    pub components: String,
    /// The suite itself first, then its updates and its security updates.
    pub places: Vec<Place>,
    /// The file of an installed package that names the archive, where nobody else does.
    pub file: Option<PathBuf>,
}

/// A part of a suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The archive, without a slash at its end.
    pub uri: String,
    /// Its name there.
    pub pocket: String,
    /// Nothing goes without it.
    pub required: bool,
    /// Who signs it.
    pub trust: Trust,
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
        let architectures: Vec<String> = words("Architectures").collect();
        let signed_by = stanza.fields().filter(|(name, _)| name.eq_ignore_ascii_case("Signed-By"));
        let signed_by = match signed_by.collect::<Vec<_>>().as_slice() {
            [] => Ok(SignedBy::Anybody),
            [(_, value)] => SignedBy::read(value),
            _ => Err("it is there twice".to_owned()),
        };
        for uri in words("URIs") {
            for suite in words("Suites") {
                let ((uri, login), components) = (taken_apart(&uri), components.clone());
                let (architectures, signed_by) = (architectures.clone(), signed_by.clone());
                sources.push(HostSource { uri, suite, components, architectures, signed_by, login });
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
    let named = options.split_whitespace().find_map(|option| option.strip_prefix("arch="));
    let architectures = named.into_iter().flat_map(|names| names.split(',')).map(str::to_owned).collect();
    Some(HostSource { uri, suite, components, architectures, signed_by: SignedBy::of_options(options), login })
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

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Code name.
    pub suite: &'a str,
    /// Debian's name of the architecture.
    pub architecture: &'a str,
    /// `--mirror`.
    pub mirror: Option<&'a str>,
    /// `--keyring`.
    pub keyring: Option<&'a Path>,
    /// Where this machine has its packages: `/usr`.
    pub usr: &'a Path,
}

/// Decides on mirror and keyrings, on a machine with the sources `host`.
pub fn choose(asked: &Asked<'_>, host: &[HostSource]) -> Result<Mirror, DebianError> {
    let Asked { suite, architecture, mirror, keyring, usr } = *asked;
    let same = host.iter().find(|source| source.suite == suite);
    let distribution = Distribution::of(suite).or_else(|| {
        let mut known = host.iter().filter_map(|source| Distribution::of(&source.suite));
        known.find(|_| same.is_some())
    });
    let distribution = distribution.unwrap_or(Distribution::Debian);
    let known = |architecture: &str| machine_mirrors::known(usr, suite, distribution, architecture);
    let of_distribution = |source: &&HostSource| {
        Distribution::of(&source.suite).map_or(source.suite == suite, |of| of == distribution)
            && source.uri.starts_with("http")
    };
    let says = |source: &HostSource| source.architectures.iter().any(|one| one == architecture);
    // Ubuntu has some architectures in an archive of their own: what this machine asks for itself says nothing of them.
    let native = Platform::of_this_machine();
    let foreign = architecture != native.debian_arch();
    let elsewhere = foreign
        && (host.iter().filter(of_distribution).any(says)
            || known(architecture).map(|known| known.uri) != known(native.debian_arch()).map(|known| known.uri));
    let ours = |source: &&HostSource| of_distribution(source) && (!elsewhere || says(source));
    let pocket = |source: &HostSource| source.suite.contains(['-', '/']);
    let main = host.iter().filter(ours).find(|source| source.suite == suite);
    let main = main.or_else(|| host.iter().filter(ours).find(|source| !pocket(source)));
    let security = host.iter().filter(ours).find(|source| source.suite.contains("security"));
    let mut file = None;
    let (uri, security, components) = match (mirror, main) {
        (Some(mirror), _) => {
            let mirror = taken_apart(mirror).0;
            let security = beside(&mirror, distribution);
            (mirror, security, distribution.components().to_owned())
        }
        (None, Some(main)) => (main.uri.clone(), security.map(|source| source.uri.clone()), main.components.clone()),
        (None, None) => match known(architecture) {
            Some(Known { uri, security, file: named }) => {
                file = Some(named);
                let security = security.or_else(|| beside(&uri, distribution));
                (uri, security, distribution.components().to_owned())
            }
            None => return Err(DebianError::NoMirror { suite: suite.to_owned(), distribution }),
        },
    };
    let own = main.filter(|_| mirror.is_none());
    let of_a_source = if same.is_some() { Suite::OfASource } else { Suite::OfNoSource };
    let mut wanted = vec![(uri.clone(), suite.to_owned()), (uri, format!("{suite}-updates"))];
    wanted.extend(security.map(|uri| (uri, format!("{suite}-security"))));
    let mut places = Vec::new();
    for (uri, pocket) in wanted {
        let here: Vec<&HostSource> = match own {
            Some(_) => host.iter().filter(ours).filter(|one| one.uri == uri && one.suite == pocket).collect(),
            None => Vec::new(),
        };
        let trust = match (keyring, here.first().copied().or(own)) {
            (Some(keyring), _) => Trust::files([keyring.to_owned()]),
            (None, Some(source)) if source.suite == pocket || source.suite == suite => {
                // As apt, which takes neither.
                if here.iter().any(|other| other.signed_by != source.signed_by) {
                    return Err(not_understood(source, "another source of the same says something else"));
                }
                keyring::of_source(distribution, understood(source)?)
            }
            (None, Some(source)) => keyring::of_another_suite(distribution, understood(source)?),
            (None, None) => keyring::usual(distribution, Vec::new(), of_a_source),
        };
        places.push(Place { uri, required: pocket == suite, pocket, trust });
    }
    Ok(Mirror { distribution, components, places, file })
}

/// Where a mirror has the security updates: Ubuntu's are in the same archive.
fn beside(mirror: &str, distribution: Distribution) -> Option<String> {
    match distribution {
        Distribution::Debian => mirror.strip_suffix("/debian").map(|start| format!("{start}/debian-security")),
        Distribution::Ubuntu => Some(mirror.to_owned()),
    }
}

fn understood(source: &HostSource) -> Result<&SignedBy, DebianError> {
    source.signed_by.as_ref().map_err(|message| not_understood(source, message))
}

fn not_understood(source: &HostSource, message: &str) -> DebianError {
    let HostSource { uri, suite, .. } = source;
    DebianError::SignedBy { uri: uri.clone(), suite: suite.clone(), message: message.to_owned() }
}

#[cfg(test)]
mod tests;
