//! One file of credentials: Docker's `config.json`, podman's and skopeo's `auth.json` (containers-auth.json(5)).

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use layers::regular;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Credentials, Reference, RegistryError};
use crate::sink::{Sink, SinkError};

/// The key that Docker's own registry has.
const DOCKER_KEY: &str = "https://index.docker.io/v1/";
const DOCKER: &str = "docker.io";

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct AuthFile {
    /// Of all fields, other tools write `null` where they have nothing.
    auths: Option<BTreeMap<String, Value>>,
    cred_helpers: Option<BTreeMap<String, Option<String>>>,
    creds_store: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    identitytoken: Option<String>,
}

/// What a file says of a registry.
pub(super) enum Found {
    /// An entry, with its key.
    Entry(String, Credentials),
    /// A helper, with the field that names it.
    Helper(String, &'static str),
}

/// What `registry` is called in files and by helpers.
pub(super) fn key(registry: &str) -> &str {
    if registry == DOCKER { DOCKER_KEY } else { registry }
}

/// True of a file without anything: what `touch` leaves, and what other tools write of nothing.
fn is_empty(bytes: &[u8]) -> bool {
    matches!(bytes.trim_ascii(), b"" | b"null")
}

impl AuthFile {
    /// Reads a file's content.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        if is_empty(bytes) {
            return Ok(Self::default());
        }
        serde_json::from_slice(bytes).map_err(|error| error.to_string())
    }

    /// The helper that keeps what is known of `registry`.
    pub(super) fn helper(&self, registry: &str) -> Option<(String, &'static str)> {
        let of = |name: &str| self.cred_helpers.as_ref()?.get(name)?.clone();
        let own = of(registry).or_else(|| of(key(registry))).map(|name| (name, "credHelpers"));
        own.or_else(|| self.creds_store.clone().map(|name| (name, "credsStore"))).filter(|(name, _)| !name.is_empty())
    }

    /// What there is for a reference, first what counts first.
    pub(super) fn find(&self, reference: &Reference) -> Result<Vec<Found>, String> {
        let registry = reference.registry.as_str();
        let mut found = Vec::new();
        let helper = self.helper(registry).map(|(name, field)| Found::Helper(name, field));
        if let Some(Found::Helper(_, "credHelpers")) = helper {
            return Ok(helper.into_iter().collect());
        }
        // Most specific first: `registry/namespace/repository`, `registry/namespace`, `registry`.
        let mut keys = vec![];
        let mut key = format!("{registry}/{}", reference.repository);
        while let Some((shorter, _)) = key.clone().rsplit_once('/') {
            keys.push(std::mem::replace(&mut key, shorter.to_owned()));
        }
        keys.extend([registry.to_owned(), format!("https://{registry}"), format!("http://{registry}")]);
        keys.extend((registry == DOCKER).then(|| DOCKER_KEY.to_owned()));
        // What is no object says nothing, and of what other registries' entries are, nothing depends here.
        let known = || self.auths.iter().flatten().filter(|(_, entry)| entry.is_object());
        let entry = keys.iter().find_map(|key| {
            let same = |(known, _): &(&String, &Value)| *known == key;
            known().find(same).or_else(|| known().find(|(known, _)| known.trim_end_matches('/') == key))
        });
        if let Some((key, entry)) = entry {
            let entry: Entry =
                serde_json::from_value(entry.clone()).map_err(|error| format!("the entry `{key}`: {error}"))?;
            let credentials = entry
                .credentials()
                .ok_or_else(|| format!("`auth` of the entry `{key}` is not base64 of `USER:PASSWORD`"))?;
            found.extend(credentials.map(|credentials| Found::Entry(key.clone(), credentials)));
        }
        found.extend(helper);
        Ok(found)
    }
}

impl Entry {
    /// `None` if it is damaged.
    fn credentials(&self) -> Option<Option<Credentials>> {
        if let Some(token) = self.identitytoken.as_ref().filter(|token| !token.is_empty()) {
            return Some(Some(Credentials::Identity(token.clone())));
        }
        let Some(auth) = self.auth.as_ref().filter(|auth| !auth.is_empty()) else { return Some(None) };
        let text = String::from_utf8(STANDARD.decode(auth.trim()).ok()?).ok()?;
        let (username, password) = text.split_once(':')?;
        // Docker pads with NUL.
        let (username, password) = (username.to_owned(), password.trim_end_matches('\0').to_owned());
        Some(Some(Credentials::Basic { username, password }))
    }
}

/// The entry of a user.
pub(super) fn entry(username: &str, password: &str) -> Value {
    serde_json::json!({"auth": STANDARD.encode(format!("{username}:{password}"))})
}

