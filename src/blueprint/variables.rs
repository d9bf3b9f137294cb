//! Which variable has which value, and who said so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::developer::{DEV_USERNAME, OUTSIDE, dev_user, image_user};
use super::{Blueprint, RequiredEnv};
use crate::op::{SHORTEST, Secrets, marker};
use crate::yaml::{Diagnostic, UNKNOWN, nearest};

/// What was given beside the blueprint, as values.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// `--var`.
    pub vars: BTreeMap<String, String>,
    /// `--env-file`.
    pub env_file: BTreeMap<String, String>,
    /// `--user`: the user that the image is to have.
    pub user: Option<String>,
    /// The environment of alloy's own process. A blueprint has of it what it declares, and nothing else.
    pub process: BTreeMap<String, String>,
    /// Variables that the environment must have may be missing, and are [`UNKNOWN`] then: the blueprint is looked at,
    /// not built.
    pub placeholders: bool,
}

impl Given {
    /// True if a variable of alloy's own is 1: in a file of variables, or else in the environment.
    pub fn is_on(&self, name: &str) -> bool {
        self.env_file.get(name).or_else(|| self.process.get(name)).is_some_and(|value| value == "1")
    }
}

/// Names that mean something to alloy itself, whatever a blueprint says.
pub(super) const BUILT_IN: [&str; 2] = [DEV_USERNAME, "SDK_SYSROOT"];

/// Names that a blueprint for a live host need not declare: who runs alloy, and where such people keep their files.
const OF_WHO_RUNS: [&str; 4] = ["HOME", "LOGNAME", "SHELL", "USER"];

/// Names under which alloy and what it works with find credentials of their own, places that may say who asks for them
/// among these. No blueprint can ask for them. Paths are none: what lies there, no task of an image can read.
const OWN_CREDENTIALS: [&str; 13] = [
    "ALLOY_CACHE_FROM",
    "ALLOY_CACHE_TO",
    "ALLOY_CATALOG_REMOTE",
    "ALLOY_HEADERS",
    "ALLOY_MIRROR",
    "ALLOY_REGISTRY_PASSWORD",
    "ALLOY_REGISTRY_USERNAME",
    "ALLOY_SIGN_KEY",
    "COSIGN_PASSWORD",
    "COSIGN_PRIVATE_KEY",
    "DOCKER_AUTH_CONFIG",
    "GIT_CONFIG_PARAMETERS",
    "REGISTRY_AUTH_FILE",
];

/// What people call a file of variables that lies beside a manifest.
const ENV_FILE: &str = ".env";

/// How the names of git's own begin that may hold headers and passwords (git-config(1)).
const GIT_VALUES: &str = "GIT_CONFIG_VALUE_";

/// What an image build never takes from the process: who runs it, and where. The image's own values stand in.
pub(super) const PERSONAL: [(&str, Option<&str>); 9] = [
    ("HOME", Some("/root")),
    ("USER", Some("root")),
    ("LOGNAME", Some("root")),
    ("SHELL", Some("/bin/bash")),
    ("PATH", None),
    ("PWD", None),
    ("OLDPWD", None),
    ("SUDO_USER", None),
    ("TMPDIR", None),
];

/// All variables of a build. Secrets are known by name; their values are kept apart.
#[derive(Debug, Default)]
pub struct Environment {
    values: BTreeMap<String, String>,
    process: BTreeMap<String, String>,
    /// Names that the process has, and that the blueprint does not declare.
    undeclared: BTreeSet<String>,
    secret: BTreeSet<String>,
    /// Names whose values the blueprint does not say itself.
    given: BTreeSet<String>,
    /// Values of the secrets that the build uses.
    pub secrets: Secrets,
    /// What commands have in their environment: `required_env` and the env file.
    pub exported: BTreeMap<String, String>,
    /// One line for each variable that the environment overrides, and for each secret that is too short to mask.
    pub notes: Vec<String>,
    /// Who the user is that the blueprint is made for, to be told once it is asked for.
    chosen: Option<String>,
    /// An env file, or the environment, says who that is: no option does.
    outside: bool,
    /// Variables that the lockfile would give, and the reference that it lacks.
    unpinned: BTreeMap<String, String>,
    /// Variables that another toolchain would have, and why this one has none.
    without: BTreeMap<String, String>,
    /// Bytes that variables have put into texts.
    inserted: usize,
}

/// Bytes that variables may put into the texts of one blueprint.
const MAX_INSERTED: usize = 16 << 20;

