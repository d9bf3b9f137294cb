//! What npm found: a `package-lock.json` in the layout of global packages (npm docs, "package-lock.json").

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::op::without_logins;
use crate::resolve::Asked;
use crate::target::request::FileSeen;

const NODE_MODULES: &str = "node_modules/";

#[derive(Deserialize)]
struct Lockfile {
    #[serde(default)]
    packages: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    name: Option<String>,
    version: Option<String>,
    resolved: Option<String>,
    integrity: Option<String>,
    #[serde(default)]
    in_bundle: bool,
    #[serde(default)]
    link: bool,
    #[serde(default)]
    os: Words,
    #[serde(default)]
    cpu: Words,
    #[serde(default)]
    libc: Words,
    #[serde(default)]
    dependencies: BTreeMap<String, serde::de::IgnoredAny>,
}

/// One or several.
#[derive(Default, Deserialize)]
#[serde(untagged)]
enum Words {
    #[default]
    None,
    One(String),
    Several(Vec<String>),
}

impl Words {
    /// True if `word` is among those that are wanted, and not among those that are not (package.json, "os").
    fn allow(&self, word: &str) -> bool {
        let words = match self {
            Self::None => return true,
            Self::One(word) => std::slice::from_ref(word),
            Self::Several(words) => words.as_slice(),
        };
        let refused = words.iter().any(|one| one.strip_prefix('!') == Some(word));
        let mut wanted = words.iter().filter(|one| !one.starts_with('!')).peekable();
        !refused && (wanted.peek().is_none() || wanted.any(|one| one == word))
    }
}

/// The packages that are installed on `architecture`, in Debian's words; `Err` says why they cannot be pinned.
pub(super) fn found(seen: &[FileSeen], architecture: &str) -> Result<Vec<Asked>, String> {
    let text = seen.iter().find(|file| file.name == "package-lock.json").and_then(|file| file.text.as_deref());
    let lockfile: Lockfile = serde_json::from_str(text.ok_or("npm wrote no package-lock.json")?)
        .map_err(|error| format!("npm wrote a package-lock.json that nobody can read: {error}"))?;
    if lockfile.packages.is_empty() {
        return Err("this npm is too old to say what it installs: it takes npm 7 or later".into());
    }
    let cpu = match architecture {
        "amd64" => "x64",
        "i386" => "ia32",
        "armhf" | "armel" => "arm",
        "ppc64el" => "ppc64",
        other => other,
    };
    let asked = lockfile.packages.get("").and_then(|root| root.dependencies.keys().next());
    let (mut all, mut bundled) = (Vec::new(), BTreeSet::new());
    for (path, entry) in &lockfile.packages {
        let Some(place) = path.strip_prefix(NODE_MODULES) else { continue };
        if entry.in_bundle {
            bundled.insert(below(asked, place));
        }
        // What is bundled comes with the package that bundles it.
        let here = entry.os.allow("linux") && entry.cpu.allow(cpu) && entry.libc.allow("glibc");
        if entry.in_bundle || !here {
            continue;
        }
        let name = place.rsplit_once(NODE_MODULES).map_or(place, |(_, name)| name);
        let name = entry.name.clone().unwrap_or_else(|| name.to_owned());
        let url = entry.resolved.as_deref().filter(|url| url.starts_with("http") && !entry.link);
        let (Some(url), Some(version)) = (url, entry.version.clone()) else {
            return Err(format!(
                "{name} comes from no registry, but from {}",
                entry.resolved.as_deref().unwrap_or("elsewhere")
            ));
        };
        let (url, integrity) = (without_logins(url), entry.integrity.clone());
        let path = Some(below(asked, place));
        all.push(Asked { name, version, url, sha256: None, integrity, path, build: false });
    }
    if let Some(asked) = asked {
        let beside = lockfile.packages.keys().filter_map(|path| path.strip_prefix(NODE_MODULES));
        let beside = beside.map(|place| (place, below(Some(asked), place))).filter(|(place, below)| place != below);
        hoist(&mut all, asked, &beside.map(|(_, below)| below).collect(), &bundled);
    }
    let mut places: Vec<&str> = all.iter().filter_map(|one: &Asked| one.path.as_deref()).collect();
    places.sort_unstable();
    if let Some([place, _]) = places.array_windows().find(|[one, other]| one == other) {
        return Err(format!(
            "npm would put two packages at {place}: one that it needs, and one that another one needs beside it"
        ));
    }
    Ok(all)
}

/// Where a package lies below the directory of global packages. What the one that was asked for needs beside it (npm
/// docs, "peerDependencies") lies at the top of a project, and below that package where it is global.
fn below(asked: Option<&String>, place: &str) -> String {
    match asked {
        Some(asked) if place != asked && !place.starts_with(&format!("{asked}/")) => {
            format!("{asked}/{NODE_MODULES}{place}")
        }
        _ => place.to_owned(),
    }
}

