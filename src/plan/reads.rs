//! Which files of the blueprint its tasks read: on any architecture, with any tags, pinned or not.

use std::collections::{BTreeMap, BTreeSet};

use crate::action::{self, Action, COMMON, Lookup, NoArchive};
use crate::blueprint::{ARCHITECTURES, Blueprint, Environment, Given, Task, TaskFile, render_task};
use crate::op::Source;
use crate::yaml::{Diagnostic, UNKNOWN};

/// Files and directories that tasks of `blueprint` read beside its own texts. Tasks with errors are left out:
/// lowering says what is wrong with them.
pub fn files_read(blueprint: &Blueprint) -> Result<BTreeSet<Source>, Vec<Diagnostic>> {
    let mut env = Environment::of_image(blueprint, &Given { placeholders: true, ..Given::default() })?;
    for alias in blueprint.manifest.toolchains.iter().filter_map(|toolchain| toolchain.alias.as_ref()) {
        for ending in ["URL", "SHA", "VERSION"] {
            env.inject(format!("{alias}_{ending}"), UNKNOWN.to_owned());
        }
    }
    let (mut files, mut errors) = (BTreeSet::new(), Vec::new());
    for arch in ARCHITECTURES {
        for (file, task) in blueprint.files.iter().flat_map(|file| file.tasks.iter().map(move |task| (file, task))) {
            for source in read_by(blueprint, file, task, arch, &mut env) {
                let (Source::Local { path } | Source::Tree { path, .. }) = &source else { continue };
                if path.contains(UNKNOWN) && errors.len() < crate::yaml::MAX_PROBLEMS {
                    let span = task.fields.get("source").map_or(task.span, |node| node.span);
                    let error = Diagnostic::error("source", span, "nobody knows yet which file this is");
                    errors.push(error.help("name a file without variables of `required_env`"));
                }
                files.insert(source);
            }
        }
    }
    if errors.is_empty() { Ok(files) } else { Err(errors) }
}

/// Files that one task reads.
fn read_by(blueprint: &Blueprint, file: &TaskFile, task: &Task, arch: &str, env: &mut Environment) -> Vec<Source> {
    let named = task.fields.get("action").and_then(|node| node.text("action").ok());
    let Some(action) = named.and_then(Action::named) else { return Vec::new() };
    let verbatim: Vec<&str> =
        COMMON.iter().chain(action.fields).filter(|field| field.verbatim).map(|field| field.name).collect();
    let rendered = render_task(task, arch, &verbatim, env, &blueprint.sources);
    let Ok((fields, arch_missing)) = rendered else { return Vec::new() };
    let (step, _) = action::lower(&action::Task {
        action,
        fields: &fields,
        span: task.span,
        file: &file.path,
        arch,
        arch_missing,
        strict: false,
        env: &BTreeMap::new(),
        image_env: &[],
        strict_shell: false,
        lookup: &Anything,
    });
    let sources = step.iter().flat_map(|step| step.sources());
    sources.filter(|source| !matches!(source, Source::Url { .. })).cloned().collect()
}

/// A blueprint around a task in which everything is pinned.
struct Anything;

impl Lookup for Anything {
    fn platform(&self) -> &str {
        UNKNOWN
    }

    fn toolchain(&self, _: &str) -> Option<Result<Source, NoArchive>> {
        Some(Ok(Source::Url { url: UNKNOWN.to_owned(), sha256: None }))
    }

    fn commit(&self, _: &str, _: &str) -> Option<String> {
        None
    }

    fn sysroot(&self) -> Option<String> {
        Some(UNKNOWN.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tasks: &str) -> Result<Vec<String>, Vec<Diagnostic>> {
        let manifest = "name: x\nversion: 1.0.0\nrun_order: [a.yml]\nvariables: {V: \"1.2\"}\n\
                        toolchains: [{ref: toolchain.a.b, alias: ARM}]\nrequired_env: [{name: WHICH}]\n";
        let files = [("manifest.yml", manifest), ("a.yml", tasks)];
        let files = files.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()));
        let (blueprint, problems) = crate::blueprint::read_texts(&files.into());
        assert!(problems.diagnostics.is_empty(), "{:?}", problems.diagnostics);
        let path = |source| match source {
            Source::Local { path } => path,
            Source::Tree { path, excludes } => format!("{path} but {}", excludes.join(" ")),
            Source::Url { url, .. } => url,
        };
        Ok(files_read(&blueprint.unwrap())?.into_iter().map(path).collect())
    }

    #[test]
    fn files_of_every_architecture_and_tag_count() {
        let files = read(
            "- {name: a, action: unpack, source: 'tools/x-{{.Vars.V}}.tar', dest: /opt/a, exclude: [docker]}\n\
             - {name: b, action: unpack, dest: /opt/b, per_arch: {amd64: {source: b1.tar}, arm64: {source: b2.tar}}}\n\
             - {name: c, action: unpack, source: /srv/in-the-image.tar, dest: /opt/c}\n\
             - {name: d, action: unarchive_from_ref, ref: toolchain.a.b, dest: /opt/d}\n\
             - {name: e, action: get_file, url: '{{.Vars.ARM_URL}}', dest: /opt/e}\n\
             - {name: f, action: copy, source: ./conf/, dest: /etc/x, excludes: ['*.o']}\n",
        );
        assert_eq!(files.unwrap(), ["b1.tar", "b2.tar", "tools/x-1.2.tar", "conf but *.o"]);
    }

    #[test]
    fn a_file_that_nobody_knows_is_an_error() {
        let errors = read("- {name: a, action: unpack, source: '{{.Vars.WHICH}}.tar', dest: /opt/a}\n").unwrap_err();
        assert!(errors[0].message.contains("nobody knows yet"));
    }
}
