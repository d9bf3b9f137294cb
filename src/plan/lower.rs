//! From a blueprint to layers of steps, for one platform and one set of variables.

use std::collections::{BTreeMap, BTreeSet};

use super::handed::{self, Handed};
use super::left_out::{self, LeftOut, is_excluded};
use super::nodes::{size, unknown_places};
use super::toolchains::Around;
use super::{ImageSpec, Platform, PortableStep, base, environment, languages, offline, own, pins, toolchains, unheard};
use crate::action::{self, Action, COMMON};
use crate::blueprint::{Blueprint, Environment, Given, Problems, Task, TaskFile, render_task, stray};
use crate::lock::{ArchivePin, Lock, Lockfile, logins};
use crate::op::{Archive, Network, Op, Secrets, Source, Step};
use crate::yaml::{Diagnostic, MAX_PROBLEMS, Span, Value, nearest};

/// The base of a blueprint that names none.
const DEFAULT_BASE: &str = "deb:bookworm";
/// How bases begin that are made from a distribution's archive.
const ARCHIVE: &str = "deb:";

/// Everything beside the blueprint that lowering depends on.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the image is for.
    pub platform: Platform,
    /// Variables.
    pub given: Given,
    /// Environment tags that are on.
    pub tags: BTreeSet<String>,
    /// What is else a warning is an error.
    pub strict: bool,
    /// Build for a platform that the blueprint does not support.
    pub ignore_supported_hosts: bool,
    /// `--base`.
    pub base: Option<String>,
    /// For a live host, not for an image.
    pub host: bool,
    /// No command gets a network.
    pub offline: bool,
}

/// The steps of one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoweredLayer {
    /// What it is called: the task file, and the task where a file is several layers.
    pub name: String,
    /// The task files it is made of.
    pub files: Vec<String>,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// Set when the layer is an archive that does not depend on what is below, but for what is said there.
    pub portable: Option<PortableStep>,
}

/// A blueprint, lowered.
#[derive(Clone, Debug, Default)]
pub struct Lowered {
    /// The blueprint's name.
    pub name: String,
    /// Reference of the base, with the digest that the lockfile has for it.
    pub base: String,
    /// What the lockfile says of a base that is made from packages.
    pub archive: Option<ArchivePin>,
    /// Where packages are that the archive has lost, as the lockfile says.
    pub mirror: Option<String>,
    /// Layers, lowest first.
    pub layers: Vec<LoweredLayer>,
    /// The image's config.
    pub image: ImageSpec,
    /// Bytes of downloads, by URL, where the lockfile says them.
    pub sizes: BTreeMap<String, u64>,
    /// URLs of downloads whose digests the blueprint's author wrote.
    pub authored: BTreeSet<String>,
    /// Whom the blueprint is made for: `DEV_USERNAME`.
    pub developer: Option<String>,
    /// The same as `--var` would say it, where an env file or the environment does.
    pub said_outside: Option<String>,
    /// Tasks that are left out as they are asked for now.
    pub left_out: Vec<LeftOut>,
    /// What commands on a live host have that is no part of the tasks.
    pub handed: Handed,
    /// Secrets that the steps use.
    pub secrets: Secrets,
    /// Lines worth showing.
    pub notes: Vec<String>,
    /// Warnings.
    pub warnings: Vec<Diagnostic>,
}

/// Lowers `blueprint`; all that is wrong is reported at once.
pub fn lower(blueprint: &Blueprint, settings: &Settings) -> Result<Lowered, Problems> {
    let (lock, problems) = match &blueprint.lock {
        Some(Lockfile { read: Err(problems), .. }) => (None, problems.clone()),
        Some(Lockfile { node, read: Ok(lock) }) => (Some(lock), logins(node)),
        None => (Some(blueprint.pins()), Vec::new()),
    };
    let lowered = from(blueprint, settings, lock, problems)?;
    let diagnostics = offline::unlocked(blueprint, &lowered.layers);
    if diagnostics.is_empty() {
        return Ok(lowered);
    }
    Err(Problems { diagnostics, sources: blueprint.sources.clone() })
}

