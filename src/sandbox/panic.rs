//! What no error stands for, told as one: libraries below have no other word for it when the machine refuses a thread or
//! random bytes.

use std::any::Any;
use std::io::Write;

use super::{process, worker};

/// A panic ends this process as any other failure does: with a message, and with the exit code of a failure; nothing
/// that it started goes on.
pub fn tell_of_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(|place| format!(" ({}:{})", file(place.file()), place.line()));
        let text = format!("error: alloy itself failed: {}{}\n", said(panic.payload()), place.unwrap_or_default());
        // Whoever reads it may be gone.
        let _ = std::io::stderr().write_all(text.as_bytes());
        let role = std::env::args_os().nth(1).filter(|role| role.to_string_lossy().starts_with('@'));
        let code = match role {
            None => {
                worker::kill_workers();
                1
            }
            Some(role) if role == worker::ROLE => 1,
            Some(_) => process::SETUP_FAILED.into(),
        };
        std::process::exit(code);
    }));
}

fn said(payload: &dyn Any) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("for no reason that is known")
}

/// Where it is in the code, without where that lay when it was compiled.
fn file(path: &str) -> &str {
    path.rsplit_once("/src/").map_or(path, |(before, _)| &path[before.rfind('/').map_or(0, |at| at + 1)..])
}
