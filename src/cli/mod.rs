//! The command line: one file per subcommand, and the only printer.

pub mod ui;