/// The same with another lockfile than the blueprint's own, for whoever is about to pin what nothing pins.
pub fn lower_with(blueprint: &Blueprint, settings: &Settings, lock: &Lock) -> Result<Lowered, Problems> {
    from(blueprint, settings, Some(lock), Vec::new())
}

fn from(
    blueprint: &Blueprint,
    settings: &Settings,
    lock: Option<&Lock>,
    mut problems: Vec<Diagnostic>,
) -> Result<Lowered, Problems> {
    let invalid = |diagnostics| Problems { diagnostics, sources: blueprint.sources.clone() };
    let manifest = &blueprint.manifest;
    problems.extend(unsupported(blueprint, settings));
    problems.extend(stray(blueprint, &settings.given).into_iter().map(|warning| warning.strictly(settings.strict)));
    let env = if settings.host { Environment::of_host } else { Environment::of_image };
    let mut env = match env(blueprint, &settings.given) {
        Ok(env) => env,
        Err(errors) => {
            problems.extend(errors);
            return Err(invalid(problems));
        }
    };
    let platform = settings.platform.to_string();
    toolchains::inject(blueprint, settings, lock, &mut env, &mut problems);
    let mut layers: Vec<LoweredLayer> = own::user_layer(blueprint).filter(|_| !settings.host).into_iter().collect();
    let (mut carried, mut pinned, mut excluded) = (0, BTreeMap::new(), Vec::new());
    for file in &blueprint.files {
        excluded.extend(left_out::of(file, settings, &mut env, &blueprint.sources));
        let (env, problems, carried, pinned) = (&mut env, &mut problems, &mut carried, &mut pinned);
        let mut lowerer = Lowerer { blueprint, settings, lock, env, problems, carried, pinned };
        let steps = lowerer.file(file);
        let name = file.path.clone();
        layers.push(LoweredLayer { files: vec![name.clone()], name, steps, portable: None });
    }
    if !settings.host {
        own::make_workdir(blueprint, &mut layers);
    }
    let own_base = match base::of(blueprint) {
        Ok(base) => base,
        // Then nobody asks for it.
        Err(_) if settings.base.is_some() || settings.host => None,
        Err(error) => {
            problems.push(error);
            None
        }
    };
    if problems.iter().any(Diagnostic::is_error) {
        return Err(invalid(problems));
    }
    let base = settings.base.clone().or(own_base);
    let base = base.unwrap_or_else(|| DEFAULT_BASE.to_owned());
    if !settings.host {
        problems.extend(base::other(blueprint, &base).map(|warning| warning.strictly(settings.strict)));
    }
    let image = ImageSpec::of(manifest);
    if !settings.host && base.starts_with(ARCHIVE) {
        problems.extend(environment::unset(&manifest.image, &image));
        problems.extend(environment::unset_in_tasks(blueprint, &layers));
    }
    if !settings.host {
        problems.extend(unheard::unheard(blueprint, &settings.given, &settings.tags));
    }
    problems
        .extend(environment::without_commands(blueprint).into_iter().map(|warning| warning.strictly(settings.strict)));
    let none = Lock::default();
    let lock = lock.unwrap_or(&none);
    pins::packages(&mut layers, blueprint, lock, &base, &platform);
    languages::packages(&mut layers, lock, &base, &platform, settings.host);
    if problems.iter().any(Diagnostic::is_error) {
        return Err(invalid(problems));
    }
    let (base, archive) = pins::base(lock, base, &platform);
    Ok(Lowered {
        name: manifest.name.clone(),
        base,
        archive,
        mirror: lock.mirror.clone(),
        authored: pins::authored(&layers, lock, &platform),
        layers,
        image,
        sizes: lock.sizes(),
        developer: env.developer().map(str::to_owned),
        said_outside: env.developer_from_outside(),
        left_out: excluded,
        handed: if settings.host { Handed::new(&env.exported, &settings.given.process) } else { Handed::default() },
        secrets: env.secrets,
        notes: env.notes,
        warnings: problems,
    })
}

