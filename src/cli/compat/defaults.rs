//! What the existing tools take where nobody says it.

use std::ffi::OsString;
use std::path::PathBuf;

use super::words::Words;
use crate::blueprint::MANIFEST_FILE;
use crate::registry::Reference;

/// The registry of published blueprints that those tools ask.
const REGISTRY: &str = "api.alloy-it.io";
/// Where they keep their files, below the home directory.
const HOME: &str = ".alloy-it";

/// What the existing tools' defaults depend on.
#[derive(Default)]
pub(super) struct Machine {
    pub(super) home: Option<PathBuf>,
    /// `ALLOY_BLUEPRINT_DIR` is set.
    pub(super) directory: bool,
    /// `ALLOY_CATALOG` is set.
    pub(super) catalog: bool,
}

impl Machine {
    pub(super) fn this() -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            home: set("HOME").map(PathBuf::from).filter(|home| home.is_absolute()),
            directory: set("ALLOY_BLUEPRINT_DIR").is_some(),
            catalog: set("ALLOY_CATALOG").is_some(),
        }
    }

    /// A place below where those tools keep their files.
    fn place(&self, name: &str) -> Option<PathBuf> {
        Some(self.home.as_ref()?.join(HOME).join(name))
    }
}

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
            "clone" => {
                self.rename("--blueprint-dir", "--output");
                if !list && !self.has("--output") && !self.has("-o") {
                    let place = self.name.as_deref().and_then(repository).zip(machine.place("blueprints"));
                    let output = place.map(|(name, place)| place.join(name));
                    self.others.extend(output.into_iter().flat_map(|place| ["--output".into(), place.into()]));
                }
                let update = !list && !self.has("--update");
                self.others.extend(update.then(|| OsString::from("--update")));
            }
            "install" if self.name.is_none() && !self.has("--blueprint-dir") && !machine.directory => {
                let place = machine.place("").filter(|place| place.join(MANIFEST_FILE).is_file());
                self.others.extend(place.into_iter().flat_map(|place| ["--blueprint-dir".into(), place.into()]));
            }
            "lock" if !self.has("--catalog") && !machine.catalog => {
                let place = machine.place("catalog").filter(|place| place.is_dir());
                self.others.extend(place.into_iter().flat_map(|place| ["--catalog".into(), place.into()]));
            }
            _ => {}
        }
        if command == "install" && !self.has("--env-file") {
            let env = self.value("--blueprint-dir").map(|place| PathBuf::from(place).join(ENV));
            let env = env.filter(|env| self.name.is_none() && env.is_file());
            self.others.extend(env.into_iter().flat_map(|env| ["--env-file".into(), env.into()]));
        }
        let hub = matches!(command, "install" | "clone") && (self.name.is_some() || list);
        if hub && !self.has("--registry") {
            // Environment and files of variables may name another one: whoever reads those decides.
            self.others.extend(["--default-registry", REGISTRY].map(OsString::from));
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
