//! Layers that stand on each other, unpacked into trees, and the worker that performs things on top of them.

use std::collections::{BTreeMap, BTreeSet};

use layers::compress::Compression;
use layers::digest::DiffId;
use layers::store::LayerBlob;

use super::BuildError;
use super::inventory::complete;
use crate::image::{Image, config_env};
use crate::plan::{Contents, Platform};
use crate::resolve::{Base, Origin, Resolver};
use crate::target::DEFAULT_EPOCH;
use crate::target::image::ImageTarget;
use crate::target::inventory::Inventory;

mod login;
mod running;
mod trees;
mod worker;

type Result<T> = std::result::Result<T, BuildError>;

/// How a layer is written.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// Of its blob.
    pub compression: Compression,
    /// Seconds since 1970 that no time in it is later than.
    pub epoch: u64,
}

/// A layer above the base that the next one stands on.
pub(super) struct Standing {
    pub(super) blob: LayerBlob,
    /// What is in it, where it is an archive's layer.
    pub(super) archive: Option<Contents>,
}

/// A stack of layers, and what works on top of it.
pub struct Stack<'a> {
    resolver: &'a Resolver<'a>,
    /// What messages call the base.
    name: String,
    base: Base,
    written: Written,
    target: Option<ImageTarget>,
    /// Layers above the base, lowest first.
    above: Vec<Standing>,
}

impl<'a> Stack<'a> {
    /// The base alone, which messages call `name`. No worker is started before one is needed.
    pub(super) fn new(resolver: &'a Resolver<'a>, name: String, base: Base, written: Written) -> Self {
        Self { resolver, name, base, written, target: None, above: Vec::new() }
    }

    /// The layers of an image.
    fn of_image(resolver: &'a Resolver<'a>, image: &Image) -> Self {
        let base = Base { identity: image.identity, origin: Origin::Store, image: image.clone() };
        let written = Written { compression: resolver.request.compression, epoch: DEFAULT_EPOCH };
        Self::new(resolver, "the image".to_owned(), base, written)
    }

    /// What the stack stands on.
    pub(super) fn base(&self) -> &Base {
        &self.base
    }

    /// The same, to be completed.
    pub(super) fn base_mut(&mut self) -> &mut Base {
        &mut self.base
    }

    /// Layers above the base, lowest first.
    pub(super) fn above(&self) -> &[Standing] {
        &self.above
    }

    /// The next layer stands on this one.
    pub(super) fn push(&mut self, standing: Standing) {
        self.above.push(standing);
    }

    /// Diff IDs of the whole stack, lowest first.
    pub(super) fn diff_ids(&self) -> Vec<DiffId> {
        let base = self.base.image.layers.iter().map(|layer| layer.diff_id);
        base.chain(self.above.iter().map(|standing| standing.blob.diff_id)).collect()
    }

    /// Begins a layer on everything so far.
    pub(super) fn begin(&mut self) -> Result<()> {
        let trees = self.trees(&BTreeSet::new())?;
        let env = config_env(&self.base.image.config).into_iter().collect();
        Ok(self.target()?.begin(trees, env)?)
    }

    /// Ends a layer: what was changed since it was begun, or `None` if nothing was.
    pub(super) fn commit(&mut self) -> Result<Option<LayerBlob>> {
        let Written { compression, epoch } = self.written;
        Ok(self.target()?.commit(compression, epoch)?)
    }

    /// Looks into these trees, topmost first.
    pub(super) fn look(&mut self, trees: Vec<String>) -> Result<Inventory> {
        let target = self.target()?;
        target.begin(trees, BTreeMap::new())?;
        let found = target.inventory();
        target.discard()?;
        Ok(found?)
    }

    /// Looks into the trees of `image`; those that are missing are unpacked.
    pub(super) fn look_into(resolver: &Resolver<'_>, image: &Image) -> Result<Inventory> {
        // Nothing is run: this machine can look at an image of any platform.
        let native = Platform::of_this_machine();
        let resolver = Resolver { platform: &native, ..*resolver };
        let mut stack = Stack::of_image(&resolver, image);
        let trees = stack.trees(&BTreeSet::new())?;
        let found = stack.look(trees)?;
        stack.finish()?;
        Ok(complete(&resolver, found))
    }

    /// Ends the worker. Gives what the stack stands on.
    pub(super) fn finish(self) -> Result<Base> {
        if let Some(target) = self.target {
            target.finish()?;
        }
        Ok(self.base)
    }
}
