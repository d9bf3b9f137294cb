//! Packages of languages, pinned as what their registries send now.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use layers::digest::Digest;
use sha2::{Digest as _, Sha512};

use super::{ResolveError, Resolver, Result};
use crate::fetch::{Download, FetchError};
use crate::lock::PackagePin;
use crate::op::Step;
use crate::tasks::Task;

/// A package that is to be pinned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where it is.
    pub url: String,
    /// What it is, if whoever was asked said so.
    pub sha256: Option<Digest>,
    /// The same as its registry says it (Subresource Integrity).
    pub integrity: Option<String>,
    /// Where it lies below the directory of all packages.
    pub path: Option<String>,
    /// Only another one is built with it.
    pub build: bool,
}

impl Asked {
    /// True for a Python package that has to be built before it is installed.
    pub fn is_built(&self) -> bool {
        !self.build && !self.url.ends_with(".whl")
    }
}

impl Resolver<'_> {
    /// Fetches packages that `step` installs side by side, and pins them.
    pub fn pin_packages(&self, step: &Step, asked: Vec<Asked>) -> Result<Vec<PackagePin>> {
        self.pinned_packages(asked).map_err(|error| error.of_step(step))
    }

    fn pinned_packages(&self, asked: Vec<Asked>) -> Result<Vec<PackagePin>> {
        let fetch = |asked: &Asked| {
            let download = Download { url: asked.url.clone(), sha256: asked.sha256, size: None, part_of: None };
            let fetcher = self.fetcher().clone();
            Task::start(self.runtime(), async move { fetcher.fetch(&download).await })
        };
        let tasks: Vec<_> = asked.iter().map(fetch).collect();
        let mut pins = Vec::new();
        for (asked, task) in asked.into_iter().zip(tasks) {
            let fetched = task.wait().map_err(FetchError::from)??;
            let Asked { name, version, url, integrity, path, build, .. } = asked;
            let (sha256, size) = (fetched.digest, fetched.size);
            if let Some(integrity) = &integrity {
                let same = agrees(&self.fetcher().path(&sha256), integrity);
                let failed = |source| FetchError::Write { url: self.fetcher().shown(&url), source };
                if !same.map_err(failed)? {
                    let (url, integrity) = (self.fetcher().shown(&url), integrity.clone());
                    return Err(ResolveError::Integrity { name, url, integrity });
                }
            }
            pins.push(PackagePin { name, version, url, sha256, integrity, size, path, build });
        }
        Ok(pins)
    }
}

/// True if the file is what the strongest hash of `integrity` says. What has no SHA-512 says nothing: the pin is a
/// SHA-256 of its own.
fn agrees(path: &Path, integrity: &str) -> io::Result<bool> {
    let Some(said) = integrity.split_whitespace().find_map(|one| one.strip_prefix("sha512-")) else { return Ok(true) };
    let (mut file, mut hasher, mut bytes) = (File::open(path)?, Sha512::new(), vec![0; 64 << 10]);
    loop {
        match file.read(&mut bytes)? {
            0 => break,
            count => hasher.update(&bytes[..count]),
        }
    }
    let said = said.split('?').next().unwrap_or_default();
    Ok(STANDARD.encode(hasher.finalize()) == said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_to_be_what_its_registry_says() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abc").unwrap();
        // FIPS 180-4, the example of SHA-512.
        let abc = "3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw==";
        assert!(agrees(file.path(), &format!("sha1-x sha512-{abc}?x")).unwrap());
        assert!(!agrees(file.path(), &format!("sha512-{}", abc.replace('3', "4"))).unwrap());
        assert!(agrees(file.path(), "sha1-x").unwrap());
    }
}
