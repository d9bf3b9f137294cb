//! What alloy promises, shown with real parts: apt's real archive, a real registry, foreign tools that read what it
//! wrote. Runs as root on a machine that `ci/test` has prepared.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a failing test panics")]

mod actions;
mod archives;
mod blueprints;
mod cortex_m;
mod diagnostics;
mod downloads;
mod image_config;
mod packages;
mod registry;
mod robustness;
mod running;
mod sandbox;
mod sources;
mod support;
