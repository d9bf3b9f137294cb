//! What alloy promises, shown with real parts: apt's real archive, a real registry, foreign tools that read what it
//! wrote. Runs as root on a machine that `ci/test` has prepared.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a failing test panics")]

mod blueprints;
mod cortex_m;
mod diagnostics;
mod downloads;
mod downloads_at_once;
mod locked;
mod plan;
mod registry;
mod robustness;
mod running;
mod sandbox;
mod secrets;
mod support;
mod transport;
mod variables;
mod verify;
