//! What is in a finished image.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Result, Session};
use crate::build::inventory::complete;
use crate::image::Image;
use crate::plan::{Inputs, Lowered, Platform};
use crate::resolve::{Base, Origin, Resolver};
use crate::target::DEFAULT_EPOCH;
use crate::target::inventory::Inventory;

impl Session<'_> {
    /// Looks into the trees of `image`; those that are missing are unpacked.
    pub(in crate::build) fn look_into(resolver: &Resolver<'_>, image: &Image) -> Result<Inventory> {
        // Nothing is run: this machine can look at an image of any platform.
        let native = Platform::of_this_machine();
        let resolver = &Resolver { platform: &native, ..*resolver };
        let mut base = Base { identity: image.identity, origin: Origin::Store, image: image.clone() };
        let (compression, sources) = (resolver.compression, BTreeMap::new());
        let inputs = Inputs { base: image.identity, sources, compression, epoch: DEFAULT_EPOCH };
        let lowered = Lowered::default();
        let mut session = Session::new(resolver, &mut base, Path::new("/"), &lowered, &inputs, 0);
        let found = session.inventory()?;
        session.finish()?;
        Ok(found)
    }

    /// Looks into all layers so far.
    pub(in crate::build) fn inventory(&mut self) -> Result<Inventory> {
        let trees = self.trees(&BTreeSet::new())?;
        let target = self.target()?;
        target.begin(trees, BTreeMap::new())?;
        let found = target.inventory();
        target.discard()?;
        Ok(complete(self.resolver, found?))
    }
}
