//! What a layer stands on, unpacked.

use std::collections::BTreeSet;

use layers::digest::{ChainId, DiffId};
use layers::media_type::Descriptor;

use super::{Result, Session};
use crate::build::blobs::{ensure_blobs, lose};
use crate::cache::elsewhere;
use crate::event::Event;
use crate::resolve::Origin;
use crate::target::request::{Unpack, Unpacked};

/// A layer below the one being made.
#[derive(Clone, Debug)]
struct Below {
    /// Name of its tree.
    tree: String,
    blob: Descriptor,
    diff_id: DiffId,
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
            stack.push(Below { tree: name, blob: layer.descriptor.clone(), diff_id: layer.diff_id });
        }
        let made = self.made.iter().map(|standing| &standing.blob);
        stack.extend(made.map(|blob| Below {
            tree: blob.diff_id.0.hex(),
            blob: blob.descriptor.clone(),
            diff_id: blob.diff_id,
        }));
        stack.retain(|below| !without.contains(&below.tree));
        let missing: Vec<&Below> =
            stack.iter().filter(|below| self.resolver.store.tree(&below.tree).is_none()).collect();
        let blobs: Vec<Descriptor> = missing.iter().map(|below| below.blob.clone()).collect();
        ensure_blobs(self.resolver, &blobs)?;
        let parents = |at: usize| stack[..at].iter().rev().map(|below| below.tree.clone()).collect();
        let mut wanted: Vec<Unpack> = Vec::new();
        for (at, below) in stack.iter().enumerate() {
            if self.resolver.store.tree(&below.tree).is_some() {
                continue;
            }
            // What was made here is what it is.
            let foreign = !elsewhere::places(self.resolver.store, &below.blob.digest)?.is_empty();
            let claimed = foreign.then_some(below.diff_id);
            let (blob, tree) = (below.blob.digest, below.tree.clone());
            wanted.push(Unpack { blob, tree, parents: parents(at), claimed });
        }
        if !wanted.is_empty() {
            let Unpacked { skipped, wrong } = self.target()?.unpack(wanted)?;
            if !skipped.is_empty() {
                let warning = format!("device nodes of the base cannot be made without root: {}", skipped.join(", "));
                self.resolver.reporter.event(Event::Warning(warning));
            }
            if let Some((digest, reason)) = wrong.into_iter().next() {
                return Err(lose(self.resolver, digest, reason)?);
            }
        }
        Ok(stack.into_iter().rev().map(|below| below.tree).collect())
    }
}