fn unsupported(blueprint: &Blueprint, settings: &Settings) -> Option<Diagnostic> {
    let manifest = &blueprint.manifest;
    let platform = &settings.platform;
    let supports = |host: &String| host.parse::<Platform>().is_ok_and(|host| host == *platform);
    let span = manifest.supported_hosts_span?;
    if settings.ignore_supported_hosts || manifest.supported_hosts.iter().any(supports) {
        return None;
    }
    let list = manifest.supported_hosts.join(", ");
    let error = Diagnostic::error("supported-hosts", span, format!("the blueprint does not support {platform}"));
    Some(error.label(format!("supports {list}")).help("build with --platform, or with --ignore-supported-hosts"))
}

struct Lowerer<'a> {
    blueprint: &'a Blueprint,
    settings: &'a Settings,
    lock: Option<&'a Lock>,
    env: &'a mut Environment,
    problems: &'a mut Vec<Diagnostic>,
    /// Bytes of the environment that commands carry along so far, at the most.
    carried: &'a mut usize,
    /// Downloads that the lockfile pins, by the name that they have there.
    pinned: &'a mut BTreeMap<String, String>,
}

/// What helps where two downloads have one name.
pub const ONE_NAME: &str = "give each a `sha256`, or the part that differs by a variable of its own";

/// Bytes of environment that the commands of one blueprint may carry along, each its own copy.
const MAX_CARRIED: usize = 64 << 20;

