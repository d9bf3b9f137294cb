//! Steps with the values of secrets, for whoever performs them. No value comes to stand on the command line of a process
//! that alloy starts: every user of the machine can read those (proc(5), `cmdline`).

use std::collections::BTreeMap;

use url::Url;

use super::secret::{RUN_SCRIPT, SCRIPT};
use super::{Command, EnvValue, Op, Secrets, Step, percent_decoded, percent_encoded};

/// git asks it for a user and a password (gitcredentials(7)); they are in the environment.
const HELPER: &str = "!f() { test \"$1\" = get && printf 'username=%s\\npassword=%s\\n' \"$ALLOY_GIT_USER_N\" \"$ALLOY_GIT_PASSWORD_N\"; }; f";

/// The helper that gives git the `at`-th login: user and password in `ALLOY_GIT_USER_` and `ALLOY_GIT_PASSWORD_`.
pub fn git_helper(at: usize) -> String {
    HELPER.replace("_N\"", &format!("_{at}\""))
}

/// The script that `command`, the text of a task that was revealed, stands for.
pub fn script<'a>(command: &'a str, env: &'a BTreeMap<String, String>) -> &'a str {
    if command == RUN_SCRIPT { env.get(SCRIPT).map_or(command, String::as_str) } else { command }
}

impl Secrets {
    /// `step` with the values of secrets in place of their markers.
    pub fn reveal_step(&self, step: &Step) -> Step {
        let mut step = step.clone();
        // What a secret holds is no reference to anything.
        step.env.iter_mut().for_each(|(_, value)| *value = self.reveal_as(value, EnvValue::escaped));
        step.guards.env.values_mut().for_each(|value| *value = self.reveal(value));
        if let Some(condition) = &mut step.guards.skip_if {
            self.hand_over(condition, &mut step.guards.env);
        }
        let mut logins = Vec::new();
        for op in &mut step.ops {
            let Op::Run { command, env, .. } = op else { continue };
            env.values_mut().for_each(|value| *value = self.reveal(value));
            match command {
                Command::Shell(text) | Command::Strict(text) => self.hand_over(text, env),
                Command::Argv(words) => words.iter_mut().for_each(|word| *word = self.argument(word, &mut logins)),
            }
        }
        for op in &mut step.ops {
            if let Op::Run { env, .. } = op {
                logins.iter().enumerate().for_each(|(at, login)| login.tell_git(at, env));
            }
        }
        step
    }

    /// A text for a shell: one with a secret goes by the environment.
    fn hand_over(&self, text: &mut String, env: &mut BTreeMap<String, String>) {
        if Self::in_text(text) {
            env.insert(SCRIPT.to_owned(), self.reveal(text));
            RUN_SCRIPT.clone_into(text);
        }
    }

    /// A URL with the values of secrets, each in the form that it has where it stands.
    pub fn reveal_url(&self, url: &str) -> String {
        match self.apart(url) {
            Some((scheme, credentials, place)) => format!("{scheme}://{credentials}@{place}"),
            None => self.reveal(url),
        }
    }

    /// Scheme, user and password, and the rest of a URL with secrets before its host.
    fn apart<'a>(&self, url: &'a str) -> Option<(&'a str, String, String)> {
        let (scheme, rest) = url.split_once("://")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let at = rest[..end].rfind('@').filter(|at| Self::in_text(&rest[..*at]));
        let (credentials, place) = match (self.login_of(rest), at) {
            (Some((credentials, place)), _) => (credentials.to_owned(), place),
            (None, Some(at)) => (self.reveal_as(&rest[..at], percent_encoded), &rest[at + 1..]),
            (None, None) => return None,
        };
        Some((scheme, credentials, self.reveal(place)))
    }

    /// A word for a program. Of a URL, what stands before the host goes to git by another way.
    fn argument(&self, word: &str, logins: &mut Vec<Login>) -> String {
        let revealed = |word: &str| self.reveal_as(word, str::to_owned);
        if !Self::in_text(word) {
            return word.to_owned();
        }
        let Some((scheme, credentials, place)) = self.apart(word) else { return revealed(word) };
        let url = format!("{scheme}://{place}");
        let Ok(whole) = Url::parse(&format!("{scheme}://{credentials}@{place}")) else { return url };
        let login = Login {
            place: format!("{scheme}://{}", place.split(['/', '?', '#']).next().unwrap_or_default()),
            user: percent_decoded(whole.username()),
            password: percent_decoded(whole.password().unwrap_or_default()),
        };
        if !logins.contains(&login) {
            logins.push(login);
        }
        url
    }
}

