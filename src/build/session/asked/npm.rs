//! What npm found: a `package-lock.json` in the layout of global packages (npm docs, "package-lock.json").

use std::collections::BTreeMap;

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
    let mut all = Vec::new();
    for (path, entry) in &lockfile.packages {
        let Some(place) = path.strip_prefix(NODE_MODULES) else { continue };
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
        let path = Some(place.to_owned());
        all.push(Asked { name, version, url, sha256: None, integrity, path, build: false });
    }
    Ok(all)
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
            "node_modules/a": {"version": "1.0.0", "resolved": "https://ann:pw@r.example/a/-/a-1.0.0.tgz", "integrity": "sha512-x=="},
            "node_modules/a/node_modules/@s/b": {"version": "2.0.0", "resolved": "https://r.example/b.tgz", "os": ["!win32"], "cpu": "x64"},
            "node_modules/a/node_modules/win": {"version": "1.0.0", "resolved": "https://r.example/w.tgz", "os": ["win32"], "optional": true},
            "node_modules/a/node_modules/arm": {"version": "1.0.0", "resolved": "https://r.example/w.tgz", "cpu": ["arm64"]},
            "node_modules/a/node_modules/musl": {"version": "1.0.0", "resolved": "https://r.example/w.tgz", "libc": ["musl"]},
            "node_modules/a/node_modules/in": {"version": "1.0.0", "inBundle": true}}}"#;
        let all = found(&seen(text), "amd64").unwrap();
        let names: Vec<_> = all.iter().map(|one| (one.name.as_str(), one.path.as_deref().unwrap())).collect();
        assert_eq!(names, [("a", "a"), ("@s/b", "a/node_modules/@s/b")]);
        assert_eq!(all[0].url, "https://r.example/a/-/a-1.0.0.tgz");
        let arm = found(&seen(text), "arm64").unwrap();
        assert_eq!(arm.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["a", "arm"]);
    }

    #[test]
    fn what_has_no_place_in_a_registry_is_told() {
        let text = r#"{"packages": {"node_modules/a": {"version": "1.0.0", "resolved": "git+ssh://git@x/y.git#1"}}}"#;
        assert!(found(&seen(text), "amd64").unwrap_err().contains("a comes from no registry, but from git+ssh"));
        assert!(found(&seen(r#"{"lockfileVersion": 1, "dependencies": {}}"#), "amd64").unwrap_err().contains("npm 7"));
    }
}
