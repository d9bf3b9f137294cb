//! Mirrors, and where repositories really are: containers-registries.conf(5), version 2.

use std::io;
use std::path::{Path, PathBuf};

use layers::regular;
use serde::Deserialize;

use super::{Reference, RegistryError};

const SYSTEM: &str = "/etc/containers/registries.conf";

/// Where the configuration is looked up.
#[derive(Clone, Debug, Default)]
pub struct ConfigFiles {
    /// This file and none else; it must be there.
    pub given: Option<PathBuf>,
    /// The user's `.config`.
    pub config_home: Option<PathBuf>,
}

/// All registries that are configured.
#[derive(Debug, Default)]
pub(super) struct Mirrors {
    registries: Vec<Registry>,
}

#[derive(Debug, Deserialize)]
struct File {
    #[serde(default)]
    registry: Vec<Registry>,
    /// Version 1 has all its settings below this.
    registries: Option<toml::Value>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Registry {
    prefix: String,
    location: String,
    insecure: bool,
    blocked: bool,
    mirror: Vec<Mirror>,
    mirror_by_digest_only: bool,
    #[serde(skip)]
    path: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Mirror {
    location: String,
    insecure: bool,
    pull_from_mirror: Option<Pulls>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Pulls {
    All,
    DigestOnly,
    TagOnly,
}

/// Where a repository is read from.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Host, and port if it has one.
    pub(super) registry: String,
    pub(super) repository: String,
    pub(super) insecure: bool,
    pub(super) by_tag: bool,
    pub(super) by_digest: bool,
}

/// What is configured for a repository.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    /// Mirrors in their order.
    pub(super) mirrors: Vec<Place>,
    /// What stands behind its name, where that is something else.
    pub(super) location: Option<Place>,
    pub(super) insecure: bool,
}

impl ConfigFiles {
    /// Reads the configuration: one file, and those in the directories beside it, in the order of their names. What
    /// they say of a prefix replaces what was said before.
    pub(super) fn read(&self) -> Result<Mirrors, RegistryError> {
        let user = self.config_home.as_ref().map(|home| home.join("containers/registries.conf"));
        let (main, beside) = match &self.given {
            Some(given) => (given.clone(), vec![given.clone()]),
            None => {
                let main = user.clone().filter(|path| path.exists()).unwrap_or_else(|| SYSTEM.into());
                (main, [Some(SYSTEM.into()), user].into_iter().flatten().collect())
            }
        };
        let mut mirrors = Mirrors::default();
        if self.given.is_some() || main.exists() {
            mirrors.add(&main)?;
        }
        for path in beside {
            let directory = PathBuf::from(format!("{}.d", path.display()));
            let mut more: Vec<PathBuf> = match std::fs::read_dir(&directory) {
                Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(&directory)(error.to_string())),
            };
            more.retain(|path| path.extension().is_some_and(|end| end == "conf"));
            more.sort();
            more.iter().try_for_each(|path| mirrors.add(path))?;
        }
        Ok(mirrors)
    }
}

fn failed(path: &Path) -> impl Fn(String) -> RegistryError + '_ {
    |message| RegistryError::Config { path: path.display().to_string(), message }
}

impl Mirrors {
    fn add(&mut self, path: &Path) -> Result<(), RegistryError> {
        let text = regular::given_text(path, super::FILE_LIMIT).map_err(|error| failed(path)(error.to_string()))?;
        for registry in parse(&text, &path.display().to_string()).map_err(failed(path))? {
            self.registries.retain(|known| known.prefix != registry.prefix);
            self.registries.push(registry);
        }
        Ok(())
    }

