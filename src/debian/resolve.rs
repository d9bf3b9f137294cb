//! From a suite's name to a base that is decided on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;
use layers::digest::Digest;
use layers::key::KeyHasher;
use serde::{Deserialize, Serialize};

use super::closure::closure;
use super::index::Index;
use super::keys::Keyring;
use super::release;
use super::seen::Seen;
use super::sources::{self, Asked, Distribution, Mirror, Place};
use super::{BasePackage, BasePlan, Contents, DebianError, VERSION, Variant};
use crate::event::Event;
use crate::fetch::{Download, FetchError, Fetcher, Login, Transfer, retry, taken_apart};
use crate::lock::{ArchivePin, PocketPin};

mod names;

const RELEASE_LIMIT: u64 = 16 << 20;

/// Where to look, as the user says.
#[derive(Clone, Debug, Default)]
pub struct BaseOptions {
    /// `--mirror`.
    pub mirror: Option<String>,
    /// `--keyring`.
    pub keyring: Option<PathBuf>,
    /// What was said of archives already.
    pub told: Told,
}

/// Lines that were said, which are not said again by whoever shares this.
#[derive(Clone, Debug, Default)]
pub struct Told(Arc<Mutex<BTreeSet<String>>>);

impl Told {
    /// True if `line` is new.
    pub fn first(&self, line: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(line.to_owned())
    }
}

impl BaseOptions {
    /// Who this site is to its mirrors.
    pub fn logins(&self) -> Vec<Login> {
        let host = match self.mirror {
            Some(_) => Vec::new(),
            None => sources::of_this_machine(Path::new("/etc")),
        };
        sources::logins(self.mirror.as_deref(), &host)
    }

    /// True if a mirror of `suite` is known.
    pub fn knows(&self, suite: &str, architecture: &str) -> bool {
        self.choose(suite, architecture).is_ok()
    }

    fn choose(&self, suite: &str, architecture: &str) -> Result<Mirror, DebianError> {
        let (mirror, keyring) = (self.mirror.as_deref(), self.keyring.as_deref());
        let asked = Asked { suite, architecture, mirror, keyring, usr: Path::new("/usr") };
        sources::choose(&asked, &sources::of_this_machine(Path::new("/etc")))
    }
}

/// What the archive says of a suite today, its signatures found good: which indexes there are, not what is in them.
#[derive(Debug, Serialize, Deserialize)]
pub struct Releases {
    suite: String,
    architecture: String,
    distribution: Distribution,
    components: String,
    #[serde(default)]
    variant: Variant,
    pockets: Vec<Pocket>,
    /// A lockfile says so, not the archive.
    pinned: bool,
}

/// A part of a suite.
#[derive(Debug, Serialize, Deserialize)]
struct Pocket {
    uri: String,
    name: String,
    date: String,
    /// Component to the index of its packages.
    indexes: BTreeMap<String, IndexFile>,
}

/// An index of packages.
#[derive(Debug, Serialize, Deserialize)]
struct IndexFile {
    /// Paths below the archive: the best one first.
    paths: Vec<String>,
    sha256: Digest,
    size: u64,
}

/// The component that a base comes from.
const MAIN: &str = "main";

/// Fetches and checks the releases of `suite`.
pub async fn releases(
    fetcher: &Fetcher,
    suite: &str,
    architecture: &str,
    options: &BaseOptions,
    seen: &Seen<'_>,
) -> Result<Releases, DebianError> {
    let mirror = options.choose(suite, architecture)?;
    if let Some(line) = mirror.told(suite).filter(|line| options.told.first(line)) {
        fetcher.reporter().event(Event::Note(line));
    }
    let archive = Archive { fetcher, seen, architecture, now: seen.now };
    let asked = join_all(mirror.places.iter().map(|place| archive.pocket(place))).await;
    let mut pockets = Vec::new();
    for (place, pocket) in mirror.places.iter().zip(asked) {
        match pocket {
            Ok(pocket) => {
                let Pocket { uri, name, date, .. } = &pocket;
                if let Some(newer) = seen.newer_elsewhere(uri, name, date) {
                    let warning = format!(
                        "the release of {name} that {uri} has is of {date}; what alloy.lock.yml pins is newer, of {newer}"
                    );
                    fetcher.reporter().event(Event::Warning(warning));
                }
                pockets.push(pocket);
            }
            // Young suites have no updates yet, small mirrors no security archive.
            Err(DebianError::Fetch(FetchError::Status { status: 404, .. })) if !place.required => {
                fetcher.reporter().event(Event::Note(format!("the mirror has no {}", place.pocket)));
            }
            Err(error) => return Err(error),
        }
    }
    let (suite, architecture) = (suite.to_owned(), architecture.to_owned());
    let Mirror { distribution, components, .. } = mirror;
    let variant = Variant::default();
    Ok(Releases { suite, architecture, distribution, components, variant, pockets, pinned: false })
}

