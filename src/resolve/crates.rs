//! What a crate is built of, as its own `Cargo.lock` says: nothing has to run for that.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use layers::compress::decoder;
use layers::tar::{self, TarError};
use serde::Deserialize;

use super::{Asked, ResolveError, Resolver, Result};
use crate::fetch::{Download, FetchError};
use crate::lock::unfit;
use crate::op::{Language, is_exact_version};
use crate::yaml::one_line;
use layers::digest::Digest;

/// The index of the public registry (The Cargo Book, "Registry Index").
pub const CRATES_IO: &str = "https://index.crates.io/";
/// How its crates are named in lockfiles, whatever mirror they come from.
const SOURCES: [&str; 2] = ["registry+https://github.com/rust-lang/crates.io-index", "sparse+https://index.crates.io/"];
/// Bytes of a `Cargo.lock`, and of what an index says of itself.
const LIMIT: u64 = 16 << 20;

#[derive(Deserialize)]
struct Config {
    dl: String,
    #[serde(default, rename = "auth-required")]
    auth_required: bool,
}

/// A version of a crate, as its index says it.
#[derive(Deserialize)]
struct Entry {
    vers: String,
    cksum: String,
    #[serde(default)]
    yanked: bool,
}

#[derive(Deserialize)]
struct Lockfile {
    #[serde(default)]
    package: Vec<Locked>,
    /// Of the first form: `checksum NAME VERSION (SOURCE)` and the digits.
    #[serde(default)]
    metadata: BTreeMap<String, toml::Value>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
}

/// A crate that was fetched.
#[derive(Clone, Debug)]
pub struct Crate {
    /// What is pinned of it.
    pub top: Asked,
    /// What it is.
    pub sha256: Digest,
    /// Its `Cargo.lock`; old ones have none.
    pub lockfile: Option<String>,
    /// Where its index has crates.
    dl: String,
    /// Its index answers nobody without a token.
    pub for_members: bool,
}

impl Crate {
    /// The crate and all that `lockfile` names; `Err` says why that cannot be pinned.
    pub fn all(&self, lockfile: &str) -> std::result::Result<Vec<Asked>, String> {
        let Asked { name, version, .. } = &self.top;
        let Lockfile { package, metadata } = toml::from_str(lockfile)
            .map_err(|error| format!("the Cargo.lock of {name} {version} cannot be read: {}", error.message()))?;
        let mut all = vec![self.top.clone()];
        for Locked { name, version, source, checksum } in package {
            let Some(source) = source else { continue };
            if !SOURCES.contains(&source.as_str()) {
                return Err(format!("{name} {version}, which it is built of, is from {source}"));
            }
            let first = || metadata.get(&format!("checksum {name} {version} ({source})"))?.as_str().map(str::to_owned);
            let sha256 = checksum.or_else(first).and_then(|digits| Digest::from_hex(&digits).ok());
            let Some(sha256) = sha256 else {
                return Err(format!("its Cargo.lock has no checksum of {name} {version}, which it is built of"));
            };
            all.push(one(&name, &version, address(&self.dl, &name, &version, &sha256), sha256));
        }
        match all.iter().find_map(unfit_of) {
            Some(why) => Err(format!("the Cargo.lock of {name} {version} names what no registry has: {why}")),
            None => Ok(all),
        }
    }
}

fn unfit_of(asked: &Asked) -> Option<String> {
    unfit(Language::Rust, &asked.name, &asked.version, &asked.url, None)
}

fn one(name: &str, version: &str, url: String, sha256: Digest) -> Asked {
    let (name, version) = (name.to_owned(), version.to_owned());
    Asked { name, version, url, sha256: Some(sha256), integrity: None, path: None, build: false }
}

impl Resolver<'_> {
    /// The crate `name@version`, from the registry with this index. The inner `Err` says why it cannot be pinned.
    pub fn crate_of(&self, index: &str, asked: &str) -> Result<std::result::Result<Crate, String>> {
        let Some((name, version)) = asked.split_once('@') else { return Ok(Err(format!("`{asked}` has no version"))) };
        if !is_exact_version(version) {
            return Ok(Err(format!("`{version}` is not an exact version of {name}")));
        }
        if let Some(why) = unfit(Language::Rust, name, version, index, None) {
            return Ok(Err(why));
        }
        let about = self.fetched(format!("{index}config.json"), None)?;
        let text = layers::regular::text(&self.fetcher().path(&about), LIMIT).unwrap_or_default();
        let Ok(Config { dl, auth_required: for_members }) = serde_json::from_str(&text) else {
            return Ok(Err(format!("{index} is no index of crates: its config.json does not say where they are")));
        };
        let sha256 = self.entry(index, name, version)?;
        let url = address(&dl, name, version, &sha256);
        let sha256 = self.fetched(url.clone(), Some(sha256))?;
        let top = one(name, version, url, sha256);
        Ok(match cargo_lock(&self.fetcher().path(&sha256), name, version) {
            Ok(lockfile) => Ok(Crate { top, sha256, lockfile, dl, for_members }),
            Err(error) => Err(format!("{name} {version} cannot be read: {error}")),
        })
    }

    /// What the index says that a version of a crate is.
    fn entry(&self, index: &str, name: &str, version: &str) -> Result<Digest> {
        let at = format!("{index}{}", crate_entry(name));
        let refused = |message: String| ResolveError::Crate { index: self.fetcher().shown(index), message };
        let entries = match self.fetched(at, None) {
            // So an index says that there is none (The Cargo Book, "Registry Index", "Nonexistent Crates").
            Err(ResolveError::Fetch(FetchError::Status { status: 404 | 410 | 451, .. })) => {
                return Err(refused(format!("has no crate `{name}`")));
            }
            entries => layers::regular::text(&self.fetcher().path(&entries?), LIMIT).unwrap_or_default(),
        };
        let mut all: Vec<Entry> = entries.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        // What stands behind `+` makes no other version (The Cargo Book, "The Manifest Format", "version").
        let bare = |version: &str| version.split('+').next().unwrap_or_default().to_owned();
        let Some(found) = all.iter().find(|entry| bare(&entry.vers) == bare(version)) else {
            all.retain(|entry| !entry.yanked);
            let newest: Vec<&str> = all.iter().rev().take(5).map(|entry| entry.vers.as_str()).collect();
            let has = if newest.is_empty() { String::new() } else { format!("; it has {}", newest.join(", ")) };
            return Err(refused(format!("has no {name} {version}{}", one_line(&has))));
        };
        if found.yanked {
            return Err(refused(format!("no longer gives {name} {version}: it was yanked")));
        }
        Digest::from_hex(&found.cksum).map_err(|_| refused(format!("does not say what {name} {version} is")))
    }

    fn fetched(&self, url: String, sha256: Option<Digest>) -> Result<Digest> {
        let download = Download { url, sha256, size: None, part_of: None };
        Ok(self.runtime().block_on(self.fetcher().fetch(&download))?.digest)
    }
}