    /// What is configured for the repository of `reference`.
    pub(super) fn places(&self, reference: &Reference) -> Result<Places, RegistryError> {
        let name = format!("{}/{}", reference.registry, reference.repository);
        let matching = self.registries.iter().filter_map(|registry| Some((registry.matches(&name)?, registry)));
        let Some((length, registry)) = matching.max_by_key(|(length, _)| *length) else { return Ok(Places::default()) };
        if registry.blocked {
            return Err(RegistryError::Blocked { registry: name, path: registry.path.clone() });
        }
        let place = |location: &str, insecure: bool, pulls: Pulls| {
            let moved = if location.is_empty() { name.clone() } else { format!("{location}{}", &name[length..]) };
            let (host, repository) = moved.split_once('/').unwrap_or((&moved, ""));
            Place {
                registry: host.to_owned(),
                repository: repository.to_owned(),
                insecure,
                by_tag: pulls != Pulls::DigestOnly,
                by_digest: pulls != Pulls::TagOnly,
            }
        };
        let usual = if registry.mirror_by_digest_only { Pulls::DigestOnly } else { Pulls::All };
        let mirror =
            |mirror: &Mirror| place(&mirror.location, mirror.insecure, mirror.pull_from_mirror.unwrap_or(usual));
        let location = place(&registry.location, registry.insecure, Pulls::All);
        let moved = location.registry != reference.registry || location.repository != reference.repository;
        Ok(Places {
            mirrors: registry.mirror.iter().map(mirror).collect(),
            insecure: registry.insecure,
            location: moved.then_some(location),
        })
    }
}

impl Registry {
    /// How much of `name`, `host/repository`, the prefix is. A prefix ends where a part of the name does.
    fn matches(&self, name: &str) -> Option<usize> {
        if let Some(domain) = self.prefix.strip_prefix('*') {
            let host = name.split('/').next().unwrap_or(name);
            return (host.len() > domain.len() && host.ends_with(domain)).then_some(host.len());
        }
        let rest = name.strip_prefix(self.prefix.as_str())?;
        (rest.is_empty() || rest.starts_with('/')).then_some(self.prefix.len())
    }
}

fn parse(text: &str, path: &str) -> Result<Vec<Registry>, String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
    if file.registries.is_some() {
        return Err("`[registries.…]` is version 1 of the format; write `[[registry]]` tables, as \
                    containers-registries.conf(5) has them"
            .into());
    }
    let mut registries = file.registry;
    for registry in &mut registries {
        path.clone_into(&mut registry.path);
        for (key, location) in
            [("registry.prefix", &mut registry.prefix), ("registry.location", &mut registry.location)]
        {
            check(key, location)?;
        }
        let named = [&registry.prefix, &registry.location].into_iter().find(|text| !text.is_empty());
        let Some(name) = named.cloned() else { return Err("a `registry` has neither `prefix` nor `location`".into()) };
        if registry.prefix.is_empty() {
            registry.prefix.clone_from(&name);
        }
        if let Some(domain) = registry.prefix.strip_prefix('*') {
            if !domain.starts_with('.') || domain.contains(['/', '*']) {
                return Err(format!("`registry.prefix` {name}: a wildcard stands for subdomains: `*.example.com`"));
            }
        } else if registry.location.is_empty() {
            registry.location.clone_from(&name);
        }
        for mirror in &mut registry.mirror {
            check("registry.mirror.location", &mut mirror.location)?;
            if mirror.location.is_empty() {
                return Err(format!("a `registry.mirror` of {name} has no `location`"));
            }
            if registry.mirror_by_digest_only && mirror.pull_from_mirror.is_some() {
                return Err(format!(
                    "{name} has both `mirror-by-digest-only` and `pull-from-mirror` of a mirror: leave out one"
                ));
            }
        }
    }
    Ok(registries)
}

