#![doc = include_str!("../README.md")]
//!
//! # Modules
//!
//! From the pure to the effectful; each module uses only those above it.

pub mod apply;
pub mod at_once;
pub mod beneath;
pub mod compare;
pub mod compress;
pub mod diff;
pub mod digest;
pub mod disk;
pub mod document;
pub mod holes;
pub mod ids;
pub mod key;
pub mod media_type;
pub mod path;
pub mod portable;
pub mod regular;
pub mod rename;
pub mod root;
pub mod stop;
pub mod store;
pub mod tar;
pub mod tree;
pub mod unpack;
pub mod verified;
pub mod whiteout;
