//! The actions of blueprints: each checks its fields and lowers to a short list of ops.
