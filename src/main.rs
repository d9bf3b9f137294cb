//! Arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Helpers are this program again; they enter namespaces before any thread exists.
    match alloy::sandbox::dispatch(alloy::target::serve) {
        Some(code) => code,
        None => alloy::cli::main(),
    }
}
