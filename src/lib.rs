//! alloy
pub mod action;
pub mod blueprint;
pub mod cache;
pub mod debian;
pub mod event;
pub mod fetch;
pub mod lock;
pub mod op;
pub mod plan;
pub mod sandbox;
pub mod target;
pub mod yaml;
