//! Who we are to registries, as Docker, podman and skopeo keep it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use layers::regular;

use super::auth_file::{AuthFile, Found, key};
use super::helper::Helper;
use super::{Reference, RegistryError};

/// A helper that asks somebody needs a while.
const HELPER_PATIENCE: Duration = Duration::from_secs(60);

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

/// Credentials, and where they are from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Who we are.
    pub credentials: Credentials,
    /// Of which entry of which file; for people.
    pub used: Option<String>,
}

/// The files that credentials are looked up in.
#[derive(Clone, Debug)]
pub struct Keychain {
    /// Who we are to one registry, whatever the files say; and who says so.
    named: Option<(String, Known)>,
    /// A file's content, as GitLab's runners have it in `DOCKER_AUTH_CONFIG`.
    given: Option<String>,
    files: Vec<PathBuf>,
    /// The one of them that is written.
    pub(super) own: Option<PathBuf>,
    patience: Duration,
}

impl Keychain {
    /// The files of this user; `var` reads the environment.
    pub fn of_this_user(var: impl Fn(&str) -> Option<String>) -> Self {
        let directory = |name: &str| var(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = directory("HOME");
        let named = directory("REGISTRY_AUTH_FILE");
        let docker = directory("DOCKER_CONFIG").or_else(|| home.clone().map(|home| home.join(".docker")));
        let docker = docker.map(|directory| directory.join("config.json"));
        let files = [
            named.clone(),
            directory("XDG_RUNTIME_DIR").map(|path| path.join("containers/auth.json")),
            directory("XDG_CONFIG_HOME")
                .or_else(|| home.map(|home| home.join(".config")))
                .map(|path| path.join("containers/auth.json")),
            docker.clone(),
        ];
        let given = var("DOCKER_AUTH_CONFIG").filter(|value| !value.is_empty());
        let files = files.into_iter().flatten().collect();
        Self { named: None, given, files, own: named.or(docker), patience: HELPER_PATIENCE }
    }

    /// With less patience for helpers.
    #[must_use]
    pub fn patient(self, patience: Duration) -> Self {
        Self { patience: self.patience.min(patience), ..self }
    }

    /// With a user of `registry` who counts more than what the files say. `place` says where that is from.
    #[must_use]
    pub fn with_user(self, registry: &str, username: String, password: String, place: &str) -> Self {
        let credentials = Credentials::Basic { username, password };
        let used = Some(format!("the credentials from {place}"));
        Self { named: Some((registry.to_owned(), Known { credentials, used })), ..self }
    }

    /// What is known for a reference; the first file that knows anything decides.
    pub fn find(&self, reference: &Reference) -> Result<Known, RegistryError> {
        // Mirrors are other registries.
        if let Some((_, known)) = self.named.as_ref().filter(|(registry, _)| *registry == reference.registry) {
            return Ok(known.clone());
        }
        let given = self.given.iter().map(|text| ("DOCKER_AUTH_CONFIG".to_owned(), Ok(text.clone().into_bytes())));
        let files = self.files.iter().map(|path| (path.display().to_string(), regular::given(path, super::FILE_LIMIT)));
        for (path, bytes) in given.chain(files) {
            let failed = |message: String| RegistryError::CredentialFile { path: path.clone(), message };
            let bytes = match bytes {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(error.to_string())),
            };
            for found in AuthFile::parse(&bytes).and_then(|file| file.find(reference)).map_err(failed)? {
                let (credentials, used) = match found {
                    Found::Entry(key, credentials) => (Some(credentials), format!("`{key}` in {path}")),
                    Found::Helper(name, field) => {
                        let helper = self.helper(name, field, &path);
                        let used = format!("docker-credential-{} ({})", helper.name, helper.place);
                        (helper.get(key(&reference.registry))?, used)
                    }
                };
                if let Some(credentials) = credentials {
                    let used = Some(format!("the credentials from {used}"));
                    return Ok(Known { credentials, used });
                }
            }
        }
        Ok(Known { credentials: Credentials::Anonymous, used: None })
    }

    pub(super) fn helper(&self, name: String, field: &str, path: &str) -> Helper {
        Helper { name, place: format!("`{field}` in {path}"), patience: self.patience }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn keychain(json: &str) -> (tempfile::NamedTempFile, Keychain) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), json).unwrap();
        let files = vec![PathBuf::from("/does/not/exist"), file.path().to_owned()];
        let keychain = Keychain { named: None, given: None, files, own: None, patience: Duration::from_secs(1) };
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
        let (file, keychain) = keychain(&json);
        let find = |text: &str| keychain.find(&text.parse().unwrap()).unwrap();
        let basic = |u: &str, p: &str| Credentials::Basic { username: u.into(), password: p.into() };
        assert_eq!(find("r.example/x").credentials, basic("a", "1"));
        assert_eq!(find("r.example/team/x").credentials, basic("b", "2:3"));
        assert_eq!(find("debian").credentials, basic("hub", "x"));
        assert_eq!(find("other.example/x"), Known { credentials: Credentials::Anonymous, used: None });
        let used = format!("the credentials from `r.example/team` in {}", file.path().display());
        assert_eq!(find("r.example/team/x").used, Some(used));
    }

    #[test]
    fn a_damaged_file_is_named() {
        for (json, part) in [("{", "EOF"), (r#"{"auths": {"r.example": {"auth": "%"}}}"#, "the entry `r.example`")] {
            let (file, keychain) = keychain(json);
            let error = keychain.find(&"r.example/x".parse().unwrap()).unwrap_err().to_string();
            assert!(error.contains(file.path().to_str().unwrap()) && error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_helper_that_is_missing_is_named_with_its_place() {
        let (file, keychain) = keychain(r#"{"credHelpers": {"r.example": "no-such-helper"}}"#);
        let error = keychain.find(&"r.example/x".parse().unwrap()).unwrap_err().to_string();
        let place = format!("docker-credential-no-such-helper, which `credHelpers` in {}", file.path().display());
        assert!(error.contains(&place) && error.contains("no such program"), "{error}");
        assert_eq!(keychain.find(&"o.example/x".parse().unwrap()).unwrap().credentials, Credentials::Anonymous);
    }

    #[test]
    fn a_user_is_of_one_registry() {
        let (_file, keychain) = keychain("{");
        let keychain = keychain.with_user("r.example", "ann".into(), "pw".into(), "A and B");
        let known = keychain.find(&"r.example/x".parse().unwrap()).unwrap();
        assert_eq!(known.credentials, Credentials::Basic { username: "ann".into(), password: "pw".into() });
        assert_eq!(known.used.unwrap(), "the credentials from A and B");
        assert!(keychain.find(&"o.example/x".parse().unwrap()).is_err());
    }

    #[test]
    fn login_writes_where_docker_does_unless_a_file_is_named() {
        let own = |vars: &[(&str, &str)]| {
            let find = |name: &str| vars.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
            Keychain::of_this_user(find).own.map(|path| path.display().to_string())
        };
        assert_eq!(own(&[("HOME", "/h")]).unwrap(), "/h/.docker/config.json");
        assert_eq!(own(&[("HOME", "/h"), ("DOCKER_CONFIG", "/d")]).unwrap(), "/d/config.json");
        assert_eq!(own(&[("HOME", "/h"), ("REGISTRY_AUTH_FILE", "/a.json")]).unwrap(), "/a.json");
        assert_eq!(own(&[]), None);
    }
}
