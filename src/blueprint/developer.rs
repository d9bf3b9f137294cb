//! Whom a blueprint is made for: `DEV_USERNAME`.

use std::collections::BTreeMap;

use super::{Blueprint, Given};

/// The name under which blueprints ask for the user they are made for.
pub(super) const DEV_USERNAME: &str = "DEV_USERNAME";

/// What says who the user is, and is no option.
pub(super) const OUTSIDE: [&str; 2] = ["the env file", "the environment"];

/// What `values` have for `DEV_USERNAME`; nobody is called nothing.
fn developer(values: &BTreeMap<String, String>) -> Option<&String> {
    values.get(DEV_USERNAME).filter(|user| !user.is_empty())
}

/// The user a blueprint is made for in an image, and who says so, if it is not the manifest.
pub(super) fn image_user<'a>(blueprint: &'a Blueprint, given: &'a Given) -> (&'a str, Option<&'static str>) {
    let places = [
        (developer(&given.vars), "--var"),
        (developer(&given.env_file), OUTSIDE[0]),
        (given.user.as_ref(), "--user"),
        (developer(&given.process), OUTSIDE[1]),
    ];
    let found = places.into_iter().find_map(|(user, source)| Some((user?.as_str(), Some(source))));
    let own = || blueprint.manifest.image.user.as_deref().and_then(|user| user.split(':').next());
    found.or_else(|| own().map(|user| (user, None))).unwrap_or(("root", None))
}

/// The user a blueprint is made for on a live host, and who says so.
pub(super) fn dev_user(blueprint: &Blueprint, given: &Given) -> (String, &'static str) {
    let process = |name: &str| given.process.get(name).filter(|value| !value.is_empty());
    let variable = blueprint.variables.get(DEV_USERNAME).map(|variable| &variable.value);
    let places = [
        (developer(&given.vars), "--var"),
        (developer(&given.env_file), OUTSIDE[0]),
        (process(DEV_USERNAME), OUTSIDE[1]),
        (process("SUDO_USER"), "SUDO_USER"),
        (process("USER").filter(|user| *user != "root"), "USER"),
        (variable, "the blueprint"),
    ];
    let found = places.into_iter().find_map(|(user, source)| Some((user?.clone(), source)));
    found.unwrap_or_else(|| ("root".to_owned(), "who runs alloy"))
}

#[cfg(test)]
mod tests {
    use super::super::Environment;
    use super::*;

    fn user(process: &[(&str, &str)], variables: &str) -> (String, Vec<String>) {
        let manifest = format!("name: x\nversion: 1.0.0\nrun_order: []\nvariables: {{{variables}}}\n");
        let files = BTreeMap::from([(super::super::MANIFEST_FILE.to_owned(), manifest.into_bytes())]);
        let (blueprint, _) = super::super::read_texts(&files);
        let process = process.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let given = Given { process, ..Given::default() };
        let mut env = Environment::of_host(&blueprint.unwrap(), &given).unwrap();
        (env.variable(DEV_USERNAME).unwrap(), env.notes)
    }

    #[test]
    fn a_live_host_knows_who_it_is_for() {
        let all = [("DEV_USERNAME", "eve"), ("SUDO_USER", "ann"), ("USER", "root")];
        let said = |user: &str, source: &str| (user.to_owned(), vec![format!("DEV_USERNAME is {user}, from {source}")]);
        assert_eq!(user(&all, "DEV_USERNAME: vagrant"), said("eve", "the environment"));
        assert_eq!(user(&all[1..], "DEV_USERNAME: vagrant"), said("ann", "SUDO_USER"));
        assert_eq!(user(&[("USER", "bob")], ""), said("bob", "USER"));
        assert_eq!(user(&all[2..], "DEV_USERNAME: vagrant"), said("vagrant", "the blueprint"));
        assert_eq!(user(&all[2..], ""), said("root", "who runs alloy"));
    }

    #[test]
    fn nobody_is_called_nothing() {
        let manifest = "name: x\nversion: 1.0.0\nrun_order: []\n";
        let files = BTreeMap::from([(super::super::MANIFEST_FILE.to_owned(), manifest.as_bytes().to_vec())]);
        let (blueprint, _) = super::super::read_texts(&files);
        let blueprint = blueprint.unwrap();
        let process = BTreeMap::from([("USER".to_owned(), "bob".to_owned())]);
        let nothing = BTreeMap::from([(DEV_USERNAME.to_owned(), String::new())]);
        for given in [
            Given { env_file: nothing.clone(), process: process.clone(), ..Given::default() },
            Given { vars: nothing, process, ..Given::default() },
        ] {
            let env = Environment::of_host(&blueprint, &given).unwrap();
            assert_eq!(env.developer(), Some("bob"));
            let env = Environment::of_image(&blueprint, &given).unwrap();
            assert_eq!((env.developer(), env.developer_from_outside()), (Some("root"), None));
        }
    }
}
