//! The Debian archive: signed indexes, closures, and a base image made from them.
