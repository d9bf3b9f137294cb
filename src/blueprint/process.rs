//! What commands on a live host have of the environment of alloy's own process.

use std::collections::BTreeMap;

use super::variables::is_own_credential;

/// Names by which whoever drives alloy says where it runs: the only ones that begin with `ALLOY_` and are for tasks.
pub const BACKEND: [&str; 3] = ["ALLOY_BACKEND", "ALLOY_ENV_DOCKER", "ALLOY_ENV_WSL2"];

/// How the names begin that no command gets: alloy's own; agents and sessions of whoever installs, which are no other
/// user's; what leads git to another repository; what changes which code a program loads.
const BEGINNINGS: [&str; 10] =
    ["ALLOY_", "BASH_FUNC_", "DBUS_", "GIT_", "GPG_", "LC_", "LD_", "PYTHON", "SSH_", "XDG_"];

/// Names that no command gets for these reasons, and what changes how a shell reads scripts, what make does, and how
/// programs speak, as what they print is read. `sudo -E` leaves many of them out, too.
const WITHHELD: &str = "BASHOPTS BASH_ENV CDPATH FPATH GCONV_PATH GLOBIGNORE GNUMAKEFLAGS HOSTALIASES IFS LANG LANGUAGE \
                        LOCALDOMAIN LOCPATH MAKEFILES MAKEFLAGS MAKELEVEL MAKEOVERRIDES MFLAGS NETRC NLSPATH NODE_OPTIONS \
                        PERL5LIB PERL5OPT PERLLIB POSIXLY_CORRECT PROMPT_COMMAND PS1 PS2 PS3 PS4 RES_OPTIONS RUBYLIB \
                        RUBYOPT SHELLOPTS TEMP TEMPDIR TERM TERMCAP TERMINFO TMP TMPDIR ZDOTDIR";

/// What a command has of its own: who runs it, and where.
const ITS_OWN: [&str; 11] = ["ENV", "HOME", "LOGNAME", "MAIL", "OLDPWD", "PATH", "PWD", "SHELL", "SHLVL", "USER", "_"];

/// What commands of the author's, and conditions, have on a live host of the environment of `process`.
pub fn of_commands(process: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let names: Vec<&str> = WITHHELD.split_whitespace().collect();
    let begins = |name: &str| BEGINNINGS.iter().any(|start| name.starts_with(start)) && !BACKEND.contains(&name);
    let withheld = |name: &str| begins(name) || names.contains(&name);
    let is_theirs = |name: &str| !is_own_credential(name) && !withheld(name) && !ITS_OWN.contains(&name);
    process.iter().filter(|(name, _)| is_theirs(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_have_what_is_neither_alloy_s_nor_a_shell_s() {
        let names = "ALLOY_BACKEND ALLOY_HEADERS ALLOY_HOME BASH_ENV BASH_FUNC_f%% DOCKER_AUTH_CONFIG GIT_CONFIG_COUNT \
                     GIT_CONFIG_VALUE_0 GIT_DIR HOME LANG LC_ALL LD_PRELOAD LICENSE_SERVER MAKEFLAGS PATH PS4 PYTHONPATH \
                     SITE_TOKEN SSH_AUTH_SOCK TEMPLATES TMPDIR XDG_RUNTIME_DIR _ https_proxy";
        let process = names.split_whitespace().map(|name| (name.to_owned(), "x".to_owned())).collect();
        let left: Vec<String> = of_commands(&process).into_keys().collect();
        assert_eq!(left, ["ALLOY_BACKEND", "LICENSE_SERVER", "SITE_TOKEN", "TEMPLATES", "https_proxy"]);
    }
}
