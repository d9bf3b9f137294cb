//! The environment of alloy's own process, and what of it commands on a live host have.

use std::collections::BTreeMap;

use super::variables::is_own_credential;

/// Names by which whoever drives alloy says where it runs: the only ones that begin with `ALLOY_` and are for tasks.
const BACKEND: [&str; 3] = ["ALLOY_BACKEND", "ALLOY_ENV_DOCKER", "ALLOY_ENV_WSL2"];

/// How the names begin that are for alloy itself, that change what a program loads, or how it speaks: what it prints is
/// read, and a script does the same whoever starts it. `sudo -E` leaves most of these out, too.
const WITHHELD: [&str; 14] = [
    "ALLOY_",
    "BASH_FUNC_",
    "BASHOPTS",
    "BASH_ENV",
    "CDPATH",
    "GLOBIGNORE",
    "IFS",
    "LANG",
    "LC_",
    "LD_",
    "PERL5",
    "PYTHONHOME",
    "PYTHONPATH",
    "SHELLOPTS",
];

/// What a command has of its own: who runs it, and where.
const ITS_OWN: [&str; 11] = ["ENV", "HOME", "LOGNAME", "MAIL", "OLDPWD", "PATH", "PWD", "SHELL", "SHLVL", "USER", "_"];

/// The environment of this process. Variables that are not text cannot be meant.
pub fn process() -> BTreeMap<String, String> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).collect()
}

/// What commands on a live host have of the environment of `process`: all but credentials of alloy's own, and what would
/// change how scripts are read.
pub fn of_commands(process: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let withheld = |name: &str| WITHHELD.iter().any(|start| name.starts_with(start)) && !BACKEND.contains(&name);
    let is_theirs = |name: &str| !is_own_credential(name) && !withheld(name) && !ITS_OWN.contains(&name);
    process.iter().filter(|(name, _)| is_theirs(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_have_what_is_neither_alloy_s_nor_a_shell_s() {
        let names = [
            "ALLOY_BACKEND",
            "ALLOY_HEADERS",
            "ALLOY_HOME",
            "BASH_ENV",
            "BASH_FUNC_f%%",
            "DOCKER_AUTH_CONFIG",
            "GIT_CONFIG_VALUE_0",
            "HOME",
            "LANG",
            "LC_ALL",
            "LD_PRELOAD",
            "LICENSE_SERVER",
            "PATH",
            "SITE_TOKEN",
            "_",
            "https_proxy",
        ];
        let process = names.iter().map(|name| ((*name).to_owned(), "x".to_owned())).collect();
        let left: Vec<String> = of_commands(&process).into_keys().collect();
        assert_eq!(left, ["ALLOY_BACKEND", "LICENSE_SERVER", "SITE_TOKEN", "https_proxy"]);
    }
}
