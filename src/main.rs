//! Arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    alloy::sandbox::tell_of_panics();
    alloy::sandbox::tell_of_limits();
    if let Some(code) = alloy::sandbox::without_stack().or_else(alloy::sandbox::without_random_numbers) {
        return code;
    }
    // Helpers are this program again; they enter namespaces before any thread exists.
    match alloy::sandbox::dispatch(alloy::target::serve) {
        Some(code) => code,
        None => alloy::cli::main(),
    }
}
