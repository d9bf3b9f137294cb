//! What a layer stands on, unpacked.

use std::collections::BTreeSet;

use layers::at_once;
use layers::digest::{ChainId, DiffId, Digest};
use layers::media_type::Descriptor;
use layers::store::StoreError;

use super::{Result, Session};
use crate::build::BuildError;
use crate::build::blobs::{ensure_blobs, lose};
use crate::cache::elsewhere;
use crate::event::Event;
use crate::image::{self, ImageError, Layer};
use crate::resolve::Origin;
use crate::target::request::{Unpack, Unpacked, Wrong};

/// A layer below the one being made.
#[derive(Clone, Debug)]
struct Below {
    /// Name of its tree.
    tree: String,
    blob: Descriptor,
    diff_id: DiffId,
}

impl Session<'_> {
    /// The base, as messages name it.
    fn base_name(&self) -> String {
        if self.lowered.base.is_empty() { "the image".to_owned() } else { format!("the base {}", self.lowered.base) }
    }

    /// Trees of all layers so far but `without`, topmost first; those that are missing are unpacked, those that cannot
    /// be are pulled.
    pub(super) fn trees(&mut self, without: &BTreeSet<String>) -> Result<Vec<String>> {
        let foreign = !matches!(self.base.origin, Origin::Archive(_));
        let base = self.base.image.layers.len();
        let mut stack: Vec<Below> = Vec::new();
        let mut chain: Option<ChainId> = None;
        for layer in &self.base.image.layers {
            chain = Some(ChainId::extend(chain, layer.diff_id));
            // A foreign layer may leave out directories: its tree takes them from what is below. Those of alloy do not.
            let own = layer.diff_id.0.hex();
            let name = match chain.filter(|_| foreign && self.resolver.store.tree(&own).is_none()) {
                Some(chain) => stack_tree(chain),
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
        self.prove(&stack)?;
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
            let (blob, tree, diff_id) = (below.blob.digest, below.tree.clone(), below.diff_id);
            let of_base = at < base && foreign;
            if of_base {
                let layer = &self.base.image.layers[at];
                image::verify_type(self.resolver.store, &self.base_name(), (at + 1, base), layer)?;
            }
            let foreign = of_base || !elsewhere::places(self.resolver.store, &blob)?.is_empty();
            let verified = self.resolver.store.known_diff_id(&blob)? == Some(diff_id);
            wanted.push(Unpack { blob, tree, parents: parents(at), diff_id, verified, foreign });
        }
        if !wanted.is_empty() {
            let computed: Vec<(Digest, DiffId)> =
                wanted.iter().filter(|one| !one.verified).map(|one| (one.blob, one.diff_id)).collect();
            let Unpacked { skipped, wrong } = self.target()?.unpack(wanted)?;
            for (blob, diff_id) in computed {
                match wrong.iter().find(|(other, _)| *other == blob) {
                    None => self.resolver.store.note_diff_id(&blob, diff_id)?,
                    Some((_, Wrong::DiffId(found))) => self.resolver.store.note_diff_id(&blob, *found)?,
                    Some(_) => {}
                }
            }
            if !skipped.is_empty() {
                let nodes = skipped.join(", ");
                let warning = format!("tasks do not see device nodes of the base; the image keeps them: {nodes}");
                self.resolver.reporter.event(Event::Warning(warning));
            }
            if let Some((digest, reason)) = wrong.into_iter().next() {
                return Err(self.wrong(digest, reason)?);
            }
        }
        Ok(stack.into_iter().rev().map(|below| below.tree).collect())
    }

    /// A tree has the name of its content, and a blob's is only claimed: before a tree that is there is taken for a
    /// blob, that blob was looked into here, now or at another time.
    fn prove(&self, stack: &[Below]) -> Result<()> {
        let store = self.resolver.store;
        let mut unknown = Vec::new();
        for below in stack {
            match store.known_diff_id(&below.blob.digest)? {
                Some(found) if found == below.diff_id => {}
                Some(found) => return Err(self.wrong(below.blob.digest, Wrong::DiffId(found))?),
                // What has no tree yet is looked into while it is unpacked.
                None if store.tree(&below.tree).is_none() => {}
                None => unknown.push(below.clone()),
            }
        }
        ensure_blobs(self.resolver, &unknown.iter().map(|below| below.blob.clone()).collect::<Vec<_>>())?;
        let found = at_once::each(&unknown, |below| store.diff_id(&below.blob.digest));
        for (below, found) in unknown.iter().zip(found) {
            let reason = match found {
                Ok(found) if found == below.diff_id => continue,
                Ok(found) => Wrong::DiffId(found),
                Err(StoreError::Damaged { message, .. }) => Wrong::Content(message),
                Err(error) => return Err(error.into()),
            };
            return Err(self.wrong(below.blob.digest, reason)?);
        }
        Ok(())
    }

    /// A layer of the base that is not what the base's config says is an error; one that a cache promised is made here.
    fn wrong(&self, digest: Digest, reason: Wrong) -> Result<BuildError> {
        let layers = &self.base.image.layers;
        let is_wrong = |layer: &Layer| match &reason {
            Wrong::DiffId(found) => layer.diff_id != *found,
            Wrong::Content(_) => true,
        };
        let of_base = layers.iter().position(|layer| layer.descriptor.digest == digest && is_wrong(layer));
        let claimed = of_base.map(|at| (at + 1, layers[at].diff_id));
        match (reason, claimed) {
            (Wrong::DiffId(found), Some((number, claimed))) if !matches!(self.base.origin, Origin::Archive(_)) => {
                let (what, count) = (self.base_name(), layers.len());
                Ok(ImageError::DiffId { what, number, count, claimed, found }.into())
            }
            // The blob is another layer's, which may be wanted. What was said of it is not found any more, see `cache`.
            (Wrong::DiffId(found), _) => {
                self.resolver.team.distrust(digest);
                Ok(BuildError::Lost { digest, reason: format!("its diff ID is {found}, not what was said") })
            }
            (Wrong::Content(reason), claimed) => {
                // Fetched once more it may be a better one.
                let lost = lose(self.resolver, digest, reason.clone())?;
                let archive = matches!(self.base.origin, Origin::Archive(_));
                let (what, count) = (self.base_name(), layers.len());
                Ok(claimed
                    .filter(|_| !archive)
                    .map_or(lost, |(number, _)| ImageError::Layer { what, number, count, digest, reason }.into()))
            }
        }
    }
}

/// The name of the tree of the topmost layer of a stack. Every layer's content is checked before its tree gets such a
/// name, so that the chain ID is one of diff IDs that were computed here. Trees called `chain-…` are an older alloy's,
/// which believed what configs claim: they are not used, and `prune` deletes them.
pub fn stack_tree(chain: ChainId) -> String {
    format!("stack-{}", chain.0.hex())
}
