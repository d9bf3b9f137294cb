//! What would make room where the disk of the store is full.

use layers::disk;

use super::context::{self, Global, store_path};
use super::error::{CommandError, FULL};
use super::ui;
use crate::image;
use crate::prune::{Found, StoreKind};

/// `error`, with what `alloy prune` would free if it tells that the disk of the store is full.
pub(super) fn told(mut error: CommandError, global: &Global) -> CommandError {
    let Ok(store) = store_path(global) else { return error };
    let Some(hint) = error.hints.iter_mut().find(|hint| hint.as_str() == FULL) else { return error };
    if !disk::names_full(&error.message) {
        return error;
    }
    if !disk::names_that_of(&error.message, &store) {
        "make room on that disk, which is not the store's".clone_into(hint);
    } else if let Some((bytes, images)) = freed(global) {
        let first = match (bytes >> 20, images) {
            _ if error.message.contains("takes no more files") => {
                "`alloy prune` deletes files that no image needs".to_owned()
            }
            (0, 0) => "the store has next to nothing there".to_owned(),
            (0, _) => {
                "`alloy prune` deletes next to nothing there, as images need what the store has: `alloy untag NAME` \
                       gives one up"
                    .to_owned()
            }
            _ => format!("`alloy prune` would free {} there", ui::bytes(bytes)),
        };
        *hint = format!("make room on that disk: {first}; --store names another place for the store");
    }
    error
}

/// Bytes of what no image in the store needs, and how many images there are; the store stays as it is. What is half
/// fetched is wanted again.
fn freed(global: &Global) -> Option<(u64, usize)> {
    let context = context::read_only(global, None).ok()?;
    let (locals, strange) = image::all(&context.store).ok()?;
    let found = Found::look(&context.store, &locals, &strange, Vec::new()).ok()?;
    let goes = found.items.iter().filter(|item| item.kind != StoreKind::Logs && !item.is_half());
    let bytes = goes.map(|item| item.bytes).sum();
    Some((bytes, locals.len()))
}
