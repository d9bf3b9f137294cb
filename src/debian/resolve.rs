//! From a suite's name to a base that is decided on.

use std::fs::File;
use std::path::{Path, PathBuf};

use futures_util::future::join_all;
use layers::digest::{Digest, Hasher};

use super::closure::closure;
use super::index::Index;
use super::release;
use super::sources::{self, Mirror};
use super::{BasePackage, BasePlan, DebianError, VERSION};
use crate::event::Event;
use crate::fetch::{Download, FetchError, Fetcher, Transfer};

/// What a base has beside the essential packages, where the archive has it. `passwd` has `useradd`.
const ROOTS: [&str; 3] = ["apt", "base-files", "passwd"];
const RELEASE_LIMIT: u64 = 16 << 20;

/// Where to look, as the user says.
#[derive(Clone, Debug, Default)]
pub struct BaseOptions {
    /// `--mirror`.
    pub mirror: Option<String>,
    /// `--keyring`.
    pub keyring: Option<PathBuf>,
}

/// What the archive says of a suite today, its signatures found good: which indexes there are, not what is in them.
#[derive(Debug)]
pub struct Releases {
    suite: String,
    architecture: String,
    mirror: Mirror,
    pockets: Vec<Pocket>,
}

/// A part of a suite.
#[derive(Debug)]
struct Pocket {
    uri: String,
    name: String,
    date: String,
    /// Of the index of `main`, below the suite's directory: the best one first.
    paths: Vec<String>,
    sha256: Digest,
    size: u64,
}

/// Fetches and checks the releases of `suite`.
pub async fn releases(
    fetcher: &Fetcher,
    suite: &str,
    architecture: &str,
    options: &BaseOptions,
    now: i64,
) -> Result<Releases, DebianError> {
    let host = sources::of_this_machine(Path::new("/etc"));
    let mirror = sources::choose(suite, options.mirror.as_deref(), options.keyring.as_deref(), &host)?;
    let keys = release::keys(&mirror.keyrings)?;
    let archive = Archive { fetcher, mirror: &mirror, keys: &keys, architecture, now };
    let mut wanted = vec![(mirror.main.clone(), suite.to_owned(), true)];
    wanted.push((mirror.main.clone(), format!("{suite}-updates"), false));
    wanted.extend(mirror.security.clone().map(|uri| (uri, format!("{suite}-security"), false)));
    let asked = join_all(wanted.iter().map(|(uri, name, _)| archive.pocket(uri, name))).await;
    let mut pockets = Vec::new();
    for ((_, name, required), pocket) in wanted.iter().zip(asked) {
        match pocket {
            Ok(pocket) => pockets.push(pocket),
            // Young suites have no updates yet, small mirrors no security archive.
            Err(DebianError::Fetch(FetchError::Status { status: 404, .. })) if !required => {
                fetcher.reporter().event(Event::Note(format!("the mirror has no {name}")));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Releases { suite: suite.to_owned(), architecture: architecture.to_owned(), mirror, pockets })
}

impl Releases {
    /// All that the plan depends on, as a digest: it stays as long as the archive's indexes do.
    pub fn identity(&self) -> Digest {
        let mut hasher = Hasher::new();
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        part(b"suite");
        part(&VERSION.to_le_bytes());
        for text in [self.mirror.distribution.name(), &self.suite, &self.architecture, &self.mirror.components] {
            part(text.as_bytes());
        }
        ROOTS.iter().for_each(|root| part(root.as_bytes()));
        for pocket in &self.pockets {
            for text in [&pocket.uri, &pocket.name] {
                part(text.as_bytes());
            }
            part(pocket.sha256.as_bytes());
        }
        hasher.finish()
    }

    /// Decides what a base of the suite is made of.
    pub async fn plan(&self, fetcher: &Fetcher) -> Result<BasePlan, DebianError> {
        let fetched = join_all(self.pockets.iter().map(|pocket| pocket.fetch(fetcher))).await;
        let mut index = Index::default();
        let mut sources = String::new();
        for (pocket, file) in self.pockets.iter().zip(fetched) {
            let Pocket { uri, name, .. } = pocket;
            index
                .read(uri, file?)
                .map_err(|error| DebianError::Index { url: format!("{uri} {name}"), message: error.to_string() })?;
            let components = &self.mirror.components;
            sources += &format!("Types: deb\nURIs: {uri}\nSuites: {name}\nComponents: {components}\n\n");
        }
        let chosen = closure(&index, &ROOTS)?;
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
            distribution: self.mirror.distribution.name().to_owned(),
            suite,
            architecture,
            packages: chosen.into_iter().map(package).collect(),
            sources,
            date: self.pockets.first().map(|pocket| pocket.date.clone()).unwrap_or_default(),
        })
    }
}

impl Pocket {
    async fn fetch(&self, fetcher: &Fetcher) -> Result<File, DebianError> {
        let Self { uri, name, paths, sha256, size, .. } = self;
        let mut result = Ok(());
        for path in paths {
            let url = format!("{uri}/dists/{name}/{path}");
            let shown = || Transfer::start(fetcher.reporter(), format!("index of {name}"), Some(*size));
            let part_of = (!fetcher.have(sha256)).then(shown);
            let download = Download { url, sha256: Some(*sha256), size: Some(*size), part_of };
            result = fetcher.fetch(&download).await.map(drop);
            // A mirror that is being updated may have an index under one name and not yet under the other.
            if !matches!(result, Err(FetchError::Status { status: 404, .. })) {
                break;
            }
        }
        result?;
        let path = fetcher.path(sha256);
        File::open(&path).map_err(|source| DebianError::Read { path, source })
    }
}

struct Archive<'a> {
    fetcher: &'a Fetcher,
    mirror: &'a Mirror,
    keys: &'a [pgp::composed::SignedPublicKey],
    architecture: &'a str,
    now: i64,
}

impl Archive<'_> {
    /// The release of a pocket, and where its index of `main` is: a base needs nothing else.
    async fn pocket(&self, uri: &str, pocket: &str) -> Result<Pocket, DebianError> {
        let dists = format!("{uri}/dists/{pocket}");
        let url = format!("{dists}/InRelease");
        let bytes = self.fetcher.get(&url, RELEASE_LIMIT).await?;
        let text = String::from_utf8_lossy(&bytes);
        let release = release::verify(&text, &url, pocket, self.keys, &self.mirror.keyrings, self.now)?;
        let directory = format!("main/binary-{}", self.architecture);
        let found = ["xz", "zst", "gz"].iter().find_map(|kind| {
            let path = format!("{directory}/Packages.{kind}");
            release.files.get(&path).map(|(digest, size)| (path, *digest, *size))
        });
        let (path, sha256, size) = found.ok_or_else(|| {
            let architecture = self.architecture;
            DebianError::Release { url: url.clone(), message: format!("it has no packages for {architecture}") }
        })?;
        let by_hash = format!("{directory}/by-hash/SHA256/{}", sha256.hex());
        let paths = if release.by_hash { vec![by_hash, path] } else { vec![path] };
        Ok(Pocket { uri: uri.to_owned(), name: pocket.to_owned(), date: release.date, paths, sha256, size })
    }
}
