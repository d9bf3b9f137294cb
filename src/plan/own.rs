//! What a manifest's `image` asks for beside the tasks: the user and the working directory.

use super::{LoweredLayer, PortableStep};
use crate::blueprint::{Blueprint, MANIFEST_FILE};
use crate::op::{Guards, Op, Owner, Step};

/// The name of the layer that makes the image's own user.
const USER_LAYER: &str = "user";
/// The name of what makes the image's working directory.
const WORKDIR: &str = "workdir";

/// The first layer makes the user the image runs as, and the group, so that every task can count on them.
pub(super) fn user_layer(blueprint: &Blueprint) -> Option<LoweredLayer> {
    let (user, group) = match blueprint.manifest.image.user.as_deref()?.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (blueprint.manifest.image.user.as_deref()?, None),
    };
    let is_made = |name: &&str| *name != "root" && !name.bytes().all(|b| b.is_ascii_digit());
    let (user, group) = (Some(user).filter(is_made), group.filter(is_made));
    let name = match (user, group) {
        (Some(user), _) => format!("Create the user {user}"),
        (None, Some(group)) => format!("Create the group {group}"),
        (None, None) => return None,
    };
    let user = user.map(|user| Op::EnsureUser { name: user.to_owned(), uid: 1000 });
    let group = group.map(|group| Op::EnsureGroup { name: group.to_owned() });
    let step = Step {
        name,
        action: USER_LAYER.to_owned(),
        file: MANIFEST_FILE.to_owned(),
        line: 1,
        ops: user.into_iter().chain(group).collect(),
        ..Step::default()
    };
    let name = USER_LAYER.to_owned();
    Some(LoweredLayer { files: vec![name.clone()], name, steps: vec![step], portable: None })
}

/// Has the working directory of the image made, for its user, unless a task has made it: by the last layer that is no
/// archive, where all that tasks make is there but for archives. A layer of its own would have to look at all below it.
pub(super) fn make_workdir(blueprint: &Blueprint, layers: &mut Vec<LoweredLayer>) {
    let Some(path) = blueprint.manifest.image.workdir.clone().filter(|path| path != "/") else { return };
    let owner = blueprint.manifest.image.user.as_deref().map(|user| match user.split_once(':') {
        Some((user, group)) => Owner { user: user.to_owned(), group: Some(group.to_owned()) },
        None => Owner::login(user.to_owned()),
    });
    let mut ops = vec![Op::MakeDir { path: path.clone() }];
    let attributes = |owner| Op::SetAttributes { path: path.clone(), owner: Some(owner), mode: None, recursive: false };
    ops.extend(owner.map(attributes));
    let step = Step {
        name: format!("Make the working directory {path}"),
        action: WORKDIR.to_owned(),
        file: MANIFEST_FILE.to_owned(),
        line: 1,
        guards: Guards { creates: Some(path), ..Guards::default() },
        ops,
        ..Step::default()
    };
    let ordinary = |step: &Step| PortableStep::of(step).is_none();
    let last =
        layers.iter().enumerate().rev().find_map(|(at, layer)| Some((at, layer.steps.iter().rposition(ordinary)?)));
    match last {
        Some((layer, at)) => layers[layer].steps.insert(at + 1, step),
        None => {
            let name = WORKDIR.to_owned();
            layers.insert(0, LoweredLayer { files: vec![name.clone()], name, steps: vec![step], portable: None });
        }
    }
}