/// Puts `entry` into the file, or takes the registry's out; all else stays. True if there was one before.
pub(super) fn replace(path: &Path, registry: &str, entry: Option<Value>) -> Result<bool, RegistryError> {
    let shown = path.display().to_string();
    let unreadable = |message: String| RegistryError::CredentialFile { path: shown.clone(), message };
    let bytes = match regular::given(path, super::FILE_LIMIT) {
        Ok(bytes) if is_empty(&bytes) => b"{}".to_vec(),
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => b"{}".to_vec(),
        Err(error) => return Err(unreadable(error.to_string())),
    };
    let mut file: Map<String, Value> = serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))?;
    let auths = file.entry("auths").or_insert(Value::Null);
    if auths.is_null() {
        *auths = Value::Object(Map::new());
    }
    let auths = auths.as_object_mut().ok_or_else(|| unreadable("`auths` is not an object".into()))?;
    // Other tools write other forms of the same name.
    let same = |known: &str| {
        let known = known.trim_end_matches('/');
        let bare = known.strip_prefix("https://").or_else(|| known.strip_prefix("http://")).unwrap_or(known);
        bare == registry || known == key(registry).trim_end_matches('/')
    };
    let before: Vec<String> = auths.keys().filter(|known| same(known)).cloned().collect();
    before.iter().for_each(|known| drop(auths.remove(known)));
    let unchanged = before.is_empty() && entry.is_none();
    auths.extend(entry.map(|entry| (key(registry).to_owned(), entry)));
    if !unchanged {
        let written = write(path, &Value::Object(file));
        written.map_err(|error| RegistryError::WriteCredentials { path: shown, message: error.to_string() })?;
    }
    Ok(!before.is_empty())
}

/// For its owner alone, and never half of it.
fn write(path: &Path, file: &Value) -> io::Result<()> {
    if let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(directory)?;
    }
    let text = format!("{file:#}\n");
    Sink::at(path).and_then(|sink| sink.private().durable().write_all(text.as_bytes())).map_err(|error| match error {
        SinkError::Write { source, .. } => source,
        error => io::Error::other(error),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn all_else_in_a_file_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/config.json");
        assert!(!replace(&path, "r.example", Some(entry("ann", "x"))).unwrap());
        let text =
            r#"{"auths": {"https://r.example/": {"auth": "eA=="}, "o.example": {}}, "psFormat": "x", "n": 1.50}"#;
        std::fs::write(&path, text).unwrap();
        assert!(replace(&path, "r.example", Some(entry("ann", "x"))).unwrap());
        let value: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let auths = serde_json::json!({"o.example": {}, "r.example": {"auth": "YW5uOng="}});
        assert_eq!((&value["auths"], &value["psFormat"]), (&auths, &Value::from("x")));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(replace(&path, "r.example", None).unwrap() && !replace(&path, "r.example", None).unwrap());
        let left: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1, "no temporary file is left");
    }

    #[test]
    fn what_is_null_is_not_there() {
        let found =
            |json: &str| AuthFile::parse(json.as_bytes()).unwrap().find(&"r.example/x".parse().unwrap()).unwrap();
        for json in [
            r#"{"auths": null}"#,
            r#"{"auths": null, "credHelpers": null, "credsStore": null}"#,
            r#"{"auths": {"r.example": null}, "credHelpers": {"r.example": null}}"#,
            r#"{"auths": {"r.example": {"auth": null, "identitytoken": null}}}"#,
            "null",
            " null\n",
            r#"{"auths": {"r.example": "x", "https://r.example": 7, "o.example": []}}"#,
            r#"{"auths": {"r.example": [], "o.example": {"auth": 7}}}"#,
        ] {
            assert!(found(json).is_empty(), "{json}");
        }
        let json = r#"{"auths": {"r.example": {"auth": "YTox"}}, "credHelpers": null}"#;
        assert_eq!(found(json).len(), 1);
        // Of two forms of a name, the one that says something counts.
        assert_eq!(found(r#"{"auths": {"r.example": null, "https://r.example/": {"auth": "YTox"}}}"#).len(), 1);
        for nothing in [r#"{"auths": null}"#, "null\n"] {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), nothing).unwrap();
            assert!(!replace(file.path(), "r.example", Some(entry("ann", "x"))).unwrap());
            assert!(replace(file.path(), "r.example", None).unwrap());
        }
    }

    #[test]
    fn docker_s_registry_has_a_name_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        replace(&path, "docker.io", Some(entry("ann", "x"))).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().contains(DOCKER_KEY));
        assert!(replace(&path, "docker.io", None).unwrap());
    }

    #[test]
    fn helpers_come_before_entries_only_where_they_are_the_registry_s_own() {
        let json = br#"{"auths": {"a.example": {"auth": "YTox"}, "b.example": {"auth": "YTox"}},
            "credHelpers": {"a.example": "one"}, "credsStore": "all"}"#;
        let file = AuthFile::parse(json).unwrap();
        let names = |text: &str| -> Vec<String> {
            let found = file.find(&text.parse().unwrap()).unwrap();
            found
                .into_iter()
                .map(|one| match one {
                    Found::Entry(key, _) => key,
                    Found::Helper(name, _) => name,
                })
                .collect()
        };
        assert_eq!(names("a.example/x"), ["one"]);
        assert_eq!(names("b.example/x"), ["b.example", "all"]);
        assert_eq!(names("c.example/x"), ["all"]);
        assert!(AuthFile::parse(b" \n").unwrap().find(&"x".parse().unwrap()).unwrap().is_empty());
    }
}
