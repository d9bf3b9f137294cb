//! Who this user is to git servers: what git is told by the environment of a command, and of no other.

use std::collections::BTreeMap;

use reqwest::header::{ACCEPT, AUTHORIZATION};
use url::Url;

use super::Fetcher;
use crate::op::{Command, Op, Secrets, Step};

/// kas keeps settings of the environment from the git that it starts, and takes a file. It is made of this variable, as
/// everybody on a machine may read command lines. The bundle of certificates that git is told of by the environment comes
/// into the same file.
const KAS_SETTINGS: &str = "ALLOY_GIT_CONFIG";
const KAS: &str = r#"if ! command -v kas >/dev/null; then
    echo "\`kas\` is not on the PATH of $USER ($PATH): an earlier task has to install it"
    exit 127
fi
[ -n "$ALLOY_GIT_CONFIG$GIT_SSL_CAINFO" ] || exec kas "$@"
umask 077
directory=$(mktemp -d) || exit
trap 'rm -rf "$directory"' EXIT
[ -z "$GITCONFIG_FILE" ] || cat "$GITCONFIG_FILE" > "$directory/gitconfig" || exit
[ -z "$GIT_SSL_CAINFO" ] || git config -f "$directory/gitconfig" http.sslCAInfo "$GIT_SSL_CAINFO" || exit
printf '%s' "$ALLOY_GIT_CONFIG" >> "$directory/gitconfig" || exit
unset ALLOY_GIT_CONFIG
GITCONFIG_FILE=$directory/gitconfig kas "$@""#;

/// What git asks the server of a repository for first (gitprotocol-http(5)).
const REFERENCES: &str = "/info/refs?service=git-upload-pack";

impl Fetcher {
    /// Settings by which git tells the server of `url` what it tells a download: git-config(1), `http.<url>.*`. A user and
    /// password in the URL count before them.
    pub fn git_settings(&self, url: &str) -> Vec<(String, String)> {
        let Ok(url) = Url::parse(&self.secrets.reveal_url(url)) else { return Vec::new() };
        let Some(host) = url.host_str().filter(|_| matches!(url.scheme(), "http" | "https")) else { return Vec::new() };
        let port = url.port().map_or(String::new(), |port| format!(":{port}"));
        let place = format!("http.{}://{host}{port}/", url.scheme());
        let mut settings = Vec::new();
        for (name, value) in &self.shared.credentials.of(&url) {
            let Ok(value) = value.to_str() else { continue };
            if name != ACCEPT {
                settings.push((format!("{place}.extraHeader"), format!("{name}: {value}")));
            }
            // curl keeps this one from other servers, and no other header.
            if name != ACCEPT && name != AUTHORIZATION {
                settings.push((format!("{place}.followRedirects"), "false".to_owned()));
            }
        }
        settings
    }

    /// Where the server of a git repository redirects whoever asks for it, without what may be a secret: a query, a user and
    /// a password. `None` if it does not, or cannot be asked.
    pub async fn git_leads_to(&self, url: &str) -> Option<String> {
        let url = self.secrets.reveal_url(url);
        let asked = Url::parse(&format!("{}{REFERENCES}", url.trim_end_matches('/'))).ok()?;
        if !matches!(asked.scheme(), "http" | "https") {
            return None;
        }
        let mut to = self.transport().await.ok()?.leads_to(&asked).await?;
        to.set_query(None);
        to.set_fragment(None);
        let path = to.path().strip_suffix("/info/refs").unwrap_or(to.path()).to_owned();
        to.set_path(&path);
        Some(self.shown(to.as_str()))
    }

    /// Lets the commands of `step` that get repositories tell the servers who this user is.
    pub fn tell_git(&self, step: &mut Step) {
        let mut settings: Vec<_> =
            step.checkouts.iter().flat_map(|checkout| self.git_settings(&checkout.url)).collect();
        settings.sort();
        settings.dedup();
        for op in &mut step.ops {
            let clones = op.clones();
            let Op::Run { command: Command::Argv(words), env, .. } = op else { continue };
            if clones {
                settings.iter().for_each(|(name, value)| add(env, name, value));
            }
            if clones && words[0] == "kas" {
                words.splice(0..0, ["sh", "-c", KAS].map(str::to_owned));
                env.insert(
                    KAS_SETTINGS.to_owned(),
                    settings.iter().map(|(name, value)| in_file(name, value)).collect(),
                );
            }
        }
    }

    /// `secrets`, and who this user is to servers.
    pub fn hiding(&self, secrets: &Secrets) -> Secrets {
        let mut secrets = secrets.clone();
        self.shared.credentials.secrets().iter().for_each(|secret| secrets.hide(secret));
        secrets
    }
}

/// Adds a setting to those that are there (git-config(1), `GIT_CONFIG_COUNT`).
fn add(env: &mut BTreeMap<String, String>, name: &str, value: &str) {
    let Some(count) = env.get("GIT_CONFIG_COUNT").and_then(|count| count.parse::<usize>().ok()) else { return };
    env.insert(format!("GIT_CONFIG_KEY_{count}"), name.to_owned());
    env.insert(format!("GIT_CONFIG_VALUE_{count}"), value.to_owned());
    env.insert("GIT_CONFIG_COUNT".to_owned(), (count + 1).to_string());
}

/// A setting as it stands in a file (git-config(1), "Syntax").
fn in_file(name: &str, value: &str) -> String {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let (section, rest) = name.split_once('.').unwrap_or((name, ""));
    let (place, name) = rest.rsplit_once('.').unwrap_or(("", rest));
    format!("[{section} \"{}\"]\n\t{name} = \"{}\"\n", quoted(place), quoted(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_in_a_file_are_read_as_they_were_written() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("gitconfig");
        let (name, value) = ("http.https://a.example:8443/.extraheader", "X-\"Odd\": a\\b; # c ");
        std::fs::write(&file, in_file(name, value)).unwrap();
        let mut git = std::process::Command::new("git");
        let said = git.args(["config", "-f"]).arg(&file).args(["--get-regexp", "."]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&said.stdout), format!("{name} {value}\n"));
    }

    #[test]
    fn settings_are_added_to_those_that_are_there() {
        let mut env = BTreeMap::from([("GIT_CONFIG_COUNT".to_owned(), "3".to_owned())]);
        add(&mut env, "a", "1");
        add(&mut env, "b", "2");
        assert_eq!(env["GIT_CONFIG_COUNT"], "5");
        assert_eq!((env["GIT_CONFIG_KEY_4"].as_str(), env["GIT_CONFIG_VALUE_4"].as_str()), ("b", "2"));
        let mut none = BTreeMap::new();
        add(&mut none, "a", "1");
        assert!(none.is_empty(), "a command that is no git's");
    }
}
