//! What is in an image, known by what it depends on: it is looked into once, and an image of the same layers never
//! again, on whatever machine the record comes to.

use layers::digest::Hasher;

use super::{BuildError, Session};
use crate::cache;
use crate::event::Event;
use crate::image::Image;
use crate::resolve::Resolver;
use crate::target::inventory::Inventory;

/// Where records are kept.
pub const INVENTORIES: &str = "inventories";
/// Raised when more is found in the same trees.
const VERSION: u32 = 1;

/// What the inventory of `image` is recorded under: its layers.
pub fn inventory_key(image: &Image) -> String {
    let mut key = Hasher::new();
    key.update(format!("inventory {VERSION}\0").as_bytes());
    image.layers.iter().for_each(|layer| key.update(layer.diff_id.0.as_bytes()));
    key.finish().hex()
}

/// What is in `image`. Layers that have to be pulled for that are `origin`'s, a registry reference.
pub fn inventory(resolver: &Resolver<'_>, image: &Image, origin: Option<&str>) -> Result<Inventory, BuildError> {
    let key = inventory_key(image);
    if let Some(known) = cache::get(resolver.store, INVENTORIES, &key)? {
        return Ok(known);
    }
    let found = Session::inventory(resolver, image, origin)?;
    if !found.complete {
        let warning = "the image is too large to look at all of it: its SBOM is not complete";
        resolver.reporter.event(Event::Warning(warning.into()));
    }
    cache::put(resolver.store, INVENTORIES, &key, &found)?;
    Ok(found)
}
