//! Who this user is to git servers: what git is told by the environment of a command, and of no other.

use std::collections::BTreeMap;

use reqwest::header::{ACCEPT, AUTHORIZATION};
use url::Url;

use super::Fetcher;
use crate::op::{Op, Secrets, Step};

impl Fetcher {
    /// Settings by which git tells the server of `url` what it tells a download: git-config(1), `http.<url>.*`. A user and
    /// password in the URL count before them.
    pub fn git_settings(&self, url: &str) -> Vec<(String, String)> {
        let Ok(url) = Url::parse(&self.inner.secrets.reveal_url(url)) else { return Vec::new() };
        let Some(host) = url.host_str().filter(|_| matches!(url.scheme(), "http" | "https")) else { return Vec::new() };
        let port = url.port().map_or(String::new(), |port| format!(":{port}"));
        let place = format!("http.{}://{host}{port}/", url.scheme());
        let mut settings = Vec::new();
        for (name, value) in &self.inner.credentials.of(&url) {
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

    /// Lets the commands of `step` that get repositories tell the servers who this user is.
    pub fn tell_git(&self, step: &mut Step) {
        let mut settings: Vec<_> =
            step.checkouts.iter().flat_map(|checkout| self.git_settings(&checkout.url)).collect();
        settings.sort();
        settings.dedup();
        for op in &mut step.ops {
            let clones = op.clones();
            let Op::Run { env, .. } = op else { continue };
            if clones {
                settings.iter().for_each(|(name, value)| add(env, name, value));
            }
        }
    }

    /// `secrets`, and who this user is to servers.
    pub fn hiding(&self, secrets: &Secrets) -> Secrets {
        let mut secrets = secrets.clone();
        self.inner.credentials.secrets().iter().for_each(|secret| secrets.hide(secret));
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

#[cfg(test)]
mod tests {
    use super::*;

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
