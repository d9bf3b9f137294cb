//! What no image of the store needs, and deleting it. Images by name are the roots; layers, trees, documents and records
//! follow from them.

mod delete;
mod found;
mod needed;
mod wanted;

pub use delete::{Deleted, NotDeleted};
pub use found::{Found, Item, children, size};
pub use needed::{Needed, Unknown};
pub use wanted::{StoreKind, Wanted};
