//! What a team's caches know of a build, brought into the store before anything is made.

use std::collections::BTreeMap;

use layers::digest::Digest;

use super::{Build, BuildError, Resolved};
use crate::cache::{self, Entry, Known, MadeOf, Place, Wanted, elsewhere};
use crate::plan::{Inputs, LayerKey, Plan, PlannedLayer, Trace};
use crate::resolve::{Base, Origin, Resolver};

/// Where the records came from that were brought, by their keys.
pub(super) type Brought = BTreeMap<Digest, Place>;

/// Questions, and the layers whose records the answers become.
type Questions<'p> = (Vec<Wanted>, Vec<Option<&'p PlannedLayer>>);

/// What a team has of a build: the bytes, and where they are.
type Shared = (u64, Place);

impl Build<'_> {
    /// Asks the team's caches for what `plan` may use, once: whoever foresees a build leaves the answers to it.
    pub(super) fn bring(&self, resolved: &mut Resolved, plan: &Plan) -> Result<(), BuildError> {
        if resolved.brought.is_none() {
            resolved.brought = Some(self.ask_team(plan, &resolved.base, &resolved.inputs)?);
        }
        Ok(())
    }

    /// Asks for everything at once that the build may use and the store does not know.
    pub(super) fn ask_team(&self, plan: &Plan, base: &Base, inputs: &Inputs) -> Result<Brought, BuildError> {
        let (resolver, mut brought) = (self.resolver, Brought::new());
        if resolver.team().from.is_empty() {
            return Ok(brought);
        }
        let (mut wanted, mut layers) = self.questions(plan, inputs)?;
        if let Some(base) = wanted_base(resolver, base, inputs)? {
            wanted.push(base);
            layers.push(None);
        }
        for (entry, layer) in resolver.ask(&wanted).into_iter().zip(layers) {
            let Some((entry, place)) = entry else { continue };
            keep(resolver, &entry, &place, layer.map(|layer| Trace::of(layer, self.lowered, inputs)))?;
            brought.insert(entry.key, place);
        }
        Ok(brought)
    }

    fn questions<'p>(&self, plan: &'p Plan, inputs: &Inputs) -> Result<Questions<'p>, BuildError> {
        let store = self.resolver.store;
        let (mut wanted, mut layers) = Questions::default();
        for layer in plan.layers.iter().filter(|layer| !self.options.no_cache.covers(layer)) {
            if cache::find(store, &layer.key)?.is_some_and(|record| record.fits(layer)) {
                continue;
            }
            wanted.push(Wanted::layer(layer));
            layers.push(Some(layer));
            let user = self.lowered.image.user.as_deref();
            let facts = layer.portable.as_ref().and_then(|step| Some((step, step.usual(user)?)));
            let portable = facts.and_then(|(step, facts)| step.preimage(&facts, inputs));
            if let Some(preimage) = portable.filter(|it| matches!(cache::find_portable(store, &it.key()), Ok(None))) {
                wanted.push(Wanted::portable(&preimage));
                layers.push(None);
            }
        }
        Ok((wanted, layers))
    }

    /// Which layers of `plan` the team has and the store has not, and the `base` if that is so of it. Nothing is written.
    pub(super) fn known_to_team(
        &self,
        plan: &Plan,
        base: Option<&Base>,
        inputs: &Inputs,
    ) -> Result<(BTreeMap<LayerKey, Shared>, Option<Shared>), BuildError> {
        let (mut wanted, layers) = self.questions(plan, inputs)?;
        let asked = base.map(|base| wanted_base(self.resolver, base, inputs)).transpose()?.flatten();
        let of_base = asked.is_some();
        wanted.extend(asked);
        let shared = |(entry, place): (Entry, Place)| (entry.known.layer().map_or(0, |it| it.descriptor.size), place);
        let mut answers = self.resolver.ask(&wanted);
        let base = if of_base { answers.pop().flatten().map(shared) } else { None };
        let known = answers.into_iter().zip(layers);
        let known = known.filter_map(|(answer, layer)| Some((layer?.key, shared(answer?))));
        Ok((known.collect(), base))
    }
}

/// The question for a base that alloy makes, where it is not here.
fn wanted_base(resolver: &Resolver<'_>, base: &Base, inputs: &Inputs) -> Result<Option<Wanted>, BuildError> {
    let made = matches!(base.origin, Origin::Archive(_));
    let there = made && cache::find(resolver.store, &LayerKey::of_base(base.identity, inputs))?.is_some();
    Ok((made && !there).then(|| Wanted::base(base.identity, inputs)))
}

fn keep(resolver: &Resolver<'_>, entry: &Entry, place: &Place, trace: Option<Trace>) -> Result<(), BuildError> {
    if let Some(layer) = entry.known.layer() {
        elsewhere::note(resolver.store, &layer.descriptor.digest, place)?;
    }
    Ok(cache::keep_entry(resolver.store, entry, trace)?)
}

/// Asks for a layer by the bytes below it, and keeps the answer under that key.
pub(super) fn bring_output(
    resolver: &Resolver<'_>,
    planned: &PlannedLayer,
    output: LayerKey,
    trace: &Trace,
) -> Result<Option<(cache::LayerRecord, Place)>, BuildError> {
    let Some((entry, place)) = resolver.ask(&[Wanted::output(planned, output)]).pop().flatten() else {
        return Ok(None);
    };
    if let Some(layer) = entry.known.layer() {
        elsewhere::note(resolver.store, &layer.descriptor.digest, &place)?;
    }
    let Known::Layer { name, layer, archive, way, chain, .. } = entry.known else { return Ok(None) };
    let preimage = MadeOf::tasks(trace.clone());
    let record = cache::LayerRecord { name, layer, archive, way, preimage, output: Some(output), chain };
    cache::keep(resolver.store, &output, &record)?;
    Ok(Some((record, place)))
}
