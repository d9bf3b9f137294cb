//! What the archive has today of packages that are pinned.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::closure::compare;
use super::index::Package;
use super::{DebianError, Releases};
use crate::fetch::Fetcher;

/// A package that has moved on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newer {
    /// Its name.
    pub package: String,
    /// The version that was asked about.
    pub locked: String,
    /// The newest there is.
    pub latest: String,
    /// The part of the suite that has it.
    pub pocket: String,
    /// The security archive has a newer one than what was asked about.
    pub security: bool,
}

/// The component of a file of the archive, `pool/COMPONENT/…`; `pool/updates/COMPONENT/…` in that of security updates.
pub fn component(filename: &str) -> Option<&str> {
    let pool = filename.strip_prefix("pool/")?;
    let (component, rest) = pool.strip_prefix("updates/").unwrap_or(pool).split_once('/')?;
    (!rest.is_empty()).then_some(component)
}

/// What came of looking.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// Packages with newer versions, by name.
    pub newer: Vec<Newer>,
    /// Packages that the indexes do not have at all: of other components, archives or architectures.
    pub unknown: BTreeSet<String>,
}

impl Releases {
    /// Looks for newer versions of `locked`, a set of names and versions, in these components.
    pub async fn newer(
        &self,
        fetcher: &Fetcher,
        components: &BTreeSet<String>,
        locked: &BTreeSet<(String, String)>,
    ) -> Result<Looked, DebianError> {
        let (index, pockets) = self.indexes(fetcher, components).await?;
        let mut by_name: HashMap<&str, Vec<&Package>> = HashMap::new();
        for package in &index.packages {
            by_name.entry(&package.name).or_default().push(package);
        }
        let pocket = |package: &Package| pockets.get(package.archive).copied().unwrap_or_default();
        let mut looked = Looked::default();
        let mut newest: BTreeMap<(&String, &String), Newer> = BTreeMap::new();
        for (name, version) in locked {
            let Some(all) = by_name.get(name.as_str()) else {
                looked.unknown.insert(name.clone());
                continue;
            };
            let after = || all.iter().filter(|package| compare(&package.version, version).is_gt());
            let Some(latest) = after().max_by(|a, b| compare(&a.version, &b.version)) else { continue };
            let security = after().any(|package| pocket(package).ends_with("-security"));
            let newer = Newer {
                package: name.clone(),
                locked: version.clone(),
                latest: latest.version.to_string(),
                pocket: pocket(latest).to_owned(),
                security,
            };
            newest.insert((name, version), newer);
        }
        looked.newer = newest.into_values().collect();
        Ok(looked)
    }
}

#[cfg(test)]
mod tests {
    use super::component;

    #[test]
    fn components_of_files() {
        let found = ["pool/universe/j/jq/jq_1.deb", "pool/updates/main/c/curl/curl_8.deb", "pool/main", "x/main/y.deb"];
        assert_eq!(found.map(component), [Some("universe"), Some("main"), None, None]);
    }
}
