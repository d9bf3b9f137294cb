//! From a suite's name to a base that is decided on.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::closure::closure;
use super::index::Index;
use super::release::{self, Release};
use super::sources::{self, Mirror};
use super::{BasePackage, BasePlan, DebianError};
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

/// Decides what `deb:SUITE` is made of today.
pub async fn resolve(
    fetcher: &Fetcher,
    suite: &str,
    architecture: &str,
    options: &BaseOptions,
    now: i64,
) -> Result<BasePlan, DebianError> {
    let host = sources::of_this_machine(Path::new("/etc"));
    let mirror = sources::choose(suite, options.mirror.as_deref(), options.keyring.as_deref(), &host)?;
    let keys = release::keys(&mirror.keyrings)?;
    let archive = Archive { fetcher, mirror: &mirror, keys: &keys, architecture, now };
    let mut index = Index::default();
    let mut pockets = vec![(mirror.main.clone(), suite.to_owned(), true)];
    pockets.push((mirror.main.clone(), format!("{suite}-updates"), false));
    pockets.extend(mirror.security.clone().map(|uri| (uri, format!("{suite}-security"), false)));
    let mut date = String::new();
    let mut sources = String::new();
    for (uri, pocket, required) in pockets {
        match archive.pocket(&uri, &pocket).await {
            Ok((release, files)) => {
                for file in files {
                    index.read(&uri, file).map_err(|error| DebianError::Index {
                        url: format!("{uri} {pocket}"),
                        message: error.to_string(),
                    })?;
                }
                date = if required { release.date } else { date };
                let components = &mirror.components;
                sources += &format!("Types: deb\nURIs: {uri}\nSuites: {pocket}\nComponents: {components}\n\n");
            }
            // Young suites have no updates yet, small mirrors no security archive.
            Err(DebianError::Fetch(FetchError::Status { status: 404, .. })) if !required => {
                fetcher.reporter().event(Event::Note(format!("the mirror has no {pocket}")));
            }
            Err(error) => return Err(error),
        }
    }
    let chosen = closure(&index, &ROOTS)?;
    if !chosen.iter().any(|package| package.essential) {
        let (suite, architecture) = (suite.to_owned(), architecture.to_owned());
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
        distribution: mirror.distribution.name().to_owned(),
        suite: suite.to_owned(),
        architecture: architecture.to_owned(),
        packages: chosen.into_iter().map(package).collect(),
        sources,
        date,
    })
}

struct Archive<'a> {
    fetcher: &'a Fetcher,
    mirror: &'a Mirror,
    keys: &'a [pgp::composed::SignedPublicKey],
    architecture: &'a str,
    now: i64,
}

impl Archive<'_> {
    /// The release of a pocket, and its index of `main`: a base needs nothing else.
    async fn pocket(&self, uri: &str, pocket: &str) -> Result<(Release, Vec<File>), DebianError> {
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
        let (path, digest, size) = found.ok_or_else(|| {
            let architecture = self.architecture;
            DebianError::Release { url: url.clone(), message: format!("it has no packages for {architecture}") }
        })?;
        // A few bytes of nothing: a pocket without packages.
        let url = if release.by_hash {
            format!("{dists}/{directory}/by-hash/SHA256/{}", digest.hex())
        } else {
            format!("{dists}/{path}")
        };
        let name = format!("index of {pocket}");
        let missing = !self.fetcher.have(&digest);
        let part_of = missing.then(|| Transfer::start(self.fetcher.reporter(), name, Some(size)));
        let download = Download { url, sha256: Some(digest), size: Some(size), part_of };
        self.fetcher.fetch(&download).await?;
        let path = self.fetcher.path(&digest);
        let file = File::open(&path).map_err(|source| DebianError::Read { path, source })?;
        Ok((release, vec![file]))
    }
}
