//! OCI distribution: pull, push, mount, and the credentials for it.
