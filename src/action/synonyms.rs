//! What other tools call things, and what it is called here: for who writes a task from memory.

use super::Action;

/// A word of another tool: the actions that do it here, or what to do where no action does.
enum Here {
    /// These actions.
    Actions(&'static [&'static str]),
    /// No action.
    Elsewhere(&'static str),
}

use Here::{Actions, Elsewhere};

/// From Dockerfiles, Ansible, CI files and shells. Names of actions are not among them.
const SYNONYMS: &[(&[&str], Here)] = &[
    (&["pip", "pip3", "pip_install", "python"], Actions(&["python_package"])),
    (&["npm", "npm_install", "yarn", "pnpm", "node"], Actions(&["npm_package"])),
    (&["cargo", "cargo_install", "rust"], Actions(&["rust_package"])),
    (&["apt", "apt_get", "apt-get", "package", "packages", "install"], Actions(&["apt_install"])),
    (&["shell", "run", "bash", "sh", "exec", "command", "script", "raw", "make"], Actions(&["run_command"])),
    (&["file", "template", "lineinfile", "write_file"], Actions(&["write_env_file", "copy"])),
    (&["add", "copy_file", "copy_directory", "copy_dir", "synchronize"], Actions(&["copy"])),
    (&["download", "wget", "curl", "get_url", "fetch"], Actions(&["get_file"])),
    (&["unarchive", "untar", "extract", "unzip", "tar"], Actions(&["unarchive_from_url", "unpack"])),
    (&["git", "clone", "checkout", "git_checkout"], Actions(&["git_clone"])),
    (
        &["env", "environment"],
        Elsewhere("variables are `env:` of a task, or `image.env` in manifest.yml for tasks and image"),
    ),
    (&["user", "useradd"], Elsewhere("the image's user is `image.user` in manifest.yml, a task's is `run_as:`")),
    (&["workdir"], Elsewhere("the image's directory is `image.workdir` in manifest.yml")),
    (&["entrypoint"], Elsewhere("it is `image.entrypoint` in manifest.yml")),
    (&["cmd"], Elsewhere("it is `image.cmd` in manifest.yml; a command of the build is `action: run_command`")),
    (&["label", "labels"], Elsewhere("they are `image.labels` in manifest.yml")),
    (&["from", "base"], Elsewhere("it is `image.base` in manifest.yml")),
    (&["arg"], Elsewhere("they are `variables:` in manifest.yml, used as `{{.Vars.NAME}}`")),
    (
        &["expose", "volume", "healthcheck", "stopsignal", "onbuild"],
        Elsewhere("images of alloy do not say that: give it to whatever starts the container"),
    ),
];

/// What to say to somebody who writes `name` for an action, if it is a word of another tool.
pub(super) fn help(name: &str) -> Option<String> {
    let name = name.trim().to_ascii_lowercase();
    // Ansible has its modules in collections: `ansible.builtin.copy`.
    let bare = name.rsplit('.').next().unwrap_or(&name).replace('-', "_");
    if let Some(action) = Action::named(&bare) {
        return Some(said(action));
    }
    let (_, here) =
        SYNONYMS.iter().find(|(names, _)| names.contains(&bare.as_str()) || names.contains(&name.as_str()))?;
    Some(match here {
        Elsewhere(text) => (*text).to_owned(),
        Actions(names) => {
            let all: Vec<String> = names.iter().filter_map(|name| Action::named(name)).map(said).collect();
            all.join("; or ")
        }
    })
}

fn said(action: &Action) -> String {
    let first = action.summary.split("; ").next().unwrap_or_default();
    format!("did you mean `{}`? {first}", action.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_leads_somewhere_and_none_hides_an_action() {
        let mut seen = std::collections::BTreeSet::new();
        for (names, here) in SYNONYMS {
            for name in *names {
                assert!(seen.insert(name), "{name} stands there twice");
                assert!(Action::named(name).is_none(), "{name} is an action");
                assert!(help(name).is_some_and(|help| !help.is_empty()), "{name}");
            }
            if let Actions(actions) = here {
                assert!(actions.iter().all(|action| Action::named(action).is_some()), "{actions:?}");
            }
        }
    }

    #[test]
    fn words_of_other_tools_are_known() {
        for (word, action) in [
            ("pip_install", "python_package"),
            ("npm-install", "npm_package"),
            ("apt-get", "apt_install"),
            ("RUN", "run_command"),
            ("ADD", "copy"),
            ("COPY", "copy"),
            ("ansible.builtin.get_url", "get_file"),
            ("unzip", "unarchive_from_url"),
        ] {
            assert!(help(word).unwrap().starts_with(&format!("did you mean `{action}`? ")), "{word}");
        }
        assert!(help("entrypoint").unwrap().contains("image.entrypoint"));
        assert!(help("apt_instal").is_none());
    }
}
