//! alloy: a compiler from blueprints to layers, and an interpreter that can also point at a live host.
//!
//! Modules are listed from the pure to the effectful; each imports only from those above it.

pub mod action;
pub mod blueprint;
pub mod catalog;
pub mod event;
pub mod json;
pub mod lock;
pub mod op;
pub mod plan;
pub mod sign;
pub mod tasks;
pub mod vars;
pub mod yaml;

pub mod attest;
pub mod build;
pub mod cache;
pub mod catalog_clone;
pub mod cli;
pub mod context;
pub mod debian;
pub mod documents;
pub mod fetch;
pub mod git;
pub mod hub;
pub mod image;
pub mod install;
pub mod join;
pub mod lint;
pub mod locker;
pub mod outdated;
pub mod prune;
pub mod pull;
pub mod push;
pub mod registry;
pub mod resolve;
pub mod sandbox;
pub mod sink;
pub mod ssh;
pub mod target;
