//! The environment variables that alloy reads: the man page and the reference are made from this table.

/// Variables that belong together, and what they do.
pub(super) struct Variables {
    /// Their names.
    pub(super) names: &'static [&'static str],
    /// What they do, in sentences.
    pub(super) meaning: &'static str,
}

const fn of(names: &'static [&'static str], meaning: &'static str) -> Variables {
    Variables { names, meaning }
}

/// All of them. An empty variable counts as one that is not set, except `ALLOY_CACHE_VERIFY_KEY`.
pub(super) const VARIABLES: [Variables; 24] = [
    of(
        &["ALLOY_HOME"],
        "The directory of the store, as `--store` names it. Without it, the store is in `$XDG_DATA_HOME/alloy`, or in \
         `~/.local/share/alloy`. For root whose `HOME` belongs to another user, as under `sudo -E`, it is below `/root`.",
    ),
    of(
        &["ALLOY_MIRROR"],
        "The mirror of `deb:` bases and of the archives that a lockfile names, as `--mirror` names it.",
    ),
    of(
        &["ALLOY_CACHE_FROM", "ALLOY_CACHE_TO"],
        "The caches of a team to read from and to write to, as `--cache-from` and `--cache-to` name them. Several are \
         separated by spaces.",
    ),
    of(
        &["ALLOY_CACHE_VERIFY_KEY"],
        "The public key whose signature a cache entry must have, as `--cache-verify-key` names it. An empty value is an \
         error.",
    ),
    of(&["ALLOY_SIGN_KEY"], "The private key that signs what is pushed, as `--sign-key` names it."),
    of(&["COSIGN_PASSWORD"], "The password of a private key that cosign made."),
    of(
        &["ALLOY_BLUEPRINT_DIR"],
        "The blueprint that `alloy install` and `alloy drift` work on, as `--blueprint-dir` names it.",
    ),
    of(
        &["ALLOY_ENV_DOCKER"],
        "With the value 1, `alloy install` switches on the tag `docker` of `exclude`. Image builds always have it on.",
    ),
    of(&["ALLOY_ENV_WSL2"], "With the value 1, the tag `wsl2` of `exclude` is on."),
    of(
        &["ALLOY_REGISTRY"],
        "The registry of blueprints whose names do not begin with one, as `--registry` names it. It may also stand in the \
         env file of `alloy install`.",
    ),
    of(
        &["ALLOY_REGISTRY_USERNAME", "ALLOY_REGISTRY_PASSWORD"],
        "The login for that registry. The two may also stand in the env file of `alloy install`.",
    ),
    of(
        &["ALLOY_CATALOG"],
        "The directory of the catalog, as `--catalog` names it. Without it, the catalog is in `catalog/` in the store.",
    ),
    of(&["ALLOY_CATALOG_REMOTE"], "Where `alloy catalog update` fetches the catalog from, as `--remote` names it."),
    of(
        &["CONTAINERS_REGISTRIES_CONF"],
        "The file that configures mirrors of registries, as `--registry-config` names it.",
    ),
    of(
        &["ALLOY_SANDBOX"],
        "How root's commands are confined. With `userns`, a build ends with an error if root can have no user namespace. \
         With `privileged`, root builds without one. Without the variable, alloy finds out what the machine allows.",
    ),
    of(
        &["ALLOY_STALL_TIMEOUT"],
        "The number of seconds with less than 64 bytes each after which a server counts as gone, as `--stall-timeout` \
         gives it. The default is 60.",
    ),
    of(
        &["ALLOY_HEADERS"],
        "Headers for downloads, one on each line, in the form of `--header`: `HOST[:PORT]: NAME: value`.",
    ),
    of(
        &["SOURCE_DATE_EPOCH"],
        "The latest time in a layer, and the time at which the image was created, in seconds since 1970. The default is \
         2020-01-01.",
    ),
    of(
        &["http_proxy", "https_proxy", "all_proxy", "no_proxy"],
        "Proxies, in lower or upper case. They are used, and handed on to tasks; their passwords are never shown. A value \
         that is not the URL of an http or https proxy is an error. `no_proxy` takes names with all that is below them \
         (`a.example`), names of what is below alone (`.a.example`, `*.a.example`), addresses, ranges of addresses \
         (`10.0.0.0/8`), each with `:PORT` where only that port is meant, and `*`.",
    ),
    of(
        &["SSL_CERT_FILE", "SSL_CERT_DIR"],
        "Certificate authorities to use instead of the system's: a bundle in one file, or a directory of certificates \
         under their hashes (`openssl rehash`). A bundle is also lent to tasks, and never enters a layer.",
    ),
    of(
        &["PIP_INDEX_URL"],
        "The Python index of the site. This and pip's other variables and files for indexes, `~/.cargo/config.toml` and \
         `~/.npmrc` are lent to tasks, without the tokens of cargo and of npm's public registry. Passwords are lent in a \
         file. None of it enters a layer, and `alloy run` lends none of it.",
    ),
    of(
        &["DOCKER_AUTH_CONFIG", "REGISTRY_AUTH_FILE", "DOCKER_CONFIG"],
        "Credentials of registries, as Docker, podman and skopeo keep them, credential helpers included.",
    ),
    of(
        &["SSH_AUTH_SOCK", "NETRC"],
        "The ssh agent that `--ssh default` lends, and the file with users and passwords of download servers. Without \
         `NETRC`, that file is `~/.netrc`. A file that others may read is not used.",
    ),
    of(
        &["CI", "NO_COLOR", "TERM"],
        "With `CI` or `TERM=dumb`, progress is shown in plain lines; with `NO_COLOR`, without colour.",
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use clap::CommandFactory;

    use super::*;

    fn known() -> BTreeSet<&'static str> {
        VARIABLES.iter().flat_map(|variables| variables.names.iter().copied()).collect()
    }

    #[test]
    fn every_option_s_variable_is_in_the_table() {
        fn all(command: &clap::Command, found: &mut BTreeSet<String>) {
            found.extend(command.get_arguments().filter_map(|arg| Some(arg.get_env()?.to_str()?.to_owned())));
            command.get_subcommands().for_each(|one| all(one, found));
        }
        let mut found = BTreeSet::new();
        all(&crate::cli::Cli::command(), &mut found);
        assert!(found.len() > 8);
        let missing: Vec<_> = found.iter().filter(|name| !known().contains(name.as_str())).collect();
        assert!(missing.is_empty(), "{missing:?} are missing in VARIABLES");
    }

    /// Names that alloy gives to programs that it starts, or that tests are asked by; no user sets them.
    const GIVEN: [&str; 7] = [
        "ALLOY_BACKEND",
        "ALLOY_GIT_CONFIG",
        "ALLOY_GIT_PASSWORD_0",
        "ALLOY_GIT_USER_0",
        "ALLOY_PACKAGES",
        "ALLOY_SCRIPT",
        "ALLOY_UPDATE",
    ];

    fn sources(directory: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let names = text.split("\"ALLOY_").skip(1).filter_map(|rest| rest.split_once('"'));
                let is_name = |name: &str| {
                    !name.is_empty() && name.bytes().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b'_')
                };
                found.extend(names.filter(|(name, _)| is_name(name)).map(|(name, _)| format!("ALLOY_{name}")));
            }
        }
    }

    #[test]
    fn every_variable_of_alloy_s_own_that_the_code_names_is_in_the_table() {
        let mut found = BTreeSet::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
        let known = known();
        found.retain(|name| !known.contains(name.as_str()) && !GIVEN.contains(&name.as_str()));
        assert!(found.is_empty(), "{found:?} are missing in VARIABLES");
    }
}
