//! What the existing tools take where nobody says it.

use std::ffi::OsString;
use std::path::PathBuf;

use super::words::Words;
use crate::blueprint::MANIFEST_FILE;
use crate::registry::Reference;

/// The registry of published blueprints that those tools ask.
const REGISTRY: &str = "api.alloy-it.io";
/// Where their catalog comes from.
const CATALOG: &str = "https://github.com/alloy-it/alloy-catalog.git";
/// Where they keep their files, below the home directory.
const HOME: &str = ".alloy-it";

/// What the existing tools' defaults depend on.
#[derive(Default)]
pub(super) struct Machine {
    pub(super) home: Option<PathBuf>,
    /// `ALLOY_BLUEPRINT_DIR`.
    pub(super) directory: Option<PathBuf>,
    /// `ALLOY_CATALOG`.
    pub(super) catalog: Option<PathBuf>,
    /// `ALLOY_CATALOG_REMOTE` is set.
    pub(super) remote: bool,
}

impl Machine {
    pub(super) fn this() -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            home: set("HOME").map(PathBuf::from).filter(|home| home.is_absolute()),
            directory: set("ALLOY_BLUEPRINT_DIR").map(PathBuf::from),
            catalog: set("ALLOY_CATALOG").map(PathBuf::from),
            remote: set("ALLOY_CATALOG_REMOTE").is_some(),
        }
    }

    /// A place below where those tools keep their files.
    fn place(&self, name: &str) -> Option<PathBuf> {
        Some(self.home.as_ref()?.join(HOME).join(name))
    }
}

/// Below it: clones.
const BLUEPRINTS: &str = "blueprints";
/// What lies beside a manifest with the variables of one machine.
const ENV: &str = ".env";

impl Words {
    /// Adds what alloy would take otherwise.
    pub(super) fn defaults(&mut self, command: &str, machine: &Machine) {
        if self.has("--help") || self.has("-h") {
            return;
        }
        let list = self.has("--list");
        match command {
            "clone" => self.clones(list, machine),
            "install" => self.installs(machine),
            "lock" => self.catalogs(machine, false),
            "catalog" => self.catalogs(machine, self.name.as_deref() == Some("update")),
            _ => {}
        }
        let hub = matches!(command, "install" | "clone") && (self.name.is_some() || list);
        if hub && !self.has("--registry") {
            // Environment and files of variables may name another one: whoever reads those decides.
            self.add("--default-registry", REGISTRY);
        }
    }

    fn add(&mut self, flag: &str, value: impl Into<OsString>) {
        self.others.extend([flag.into(), value.into()]);
    }

    /// A clone is below the directory of blueprints, and is brought up to date.
    fn clones(&mut self, list: bool, machine: &Machine) {
        let base = self.take("--blueprint-dir").map(PathBuf::from).or_else(|| machine.directory.clone());
        let base = base.or_else(|| machine.place(""));
        if !list && !self.has("--output") && !self.has("-o") {
            let place = self.name.as_deref().and_then(repository).zip(base);
            if let Some((name, base)) = place {
                self.add("--output", base.join(BLUEPRINTS).join(name));
            }
        }
        let update = !list && !self.has("--update");
        self.others.extend(update.then(|| OsString::from("--update")));
    }

    fn installs(&mut self, machine: &Machine) {
        let own = self.name.is_none();
        if !self.has("--blueprint-dir") {
            let place = machine.place("").filter(|place| own && place.join(MANIFEST_FILE).is_file());
            match (&machine.directory, place) {
                // It is where a published one is put, as the flag is; of one in a directory, alloy knows it itself.
                (Some(directory), _) if !own => self.add("--blueprint-dir", directory),
                (None, Some(place)) => self.add("--blueprint-dir", place),
                _ => {}
            }
        }
        if !self.has("--env-file") {
            let base = self.value("--blueprint-dir").map(PathBuf::from).or_else(|| machine.directory.clone());
            // Of a published one, beside where it is put, or was cloned to.
            let clone = || machine.place(BLUEPRINTS)?.join(repository(self.name.as_deref()?)?).into();
            let env = base.or_else(clone).unwrap_or_default().join(ENV);
            if env.is_file() {
                self.add("--env-file", env);
            }
        }
    }

    /// The catalog is where those tools have it: if it is there, or is made now.
    fn catalogs(&mut self, machine: &Machine, update: bool) {
        let said = self.value("--catalog").map(PathBuf::from).or_else(|| machine.catalog.clone());
        let place = machine.place("catalog").filter(|place| said.is_none() && (update || place.is_dir()));
        if let Some(place) = &place {
            self.add("--catalog", place);
        }
        let known = said.or(place).is_some_and(|place| place.join(".git").exists());
        if update && !known && !machine.remote && !self.has("--remote") {
            self.add("--remote", CATALOG);
        }
    }
}

/// The name of a blueprint without registry, tag and digest.
fn repository(name: &str) -> Option<String> {
    let reference: Reference = name.parse().ok()?;
    let short = !name.contains('/');
    let repository = if short { reference.repository.trim_start_matches("library/") } else { &reference.repository };
    Some(repository.to_owned())
}
