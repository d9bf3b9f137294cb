//! What is in a finished image.

use super::{Maker, Result};
use crate::build::LookInside;
use crate::build::inventory::{self, complete};
use crate::cache::{INVENTORIES, INVENTORY};
use crate::image::Layer;
use crate::target::inventory::Inventory;

impl Maker<'_> {
    /// Finds out what is in all layers so far, if that is wanted, and tells the team. Whoever knows it leaves it where it
    /// is missing. `built` says whether a layer was built.
    pub(in crate::build) fn look_inside(&mut self, when: LookInside, built: bool) -> Result<()> {
        let looks = match when {
            LookInside::Never => return Ok(()),
            LookInside::WhenUnpacked => built && self.stack.is_unpacked(),
            LookInside::WhenHere => true,
        };
        let key = inventory::key(self.stack.diff_ids());
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
        let store = self.build.resolver.store;
        let archives = self.stack.above().iter().filter(|made| made.archive.is_some());
        let (here, away): (Vec<_>, Vec<_>) =
            archives.map(|made| made.blob.clone()).partition(|blob| store.holds(&blob.descriptor));
        let is_away = |layer: &Layer| away.iter().any(|blob| blob.diff_id == layer.diff_id);
        if self.stack.base().image.layers.iter().any(|layer| !is_away(layer) && !store.holds(&layer.descriptor)) {
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
        let trees = self.stack.trees(&away.iter().map(|blob| blob.diff_id).collect())?;
        let mut found = self.stack.look(trees)?;
        for one in apart {
            found.add(one);
        }
        // Others may have these archives without their layers.
        for (diff_id, tree) in self.stack.unpacked(&here.iter().map(|blob| blob.diff_id).collect()) {
            let key = inventory::key_of_layer(diff_id);
            self.value(INVENTORIES, INVENTORY, key, |maker| maker.stack.look(vec![tree]))?;
        }
        Ok(Some(complete(self.build.resolver, found)))
    }
}
