//! What will be done: layers of steps, and the key each layer is found under. Pure: no clock, no
//! network, and of the disk no more than what a blueprint holds.

mod base;
mod build_settings;
mod environment;
mod explain;
mod handed;
mod image;
mod key;
mod languages;
mod left_out;
mod locked;
mod lower;
mod nodes;
mod offline;
mod own;
mod pins;
mod platform;
mod portable;
mod reads;
mod split;
mod toolchains;
mod trace;
mod uncovered;
mod unheard;

pub use base::{SCRATCH, base_leads_out};
pub use build_settings::{BuildSettings, VERSION as BUILD_SETTINGS_VERSION, WordsError};
pub use explain::{Reason, changes, explain};
pub use handed::{Handed, is_named};
pub use image::ImageSpec;
pub use key::{Inputs, LayerKey, Plan, PlannedLayer, Preimage};
pub use languages::LanguageTask;
pub use left_out::LeftOut;
pub use locked::{covers, drop_unused, drop_unused_toolchains, not_locked, not_pinned};
pub use lower::{Lowered, LoweredLayer, ONE_NAME, Settings, lower, lower_with};

pub use pins::{AptTask, fixed, lock_refreshes};
pub use platform::{Platform, PlatformError};
pub use portable::{Ancestor, Contents, Facts, PortablePreimage, PortableStep};
pub use reads::files_read;
pub use split::{Layering, split};
pub use trace::{StepTrace, Trace};
pub use uncovered::{not_covered, uncovered, uncovered_note};
pub use unheard::unheard;
