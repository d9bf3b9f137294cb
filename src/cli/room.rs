//! What would make room where the disk of the store is full.

use layers::disk;

use super::context::{Context, Global, store_path};
use super::error::{CommandError, FULL};
use super::prune::{Found, StoreKind};
use super::ui;
use crate::image;

/// `error`, with what `alloy prune` would free if it tells that the disk of the store is full.
pub(super) fn told(mut error: CommandError, global: &Global) -> CommandError {
    let Ok(store) = store_path(global) else { return error };
    let Some(hint) = error.hints.iter_mut().find(|hint| hint.as_str() == FULL) else { return error };
    if !disk::names_full(&error.message) {
        return error;
    }
    if !disk::names_that_of(&error.message, &store) {
        "make room on that disk, which is not the store's".clone_into(hint);
    } else if let Some(bytes) = freed(global) {
        let kept = "`alloy prune` deletes next to nothing there, as images need what the store has: `alloy untag NAME` gives \
                    one up";
        let much = || format!("`alloy prune` would free {} there", ui::bytes(bytes));
        let first = if bytes >> 20 == 0 { kept.to_owned() } else { much() };
        *hint = format!("make room on that disk: {first}; --store names another place for the store");
    }
    error
}

/// Bytes of what no image in the store needs; the store stays as it is.
fn freed(global: &Global) -> Option<u64> {
    let context = Context::read_only(global).ok()?;
    let (locals, strange) = image::all(&context.store).ok()?;
    let found = Found::look(&context.store, &locals, &strange).ok()?;
    let logs: u64 = found.items.iter().filter(|item| item.kind == StoreKind::Logs).map(|item| item.bytes).sum();
    let all: u64 = found.sizes(true).iter().map(|(_, size)| size).sum();
    Some(all.saturating_sub(logs))
}
