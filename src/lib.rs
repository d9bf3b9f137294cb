//! alloy: a compiler from blueprints to layers, and an interpreter that can also point at a live host.
//!
//! Modules are listed from the pure to the effectful; each imports only from those above it.

pub mod event;
pub mod yaml;
pub mod op;
pub mod action;
pub mod blueprint;
pub mod lock;
pub mod plan;

pub mod fetch;
pub mod debian;
pub mod registry;
pub mod image;
pub mod resolve;
pub mod sandbox;
pub mod target;
pub mod cache;
pub mod build;
pub mod cli;
