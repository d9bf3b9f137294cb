//! `alloy lock`: what each task that installs packages comes to, as apt itself decides it where the task runs.

use std::path::Path;

use super::{BuildError, Options, Resolved, Session, build, layer};
use crate::image::Image;
use crate::lock::DebPin;
use crate::op::Source;
use crate::plan::{AptTask, Lowered, lock_refreshes};
use crate::resolve::{Base, Origin, Resolver};
use crate::target::Closure;

/// The closures of those tasks of `lowered` that have none yet, and of all that follow the first of them: what is
/// installed before decides what is missing. What stands below them is built, with the packages that were pinned, so
/// that a locked build finds it.
pub fn closures(
    resolver: &Resolver<'_>,
    directory: &Path,
    mut lowered: Lowered,
    mut resolved: Resolved,
    options: &Options,
) -> Result<Vec<(AptTask, Closure)>, BuildError> {
    let tasks = AptTask::of(&lowered.layers);
    lock_refreshes(&mut lowered.layers);
    let mut open = tasks.into_iter().skip_while(|task| task.locked).collect::<Vec<_>>().into_iter().peekable();
    let mut found = Vec::new();
    while let Some(first) = open.next() {
        let mut tasks = vec![first];
        while let Some(task) = open.next_if(|task| task.layer == tasks[0].layer) {
            tasks.push(task);
        }
        let at = tasks[0].layer;
        let image = below(resolver, directory, &lowered, at, &resolved, options)?;
        let mut base = Base { identity: image.identity, origin: Origin::Store, image };
        let mut session = Session::new(resolver, &mut base, directory, &lowered, &resolved.inputs, 0);
        let closures = session.closures(&lowered.layers[at], &tasks)?;
        session.finish()?;
        for (task, closure) in tasks.into_iter().zip(closures) {
            task.lock(&mut lowered.layers, &closure.debs);
            let pinned = |deb: &DebPin| (Source::Url { url: deb.url(), sha256: Some(deb.sha256) }, deb.sha256);
            resolved.inputs.sources.extend(closure.debs.iter().map(pinned));
            found.push((task, closure));
        }
    }
    Ok(found)
}

/// Everything below the layer `at`.
fn below(
    resolver: &Resolver<'_>,
    directory: &Path,
    lowered: &Lowered,
    at: usize,
    resolved: &Resolved,
    options: &Options,
) -> Result<Image, BuildError> {
    let mut prefix = lowered.clone();
    prefix.layers.truncate(at);
    // Nobody will run it.
    prefix.image.env_from_profile = false;
    let built = build(resolver, directory, prefix, resolved.clone(), options)?;
    let mut image = built.base.image;
    image.identity = built.manifest.digest;
    image.layers.extend(built.layers.iter().filter_map(|built| built.blob.as_ref()).map(layer));
    Ok(image)
}