/// Brings what lies in the packages that were put `below` the one that was `asked` for up beside them, as npm does it,
/// where nothing else is in the way, of those that are `bundled` neither.
fn hoist(all: &mut Vec<Asked>, asked: &str, below: &BTreeSet<String>, bundled: &BTreeSet<String>) {
    let top = format!("{asked}/{NODE_MODULES}");
    let inner = below.iter().filter(|path| path.matches(NODE_MODULES).count() == 2 && !bundled.contains(*path));
    for path in inner {
        let Some((_, name)) = path.rsplit_once(NODE_MODULES) else { continue };
        let (to, within) = (format!("{top}{name}"), format!("{path}/"));
        let version = |at: &str| all.iter().find(|one| one.path.as_deref() == Some(at)).map(|one| one.version.clone());
        let has_own = all.iter().any(|one| one.path.as_deref().is_some_and(|one| one.starts_with(&within)));
        match version(&to) {
            _ if bundled.contains(&to) => {}
            Some(there) if Some(&there) == version(path).as_ref() && !has_own => {
                all.retain(|one| one.path.as_deref() != Some(path.as_str()));
            }
            Some(_) => {}
            None => {
                for at in all.iter_mut().filter_map(|one| one.path.as_mut()) {
                    if *at == *path || at.starts_with(&within) {
                        at.replace_range(..path.len(), &to);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use layers::digest::Digest;

    use super::*;

    fn seen(text: &str) -> Vec<FileSeen> {
        vec![FileSeen { name: "package-lock.json".into(), sha256: Digest::of("x"), size: 1, text: Some(text.into()) }]
    }

    #[test]
    fn packages_of_this_platform_have_their_places() {
        let text = r#"{"lockfileVersion": 3, "packages": {
            "": {"dependencies": {"a": "1"}},
            "node_modules/@types/peer": {"version": "3.0.0", "resolved": "https://r.example/p.tgz", "peer": true},
            "node_modules/ab/node_modules/c": {"version": "4.0.0", "resolved": "https://r.example/c.tgz", "peer": true},
            "node_modules/a": {"version": "1.0.0", "resolved": "https://ann:pw@r.example/a/-/a-1.0.0.tgz", "integrity": "sha512-x=="},
            "node_modules/a/node_modules/@s/b": {"version": "2.0.0", "resolved": "https://r.example/b.tgz", "os": ["!win32"], "cpu": "x64"},
            "node_modules/a/node_modules/win": {"version": "1.0.0", "resolved": "https://r.example/w.tgz", "os": ["win32"], "optional": true},
            "node_modules/a/node_modules/arm": {"version": "1.0.0", "resolved": "https://r.example/w.tgz", "cpu": ["arm64"]},
            "node_modules/a/node_modules/musl": {"version": "1.0.0", "resolved": "https://r.example/w.tgz", "libc": ["musl"]},
            "node_modules/a/node_modules/in": {"version": "1.0.0", "inBundle": true}}}"#;
        let all = found(&seen(text), "amd64").unwrap();
        let names: Vec<_> = all.iter().map(|one| (one.name.as_str(), one.path.as_deref().unwrap())).collect();
        let peers = [("@types/peer", "a/node_modules/@types/peer"), ("c", "a/node_modules/c")];
        assert_eq!(names, [&peers[..1], &[("a", "a"), ("@s/b", "a/node_modules/@s/b")], &peers[1..]].concat());
        assert_eq!(all[1].url, "https://r.example/a/-/a-1.0.0.tgz");
        let bundled = text.replace("\"node_modules/a/node_modules/in\"", "\"node_modules/a/node_modules/c\"");
        let kept = found(&seen(&bundled), "amd64").unwrap();
        assert_eq!(kept[3].path.as_deref(), Some("a/node_modules/ab/node_modules/c"), "another one is bundled");
        let clash = text.replace("node_modules/@types/peer", "node_modules/@s/b");
        assert!(found(&seen(&clash), "amd64").unwrap_err().contains("two packages at a/node_modules/@s/b"));
        let arm = found(&seen(text), "arm64").unwrap();
        assert_eq!(arm.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["@types/peer", "a", "arm", "c"]);
    }

    #[test]
    fn what_has_no_place_in_a_registry_is_told() {
        let text = r#"{"packages": {"node_modules/a": {"version": "1.0.0", "resolved": "git+ssh://git@x/y.git#1"}}}"#;
        assert!(found(&seen(text), "amd64").unwrap_err().contains("a comes from no registry, but from git+ssh"));
        assert!(found(&seen(r#"{"lockfileVersion": 1, "dependencies": {}}"#), "amd64").unwrap_err().contains("npm 7"));
    }
}
