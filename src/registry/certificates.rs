//! Certificates that a registry has of its own (containers-certs.d(5)): `HOST[:PORT]/*.crt` are authorities, `*.cert`
//! and `*.key` show the registry who asks.

use std::path::{Path, PathBuf};

use layers::regular;

use super::RegistryError;
use crate::fetch::{Identity, Trust, certificates};

/// Directories with one directory for each registry; the first that has one for it counts.
const SYSTEM: [&str; 2] = ["/etc/containers/certs.d", "/etc/docker/certs.d"];

/// Where certificates are looked up.
#[derive(Clone, Debug, Default)]
pub struct CertificateFiles {
    /// One directory for all registries, before all others.
    pub given: Option<PathBuf>,
    /// The user's `.config`.
    pub config_home: Option<PathBuf>,
}

impl CertificateFiles {
    /// Whom `host` is trusted as.
    pub(super) fn trust(&self, host: &str) -> Result<Trust, RegistryError> {
        let user = self.config_home.iter().map(|home| home.join("containers/certs.d"));
        let by_host = user.chain(SYSTEM.map(PathBuf::from)).map(|directory| directory.join(host));
        if let Some(given) = &self.given {
            return read(given);
        }
        match by_host.into_iter().find(|directory| directory.is_dir()) {
            Some(directory) => read(&directory),
            None => Ok(Trust::default()),
        }
    }
}

fn read(directory: &Path) -> Result<Trust, RegistryError> {
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |message: String| RegistryError::Certificates { path, message }
    };
    let entries = std::fs::read_dir(directory).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = entries.map_err(|error| failed(directory)(error.to_string()))?;
    let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    let bytes = |path: &Path| regular::given(path, super::FILE_LIMIT).map_err(|error| failed(path)(error.to_string()));
    let mut trust = Trust::default();
    for path in &paths {
        match path.extension().and_then(|end| end.to_str()) {
            Some("crt") => {
                let found = certificates(&bytes(path)?);
                trust.roots.extend(found.ok_or_else(|| failed(path)("it holds no certificate in PEM".into()))?);
            }
            Some("cert") => {
                let key = path.with_extension("key");
                if !key.is_file() {
                    let message = format!("its key {} is missing", key.display());
                    return Err(failed(path)(message));
                }
                let identity = Identity::from_pem(&bytes(path)?, &bytes(&key)?);
                let message = || format!("it and {} are no certificate and key in PEM", key.display());
                trust.identity = Some(identity.ok_or_else(|| failed(path)(message()))?);
            }
            Some("key") if !path.with_extension("cert").is_file() => {
                let message = format!("its certificate {} is missing", path.with_extension("cert").display());
                return Err(failed(path)(message));
            }
            _ => {}
        }
    }
    Ok(trust)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_or_damaged_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let files = CertificateFiles { given: Some(directory.path().to_owned()), config_home: None };
        assert!(files.trust("r.example").unwrap().roots.is_empty());
        let message = |name: &str| {
            std::fs::write(directory.path().join(name), "nonsense").unwrap();
            let message = files.trust("r.example").unwrap_err().to_string();
            std::fs::remove_file(directory.path().join(name)).unwrap();
            message
        };
        assert!(message("ca.crt").contains("ca.crt: it holds no certificate"));
        assert!(message("me.cert").contains("its key"));
        assert!(message("me.key").contains("its certificate"));
    }

    #[test]
    fn a_directory_that_is_named_must_be_there() {
        let files = CertificateFiles { given: Some("/does/not/exist".into()), config_home: None };
        assert!(files.trust("r.example").unwrap_err().to_string().contains("/does/not/exist"));
    }
}
