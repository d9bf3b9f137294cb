//! What a build was asked for, remembered with the image, so that it can be built once more. Values of secrets are not.

use std::path::{Path, PathBuf};

use super::{InputArgs, NetworkMode};
use crate::blueprint::Blueprint;
use crate::cli::context::RegistryArgs;
use crate::cli::error::{CommandError, Kind};
use crate::image::{BaseRef, BuiltFrom};
use crate::op::{Secrets, passwords_in, passwords_of};
use crate::plan::{BuildSettings, Lowered};

impl InputArgs {
    /// What the build is asked for beside its directory. Values of variables that are secrets of the blueprint, or hold
    /// one, are left out, and their names are kept.
    pub(in crate::cli) fn recorded(&self, blueprint: Option<&Blueprint>, lowered: Option<&Lowered>) -> BuildSettings {
        // Whoever adds an option has to say here how it is remembered.
        let Self {
            directory: _,
            base,
            platform,
            env_file,
            var,
            user,
            compression,
            layers,
            mirror,
            keyring,
            locked,
            network,
            strict,
            ignore_supported_hosts,
            allow_file_urls,
            docker,
            wsl2,
            registry: RegistryArgs { insecure_registry, registry_config, cert_dir, user: _ },
        } = self;
        let required = blueprint.map(|blueprint| blueprint.manifest.required_env.as_slice()).unwrap_or_default();
        let secret =
            |name: &str| Secrets::is_secret_name(name) || required.iter().any(|var| var.secret && var.name == name);
        let hides = |value: &str| lowered.is_some_and(|lowered| lowered.secrets.hides(value));
        let (mut variables, mut withheld) = (Vec::new(), Vec::new());
        for pair in var {
            match pair.split_once('=') {
                Some((name, value)) if secret(name) || hides(value) || !passwords_in(value).is_empty() => {
                    withheld.push(name.to_owned());
                }
                _ => variables.push(pair.clone()),
            }
        }
        // Whom the blueprint is made for counts, whoever says it.
        variables.extend(lowered.and_then(|lowered| lowered.said_outside.clone()));
        BuildSettings {
            base: base.as_ref().map(|base| absolute_base(base)),
            platforms: platform.clone(),
            env_files: env_file.iter().map(|path| absolute(path)).collect(),
            variables,
            withheld,
            user: user.clone(),
            compression: *compression,
            layers: *layers,
            offline: *network == NetworkMode::None,
            // One with a password is asked for again.
            mirror: mirror.clone().filter(|mirror| passwords_of(mirror, true).is_empty()),
            keyring: keyring.as_deref().map(absolute),
            insecure_registries: insecure_registry.clone(),
            registry_config: registry_config.as_deref().map(absolute),
            certificates: cert_dir.as_deref().map(absolute),
            locked: *locked,
            strict: *strict,
            ignore_supported_hosts: *ignore_supported_hosts,
            allow_file_urls: *allow_file_urls,
            docker: *docker,
            wsl2: *wsl2,
        }
    }

    /// The command line of these settings.
    fn of(directory: PathBuf, settings: BuildSettings) -> Self {
        let BuildSettings {
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
        } = settings;
        Self {
            directory,
            base,
            platform: platforms,
            env_file: env_files,
            var: variables,
            user,
            compression,
            layers,
            mirror,
            keyring,
            locked,
            network: if offline { NetworkMode::None } else { NetworkMode::Host },
            strict,
            ignore_supported_hosts,
            allow_file_urls,
            docker,
            wsl2,
            registry: RegistryArgs {
                insecure_registry: insecure_registries,
                registry_config,
                cert_dir: certificates,
                user: None,
            },
        }
    }

