//! What a layer stands on, unpacked.

use std::collections::BTreeSet;

use layers::apply::Absent;
use layers::at_once;
use layers::digest::{ChainId, DiffId, Digest};
use layers::ids::Exchange;
use layers::media_type::Descriptor;
use layers::store::{StoreError, TreeNames};

use super::{Result, Stack};
use crate::build::BuildError;
use crate::build::blobs::{ensure_blobs, lose};
use crate::cache::elsewhere;
use crate::event::{Event, listed};
use crate::image::{self, ImageError, Layer};
use crate::resolve::Origin;
use crate::sandbox::SandboxError;
use crate::target::image::RequestError;
use crate::target::request::{Unpack, Unpacked, Wrong};

/// Device nodes and attributes that a message names.
const TOLD: usize = 5;

/// A layer below the one being made.
#[derive(Clone, Debug)]
struct Below {
    tree: TreeNames,
    blob: Descriptor,
    diff_id: DiffId,
    /// Which of the base's layers it is.
    of_base: Option<usize>,
}

impl Stack<'_> {
    /// All layers so far but `without`, lowest first.
    fn stack(&self, without: &BTreeSet<DiffId>) -> Vec<Below> {
        let base = self.base.image.layers.iter().enumerate();
        let base = base.map(|(at, layer)| (&layer.descriptor, layer.diff_id, Some(at)));
        let made = self.above.iter().map(|standing| (&standing.blob.descriptor, standing.blob.diff_id, None));
        let (mut chain, mut seen) = (None, BTreeSet::new());
        let all = base.chain(made).filter(|(_, diff_id, _)| !without.contains(diff_id));
        let below = |(blob, diff_id, of_base): (&Descriptor, DiffId, Option<usize>)| {
            let extended = ChainId::extend(chain, diff_id);
            chain = Some(extended);
            let tree = TreeNames::new(diff_id, extended, !seen.insert(diff_id));
            Below { tree, blob: blob.clone(), diff_id, of_base }
        };
        all.map(below).collect()
    }

    /// Trees of all layers so far but `without`, topmost first; those that are missing are unpacked, those that cannot
    /// be are pulled.
    pub(in crate::build) fn trees(&mut self, without: &BTreeSet<DiffId>) -> Result<Vec<String>> {
        self.trees_with(without, Exchange::default())
    }

    /// The same, in which `ids` have changed places.
    pub(in crate::build) fn trees_with(&mut self, without: &BTreeSet<DiffId>, ids: Exchange) -> Result<Vec<String>> {
        let foreign = !matches!(self.base.origin, Origin::Archive(_));
        let store = self.resolver.store;
        let mut stack = self.stack(without);
        stack.iter_mut().for_each(|below| below.tree = below.tree.clone().exchanged(ids));
        self.prove(&stack)?;
        let missing = |below: &&Below| below.tree.find(store).is_none();
        let blobs: Vec<Descriptor> = stack.iter().filter(missing).map(|below| below.blob.clone()).collect();
        ensure_blobs(self.resolver, &blobs)?;
        let parents = |at: usize| stack[..at].iter().rev().map(|below| below.tree.clone()).collect();
        let of_base = stack.iter().filter(missing).all(|below| below.of_base.is_some()) && foreign;
        let mut wanted: Vec<Unpack> = Vec::new();
        for (at, below) in stack.iter().enumerate().filter(|(_, below)| missing(below)) {
            let (blob, tree, diff_id) = (below.blob.digest, below.tree.clone(), below.diff_id);
            let of_base = below.of_base.filter(|_| foreign);
            if let Some(number) = of_base {
                let layers = &self.base.image.layers;
                let place = (number + 1, layers.len());
                let warning = image::verify_type(store, &self.name, place, &layers[number])?;
                warning.into_iter().for_each(|warning| self.resolver.warn_once(warning));
            }
            let foreign = of_base.is_some() || !elsewhere::places(store, &blob)?.is_empty();
            let verified = store.known_diff_id(&blob)? == Some(diff_id);
            wanted.push(Unpack { blob, tree, parents: parents(at), diff_id, verified, ids, foreign });
        }
        if !wanted.is_empty() {
            let computed: Vec<(Digest, DiffId)> =
                wanted.iter().filter(|one| !one.verified).map(|one| (one.blob, one.diff_id)).collect();
            let of_base = of_base.then(|| self.name.clone());
            let Unpacked { absent: Absent { devices, attributes }, wrong } =
                self.target()?.unpack(wanted).map_err(|error| match (error, of_base) {
                    (RequestError::Failed { message, hint }, Some(base)) => {
                        RequestError::Failed { message: format!("{base}: {message}"), hint }
                    }
                    (RequestError::Sandbox(SandboxError::Unfit { message, hint }), Some(base)) => {
                        SandboxError::Unfit { message: format!("{base}: {message}"), hint }.into()
                    }
                    (error, _) => error,
                })?;
            for (blob, diff_id) in computed {
                match wrong.iter().find(|(other, _)| *other == blob) {
                    None => store.note_diff_id(&blob, diff_id)?,
                    Some((_, Wrong::DiffId(found))) => store.note_diff_id(&blob, *found)?,
                    Some(_) => {}
                }
            }
            if !devices.is_empty() {
                let nodes = listed(&devices, TOLD);
                let warning = format!("tasks do not see device nodes of the base; the image keeps them: {nodes}");
                self.resolver.reporter().event(Event::Warning(warning));
            }
            if !attributes.is_empty() {
                let named: Vec<_> = attributes.iter().map(|(name, path)| format!("{name} of {path}")).collect();
                let warning = format!(
                    "extended attributes cannot be set here, and tasks do not see them; the image keeps them: {}",
                    listed(&named, TOLD)
                );
                self.resolver.reporter().event(Event::Warning(warning));
            }
            if let Some((digest, reason)) = wrong.into_iter().next() {
                return Err(self.wrong(digest, reason)?);
            }
        }
        let tree = |below: &Below| below.tree.find(store).unwrap_or(below.tree.name(true)).to_owned();
        Ok(stack.iter().rev().map(tree).collect())
    }

    /// True if all layers so far lie there unpacked.
    pub(in crate::build) fn is_unpacked(&self) -> bool {
        self.stack(&BTreeSet::new()).iter().all(|below| below.tree.find(self.resolver.store).is_some())
    }

    /// The trees of those of `layers` that lie there unpacked.
    pub(in crate::build) fn unpacked(&self, layers: &BTreeSet<DiffId>) -> Vec<(DiffId, String)> {
        let stack = self.stack(&BTreeSet::new());
        let wanted = stack.iter().filter(|below| layers.contains(&below.diff_id));
        wanted.filter_map(|below| Some((below.diff_id, below.tree.find(self.resolver.store)?.to_owned()))).collect()
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
                None if below.tree.find(store).is_none() => {}
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
                let (what, count) = (self.name.clone(), layers.len());
                Ok(ImageError::DiffId { what, number, count, claimed, found }.into())
            }
            // The blob is another layer's, which may be wanted. What was said of it is not found any more, see `cache`.
            (Wrong::DiffId(found), _) => {
                self.resolver.team().distrust(digest);
                Ok(BuildError::Lost { digest, reason: format!("its diff ID is {found}, not what was said") })
            }
            (Wrong::Content(reason), claimed) => {
                let archive = matches!(self.base.origin, Origin::Archive(_));
                let (what, count) = (self.name.clone(), layers.len());
                match claimed.filter(|_| !archive) {
                    Some((number, _)) => {
                        // One that is damaged is put aside: fetched once more it may be a better one.
                        let _ = self.resolver.store.check_blob(&digest);
                        Ok(ImageError::Layer { what, number, count, digest, reason }.into())
                    }
                    None => lose(self.resolver, digest, reason),
                }
            }
        }
    }
}