impl Environment {
    /// Puts the layers together, lowest first: blueprint, process and env file, `--var`.
    pub fn of_image(blueprint: &Blueprint, given: &Given) -> Result<Self, Vec<Diagnostic>> {
        let mut env = Self::declared(blueprint, given, &[]);
        for (name, value) in PERSONAL {
            env.process.remove(name);
            // It is not for want of a declaration that there is none.
            env.undeclared.remove(name);
            env.process.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        }
        env.undeclared.remove(DEV_USERNAME);
        let (user, source) = image_user(blueprint, given);
        env.process.remove(DEV_USERNAME);
        env.process.extend(source.map(|_| (DEV_USERNAME.to_owned(), user.to_owned())));
        env.values.insert(DEV_USERNAME.to_owned(), user.to_owned());
        env.chosen = source.map(|source| format!("{DEV_USERNAME} is {user}, from {source}"));
        env.outside = source.is_some_and(|source| OUTSIDE.contains(&source));
        env.filled(blueprint, given)
    }

    /// The same for a live host: there, whoever runs alloy is who the blueprint is made for.
    pub fn of_host(blueprint: &Blueprint, given: &Given) -> Result<Self, Vec<Diagnostic>> {
        let mut env = Self::declared(blueprint, given, &OF_WHO_RUNS);
        let (user, source) = dev_user(blueprint, given);
        env.process.insert(DEV_USERNAME.to_owned(), user.clone());
        env.values.insert(DEV_USERNAME.to_owned(), user.clone());
        env.chosen = Some(format!("{DEV_USERNAME} is {user}, from {source}"));
        // Commands have these without the blueprint's asking for them, and may print them.
        for (name, value) in super::of_commands(&given.process) {
            env.secrets.logins_of_value(&value);
            if Secrets::is_secret_name(&name) {
                env.secrets.hide(&value);
            }
        }
        env.filled(blueprint, given)
    }

    /// Of the process's environment what `blueprint` declares, and the names in `always`.
    fn declared(blueprint: &Blueprint, given: &Given, always: &[&str]) -> Self {
        let required = blueprint.manifest.required_env.iter().map(|required| required.name.as_str());
        let declared: BTreeSet<&str> =
            blueprint.variables.keys().map(String::as_str).chain(required).chain(always.iter().copied()).collect();
        let mut env = Self::default();
        for (name, value) in &given.process {
            if declared.contains(name.as_str()) && !is_own_credential(name) {
                env.process.insert(name.clone(), value.clone());
            } else {
                env.undeclared.insert(name.clone());
            }
        }
        env
    }

