//! Names to digests: what a build needs from the outside before it can be planned.