    /// The settings that the image `name` was built with, and those of `self` beside them.
    pub(in crate::cli) fn remembered(&self, name: &str, from: &BuiltFrom) -> Result<Self, CommandError> {
        let given = self.recorded(None, None);
        if let Some(word) = given.besides().words().first() {
            return Err(CommandError::usage(format!("{name} remembers what it was built with: {word} has no place"))
                .hint("verify the blueprint's directory instead, or leave the option out"));
        }
        if !from.directory.is_dir() {
            let message = format!("the blueprint of {name} is gone: {}", from.directory.display());
            return Err(CommandError::new(Kind::Failed, message).hint("verify a copy of it: alloy verify DIR"));
        }
        let is_given = |var: &String| {
            given.withheld.contains(var)
                || given.has_variable(var)
                || !given.env_files.is_empty()
                || std::env::var_os(var).is_some()
        };
        let settings = &from.settings;
        if let Some(var) = settings.withheld.iter().find(|var| !is_given(var)) {
            let message = format!("{name} was built with a secret {var}, whose value is not kept");
            return Err(CommandError::usage(message).hint(format!("give it again: --var {var}=…")));
        }
        if let Some(path) = settings.missing_env_file().filter(|_| given.env_files.is_empty()) {
            let message = format!("{name} was built with --env-file {}, which is gone", path.display());
            return Err(CommandError::usage(message).hint("give one of the same content: --env-file FILE"));
        }
        let mut all = Self::of(from.directory.clone(), settings.clone());
        if given.offline {
            all.network = NetworkMode::None;
        }
        all.env_file.retain(|path| path.exists());
        all.env_file.extend(self.env_file.iter().cloned());
        all.var.extend(self.var.iter().cloned());
        all.registry.insecure_registry.extend(given.insecure_registries);
        all.registry.registry_config = given.registry_config.or(all.registry.registry_config);
        all.registry.cert_dir = given.certificates.or(all.registry.cert_dir);
        all.mirror = all.mirror.or_else(|| self.mirror.clone());
        Ok(all)
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// A base that is a path means the same from everywhere.
fn absolute_base(text: &str) -> String {
    let Ok(mut base) = text.parse() else { return text.to_owned() };
    match &mut base {
        BaseRef::Oci(path) | BaseRef::OciArchive(path) | BaseRef::DockerArchive(path) | BaseRef::Rootfs(path) => {
            *path = absolute(path)
        }
        BaseRef::Registry(_) | BaseRef::Local(_) | BaseRef::Deb { .. } | BaseRef::Scratch => return text.to_owned(),
    }
    base.to_string()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    /// The options alone, as a command line.
    #[derive(Debug, Parser)]
    #[command(no_binary_name = true)]
    struct Alone {
        #[command(flatten)]
        inputs: InputArgs,
    }

    fn args(words: &[&str]) -> InputArgs {
        Alone::try_parse_from(words).unwrap().inputs
    }

    #[test]
    fn settings_come_back_as_they_were_given() {
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
        ];
        let settings = args(&words).recorded(None, None);
        assert_eq!(settings.words(), words);
        assert_eq!(InputArgs::of("x".into(), settings.clone()).recorded(None, None), settings);
    }

    #[test]
    fn values_of_secrets_are_left_out() {
        let given = args(&[
            "--var=VENDOR_TOKEN=hunter2",
            "--var=A=b",
            "--var=SITE=http://bob:VARpw22@h.example",
            "--var=WHO=bob:hidden",
            "--mirror=https://ann:hunter2@m.example/debian",
        ]);
        let mut lowered = Lowered::default();
        lowered.secrets.hide("hidden");
        let settings = given.recorded(None, Some(&lowered));
        assert_eq!(settings.words(), ["--var=A=b"]);
        assert_eq!(settings.withheld, ["VENDOR_TOKEN", "SITE", "WHO"]);
    }

    #[test]
    fn paths_are_remembered_from_the_top() {
        let words = args(&["--base=rootfs:a/root", "--keyring=k"]).recorded(None, None).words();
        let here = std::env::current_dir().unwrap().display().to_string();
        assert_eq!(words, [format!("--base=rootfs:{here}/a/root"), format!("--keyring={here}/k")]);
    }
}
