//! What alloy promises, shown with real parts: apt's real archive, a real registry, foreign tools that read what it
//! wrote. Runs as root on a machine that `ci/test` has prepared.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a failing test panics")]

mod actions;
mod archives;
mod attestations;
mod blueprints;
mod catalog;
mod compat;
mod cortex_m;
mod diagnostics;
mod downloads;
mod downloads_at_once;
mod drift;
mod emulators;
mod hostile;
mod hub;
mod hub_hostile;
mod image_config;
mod install;
mod install_faults;
mod large;
mod lock;
mod locked;
mod login;
mod packages;
mod plan;
mod platforms;
mod portable;
mod properties;
mod registry;
mod registry_auth;
mod registry_mirrors;
mod registry_pull_faults;
mod registry_push_faults;
mod registry_tls;
mod robustness;
mod running;
mod sandbox;
mod schemas;
mod secrets;
mod sources;
mod support;
mod team_cache;
mod transport;
mod variables;
mod verify;