impl Mirror {
    /// What to say of a mirror that neither the user nor this machine's apt has named, and of keys that are not this
    /// machine's.
    fn told(&self, suite: &str) -> Option<String> {
        let place = self.places.first()?;
        let carried = place.trust.keyrings.iter().all(|keyring| matches!(keyring, Keyring::Carried { .. }));
        let from = self.file.as_ref().map(|file| format!("comes from {}, as {} says", place.uri, file.display()));
        let name = self.distribution.title();
        let keys = carried.then(|| {
            format!("is checked with the keys of {name} that alloy has with it, for want of a keyring on this machine")
        });
        let parts: Vec<String> = from.into_iter().chain(keys).collect();
        (!parts.is_empty()).then(|| format!("deb:{suite} {}", parts.join(", and ")))
    }
}

impl Releases {
    /// The releases that a lockfile pins: nobody is asked, and no signature is needed where the hashes are known.
    pub fn pinned(suite: &str, architecture: &str, pin: &ArchivePin) -> Self {
        let pocket = |pin: &PocketPin| Pocket {
            // Lockfiles of before may have passwords.
            uri: taken_apart(&pin.uri).0,
            name: pin.suite.clone(),
            date: pin.date.clone(),
            indexes: BTreeMap::from([(
                MAIN.to_owned(),
                IndexFile { paths: vec![pin.index.clone()], sha256: pin.sha256, size: pin.size },
            )]),
        };
        Self {
            suite: suite.to_owned(),
            architecture: architecture.to_owned(),
            distribution: Distribution::named(&pin.distribution),
            components: pin.components.clone(),
            variant: Variant::default(),
            pockets: pin.pockets.iter().map(pocket).collect(),
            pinned: true,
        }
    }

    /// The same, for a base that has this. The sources of what a lockfile pins are its own.
    pub fn with(self, contents: &Contents) -> Result<Self, DebianError> {
        let releases = Self { variant: contents.variant, ..self };
        match contents.components.as_deref().filter(|_| !releases.pinned) {
            Some(components) => releases.with_components(components),
            None => Ok(releases),
        }
    }

    fn with_components(self, components: &[String]) -> Result<Self, DebianError> {
        let known: BTreeSet<&String> = self.pockets.iter().flat_map(|pocket| pocket.indexes.keys()).collect();
        if let Some(component) = components.iter().find(|name| !known.contains(name)) {
            // Those of the installer have no packages for a system.
            let known = known.into_iter().filter(|name| !name.contains('/'));
            let known = known.cloned().collect::<Vec<_>>().join(", ");
            return Err(DebianError::NoComponent { suite: self.suite, component: component.clone(), known });
        }
        // What is named twice is there once.
        let mut once: Vec<&str> = Vec::new();
        for component in components {
            if !once.contains(&component.as_str()) {
                once.push(component);
            }
        }
        Ok(Self { components: once.join(" "), ..self })
    }

    /// The archive of the suite itself.
    pub fn mirror(&self) -> Option<&str> {
        self.pockets.first().map(|pocket| pocket.uri.as_str())
    }

    /// The same, for a lockfile.
    pub fn pin(&self) -> ArchivePin {
        let pocket = |(pocket, main): (&Pocket, &IndexFile)| PocketPin {
            uri: pocket.uri.clone(),
            suite: pocket.name.clone(),
            date: pocket.date.clone(),
            index: main.paths.first().cloned().unwrap_or_default(),
            sha256: main.sha256,
            size: main.size,
        };
        ArchivePin {
            distribution: self.distribution.name().to_owned(),
            components: self.components.clone(),
            pockets: self.main().map(pocket).collect(),
        }
    }

    /// The pockets, each with its index of `main`, which all have.
    fn main(&self) -> impl Iterator<Item = (&Pocket, &IndexFile)> {
        self.pockets.iter().filter_map(|pocket| Some((pocket, pocket.indexes.get(MAIN)?)))
    }

    /// All that the plan depends on, as a digest: it stays as long as the archive's indexes do.
    pub fn identity(&self) -> Digest {
        let mut key = KeyHasher::new("suite").with(VERSION.to_le_bytes());
        for text in [self.distribution.name(), &self.suite, &self.architecture, &self.components] {
            key.part(text);
        }
        key.part(self.variant.name());
        self.variant.roots().iter().for_each(|root| key.part(root));
        for (pocket, main) in self.main() {
            key.part(&pocket.uri);
            key.part(&pocket.name);
            key.part(main.sha256.as_bytes());
        }
        key.finish()
    }

    /// All packages of `main`.
    async fn index(&self, fetcher: &Fetcher) -> Result<Index, DebianError> {
        Ok(self.indexes(fetcher, &BTreeSet::from([MAIN.to_owned()])).await?.0)
    }