impl Lowerer<'_> {
    fn file(&mut self, file: &TaskFile) -> Vec<Step> {
        let mut steps = Vec::new();
        for task in &file.tasks {
            if self.problems.len() >= MAX_PROBLEMS {
                break;
            }
            steps.extend(self.task(file, task));
        }
        steps
    }

    /// `None` for a task that is excluded, or has errors.
    fn task(&mut self, file: &TaskFile, task: &Task) -> Option<Step> {
        let excluded = is_excluded(task, &self.settings.tags);
        let action_field = match task.fields.get("action") {
            Some(node) => node,
            None => {
                let span = task.fields.bare("action").unwrap_or(task.span);
                let error = Diagnostic::error("missing-field", span, "a task needs `action`");
                let error = error.label("no `action`").help("`alloy actions` lists them");
                let near = nearest("action", task.fields.entries.iter().map(|(key, _)| key.text.as_str()));
                let misspelt = task.fields.entries.iter().find(|(key, _)| near == Some(key.text.as_str()));
                self.problems.push(match misspelt.filter(|(key, _)| key.text != "action") {
                    Some((key, _)) => Diagnostic { span: key.span, ..error }.help("did you mean `action`?"),
                    None => error,
                });
                return None;
            }
        };
        let name = self.result(action_field.text("action").map(str::to_owned))?;
        let action = self.result(Action::find(&name, action_field.span))?;
        // What is only looked at is looked at whole.
        if excluded && !self.settings.given.placeholders {
            return None;
        }
        if task.fields.get("name").is_none() && !misspelt_name(action, task) {
            let span = task.fields.bare("name").unwrap_or(task.span);
            let error = Diagnostic::error("missing-field", span, "a task needs `name`");
            self.problems.push(error.label("no `name`").help("say in a few words what the task is for"));
        }
        let verbatim: Vec<&str> =
            COMMON.iter().chain(action.fields).filter(|field| field.verbatim).map(|field| field.name).collect();
        let arch = self.settings.platform.debian_arch();
        let rendered = render_task(task, arch, &verbatim, self.env, &self.blueprint.sources);
        let (fields, arch_missing) = match rendered {
            Ok(rendered) => rendered,
            Err(errors) => {
                self.problems.extend(errors);
                return None;
            }
        };
        let sysroot = self.env.variable("SDK_SYSROOT");
        let platform = self.settings.platform.to_string();
        let image_env = &self.blueprint.manifest.image.env;
        let told = self.settings.given.placeholders.then_some(self.blueprint.manifest.toolchains.as_slice());
        let carried = |pairs: &mut dyn Iterator<Item = (&String, &String)>| {
            pairs.map(|(k, v)| k.len() + v.len() + 64).sum::<usize>()
        };
        *self.carried += size(&fields) * carried(&mut self.env.exported.iter());
        *self.carried += carried(&mut image_env.iter().map(|(name, value)| (name, value)));
        if *self.carried > MAX_CARRIED {
            let message = "the commands of this blueprint carry too much environment along";
            let error =
                Diagnostic::error("size", task.span, message).help("ask for less in `required_env`, or in `image.env`");
            self.problems.extend(self.problems.iter().all(|other| other.code != "size").then_some(error));
            return None;
        }
        let counted = self.settings.host.then(|| {
            let texts = Value::Mapping(fields.clone()).to_json();
            handed::counted(&self.env.exported, &texts, &self.blueprint.manifest.required_env, image_env)
        });
        let (step, mut problems) = action::lower(&action::Task {
            action,
            fields: &fields,
            span: task.span,
            file: &file.path,
            arch,
            arch_missing,
            strict: self.settings.strict,
            env: counted.as_ref().unwrap_or(&self.env.exported),
            image_env,
            strict_shell: self.blueprint.manifest.strict_shell,
            lookup: &Around { lock: self.lock, platform: &platform, told, sysroot },
        });
        // Nothing can be said of a value that nobody knows yet.
        let mut unknown = Vec::new();
        fields.entries.iter().for_each(|(_, node)| unknown_places(node, &mut unknown));
        problems.retain(|problem| !unknown.contains(&problem.span));
        self.problems.extend(problems.into_iter().map(|problem| problem.narrowed(&self.blueprint.sources)));
        let mut step = step.filter(|_| !excluded)?;
        if !self.settings.host && step.ops.iter().any(|op| matches!(op, Op::RegisterBinfmt { .. })) {
            let message = "`register_binfmt` changes the kernel, not the image: it is left out";
            let warning = Diagnostic::warning("image", action_field.span, message).strictly(self.settings.strict);
            self.problems.push(warning.help("say so with `exclude: [docker]`"));
            return None;
        }
        if self.settings.offline && step.network == Some(Network::Host) {
            let span = fields.get("network").map_or(task.span, |node| node.span);
            let message = format!("the task `{}` wants the machine's network, and the build has none", step.name);
            let error = Diagnostic::error("network", span, message).label("not under `--network none`");
            self.problems.push(error.help("build without `--network none`, or declare what the task downloads"));
            return None;
        }
        if self.settings.offline && step.ssh {
            let span = fields.get("ssh").map_or(task.span, |node| node.span);
            let message = format!("the task `{}` wants to log in by ssh, and the build has no network", step.name);
            let error = Diagnostic::error("network", span, message).label("not under `--network none`");
            self.problems.push(error.help("build without `--network none`"));
            return None;
        }
        step.offline |= self.settings.offline;
        self.pin(&mut step, task.span);
        Some(step)
    }

    fn result<T>(&mut self, result: Result<T, Diagnostic>) -> Option<T> {
        result.map_err(|error| self.problems.push(error)).ok()
    }

    /// A download without a digest takes the lockfile's; who asks for it is a secret, whoever says it.
    fn pin(&mut self, step: &mut Step, span: Span) {
        let sources = step.ops.iter_mut().flat_map(|op| match op {
            Op::PlaceBlob { source, .. }
            | Op::PlaceRules { source, .. }
            | Op::Unpack { archive: Archive::Source(source), .. } => std::slice::from_mut(source),
            Op::AptInstall { debs, .. } => debs.as_mut_slice(),
            _ => &mut [],
        });
        for source in sources {
            if let Source::Url { url, .. } = source {
                *url = self.env.secrets.logins_of_value(url);
            }
            if let Source::Url { url, sha256: pin @ None } = source {
                *pin = self.lock.and_then(|lock| lock.download(url));
                let other = pin.map(|_| self.pinned.entry(Secrets::as_written(url)).or_insert_with(|| url.clone()));
                if other.is_some_and(|other| other != url) {
                    let message =
                        "two downloads have one name in alloy.lock.yml, which leaves out what lets somebody in";
                    self.problems.push(Diagnostic::error("lock", span, message).help(ONE_NAME));
                }
            }
        }
    }
}

/// True if a field that the action does not have is likely to be the task's name: then that is said of it.
fn misspelt_name(action: &Action, task: &Task) -> bool {
    let known: Vec<&str> = COMMON.iter().chain(action.fields).map(|field| field.name).collect();
    let mut unknown = task.fields.entries.iter().map(|(key, _)| key.text.as_str()).filter(|key| !known.contains(key));
    unknown.any(|key| nearest(key, known.iter().copied()) == Some("name"))
}
