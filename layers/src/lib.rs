//! OCI layers as files, trees and bytes. No YAML, no HTTP, no processes.
//!
//! From the pure to the effectful; each module uses only those above it.

pub mod digest;
pub mod media_type;
pub mod path;
pub mod whiteout;
pub mod compress;
pub mod tar;
pub mod verified;
pub mod root;
pub mod apply;
pub mod diff;
pub mod store;
pub mod tree;
pub mod unpack;
