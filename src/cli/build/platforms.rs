//! One build for each platform, one after the other. All of them are known to be possible before the first is begun.

use std::collections::BTreeSet;

use layers::store::{Store, StoreError};

use super::super::error::CommandError;
use super::super::inputs::{InputArgs, Prepared};
use super::super::meant;
use super::{Args, explain};
use crate::build::{Build, BuildError, Built, Options};
use crate::context::now;
use crate::documents;
use crate::event::Event;
use crate::image::{BuiltFrom, Documents, Local, LocalImage, LocalIndex};
use crate::plan::Platform;
use crate::resolve::Resolver;

/// What was built for one platform.
pub(super) struct Part<'a> {
    pub(super) resolver: &'a Resolver<'a>,
    pub(super) platform: &'a Platform,
    pub(super) built: Built<'a>,
    from: BuiltFrom,
    documents: Option<Documents>,
}

/// Builds each of `prepared`, which is resolved by one of `resolvers`.
pub(super) fn build<'a>(
    args: &Args,
    prepared: &'a [Prepared],
    resolvers: &'a [Resolver<'a>],
    options: &'a Options,
) -> Result<Vec<Part<'a>>, CommandError> {
    let several = prepared.len() > 1;
    let of = |platform: &Platform, error: CommandError| {
        let told = !several || error.message.contains(&platform.to_string());
        if told { error } else { CommandError { message: format!("{platform}: {}", error.message), ..error } }
    };
    let (mut ready, mut told) = (Vec::new(), BTreeSet::new());
    for (one, resolver) in prepared.iter().zip(resolvers) {
        let build = Build { resolver, directory: &one.blueprint.directory, lowered: &one.lowered, options };
        let known = || {
            let mut resolved = build.resolve()?;
            build.foresee(&mut resolved)?;
            let lacking = match args.inputs.may_mean_another_base(&one.blueprint) {
                true => build.lacking(&mut resolved)?,
                false => Vec::new(),
            };
            Ok::<_, BuildError>((resolved, lacking))
        };
        let (resolved, lacking) = known().map_err(|error| of(&one.platform, error.into()))?;
        meant::warn(resolver.reporter(), &one.lowered.base, &lacking, &mut told);
        ready.push((one, build, resolved, lacking));
    }
    let mut parts = Vec::new();
    for (one, build, resolved, lacking) in ready {
        let resolver = build.resolver;
        if several {
            resolver.reporter().event(Event::Platform(one.platform.to_string()));
        }
        let explained = |error| explain(error, resolver.context, build.directory, &one.platform);
        let built = build
            .run(resolved)
            .map_err(|error| meant::explain(error, &lacking))
            .map_err(|error| of(&one.platform, explained(error)))?;
        let from = built_from(&args.inputs, one, &built);
        let documents = match args.attach.no_attest {
            true => None,
            false => Some(documents::of_build(&resolver.context.store, &built, &one.blueprint, &one.platform, &from)?),
        };
        parts.push(Part { resolver, platform: &one.platform, built, from, documents });
    }
    Ok(parts)
}

/// What `parts` are under `name`: an image, or, of several platforms, an index, which is stored.
pub(super) fn named(store: &Store, name: &str, parts: &[Part<'_>]) -> Result<Local, StoreError> {
    let image = |part: &Part<'_>| LocalImage {
        name: name.to_owned(),
        manifest: part.built.manifest.clone(),
        platform: part.platform.clone(),
        tagged_at: now(),
        named_at: None,
        from: Some(part.from.clone()),
        documents: part.documents.clone(),
    };
    Ok(match parts {
        [part] => Local::Image(image(part)),
        parts => Local::Index(LocalIndex::store(store, name, parts.iter().map(image).collect(), now())?),
    })
}

/// What `alloy verify` needs to build the image once more.
fn built_from(inputs: &InputArgs, prepared: &Prepared, built: &Built<'_>) -> BuiltFrom {
    let mut settings = inputs.recorded(Some(&prepared.blueprint), Some(built.lowered));
    // One of several, or this machine's.
    settings.platforms = vec![prepared.platform.clone()];
    let directory = prepared.blueprint.directory.clone();
    let layers = built.plan.layers.iter().map(|layer| (layer.name.clone(), layer.key)).collect();
    BuiltFrom { directory, settings, epoch: prepared.epoch, base: built.base.identity, layers }
}
