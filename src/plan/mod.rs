//! From a blueprint to layers with keys: pure, and without a choice left for execution.
