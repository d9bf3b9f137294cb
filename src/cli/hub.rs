//! What commands share that reach blueprints in registries.

use std::collections::BTreeMap;

use clap::Args;

use super::context::{RegistryArgs, User};
use super::error::{CommandError, Kind};
use crate::hub;
use crate::registry::Reference;

/// The variables of blueprints' registries.
const REGISTRY: &str = "ALLOY_REGISTRY";
const USERNAME: &str = "ALLOY_REGISTRY_USERNAME";
const PASSWORD: &str = "ALLOY_REGISTRY_PASSWORD";

/// Options of commands that reach blueprints in registries
#[derive(Clone, Debug, Args)]
pub(super) struct HubArgs {
    /// The registry, optionally with a path, of blueprints whose names do not begin with a registry
    #[arg(long, value_name = "HOST[:PORT]", env = "ALLOY_REGISTRY", hide_env_values = true)]
    registry: Option<String>,
    /// The registry where nothing else names one: the names of the existing tools have one of their own.
    #[arg(long, value_name = "HOST[:PORT]", hide = true)]
    default_registry: Option<String>,
    #[command(flatten)]
    transport: RegistryArgs,
    /// What a file of variables says, where neither an option nor the environment does.
    #[arg(skip)]
    said: BTreeMap<String, String>,
}

impl HubArgs {
    /// The same, with the registry, and who we are to it, of a file of variables.
    pub(super) fn with(&self, said: BTreeMap<String, String>) -> Self {
        Self { said, ..self.clone() }
    }

    /// The blueprint of that name.
    pub(super) fn reference(&self, name: &str) -> Result<Reference, CommandError> {
        Ok(hub::reference(name, self.registry())?)
    }

    /// The registry that is set. Only where nobody sets one is it the default, which must not hear of passwords that are
    /// meant for another.
    fn registry(&self) -> Option<&str> {
        let said = self.said.get(REGISTRY).map(String::as_str);
        let all = [self.registry.as_deref(), said, self.default_registry.as_deref()];
        all.into_iter().flatten().find(|registry| !registry.is_empty())
    }

    /// How registries are reached.
    pub(super) fn transport(&self) -> &RegistryArgs {
        &self.transport
    }

    /// How registries are reached by whoever asks for `reference`.
    pub(super) fn registries(&self, reference: &Reference) -> Result<RegistryArgs, CommandError> {
        Ok(RegistryArgs { user: self.user(reference)?, ..self.transport.clone() })
    }

    /// The user of the environment or of the file of variables: of the registry that is set, else of the one that the name begins with. No other
    /// one hears of the password.
    fn user(&self, reference: &Reference) -> Result<Option<User>, CommandError> {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let var = |name: &str| set(name).or_else(|| self.said.get(name).filter(|value| !value.is_empty()).cloned());
        let (name, password) = match (var(USERNAME), var(PASSWORD)) {
            (None, None) => return Ok(None),
            (Some(name), Some(password)) => (name, password),
            (Some(_), None) => return Err(CommandError::usage(format!("{USERNAME} is set, and {PASSWORD} is not"))),
            (None, Some(_)) => return Err(CommandError::usage(format!("{PASSWORD} is set, and {USERNAME} is not"))),
        };
        // A password of the file is for the registry that the file names, whatever else is set.
        let named = self.said.get(REGISTRY).map(String::as_str).filter(|named| !named.is_empty());
        let registry = match named.filter(|_| set(PASSWORD).is_none()).or_else(|| self.registry()) {
            Some(registry) => hub::host(registry).split('/').next().unwrap_or_default().to_owned(),
            None => reference.registry.clone(),
        };
        let place = "ALLOY_REGISTRY_USERNAME and ALLOY_REGISTRY_PASSWORD";
        Ok(Some(User { registry, name, password, place }))
    }
}

/// The reference `name` with the tag that is given beside it.
pub(super) fn tagged(reference: Reference, name: &str, tag: Option<&str>) -> Result<Reference, CommandError> {
    let Some(tag) = tag else { return Ok(reference) };
    let own = name.rsplit('/').next().is_some_and(|last| last.contains([':', '@']));
    if own && reference.tag.as_deref() != Some(tag) {
        return Err(CommandError::usage(format!("{name} and --tag {tag} are two versions")).hint("name one"));
    }
    format!("{}:{tag}", reference.bare()).parse().map_err(|error| CommandError::from_error(Kind::Usage, &error))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        hub: HubArgs,
    }

    #[test]
    fn a_password_of_a_file_is_for_the_registry_that_the_file_names() {
        let reference: Reference = "other.test/x:1".parse().unwrap();
        let user = |own: Option<&str>| {
            let pairs = [(USERNAME, Some("ann")), (PASSWORD, Some("s3cret")), (REGISTRY, own)];
            let said = pairs.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
            let hub = Typed::parse_from(["x", "--registry", "other.test"]).hub.with(said.collect());
            hub.user(&reference).unwrap().unwrap().registry
        };
        assert_eq!(user(Some("own.test")), "own.test");
        assert_eq!(user(Some("https://own.test/")), "own.test");
        assert_eq!(user(None), "other.test");
    }
}
