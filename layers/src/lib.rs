//! OCI layers as files, trees and bytes. No YAML, no HTTP, no processes.

pub mod digest;
pub mod media_type;
