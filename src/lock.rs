//! The lockfile, `alloy.lock.yml`.
