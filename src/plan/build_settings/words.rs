//! Settings as words, `--NAME=VALUE` or `--NAME`: so provenance lists them, and so images remember
//! them that an older alloy has built. These names are no options of a command: they stay as they are.

use std::path::Path;

use layers::compress::Compression;

use super::BuildSettings;
use crate::plan::Layering;

/// A word that is no setting.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no setting of a build")]
pub struct WordsError(String);

impl BuildSettings {
    /// All but the names of variables that are withheld.
    pub fn words(&self) -> Vec<String> {
        let Self {
            base,
            platforms,
            env_files,
            variables,
            withheld: _,
            user,
            compression,
            layers,
            offline,
            mirror,
            keyring,
            insecure_registries,
            registry_config,
            certificates,
            locked,
            strict,
            ignore_supported_hosts,
            allow_file_urls,
            docker,
            wsl2,
        } = self;
        let mut words = Vec::new();
        let mut word = |name: &str, value: &str| words.push(format!("--{name}={value}"));
        let path = |path: &Path| path.display().to_string();
        base.iter().for_each(|base| word("base", base));
        if !platforms.is_empty() {
            let platforms: Vec<String> = platforms.iter().map(ToString::to_string).collect();
            word("platform", &platforms.join(","));
        }
        env_files.iter().for_each(|file| word("env-file", &path(file)));
        variables.iter().for_each(|pair| word("var", pair));
        user.iter().for_each(|user| word("user", user));
        if *compression != Compression::default() {
            word("compression", &compression.to_string());
        }
        if *offline {
            word("network", "none");
        }
        if *layers == Layering::File {
            word("layers", "file");
        }
        mirror.iter().for_each(|mirror| word("mirror", mirror));
        keyring.iter().for_each(|file| word("keyring", &path(file)));
        insecure_registries.iter().for_each(|host| word("insecure-registry", host));
        registry_config.iter().for_each(|file| word("registry-config", &path(file)));
        certificates.iter().for_each(|place| word("cert-dir", &path(place)));
        for (name, on) in [
            ("locked", *locked),
            ("strict", *strict),
            ("ignore-supported-hosts", *ignore_supported_hosts),
            ("allow-file-urls", *allow_file_urls),
            ("docker", *docker),
            ("wsl2", *wsl2),
        ] {
            words.extend(on.then(|| format!("--{name}")));
        }
        words
    }

    /// Reads what [`BuildSettings::words`] has written.
    pub fn of_words(words: &[String]) -> Result<Self, WordsError> {
        let mut settings = Self::default();
        for word in words {
            settings.take(word).ok_or_else(|| WordsError(word.clone()))?;
        }
        Ok(settings)
    }

    fn take(&mut self, word: &str) -> Option<()> {
        let name = word.strip_prefix("--")?;
        let Some((name, value)) = name.split_once('=') else {
            let flag = match name {
                "locked" => &mut self.locked,
                "strict" => &mut self.strict,
                "ignore-supported-hosts" => &mut self.ignore_supported_hosts,
                "allow-file-urls" => &mut self.allow_file_urls,
                "docker" => &mut self.docker,
                "wsl2" => &mut self.wsl2,
                _ => return None,
            };
            *flag = true;
            return Some(());
        };
        let text = || value.to_owned();
        match name {
            "base" => self.base = Some(text()),
            "platform" => {
                self.platforms = value.split(',').map(str::parse).collect::<Result<_, _>>().ok()?;
            }
            "env-file" => self.env_files.push(value.into()),
            "var" => self.variables.push(text()),
            "user" => self.user = Some(text()),
            "compression" => self.compression = value.parse().ok()?,
            "network" => self.offline = value == "none",
            "layers" => self.layers = if value == "file" { Layering::File } else { Layering::Portable },
            "mirror" => self.mirror = Some(text()),
            "keyring" => self.keyring = Some(value.into()),
            "insecure-registry" => self.insecure_registries.push(text()),
            "registry-config" => self.registry_config = Some(value.into()),
            "cert-dir" => self.certificates = Some(value.into()),
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_back_as_they_were_written() {
        let words = [
            "--base=deb:trixie",
            "--platform=linux/arm64,linux/arm/v7",
            "--env-file=/a/env",
            "--var=A=b=c",
            "--user=dev:dialout",
            "--compression=gzip:9",
            "--network=none",
            "--layers=file",
            "--mirror=https://mirror.example/debian",
            "--keyring=/a/keys",
            "--insecure-registry=r.example:5000",
            "--registry-config=/a/registries.conf",
            "--cert-dir=/a/certs",
            "--locked",
            "--strict",
            "--ignore-supported-hosts",
            "--allow-file-urls",
            "--docker",
            "--wsl2",
        ]
        .map(str::to_owned);
        let settings = BuildSettings::of_words(&words).unwrap();
        assert_eq!(settings.words(), words);
        // The types have it all: as JSON, nothing is lost.
        let json = serde_json::to_value(&settings).unwrap();
        assert_eq!(serde_json::from_value::<BuildSettings>(json).unwrap(), settings);
        for word in ["--later", "base=x", "--platform=amiga", "--compression=best"] {
            assert!(BuildSettings::of_words(&[word.to_owned()]).is_err(), "{word}");
        }
    }
}