/// Where a crate is, as the index says it.
fn address(dl: &str, name: &str, version: &str, sha256: &Digest) -> String {
    const MARKERS: [&str; 5] = ["{crate}", "{version}", "{prefix}", "{lowerprefix}", "{sha256-checksum}"];
    if !MARKERS.iter().any(|marker| dl.contains(marker)) {
        return format!("{}/{name}/{version}/download", dl.trim_end_matches('/'));
    }
    let prefix = prefix(name);
    dl.replace("{crate}", name)
        .replace("{version}", version)
        .replace("{prefix}", &prefix)
        .replace("{lowerprefix}", &prefix.to_lowercase())
        .replace("{sha256-checksum}", &sha256.hex())
}

/// The path of a crate's entry in an index.
pub fn crate_entry(name: &str) -> String {
    let name = name.to_lowercase();
    format!("{}/{name}", prefix(&name))
}

/// The directories of a crate in an index.
fn prefix(name: &str) -> String {
    match name.len() {
        0..=2 => name.len().to_string(),
        3 => format!("3/{}", &name[..1]),
        _ if name.is_ascii() => format!("{}/{}", &name[..2], &name[2..4]),
        _ => String::new(),
    }
}

/// The `Cargo.lock` of a crate's file, if it has one.
fn cargo_lock(path: &Path, name: &str, version: &str) -> std::result::Result<Option<String>, TarError> {
    let wanted = format!("{name}-{version}/Cargo.lock");
    let (_, reader) = decoder(File::open(path)?)?;
    let mut found = None;
    tar::for_each_plain(reader, |entry, content| {
        if entry.path == Path::new(&wanted) {
            found = Some(tar::small(&entry, content, LIMIT)?);
        }
        Ok::<_, TarError>(())
    })?;
    Ok(found.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lockfiles_of_both_forms_say_what_a_crate_is_built_of() {
        let top = one("it", "1.0.0", "https://m.example/it".into(), Digest::of("it"));
        let it =
            Crate { top, sha256: Digest::of("it"), lockfile: None, dl: "https://m.example".into(), for_members: false };
        let (source, digits) = (SOURCES[0], Digest::of("dep").hex());
        let package = format!("[[package]]\nname = \"dep\"\nversion = \"0.1.0\"\nsource = \"{source}\"\n");
        let first = format!("{package}[metadata]\n\"checksum dep 0.1.0 ({source})\" = \"{digits}\"\n");
        let second = format!("version = 3\n{package}checksum = \"{digits}\"\n");
        for text in [first, second] {
            let all = it.all(&text).unwrap();
            assert_eq!((all.len(), all[1].sha256), (2, Some(Digest::of("dep"))));
        }
        assert!(it.all(&package).unwrap_err().contains("has no checksum of dep 0.1.0"));
        let foreign = package.replace(source, "registry+https://own.example/index");
        assert!(it.all(&foreign).unwrap_err().contains("is from registry+https://own.example/index"));
        let second = format!("version = 3\n{package}checksum = \"{digits}\"\n");
        for (was, becomes) in [("name = \"dep\"", "name = \"../../dep\""), ("\"0.1.0\"", "\"0.1.0/../..\"")] {
            let said = it.all(&second.replace(was, becomes)).unwrap_err();
            assert!(said.contains("names what no registry has"), "{said}");
        }
    }

    #[test]
    fn an_index_says_where_crates_are() {
        let digest = Digest::of("serde");
        let at = |dl: &str| address(dl, "Serde", "1.0.0", &digest);
        assert_eq!(at("https://static.crates.io/crates"), "https://static.crates.io/crates/Serde/1.0.0/download");
        let own = "https://m.example/{lowerprefix}/{crate}/{crate}-{version}.crate";
        assert_eq!(at(own), "https://m.example/se/rd/Serde/Serde-1.0.0.crate");
        assert_eq!(at("https://m.example/{sha256-checksum}"), format!("https://m.example/{}", digest.hex()));
        assert_eq!([prefix("a"), prefix("ab"), prefix("abc"), prefix("abcd")], ["1", "2", "3/a", "ab/cd"]);
    }
}
