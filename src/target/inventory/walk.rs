//! All names in a root, as far as that is reasonable.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use layers::root::{FileKind, Root};

/// Names that are looked at; the largest images have a million.
const MOST_NAMES: usize = 4_000_000;
const DEEPEST: usize = 64;
/// What no layer holds.
const PASSED_OVER: [&str; 5] = ["dev", "proc", "run", "sys", "tmp"];

/// Calls `each` with the path, name and kind of everything in `root`, until it says no. False if something was left
/// out.
pub(super) fn walk(root: &Root, mut each: impl FnMut(&Path, &OsStr, FileKind) -> bool) -> bool {
    let mut seen = 0;
    let mut complete = true;
    let mut waiting = vec![(PathBuf::new(), 0)];
    while let Some((path, depth)) = waiting.pop() {
        let Ok(directory) = root.directory(&path) else { continue };
        for name in directory.names().unwrap_or_default() {
            seen += 1;
            if seen > MOST_NAMES {
                return false;
            }
            if depth == 0 && PASSED_OVER.iter().any(|passed| name == *passed) {
                continue;
            }
            let Ok(metadata) = directory.metadata(&name) else { continue };
            let path = path.join(&name);
            if !each(&path, &name, metadata.kind) {
                return false;
            }
            if metadata.kind == FileKind::Directory {
                complete &= depth < DEEPEST;
                waiting.extend((depth < DEEPEST).then_some((path, depth + 1)));
            }
        }
    }
    complete
}
