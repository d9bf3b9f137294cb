//! Performing ops on a root.
