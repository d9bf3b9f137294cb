//! `--var` for a variable that a blueprint neither declares nor uses: most likely the name is misspelt.

use std::collections::BTreeSet;

use super::template::{expand, expand_env};
use super::variables::{BUILT_IN, PERSONAL};
use super::{Blueprint, Given};
use crate::yaml::{Diagnostic, FileId, MAX_PROBLEMS, Node, Span, Value};

/// A warning for each name in `given.vars` that `blueprint` has no use for, on whatever platform.
pub fn stray(blueprint: &Blueprint, given: &Given) -> Vec<Diagnostic> {
    if given.vars.is_empty() {
        return Vec::new();
    }
    let mut known: BTreeSet<String> = BUILT_IN.iter().map(|name| (*name).to_owned()).collect();
    known.extend(blueprint.variables.keys().cloned());
    known.extend(blueprint.manifest.required_env.iter().map(|required| required.name.clone()));
    for alias in blueprint.manifest.toolchains.iter().filter_map(|toolchain| toolchain.alias.as_ref()) {
        known.extend(["URL", "SHA", "VERSION"].map(|ending| format!("{alias}_{ending}")));
    }
    for task in blueprint.files.iter().flat_map(|file| &file.tasks) {
        task.fields.entries.iter().for_each(|(_, node)| mentioned(node, &mut known));
    }
    let personal = |name: &str| PERSONAL.iter().any(|(other, _)| *other == name);
    let unknown = given.vars.keys().filter(|name| !known.contains(*name) && !personal(name));
    let warning = |name: &String| {
        let message = format!("`--var {name}=…` changes nothing: the blueprint neither declares nor uses `{name}`");
        Diagnostic::warning("unused-variable", Span::start_of(FileId(0)), message)
            .suggest(name, known.iter().map(String::as_str))
    };
    unknown.take(MAX_PROBLEMS).map(warning).collect()
}

/// The variables that the texts below `node` name.
fn mentioned(node: &Node, names: &mut BTreeSet<String>) {
    match &node.value {
        Value::Scalar { text, .. } => {
            let mut name = |name: &str| {
                names.insert(name.to_owned());
                Some(String::new())
            };
            // What is wrong with a template is said where it is rendered.
            _ = expand(text, &mut name);
            _ = expand_env(text, &mut name);
        }
        Value::Sequence(items) => items.iter().for_each(|item| mentioned(item, names)),
        Value::Mapping(mapping) => mapping.entries.iter().for_each(|(_, node)| mentioned(node, names)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_misspelt_variable_is_told() {
        let manifest = "name: x\nversion: 1.0.0\nrun_order: [a.yml]\nvariables: {CUBE_VERSION: '1'}\n\
                        required_env: [{name: TOKEN}]\ntoolchains: [{ref: toolchain.a.gcc, alias: T}]\n";
        let tasks = "- {name: a, action: get_file, url: 'https://a.example/{{.Vars.HERE}}', dest: $THERE,\n   \
                     exclude: docker, per_arch: {arm64: {url: '{{.Vars.ELSEWHERE}}'}}}\n";
        let files = BTreeMap::from([
            (super::super::MANIFEST_FILE.to_owned(), manifest.as_bytes().to_vec()),
            ("a.yml".to_owned(), tasks.as_bytes().to_vec()),
        ]);
        let (blueprint, _) = super::super::read_texts(&files);
        let names = [
            "CUBE_VERSION",
            "CUBE_VERSON",
            "DEV_USERNAME",
            "ELSEWHERE",
            "FROBNICATE",
            "HERE",
            "HOME",
            "SDK_SYSROOT",
            "THERE",
            "TOKEN",
            "T_SHA",
        ];
        let vars = names.iter().map(|name| ((*name).to_owned(), String::new())).collect();
        let told = stray(&blueprint.unwrap(), &Given { vars, ..Given::default() });
        let told: Vec<_> = told.iter().map(|told| (told.message.as_str(), told.help.as_deref())).collect();
        let says =
            |name: &str| format!("`--var {name}=…` changes nothing: the blueprint neither declares nor uses `{name}`");
        assert_eq!(
            told,
            [(says("CUBE_VERSON").as_str(), Some("did you mean `CUBE_VERSION`?")), (says("FROBNICATE").as_str(), None)]
        );
    }
}
