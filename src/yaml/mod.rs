//! Strict YAML with spans, and diagnostics as values.
