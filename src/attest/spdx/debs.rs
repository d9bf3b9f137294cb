//! Packages of no archive: downloads that dpkg has installed are these packages, and nothing beside them.

use std::collections::BTreeSet;

use super::{Dependency, Document, fetched};
use crate::attest::pinned::TYPE;
use crate::target::inventory::DebianPackage;

const DEB: &str = ".deb";

/// Of `downloads`, those that are none of the `installed` packages. Of these, the document says what was fetched for them,
/// where a file is called as its package is. What a task installs as a package is one, whatever its file is called.
pub(super) fn without<'d>(
    document: &mut Document,
    downloads: Vec<&'d Dependency>,
    installed: &BTreeSet<DebianPackage>,
) -> Vec<&'d Dependency> {
    let mut others = Vec::new();
    for download in downloads {
        let package = download.name.strip_suffix(DEB).and_then(|stem| package(stem, installed));
        let at = package.and_then(|package| {
            let name = format!("{}:{}", package.name, package.architecture);
            let is_it = |(kind, other, version): &(String, String, String)| {
                kind == "deb" && *other == name && *version == package.version
            };
            document.keys.iter().find(|(key, _)| is_it(key)).map(|(_, at)| *at)
        });
        match at.and_then(|at| document.packages.get_mut(at)).filter(|package| package.get("checksums").is_none()) {
            Some(package) => fetched(package, download),
            None if download.annotations.get(TYPE).is_some_and(|kind| kind == "deb") => {}
            None => others.push(download),
        }
    }
    others
}

/// The package whose file is called `stem`, as files of packages are: by the package's name, and behind it, if anything,
/// the version without its epoch, and the architecture. Of several that fit, the one with the longest name.
fn package<'i>(stem: &str, installed: &'i BTreeSet<DebianPackage>) -> Option<&'i DebianPackage> {
    let fits = |package: &&DebianPackage| {
        let Some(rest) = stem.strip_prefix(package.name.as_str()) else { return false };
        let version = package.version.split_once(':').map_or(package.version.as_str(), |(_, version)| version);
        let upstream = version.rsplit_once('-').map_or(version, |(upstream, _)| upstream);
        let rest = rest.trim_end_matches(package.architecture.as_str());
        rest.trim_matches(['_', '-', '.']).is_empty() || rest.starts_with(['_', '-', '.']) && rest.contains(upstream)
    };
    installed.iter().filter(fits).max_by_key(|package| package.name.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_called_as_its_package() {
        let packages = [("acme", "1.0"), ("acme-tool", "2:3.1-2"), ("code", "1.90.0-171")];
        let package_of = |(name, version): (&str, &str)| DebianPackage {
            name: name.into(),
            version: version.into(),
            architecture: "amd64".into(),
            source: None,
            maintainer: None,
            homepage: None,
        };
        let installed: BTreeSet<DebianPackage> = packages.map(package_of).into();
        let name = |stem: &str| package(stem, &installed).map(|package| package.name.as_str());
        for stem in ["acme-tool", "acme-tool_3.1-2_amd64", "acme-tool-3.1.amd64", "acme-tool_amd64"] {
            assert_eq!(name(stem), Some("acme-tool"), "{stem}");
        }
        assert_eq!(name("acme_1.0_amd64"), Some("acme"));
        assert_eq!(name("code_1.90.0-171_amd64"), Some("code"));
        for stem in ["acme-other", "acme-toolbox", "acme_2.0_amd64", "codec", "linux"] {
            assert_eq!(name(stem), None, "{stem}");
        }
    }
}
