//! What is in a finished image.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Result, Session};
use crate::build::LookInside;
use crate::build::inventory::{self, complete};
use crate::cache::{INVENTORIES, INVENTORY};
use crate::image::{Image, Layer};
use crate::plan::{Inputs, Lowered, Platform};
use crate::resolve::{Base, Origin, Resolver};
use crate::target::DEFAULT_EPOCH;
use crate::target::inventory::Inventory;

impl Session<'_> {
    /// Looks into the trees of `image`; those that are missing are unpacked.
    pub(in crate::build) fn look_into(resolver: &Resolver<'_>, image: &Image) -> Result<Inventory> {
        // Nothing is run: this machine can look at an image of any platform.
        let native = Platform::of_this_machine();
        let resolver = Resolver { platform: &native, ..*resolver };
        let mut base = Base { identity: image.identity, origin: Origin::Store, image: image.clone() };
        let (compression, sources) = (resolver.request.compression, BTreeMap::new());
        let inputs = Inputs { base: image.identity, sources, compression, epoch: DEFAULT_EPOCH };
        let lowered = Lowered::default();
        let mut session = Session::new(&resolver, &mut base, Path::new("/"), &lowered, &inputs, 0);
        let trees = session.trees(&BTreeSet::new())?;
        let found = session.look(trees)?;
        session.finish()?;
        Ok(complete(&resolver, found))
    }

    /// Finds out what is in all layers so far, if that is wanted, and tells the team. Whoever knows it leaves it where it
    /// is missing. `built` says whether a layer was built.
    pub(in crate::build) fn look_inside(&mut self, when: LookInside, built: bool) -> Result<()> {
        let looks = match when {
            LookInside::Never => return Ok(()),
            LookInside::WhenUnpacked => built && self.is_unpacked(),
            LookInside::WhenHere => true,
        };
        let key = inventory::key(self.diff_ids());
        if self.known_value::<Inventory>(INVENTORIES, INVENTORY, key)?.is_none()
            && looks
            && let Some(found) = self.contents()?
        {
            self.value(INVENTORIES, INVENTORY, key, |_| Ok(found))?;
        }
        Ok(())
    }

    /// What is in all layers so far. Of an archive's layer that is not here it is enough what was found in that alone;
    /// `None` where another layer would have to be pulled.
    fn contents(&mut self) -> Result<Option<Inventory>> {
        let store = self.resolver.store;
        let archives = self.made.iter().filter(|made| made.archive.is_some());
        let (here, away): (Vec<_>, Vec<_>) =
            archives.map(|made| made.blob.clone()).partition(|blob| store.holds(&blob.descriptor));
        let is_away = |layer: &Layer| away.iter().any(|blob| blob.diff_id == layer.diff_id);
        if self.image().layers.iter().any(|layer| !is_away(layer) && !store.holds(&layer.descriptor)) {
            return Ok(None);
        }
        let mut apart = Vec::new();
        for blob in &away {
            let key = inventory::key_of_layer(blob.diff_id);
            match self.known_value::<Inventory>(INVENTORIES, INVENTORY, key)?.filter(Inventory::adds) {
                Some(known) => apart.push(known),
                None => return Ok(None),
            }
        }
        let trees = self.trees(&away.iter().map(|blob| blob.diff_id).collect())?;
        let mut found = self.look(trees)?;
        for one in apart {
            found.add(one);
        }
        // Others may have these archives without their layers.
        for (diff_id, tree) in self.unpacked(&here.iter().map(|blob| blob.diff_id).collect()) {
            let key = inventory::key_of_layer(diff_id);
            self.value(INVENTORIES, INVENTORY, key, |session| session.look(vec![tree]))?;
        }
        Ok(Some(complete(self.resolver, found)))
    }

    /// Looks into these trees, topmost first.
    fn look(&mut self, trees: Vec<String>) -> Result<Inventory> {
        let target = self.target()?;
        target.begin(trees, BTreeMap::new())?;
        let found = target.inventory();
        target.discard()?;
        Ok(found?)
    }
}
