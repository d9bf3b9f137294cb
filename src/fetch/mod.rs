//! Downloads: verified, resumed, retried, kept by content.