    fn filled(self, blueprint: &Blueprint, given: &Given) -> Result<Self, Vec<Diagnostic>> {
        let (mut env, manifest) = (self, &blueprint.manifest);
        // Files of variables hold what alloy logs in with, too: that is no task's.
        let of_file: BTreeMap<String, String> = given
            .env_file
            .iter()
            .filter(|(name, _)| !is_own_credential(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let own = own_credentials(blueprint);
        if !own.is_empty() {
            return Err(own);
        }
        for (name, variable) in &blueprint.variables {
            env.values.insert(name.clone(), variable.value.clone());
            let overriding = of_file.get(name).or_else(|| env.process.get(name));
            let two = of_file.get(name).zip(env.process.get(name)).is_some_and(|(file, process)| file != process);
            // Of two, it is said below.
            let told = env.chosen.is_some() && name == DEV_USERNAME || two;
            if overriding.is_some_and(|value| *value != variable.value) && !given.vars.contains_key(name) && !told {
                env.notes.push(format!("{name} is taken from the environment, not from the blueprint"));
            }
            if let Some(value) = env.process.get(name) {
                env.values.insert(name.clone(), value.clone());
            }
        }
        for (name, value) in &of_file {
            let told = env.chosen.is_some() && name == DEV_USERNAME || given.vars.contains_key(name);
            if !told && env.process.get(name).is_some_and(|other| other != value) {
                env.notes.push(format!("{name} is taken from the env file, not from the environment"));
            }
        }
        env.given = env.process.keys().chain(of_file.keys()).chain(given.vars.keys()).cloned().collect();
        let set = of_file.iter().chain(&given.vars).filter(|(name, value)| *name != DEV_USERNAME || !value.is_empty());
        env.values.extend(set.map(|(name, value)| (name.clone(), value.clone())));
        for required in manifest.required_env.iter().filter(|required| required.secret) {
            env.secret.insert(required.name.clone());
        }
        if given.placeholders {
            for required in &manifest.required_env {
                env.values.entry(required.name.clone()).or_insert_with(|| UNKNOWN.to_owned());
            }
        }
        let beside =
            Some(blueprint.directory.join(ENV_FILE)).filter(|file| given.env_file.is_empty() && file.is_file());
        env.require(&manifest.required_env, beside.as_deref())?;
        if let Some(file) = beside {
            env.notes.push(format!("{0} is not read: --env-file {0} takes its variables", file.display()));
        }
        let exported = manifest.required_env.iter().map(|required| &required.name).chain(of_file.keys());
        let exported: BTreeSet<String> = exported.cloned().collect();
        env.exported = exported.into_iter().filter_map(|name| Some((name.clone(), env.variable(&name)?))).collect();
        Ok(env)
    }

    /// An error for each that is missing; `beside` is a file of variables that nobody named.
    fn require(&self, required: &[RequiredEnv], beside: Option<&Path>) -> Result<(), Vec<Diagnostic>> {
        let missing = required.iter().filter(|r| self.raw(&r.name).is_none_or(str::is_empty));
        let errors: Vec<_> = missing
            .map(|required| {
                let name = &required.name;
                let what = required.description.as_ref().map_or(String::new(), |text| format!(" ({text})"));
                let help = match beside {
                    Some(file) => format!(
                        "export {name}=…, or give {0}, which is not read by itself, with --env-file {0}",
                        file.display()
                    ),
                    None => format!("export {name}=…, or put `{name}=…` into a file and give it with --env-file"),
                };
                Diagnostic::error("required-env", required.span, format!("{name} is not set{what}")).help(help)
            })
            .collect();
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    fn raw(&self, name: &str) -> Option<&str> {
        self.values.get(name).or_else(|| self.process.get(name)).map(String::as_str)
    }

    /// The value of a variable, or the marker of a secret.
    pub fn variable(&mut self, name: &str) -> Option<String> {
        let value = self.raw(name)?.to_owned();
        if name == DEV_USERNAME {
            self.notes.extend(self.chosen.take());
        }
        if !value.is_empty() && (self.secret.contains(name) || Secrets::is_secret_name(name)) {
            if self.secrets.insert(name, &value) && value.trim().len() < SHORTEST {
                self.notes
                    .push(format!("{name} has fewer than {SHORTEST} characters: output that holds it is not masked"));
            }
            return Some(marker(name));
        }
        // Whoever gives a URL with a password does not publish it.
        Some(if self.given.contains(name) { self.secrets.logins_of_value(&value) } else { value })
    }

    /// True for a name that the environment of alloy has and the blueprint does not declare.
    pub(super) fn is_undeclared(&self, name: &str) -> bool {
        self.undeclared.contains(name)
    }

    /// The name nearest to `wrong`: of the blueprint's variables first, since an environment has many.
    pub fn nearest(&self, wrong: &str) -> Option<String> {
        nearest(wrong, self.values.keys().map(String::as_str)).map(str::to_owned)
    }
}

impl Environment {
    /// [`Self::variable`], as a part of a text. Once there is too much of it, nothing is put in any more.
    pub(super) fn inserted(&mut self, name: &str) -> Option<String> {
        if self.inserted_too_much() {
            return self.raw(name).map(|_| String::new());
        }
        let value = self.variable(name)?;
        self.inserted = self.inserted.saturating_add(value.len());
        Some(value)
    }

    /// True once variables have put more into texts than anybody means.
    pub(super) fn inserted_too_much(&self) -> bool {
        self.inserted > MAX_INSERTED
    }

    /// Notes that nothing pins `reference`, which would have given the variables of `alias`.
    pub fn miss(&mut self, alias: &str, reference: &str, platform: &str) {
        for ending in ["URL", "SHA", "VERSION"] {
            self.unpinned.insert(format!("{alias}_{ending}"), format!("`{reference}` for {platform}"));
        }
    }

    /// Whom the blueprint is made for.
    pub fn developer(&self) -> Option<&str> {
        self.values.get(DEV_USERNAME).map(String::as_str)
    }

    /// The same in the words of an option, where none says it.
    pub fn developer_from_outside(&self) -> Option<String> {
        self.developer().filter(|_| self.outside).map(|user| format!("{DEV_USERNAME}={user}"))
    }

    /// Notes why a toolchain has nothing for this variable.
    pub fn without(&mut self, name: String, why: String) {
        self.without.insert(name, why);
    }

    /// Why a toolchain does not give a variable.
    pub(super) fn is_without(&self, name: &str) -> Option<&str> {
        self.without.get(name).map(String::as_str)
    }

    /// The reference and the platform that would have given a variable.
    pub(super) fn unpinned(&self, name: &str) -> Option<&str> {
        self.unpinned.get(name).map(String::as_str)
    }

    /// Sets a variable that nothing overrides: what the lockfile says of a toolchain.
    pub fn inject(&mut self, name: String, value: String) {
        self.values.insert(name, value);
    }
}

/// True for names whose values are alloy's own credentials.
pub(super) fn is_own_credential(name: &str) -> bool {
    OWN_CREDENTIALS.contains(&name) || name.starts_with(GIT_VALUES)
}

/// What is wrong with a blueprint that declares a name of alloy's own credentials.
fn own_credentials(blueprint: &Blueprint) -> Vec<Diagnostic> {
    let required = blueprint.manifest.required_env.iter().map(|required| (&required.name, required.span));
    let variables = blueprint.variables.iter().map(|(name, variable)| (name, variable.span));
    let own = required.chain(variables).filter(|(name, _)| is_own_credential(name));
    own.map(|(name, span)| {
        let message = format!("{name} is a credential of alloy's own, which no blueprint can have");
        Diagnostic::error("own-credential", span, message).help("give the variable another name")
    })
    .collect()
}