    /// All packages of these components, where there are such; and of each archive of the index the name of its pocket.
    pub(super) async fn indexes<'a>(
        &'a self,
        fetcher: &Fetcher,
        components: &BTreeSet<String>,
    ) -> Result<(Index, Vec<&'a str>), DebianError> {
        let of = |pocket: &'a Pocket| {
            components.iter().filter_map(move |name| Some((pocket, name, pocket.indexes.get(name)?)))
        };
        let wanted: Vec<_> = self.pockets.iter().flat_map(of).collect();
        let fetched = join_all(wanted.iter().map(|(pocket, name, file)| {
            let shown = if *name == MAIN { pocket.name.clone() } else { format!("{} {name}", pocket.name) };
            file.fetch(fetcher, &pocket.uri, shown, self.pinned)
        }));
        let (mut index, mut names) = (Index::default(), Vec::new());
        for ((Pocket { uri, name, .. }, ..), file) in wanted.iter().zip(fetched.await) {
            index
                .read(uri, file?)
                .map_err(|error| DebianError::Index { url: format!("{uri} {name}"), message: error.to_string() })?;
            names.push(name.as_str());
        }
        Ok((index, names))
    }

    /// Decides what a base of the suite is made of.
    pub async fn plan(&self, fetcher: &Fetcher) -> Result<BasePlan, DebianError> {
        let index = self.index(fetcher).await?;
        let mut sources = String::new();
        for Pocket { uri, name, .. } in &self.pockets {
            let components = &self.components;
            sources += &format!("Types: deb\nURIs: {uri}\nSuites: {name}\nComponents: {components}\n\n");
        }
        let chosen = closure(&index, self.variant.roots(), self.variant.has_required())?;
        let (suite, architecture) = (self.suite.clone(), self.architecture.clone());
        if !chosen.iter().any(|package| package.essential) {
            return Err(DebianError::NothingEssential { suite, architecture });
        }
        let package = |package: &super::index::Package| BasePackage {
            name: package.name.to_string(),
            version: package.version.to_string(),
            url: format!("{}/{}", index.archives[package.archive], package.filename),
            sha256: package.sha256,
            size: package.size,
        };
        Ok(BasePlan {
            distribution: self.distribution.name().to_owned(),
            suite,
            architecture,
            packages: chosen.into_iter().map(package).collect(),
            sources,
            date: self.pockets.first().map(|pocket| pocket.date.clone()).unwrap_or_default(),
        })
    }
}

impl IndexFile {
    /// The file, of the archive at `uri` and called `name` among people.
    async fn fetch(&self, fetcher: &Fetcher, uri: &str, name: String, pinned: bool) -> Result<File, DebianError> {
        let Self { paths, sha256, size } = self;
        let mut result = Ok(());
        for path in paths {
            let url = format!("{uri}/{path}");
            let shown = || Transfer::start(fetcher.reporter(), format!("index of {name}"), Some(*size));
            let part_of = (!fetcher.have(sha256)).then(shown);
            let download = Download { url, sha256: Some(*sha256), size: Some(*size), part_of };
            result = fetcher.fetch(&download).await.map(drop).map_err(|error| (download.url.clone(), error));
            // A mirror that is being updated may have an index under one name and not yet under the other.
            if !matches!(result, Err((_, FetchError::Status { status: 404, .. }))) {
                break;
            }
        }
        result.map_err(|(url, error)| match error {
            // Archives keep an index for days after there is a newer one, and some have newer ones at the same place.
            FetchError::Status { status: 404 | 410, .. }
            | FetchError::Digest { .. }
            | FetchError::Size { .. }
            | FetchError::Longer { .. }
                if pinned =>
            {
                DebianError::Gone { suite: name, url }
            }
            error => error.into(),
        })?;
        let path = fetcher.path(sha256);
        File::open(&path).map_err(|source| DebianError::Read { path, source })
    }
}

struct Archive<'a> {
    fetcher: &'a Fetcher,
    seen: &'a Seen<'a>,
    architecture: &'a str,
    now: i64,
}

impl Archive<'_> {
    /// The release of a pocket, none older than what was seen of it, and where its indexes are.
    async fn pocket(&self, place: &Place) -> Result<Pocket, DebianError> {
        let Place { uri, pocket, trust, .. } = place;
        let url = format!("{uri}/dists/{pocket}/InRelease");
        let keys = trust.keys()?;
        let release = retry(|| async {
            let bytes = self.fetcher.get(&url, RELEASE_LIMIT).await?;
            let release = release::verify(&String::from_utf8_lossy(&bytes), &url, pocket, &keys, self.now)?;
            self.seen.check(uri, pocket, &release, &keys).map(|()| release)
        })
        .await?;
        let mut indexes = BTreeMap::new();
        // The best one last.
        for kind in ["gz", "zst", "xz"] {
            let file = format!("/binary-{}/Packages.{kind}", self.architecture);
            for (path, (sha256, size)) in &release.files {
                let Some(component) = path.strip_suffix(&file) else { continue };
                let (directory, _) = path.rsplit_once('/').unwrap_or_default();
                let by_hash = format!("dists/{pocket}/{directory}/by-hash/SHA256/{}", sha256.hex());
                let plain = format!("dists/{pocket}/{path}");
                let paths = if release.by_hash { vec![by_hash, plain] } else { vec![plain] };
                indexes.insert(component.to_owned(), IndexFile { paths, sha256: *sha256, size: *size });
            }
        }
        if !indexes.contains_key(MAIN) {
            let message = format!("it has no packages for {}", self.architecture);
            return Err(DebianError::Release { url, message });
        }
        Ok(Pocket { uri: uri.clone(), name: pocket.clone(), date: release.date, indexes })
    }
}
