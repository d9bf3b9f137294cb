//! What is in an image, known by what it depends on: it is looked into once, and an image of the same layers never
//! again, on whatever machine the record comes to.

use layers::digest::{DiffId, Digest};
use layers::key::KeyHasher;

use super::{BuildError, Stack};
use crate::cache::{self, INVENTORIES, INVENTORY};
use crate::event::Event;
use crate::image::Image;
use crate::resolve::Resolver;
use crate::target::inventory::Inventory;

/// Raised when more is found in the same trees.
const VERSION: u32 = 4;

/// What the inventory of a stack of layers is recorded under.
pub(super) fn key(layers: impl IntoIterator<Item = DiffId>) -> Digest {
    let mut key = KeyHasher::new("inventory").with(VERSION.to_le_bytes());
    layers.into_iter().for_each(|layer| key.part(layer.0.as_bytes()));
    key.finish()
}

/// What the inventory of one layer, looked at by itself, is recorded under.
pub(super) fn key_of_layer(layer: DiffId) -> Digest {
    KeyHasher::new("inventory of a layer").with(VERSION.to_le_bytes()).with(layer.0.as_bytes()).finish()
}

/// What is in `image`, known here or by the team, or found out. `None` if it has layers that are not here, and they are
/// not to be pulled for it.
pub fn inventory(resolver: &Resolver<'_>, image: &Image, pull: bool) -> Result<Option<Inventory>, BuildError> {
    let key = key(image.layers.iter().map(|layer| layer.diff_id));
    if let Some(known) = cache::get(resolver.store, INVENTORIES, &key.hex())? {
        return Ok(Some(known));
    }
    let found = match resolver.shared_value(INVENTORY, key) {
        Some((shared, _)) => shared,
        None if pull || image.layers.iter().all(|layer| resolver.store.holds(&layer.descriptor)) => {
            Stack::look_into(resolver, image)?
        }
        None => return Ok(None),
    };
    cache::put(resolver.store, INVENTORIES, &key.hex(), &found)?;
    Ok(Some(found))
}

/// Says so if there was more than is looked at.
pub(super) fn complete(resolver: &Resolver<'_>, inventory: Inventory) -> Inventory {
    if !inventory.complete {
        let warning = "the image is too large to look at all of it: its SBOM is not complete";
        resolver.reporter().event(Event::Warning(warning.into()));
    }
    inventory
}