/// A location is no URL, says nobody's password and has no slash at its end.
fn check(key: &str, location: &mut String) -> Result<(), String> {
    if location.contains('@') {
        let (_, host) = location.rsplit_once('@').unwrap_or_default();
        return Err(format!("`{key}`, of {host}, has a user in it: leave it out; `alloy login` keeps passwords"));
    }
    if location.contains("://") {
        return Err(format!("`{key}` {location}: leave out the `scheme://`; `insecure = true` is http"));
    }
    location.truncate(location.trim_end_matches('/').len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_has_no_password_and_none_is_shown() {
        for location in ["u:secr/et@m.example/x", "http://u:secr/et@m.example/x", "u:secr@et@m.example/x"] {
            let mirror =
                format!("[[registry]]\nlocation = 'a.example'\n[[registry.mirror]]\nlocation = '{location}'\n");
            for text in [mirror, format!("[[registry]]\nlocation = '{location}'\n")] {
                let error = parse(&text, "a.conf").unwrap_err();
                assert!(error.contains("of m.example/x, has a user in it") && !error.contains("secr"), "{error}");
            }
        }
    }

    fn mirrors(text: &str) -> Mirrors {
        Mirrors { registries: parse(text, "a.conf").unwrap() }
    }

    fn shown(mirrors: &Mirrors, reference: &str) -> Vec<String> {
        let places = mirrors.places(&reference.parse().unwrap()).unwrap();
        let all = places.mirrors.iter().chain(&places.location);
        all.map(|place| format!("{}/{}", place.registry, place.repository)).collect()
    }

    #[test]
    fn the_longest_prefix_counts_and_ends_where_a_part_does() {
        let mirrors = mirrors(
            r#"
            unqualified-search-registries = ["r.example"]
            [[registry]]
            location = "docker.io"
            [[registry.mirror]]
            location = "m.example:5000/hub"
            [[registry.mirror]]
            location = "n.example"
            [[registry]]
            prefix = "docker.io/team"
            location = "r.example/moved/"
            [[registry]]
            prefix = "*.wild.example"
            [[registry.mirror]]
            location = "m.example/wild"
            "#,
        );
        assert_eq!(shown(&mirrors, "debian"), ["m.example:5000/hub/library/debian", "n.example/library/debian"]);
        assert_eq!(shown(&mirrors, "team/x"), ["r.example/moved/x"]);
        assert_eq!(shown(&mirrors, "teams/x"), ["m.example:5000/hub/teams/x", "n.example/teams/x"]);
        assert_eq!(shown(&mirrors, "a.b.wild.example/x"), ["m.example/wild/x"]);
        assert!(shown(&mirrors, "wild.example/x").is_empty() && shown(&mirrors, "o.example/x").is_empty());
    }

    #[test]
    fn some_mirrors_are_for_digests_or_tags_only() {
        let mirrors = mirrors(
            r#"
            [[registry]]
            location = "a.example"
            insecure = true
            mirror-by-digest-only = true
            mirror = [{location = "m.example", insecure = true}]
            [[registry]]
            location = "b.example"
            mirror = [{location = "m.example", pull-from-mirror = "tag-only"}]
            "#,
        );
        let first = |text: &str| {
            let places = mirrors.places(&text.parse().unwrap()).unwrap();
            let mirror = &places.mirrors[0];
            (places.insecure, mirror.insecure, mirror.by_tag, mirror.by_digest)
        };
        assert_eq!(first("a.example/x"), (true, true, false, true));
        assert_eq!(first("b.example/x"), (false, false, true, false));
    }

    #[test]
    fn what_is_blocked_says_by_which_file() {
        let mirrors = mirrors("[[registry]]\nlocation = \"a.example\"\nblocked = true\n");
        let error = mirrors.places(&"a.example/x".parse().unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "a.example/x is blocked by a.conf");
    }

    #[test]
    fn errors_name_the_key() {
        for (text, part) in [
            ("[registries.search]\nregistries = [\"a.example\"]\n", "version 1"),
            ("[[registry]]\nlocation = \"http://a.example\"\n", "`registry.location` http://a.example"),
            ("[[registry]]\nblocked = true\n", "neither `prefix` nor `location`"),
            ("[[registry]]\nlocation = \"a.example\"\n[[registry.mirror]]\n", "a `registry.mirror` of a.example"),
            ("[[registry]]\nprefix = \"*x.example\"\n", "subdomains"),
            ("[[registry]]\nlocation = \"a.example\"\ninsecure = \"yes\"\n", "insecure"),
            (
                "[[registry]]\nlocation = \"a.example\"\nmirror = [{location = \"m\", pull-from-mirror = \"x\"}]\n",
                "digest-only",
            ),
            (
                "[[registry]]\nlocation = \"a\"\nmirror-by-digest-only = true\nmirror = [{location = \"m\", pull-from-mirror = \"all\"}]\n",
                "leave out one",
            ),
            ("[[registry", "TOML"),
        ] {
            let error = parse(text, "a.conf").unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