/// Who somebody is to a server.
#[derive(PartialEq, Eq)]
struct Login {
    place: String,
    user: String,
    password: String,
}

impl Login {
    /// Adds the login, the `at`-th of its step, to what a git is told by its environment (git-config(1),
    /// `GIT_CONFIG_COUNT`).
    fn tell_git(&self, at: usize, env: &mut BTreeMap<String, String>) {
        let Some(count) = env.get("GIT_CONFIG_COUNT").and_then(|count| count.parse::<usize>().ok()) else { return };
        env.insert(format!("GIT_CONFIG_KEY_{count}"), format!("credential.{}.helper", self.place));
        env.insert(format!("GIT_CONFIG_VALUE_{count}"), git_helper(at));
        env.insert("GIT_CONFIG_COUNT".to_owned(), (count + 1).to_string());
        env.insert(format!("ALLOY_GIT_USER_{at}"), self.user.clone());
        env.insert(format!("ALLOY_GIT_PASSWORD_{at}"), self.password.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{Guards, marker};

    fn step(command: Command, skip_if: Option<String>) -> Step {
        let env = BTreeMap::from([("GIT_CONFIG_COUNT".to_owned(), "3".to_owned())]);
        let ops = vec![Op::Run { command, user: None, env, cwd: None }];
        let guards = Guards { skip_if, ..Guards::default() };
        Step { guards, ops, ..Step::default() }
    }

    fn run(step: &Step) -> (&Command, &BTreeMap<String, String>) {
        let [Op::Run { command, env, .. }] = step.ops.as_slice() else { panic!("{step:?}") };
        (command, env)
    }

    fn secrets() -> Secrets {
        let mut secrets = Secrets::default();
        secrets.insert("A_TOKEN", "hun/ter+2");
        secrets
    }

    #[test]
    fn scripts_with_a_secret_are_not_on_a_command_line() {
        let text = format!("echo {}", marker("A_TOKEN"));
        let revealed = secrets().reveal_step(&step(Command::Shell(text.clone()), Some(text)));
        let (command, env) = run(&revealed);
        let Command::Shell(shell) = command else { panic!() };
        assert!(!shell.contains("hun"));
        assert_eq!(script(shell, env), "echo hun/ter+2");
        assert_eq!(script(revealed.guards.skip_if.as_ref().unwrap(), &revealed.guards.env), "echo hun/ter+2");
        let plain = step(Command::Shell("echo".into()), Some("false".into()));
        assert_eq!(secrets().reveal_step(&plain), plain);
    }

    #[test]
    fn git_gets_a_password_by_its_environment() {
        let url = format!("https://ann:{}@git.example:8443/x.git", marker("A_TOKEN"));
        let words = ["git", "clone", "--", &url].map(str::to_owned).to_vec();
        let revealed = secrets().reveal_step(&step(Command::Argv(words), None));
        let (command, env) = run(&revealed);
        let Command::Argv(words) = command else { panic!() };
        assert_eq!(words.last().unwrap(), "https://git.example:8443/x.git");
        assert_eq!(env["GIT_CONFIG_COUNT"], "4");
        assert_eq!(env["GIT_CONFIG_KEY_3"], "credential.https://git.example:8443.helper");
        assert!(env["GIT_CONFIG_VALUE_3"].contains("$ALLOY_GIT_PASSWORD_0"));
        assert_eq!((env["ALLOY_GIT_USER_0"].as_str(), env["ALLOY_GIT_PASSWORD_0"].as_str()), ("ann", "hun/ter+2"));
        let encoded = percent_encoded("hun/ter+2");
        assert_eq!(secrets().reveal_url(&url), format!("https://ann:{encoded}@git.example:8443/x.git"));
    }

    #[test]
    fn git_gets_a_password_that_stands_in_a_url_by_its_environment_too() {
        let mut secrets = secrets();
        let url = secrets.logins_of_value("https://ann:p%40ss+1@git.example/x.git");
        let words = ["git", "clone", "--", &url].map(str::to_owned).to_vec();
        let revealed = secrets.reveal_step(&step(Command::Argv(words), None));
        let (command, env) = run(&revealed);
        let Command::Argv(words) = command else { panic!() };
        assert_eq!(words.last().unwrap(), "https://git.example/x.git");
        assert_eq!((env["ALLOY_GIT_USER_0"].as_str(), env["ALLOY_GIT_PASSWORD_0"].as_str()), ("ann", "p@ss+1"));
        assert_eq!(secrets.reveal_url(&url), "https://ann:p%40ss+1@git.example/x.git");
        assert_eq!(secrets.reveal_url("git@git.example:x.git"), "git@git.example:x.git");
    }
}
