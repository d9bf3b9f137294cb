//! Fields that every action takes, and the lowering of a whole task.

use std::collections::HashSet;

use super::FieldKind::{Env, Flag, OneOf, Path, PerArch, Text, Words};
use super::mode::parse_mode;
use super::{Field, Fields, Lowered, Outcome, Task};
use crate::op::{Guards, Network, Op, Owner, Secrets, Step};
use crate::yaml::{Diagnostic, Span, one_line};

const NETWORKS: &[&str] = &["none", "host"];

/// Fields of every task.
pub const COMMON: [Field; 12] = [
    Field::required("name", Text, "What the task is called"),
    Field::required("action", Text, "What it does"),
    Field::optional("creates", Path, "Skip the task if this exists; of a link, what it leads to"),
    Field::optional("skip_if", Text, "Skip the task if this shell expression exits 0; `shell` is for it too")
        .verbatim(),
    Field::optional("always_run", Flag, "Run whatever `creates` says"),
    Field::optional("exclude", Words, "Leave the task out where one of these tags is on: docker, wsl2"),
    Field::optional("run_as", Text, "The user it runs as, in that user's login environment"),
    Field::optional("owner", Text, "`user[:group]` of what was written, recursively"),
    Field::optional("mode", Text, "Mode of what was written: \"0755\", USER_RWX GROUP_RX, or u+x"),
    Field::optional("env", Env, "Variables of its commands; `$NAME` in a value is another variable's value"),
    Field::optional("network", OneOf(NETWORKS), "The network of its commands: none, or the machine's"),
    Field::optional("per_arch", PerArch, "Other `url`, `sha256`, `command` or `source` for amd64 or arm64"),
];

/// Lowers a task. All that is wrong with it is reported, as far as it can be told.
pub fn lower(task: &Task<'_>) -> Outcome {
    let mut fields = Fields { task, warnings: Vec::new(), checkouts: Vec::new(), wanted: None, ssh: false };
    let meant = super::unknown::unknown(&mut fields);
    let mut errors = super::check::check(&fields);
    if errors.iter().any(|error| error.code == super::check::LONG) {
        fields.warnings.append(&mut errors);
        return (None, fields.warnings);
    }
    let guards = guards(&mut fields).map_err(|error| errors.push(error)).ok();
    let lowered = (task.action.lower)(&mut fields).map_err(|error| errors.push(error)).ok();
    let attributes = attributes(&fields).map_err(|error| errors.push(error)).ok();
    let env = fields.env().unwrap_or_default();
    // It stands among other words wherever it is shown.
    let name = fields.text("name").map(|name| one_line(name.trim_end_matches(['\n', '\r'])).into_owned());
    let name = name.unwrap_or_else(|_| task.action.name.to_owned());
    if let Some(lowered) = &lowered {
        without_effect(&mut fields, lowered);
    }
    let none = |node: &crate::yaml::Node| node.text("network").is_ok_and(|text| text == "none");
    let network = fields.node("network").map(|node| if none(node) { Network::None } else { Network::Host });
    // Whoever is told what a field is called knows that it is not there.
    let missing: Vec<Diagnostic> = meant.into_iter().filter_map(|name| fields.required(name).err()).collect();
    errors.retain(|error| !missing.contains(error));
    let (mut diagnostics, checkouts, wanted) = (fields.warnings, fields.checkouts, fields.wanted);
    let ssh = fields.ssh;
    diagnostics.append(&mut errors);
    // What the table says, an action may find too.
    let mut seen = HashSet::new();
    diagnostics.retain(|diagnostic| seen.insert(diagnostic.clone()));
    let (Some(guards), Some(mut lowered), Some(attributes)) = (guards, lowered, attributes) else {
        return (None, diagnostics);
    };
    if diagnostics.iter().any(Diagnostic::is_error) {
        return (None, diagnostics);
    }
    if let (Some(path), Some((owner, mode))) = (lowered.written, attributes) {
        lowered.ops.push(Op::SetAttributes { path, owner, mode, recursive: true });
    }
    let action = task.action.name.to_owned();
    let (file, line) = (task.file.to_owned(), task.span.line);
    let offline = network == Some(Network::None);
    let fields = crate::yaml::Value::Mapping(task.fields.clone()).to_json();
    let (env_of_step, ops) = (Vec::new(), lowered.ops);
    let wanted = wanted.map(Box::new);
    let mut step = Step {
        name,
        action,
        file,
        line,
        fields,
        guards,
        network,
        offline,
        ssh,
        env: env_of_step,
        checkouts,
        wanted,
        ops,
    };
    if step.runs_programs() {
        // Whoever names a variable for one task means it, whatever else is known under that name.
        let others = step.wanted.iter_mut().flat_map(|wanted| wanted.ask.iter_mut().chain(&mut wanted.pinned));
        for op in step.ops.iter_mut().chain(others) {
            if let Op::Run { env: own, .. } = op {
                own.retain(|name, _| !env.iter().any(|(other, _)| other == name));
            }
        }
        step.guards.env.retain(|name, _| !env.iter().any(|(other, _)| other == name));
        step.env = task.image_env.iter().cloned().chain(env).collect();
    }
    for name in ["env", "network"] {
        if let Some(node) = task.fields.get(name).filter(|_| !step.runs_programs()) {
            let message = format!("`{name}` has no effect on `{}`", step.action);
            diagnostics.push(Diagnostic::warning("no-effect", node.span, message).help("it runs no command"));
        }
    }
    (Some(step), diagnostics)
}

