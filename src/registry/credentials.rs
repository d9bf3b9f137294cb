//! Credentials as Docker, podman and skopeo keep them (containers-auth.json(5)).

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::{Reference, RegistryError};

/// The key Docker keeps its own registry under.
const DOCKER_KEY: &str = "https://index.docker.io/v1/";

/// Who we are to a registry.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Nobody.
    Anonymous,
    /// A user.
    Basic {
        /// Name.
        username: String,
        /// Password or token.
        password: String,
    },
    /// An OAuth2 refresh token.
    Identity(String),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Basic { .. } => "Basic(***)",
            Self::Identity(_) => "Identity(***)",
        })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AuthFile {
    auths: BTreeMap<String, Entry>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    identitytoken: Option<String>,
}

/// The files that credentials are looked up in.
#[derive(Clone, Debug, Default)]
pub struct Keychain {
    /// A file's content, as GitLab's runners have it in `DOCKER_AUTH_CONFIG`.
    given: Option<String>,
    files: Vec<PathBuf>,
}

impl Keychain {
    /// The files of this user; `var` reads the environment.
    pub fn of_this_user(var: impl Fn(&str) -> Option<String>) -> Self {
        let directory = |name: &str| var(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = directory("HOME");
        let files = [
            directory("REGISTRY_AUTH_FILE"),
            directory("XDG_RUNTIME_DIR").map(|path| path.join("containers/auth.json")),
            directory("XDG_CONFIG_HOME")
                .or_else(|| home.clone().map(|home| home.join(".config")))
                .map(|path| path.join("containers/auth.json")),
            directory("DOCKER_CONFIG").or_else(|| home.map(|home| home.join(".docker"))).map(|p| p.join("config.json")),
        ];
        let given = var("DOCKER_AUTH_CONFIG").filter(|value| !value.is_empty());
        Self { given, files: files.into_iter().flatten().collect() }
    }

    /// What is known for a reference; the first file that knows anything decides.
    pub fn find(&self, reference: &Reference) -> Result<Credentials, RegistryError> {
        let given = self.given.iter().map(|text| ("DOCKER_AUTH_CONFIG".to_owned(), Ok(text.clone().into_bytes())));
        let files = self.files.iter().map(|path| (path.display().to_string(), std::fs::read(path)));
        for (path, bytes) in given.chain(files) {
            let failed = |message: String| RegistryError::CredentialFile { path: path.clone(), message };
            let bytes = match bytes {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(error.to_string())),
            };
            let file: AuthFile = serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))?;
            if let Some(credentials) = file.find(reference).map_err(|error| match error {
                Lookup::Entry => failed("an entry of `auths` is not base64 of `user:password`".into()),
                Lookup::Helper(error) => error,
            })? {
                return Ok(credentials);
            }
        }
        Ok(Credentials::Anonymous)
    }
}

enum Lookup {
    Entry,
    Helper(RegistryError),
}

impl AuthFile {
    fn find(&self, reference: &Reference) -> Result<Option<Credentials>, Lookup> {
        let registry = reference.registry.as_str();
        let is_default = reference.host() != registry;
        let helper_key = if is_default { DOCKER_KEY } else { registry };
        if let Some(helper) = self.cred_helpers.get(registry).or_else(|| self.cred_helpers.get(helper_key)) {
            return ask_helper(helper, helper_key).map_err(Lookup::Helper);
        }
        // Most specific first: `registry/namespace/repository`, `registry/namespace`, `registry`.
        let mut keys = vec![];
        let mut key = format!("{registry}/{}", reference.repository);
        while let Some((shorter, _)) = key.clone().rsplit_once('/') {
            keys.push(std::mem::replace(&mut key, shorter.to_owned()));
        }
        keys.extend([registry.to_owned(), format!("https://{registry}"), format!("http://{registry}")]);
        keys.extend(is_default.then(|| DOCKER_KEY.to_owned()));
        let entry = keys.iter().find_map(|key| {
            self.auths
                .get(key)
                .or_else(|| self.auths.iter().find(|(k, _)| k.trim_end_matches('/') == key).map(|(_, e)| e))
        });
        if let Some(entry) = entry
            && let Some(credentials) = entry.credentials()?
        {
            return Ok(Some(credentials));
        }
        match &self.creds_store {
            Some(helper) => ask_helper(helper, helper_key).map_err(Lookup::Helper),
            None => Ok(None),
        }
    }
}

impl Entry {
    fn credentials(&self) -> Result<Option<Credentials>, Lookup> {
        if let Some(token) = self.identitytoken.as_ref().filter(|token| !token.is_empty()) {
            return Ok(Some(Credentials::Identity(token.clone())));
        }
        let Some(auth) = self.auth.as_ref().filter(|auth| !auth.is_empty()) else { return Ok(None) };
        let bytes = STANDARD.decode(auth.trim()).map_err(|_| Lookup::Entry)?;
        let text = String::from_utf8(bytes).map_err(|_| Lookup::Entry)?;
        let (username, password) = text.split_once(':').ok_or(Lookup::Entry)?;
        // Docker pads with NUL.
        let (username, password) = (username.to_owned(), password.trim_end_matches('\0').to_owned());
        Ok(Some(Credentials::Basic { username, password }))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: String,
    secret: String,
}

/// The protocol of Docker's credential helpers: the server on standard input, JSON on standard output.
fn ask_helper(helper: &str, server: &str) -> Result<Option<Credentials>, RegistryError> {
    let program = format!("docker-credential-{helper}");
    let failed = |message: String| RegistryError::Helper { helper: program.clone(), message };
    let mut command = Command::new(&program);
    let spawned = command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|error| failed(error.to_string()))?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(server.as_bytes()).map_err(|error| failed(error.to_string()))?;
    }
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let unknown = text.contains("not found");
        return if unknown { Ok(None) } else { Err(failed(text.trim().to_owned())) };
    }
    let answer: HelperAnswer = serde_json::from_slice(&output.stdout).map_err(|error| failed(error.to_string()))?;
    Ok(Some(match answer.username.as_str() {
        "<token>" => Credentials::Identity(answer.secret),
        _ => Credentials::Basic { username: answer.username, password: answer.secret },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keychain(json: &str) -> (tempfile::NamedTempFile, Keychain) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), json).unwrap();
        let keychain = Keychain { given: None, files: vec![PathBuf::from("/does/not/exist"), file.path().to_owned()] };
        (file, keychain)
    }

    #[test]
    fn the_most_specific_entry_wins() {
        let auth = |text: &str| STANDARD.encode(text);
        let json = format!(
            r#"{{"auths": {{"r.example": {{"auth": "{}"}}, "r.example/team": {{"auth": "{}"}},
                "https://index.docker.io/v1/": {{"auth": "{}"}}}}}}"#,
            auth("a:1"),
            auth("b:2:3"),
            auth("hub:x")
        );
        let (_file, keychain) = keychain(&json);
        let find = |text: &str| keychain.find(&text.parse().unwrap()).unwrap();
        let basic = |u: &str, p: &str| Credentials::Basic { username: u.into(), password: p.into() };
        assert_eq!(find("r.example/x"), basic("a", "1"));
        assert_eq!(find("r.example/team/x"), basic("b", "2:3"));
        assert_eq!(find("debian"), basic("hub", "x"));
        assert_eq!(find("other.example/x"), Credentials::Anonymous);
    }

    #[test]
    fn a_damaged_file_is_named() {
        let (file, keychain) = keychain("{");
        let error = keychain.find(&"r.example/x".parse().unwrap()).unwrap_err();
        assert!(error.to_string().contains(file.path().to_str().unwrap()));
    }
}
