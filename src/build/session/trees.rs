//! What a layer stands on, unpacked.

use std::collections::BTreeSet;

use layers::digest::ChainId;
use layers::media_type::Descriptor;

use super::{Result, Session};
use crate::build::BuildError;
use crate::event::Event;
use crate::fetch::FetchError;
use crate::resolve::{Origin, Resolver};
use crate::target::request::Unpack;

/// A layer below the one being made.
#[derive(Clone, Debug)]
struct Below {
    /// Name of its tree.
    tree: String,
    blob: Descriptor,
}

impl Session<'_> {
    /// Trees of all layers so far but `without`, topmost first; those that are missing are unpacked, those that cannot
    /// be are pulled.
    pub(super) fn trees(&mut self, without: &BTreeSet<String>) -> Result<Vec<String>> {
        let foreign = !matches!(self.base.origin, Origin::Archive(_));
        let mut stack: Vec<Below> = Vec::new();
        let mut chain: Option<ChainId> = None;
        for layer in &self.base.image.layers {
            chain = Some(ChainId::extend(chain, layer.diff_id));
            // A foreign layer may leave out directories: its tree takes them from what is below. Those of alloy do not.
            let own = layer.diff_id.0.hex();
            let name = match chain.filter(|_| foreign && self.resolver.store.tree(&own).is_none()) {
                Some(chain) => format!("chain-{}", chain.0.hex()),
                None => own,
            };
            stack.push(Below { tree: name, blob: layer.descriptor.clone() });
        }
        let made = self.made.iter().map(|standing| &standing.blob);
        stack.extend(made.map(|blob| Below { tree: blob.diff_id.0.hex(), blob: blob.descriptor.clone() }));
        stack.retain(|below| !without.contains(&below.tree));
        let missing: Vec<&Below> =
            stack.iter().filter(|below| self.resolver.store.tree(&below.tree).is_none()).collect();
        let blobs: Vec<Descriptor> = missing.iter().map(|below| below.blob.clone()).collect();
        let origin = match &self.base.origin {
            Origin::Registry(reference) => Some(reference.clone()),
            _ => None,
        };
        ensure_blobs(self.resolver, &blobs, origin.as_deref())?;
        let parents = |at: usize| stack[..at].iter().rev().map(|below| below.tree.clone()).collect();
        let wanted: Vec<Unpack> = stack
            .iter()
            .enumerate()
            .filter(|(_, below)| self.resolver.store.tree(&below.tree).is_none())
            .map(|(at, below)| Unpack { blob: below.blob.digest, tree: below.tree.clone(), parents: parents(at) })
            .collect();
        if !wanted.is_empty() {
            let skipped = self.target()?.unpack(wanted)?;
            if !skipped.is_empty() {
                let warning = format!("device nodes of the base cannot be made without root: {}", skipped.join(", "));
                self.resolver.reporter.event(Event::Warning(warning));
            }
        }
        Ok(stack.into_iter().rev().map(|below| below.tree).collect())
    }
}

/// Pulls those of `blobs` that are not in the store from `origin`, a registry reference.
pub fn ensure_blobs(resolver: &Resolver<'_>, blobs: &[Descriptor], origin: Option<&str>) -> Result<()> {
    let missing: Vec<&Descriptor> = blobs.iter().filter(|blob| !resolver.store.contains(&blob.digest)).collect();
    let (Some(origin), false) = (origin, missing.is_empty()) else { return Ok(()) };
    let reference = origin.parse().map_err(|error| {
        BuildError::Resolve(crate::resolve::ResolveError::Base(crate::image::BaseRefError::Reference(error)))
    })?;
    let client = resolver.client(&reference)?;
    let tasks: Vec<_> = missing
        .into_iter()
        .map(|blob| {
            let (client, blob) = (client.clone(), blob.clone());
            resolver.runtime.spawn(async move { client.blob(&blob).await })
        })
        .collect();
    for task in tasks {
        let done = resolver.runtime.block_on(task);
        done.map_err(|error| FetchError::Transport(error.to_string()))
            .map_err(crate::registry::RegistryError::from)??;
    }
    Ok(())
}
