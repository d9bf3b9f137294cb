//! Namespaces, id maps, mounts and processes: the one home of `unsafe`.
