//! Options of a build, remembered with the image, so that it can be built once more. Values of secrets are not.

use std::path::Path;

use clap::Parser;
use layers::compress::Compression;

use super::{InputArgs, NetworkMode};
use crate::blueprint::Blueprint;
use crate::cli::error::{CommandError, Kind};
use crate::image::{BaseRef, BuiltFrom};
use crate::op::{Secrets, passwords_in, passwords_of};
use crate::plan::{Layering, Lowered};

/// The options alone, as a command line.
#[derive(Debug, Parser)]
#[command(no_binary_name = true)]
struct Alone {
    #[command(flatten)]
    inputs: InputArgs,
}

/// Options that may be given beside remembered ones: what is not remembered, which of several platforms is meant, and
/// how to reach the network.
const BESIDE: [&str; 8] = [
    "--network=none",
    "--cert-dir=",
    "--env-file=",
    "--insecure-registry=",
    "--mirror=",
    "--platform=",
    "--registry-config=",
    "--var=",
];

impl InputArgs {
    /// All options but the directory, each in one word; and the names of those variables whose values are left out,
    /// since they are secrets of the blueprint, or hold one.
    pub(in crate::cli) fn options(
        &self,
        blueprint: Option<&Blueprint>,
        lowered: Option<&Lowered>,
    ) -> (Vec<String>, Vec<String>) {
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
            registry,
        } = self;
        let required = blueprint.map(|blueprint| blueprint.manifest.required_env.as_slice()).unwrap_or_default();
        let secret =
            |name: &str| Secrets::is_secret_name(name) || required.iter().any(|var| var.secret && var.name == name);
        let hides = |value: &str| lowered.is_some_and(|lowered| lowered.secrets.hides(value));
        let (mut words, mut withheld) = (Vec::new(), Vec::new());
        let mut word = |name: &str, value: &str| words.push(format!("--{name}={value}"));
        base.iter().for_each(|base| word("base", &absolute_base(base)));
        if !platform.is_empty() {
            let platforms: Vec<String> = platform.iter().map(ToString::to_string).collect();
            word("platform", &platforms.join(","));
        }
        env_file.iter().for_each(|path| word("env-file", &absolute(path)));
        for pair in var {
            match pair.split_once('=') {
                Some((name, value)) if secret(name) || hides(value) || !passwords_in(value).is_empty() => {
                    withheld.push(name.to_owned());
                }
                _ => word("var", pair),
            }
        }
        user.iter().for_each(|user| word("user", user));
        // Whom the blueprint is made for counts, whoever says it.
        lowered.iter().filter_map(|lowered| lowered.said_outside.as_ref()).for_each(|pair| word("var", pair));
        if *compression != Compression::default() {
            word("compression", &compression.to_string());
        }
        if *network == NetworkMode::None {
            word("network", "none");
        }
        if *layers != Layering::default() {
            word("layers", "file");
        }
        // One with a password is asked for again.
        mirror.iter().filter(|mirror| passwords_of(mirror, true).is_empty()).for_each(|mirror| word("mirror", mirror));
        keyring.iter().for_each(|path| word("keyring", &absolute(path)));
        registry.insecure_registry.iter().for_each(|host| word("insecure-registry", host));
        registry.registry_config.iter().for_each(|path| word("registry-config", &absolute(path)));
        registry.cert_dir.iter().for_each(|path| word("cert-dir", &absolute(path)));
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
        (words, withheld)
    }

    /// The options that the image `name` was built with, and those of `self` beside them.
    pub(in crate::cli) fn remembered(&self, name: &str, from: &BuiltFrom) -> Result<Self, CommandError> {
        let (given, withheld) = self.options(None, None);
        let beside = |word: &&String| !BESIDE.iter().any(|option| word.starts_with(option));
        if let Some(word) = given.iter().find(beside) {
            return Err(CommandError::usage(format!("{name} remembers what it was built with: {word} has no place"))
                .hint("verify the blueprint's directory instead, or leave the option out"));
        }
        if !from.directory.is_dir() {
            let message = format!("the blueprint of {name} is gone: {}", from.directory.display());
            return Err(CommandError::new(Kind::Failed, message).hint("verify a copy of it: alloy verify DIR"));
        }
        let mut all = Alone::try_parse_from(&from.options)
            .map_err(|error| CommandError::new(Kind::Failed, format!("what {name} remembers is damaged: {error}")))?
            .inputs;
        all.directory.clone_from(&from.directory);
        if self.network == NetworkMode::None {
            all.network = NetworkMode::None;
        }
        let given = |name: &str| {
            withheld.iter().any(|var| var == name)
                || self.var.iter().any(|pair| pair.split_once('=').is_some_and(|(var, _)| var == name))
                || !self.env_file.is_empty()
                || std::env::var_os(name).is_some()
        };
        if let Some(var) = from.withheld.iter().find(|var| !given(var)) {
            let message = format!("{name} was built with a secret {var}, whose value is not kept");
            return Err(CommandError::usage(message).hint(format!("give it again: --var {var}=…")));
        }
        if let Some(path) = all.env_file.iter().find(|path| self.env_file.is_empty() && !path.exists()) {
            let message = format!("{name} was built with --env-file {}, which is gone", path.display());
            return Err(CommandError::usage(message).hint("give one of the same content: --env-file FILE"));
        }
        all.env_file.retain(|path| path.exists());
        all.env_file.extend(self.env_file.iter().cloned());
        all.var.extend(self.var.iter().cloned());
        all.registry.insecure_registry.extend(self.registry.insecure_registry.iter().cloned());
        all.registry.registry_config = self.registry.registry_config.clone().or(all.registry.registry_config);
        all.registry.cert_dir = self.registry.cert_dir.clone().or(all.registry.cert_dir);
        all.mirror = all.mirror.or_else(|| self.mirror.clone());
        Ok(all)
    }
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// A base that is a path means the same from everywhere.
fn absolute_base(text: &str) -> String {
    let Ok(mut base) = text.parse() else { return text.to_owned() };
    match &mut base {
        BaseRef::Oci(path) | BaseRef::OciArchive(path) | BaseRef::DockerArchive(path) | BaseRef::Rootfs(path) => {
            *path = absolute(path).into()
        }
        BaseRef::Registry(_) | BaseRef::Local(_) | BaseRef::Deb { .. } | BaseRef::Scratch => return text.to_owned(),
    }
    base.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(words: &[&str]) -> InputArgs {
        Alone::try_parse_from(words).unwrap().inputs
    }

    #[test]
    fn options_come_back_as_they_were_given() {
        let words = [
            "--base=deb:trixie",
            "--platform=linux/arm64,linux/arm/v7",
            "--env-file=/a/env",
            "--var=A=b=c",
            "--user=dev:dialout",
            "--compression=gzip:9",
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
        assert_eq!(args(&words).options(None, None), (words.map(str::to_owned).to_vec(), Vec::new()));
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
        let (words, withheld) = given.options(None, Some(&lowered));
        assert_eq!(
            (words, withheld),
            (vec!["--var=A=b".to_owned()], ["VENDOR_TOKEN", "SITE", "WHO"].map(str::to_owned).to_vec())
        );
    }

    #[test]
    fn paths_are_remembered_from_the_top() {
        let (words, _) = args(&["--base=rootfs:a/root", "--keyring=k"]).options(None, None);
        let here = std::env::current_dir().unwrap().display().to_string();
        assert_eq!(words, [format!("--base=rootfs:{here}/a/root"), format!("--keyring={here}/k")]);
    }
}
