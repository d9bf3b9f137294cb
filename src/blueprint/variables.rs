//! Which variable has which value, and who said so.

use std::collections::{BTreeMap, BTreeSet};

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
    /// The environment of alloy's own process.
    pub process: BTreeMap<String, String>,
    /// Variables that the environment must have may be missing, and are [`UNKNOWN`] then: the blueprint is looked at,
    /// not built.
    pub placeholders: bool,
}

/// The name under which blueprints ask for the user they are made for.
const DEV_USERNAME: &str = "DEV_USERNAME";

/// What an image build never takes from the process: who runs it, and where. The image's own values stand in.
const PERSONAL: [(&str, Option<&str>); 10] = [
    ("HOME", Some("/root")),
    ("USER", Some("root")),
    ("LOGNAME", Some("root")),
    ("SHELL", Some("/bin/bash")),
    ("PATH", None),
    ("PWD", None),
    ("OLDPWD", None),
    ("SUDO_USER", None),
    ("TMPDIR", None),
    (DEV_USERNAME, None),
];

/// All variables of a build. Secrets are known by name; their values are kept apart.
#[derive(Debug, Default)]
pub struct Environment {
    values: BTreeMap<String, String>,
    process: BTreeMap<String, String>,
    secret: BTreeSet<String>,
    /// Values of the secrets that the build uses.
    pub secrets: Secrets,
    /// What commands have in their environment: `required_env` and the env file.
    pub exported: BTreeMap<String, String>,
    /// One line for each variable that the environment overrides, and for each secret that is too short to mask.
    pub notes: Vec<String>,
    /// Variables that the lockfile would give, and the reference that it lacks.
    unpinned: BTreeMap<String, String>,
    /// Bytes that variables have put into texts.
    inserted: usize,
}

/// Bytes that variables may put into the texts of one blueprint.
const MAX_INSERTED: usize = 16 << 20;

impl Environment {
    /// Puts the layers together, lowest first: blueprint, process and env file, `--var`.
    pub fn of_image(blueprint: &Blueprint, given: &Given) -> Result<Self, Vec<Diagnostic>> {
        let mut env = Self { process: given.process.clone(), ..Self::default() };
        for (name, value) in PERSONAL {
            env.process.remove(name);
            env.process.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        }
        let manifest = &blueprint.manifest;
        let user = manifest.image.user.as_deref().and_then(|user| user.split(':').next()).unwrap_or("root");
        env.values.insert(DEV_USERNAME.to_owned(), user.to_owned());
        for (name, variable) in &blueprint.variables {
            env.values.insert(name.clone(), variable.value.clone());
            let overriding = given.env_file.get(name).or_else(|| env.process.get(name));
            if overriding.is_some_and(|value| *value != variable.value) && !given.vars.contains_key(name) {
                env.notes.push(format!("{name} is taken from the environment, not from the blueprint"));
            }
            if let Some(value) = env.process.get(name) {
                env.values.insert(name.clone(), value.clone());
            }
        }
        env.values.extend(given.env_file.clone());
        env.values.extend(given.vars.clone());
        for required in manifest.required_env.iter().filter(|required| required.secret) {
            env.secret.insert(required.name.clone());
        }
        if given.placeholders {
            for required in &manifest.required_env {
                env.values.entry(required.name.clone()).or_insert_with(|| UNKNOWN.to_owned());
            }
        }
        env.require(&manifest.required_env)?;
        let exported = manifest.required_env.iter().map(|required| &required.name).chain(given.env_file.keys());
        let exported: BTreeSet<String> = exported.cloned().collect();
        env.exported = exported.into_iter().filter_map(|name| Some((name.clone(), env.variable(&name)?))).collect();
        Ok(env)
    }

    fn require(&self, required: &[RequiredEnv]) -> Result<(), Vec<Diagnostic>> {
        let missing = required.iter().filter(|r| self.raw(&r.name).is_none_or(str::is_empty));
        let errors: Vec<_> = missing
            .map(|required| {
                let name = &required.name;
                let what = required.description.as_ref().map_or(String::new(), |text| format!(" ({text})"));
                Diagnostic::error("required-env", required.span, format!("{name} is not set{what}"))
                    .help(format!("export {name}=…, or put `{name}=…` into a file and give it with --env-file"))
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
        if !value.is_empty() && (self.secret.contains(name) || Secrets::is_secret_name(name)) {
            if self.secrets.insert(name, &value) && value.trim().len() < SHORTEST {
                self.notes
                    .push(format!("{name} has fewer than {SHORTEST} characters: output that holds it is not masked"));
            }
            return Some(marker(name));
        }
        Some(value)
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

    /// The reference and the platform that would have given a variable.
    pub(super) fn unpinned(&self, name: &str) -> Option<&str> {
        self.unpinned.get(name).map(String::as_str)
    }

    /// Sets a variable that nothing overrides: what the lockfile says of a toolchain.
    pub fn inject(&mut self, name: String, value: String) {
        self.values.insert(name, value);
    }
}
