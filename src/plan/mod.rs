//! What will be done: layers of steps, and the key each layer is found under. Pure: no clock, no disk, no network.

mod image;
mod key;
mod locked;
mod lower;
mod platform;

pub use image::ImageSpec;
pub use key::{Inputs, LayerKey, Plan, PlannedLayer};
pub use locked::not_locked;
pub use lower::{Lowered, LoweredLayer, Settings, USER_LAYER, lower};
pub use platform::{Platform, PlatformError};