/// Says which fields do nothing, since it is not known what the action writes, or no user is asked for.
fn without_effect(fields: &mut Fields<'_>, lowered: &Lowered) {
    let commands = lowered.ops.iter().any(|op| matches!(op, Op::Run { .. }));
    for name in ["owner", "mode", "run_as"] {
        let Some(node) = fields.node(name).filter(|_| lowered.written.is_none()) else { continue };
        if name == "run_as" && (commands || fields.run_as().is_ok_and(|user| user.is_none())) {
            continue;
        }
        let action = fields.task.action.name;
        let warning = Diagnostic::warning("no-effect", node.span, format!("`{name}` has no effect on `{action}`"));
        fields.warn(match name {
            "run_as" => warning.help("root does it"),
            _ => warning.help("which files it writes is not known: set it in a `run_command` that follows"),
        });
    }
}

fn guards(fields: &mut Fields<'_>) -> Result<Guards, Diagnostic> {
    let (skip_if, strict) = fields.condition()?.unzip();
    let env = fields.task.env.iter().filter(|_| skip_if.is_some());
    Ok(Guards {
        env: env.map(|(name, value)| (name.clone(), value.clone())).collect(),
        skip_if,
        strict: strict.unwrap_or_default(),
        always_run: fields.flag("always_run")?,
        creates: fields.optional_path("creates")?,
    })
}

type Attributes = Option<(Option<Owner>, Option<crate::op::Mode>)>;

fn attributes(fields: &Fields<'_>) -> Result<Attributes, Diagnostic> {
    let owner = match fields.node("owner") {
        Some(node) => Some(parse_owner(&fields.text("owner")?, node.span)?),
        // What a user's task writes is the user's.
        None => fields.run_as()?.map(Owner::login),
    };
    let mode = match fields.node("mode") {
        Some(node) => Some(parse_mode(node.text("mode")?.trim(), node.span)?),
        None => None,
    };
    Ok((owner.is_some() || mode.is_some()).then_some((owner, mode)))
}

fn parse_owner(text: &str, span: Span) -> Result<Owner, Diagnostic> {
    let (user, group) = text.trim().split_once(':').map_or((text.trim(), None), |(user, group)| (user, Some(group)));
    let fits = |name: &str| !name.is_empty() && !name.contains([':', '/', ' ', '\n']) && !Secrets::in_text(name);
    if !fits(user) || !group.is_none_or(|group| group.is_empty() || fits(group)) {
        let error = Diagnostic::error("owner", span, format!("`owner` must be `user` or `user:group`, not `{text}`"));
        return Err(error.help("write names or ids, such as `root:root` or `1000:1000`"));
    }
    Ok(Owner { user: user.to_owned(), group: group.map(str::to_owned) })
}
