//! Every action at work.
