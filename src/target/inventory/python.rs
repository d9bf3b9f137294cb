//! Metadata of installed Python distributions ("Core metadata specifications", "Recording installed projects").

use std::ffi::OsStr;
use std::path::Path;

use layers::root::{FileKind, Root};

use super::{PythonPackage, ends_with, head, word};

/// The fields stand at the head; what follows is a description of any length.
const HEAD: u64 = 64 << 10;

/// True for what records a distribution; the older form may be a file.
pub(super) fn is_metadata(name: &OsStr, kind: FileKind) -> bool {
    match kind {
        FileKind::Directory => ends_with(name, ".dist-info") || ends_with(name, ".egg-info"),
        FileKind::File => ends_with(name, ".egg-info"),
        _ => false,
    }
}

/// The distribution that is recorded at `path`.
pub(super) fn package(root: &Root, path: &Path, kind: FileKind) -> Option<PythonPackage> {
    let text = match kind {
        FileKind::Directory => {
            head(root, &path.join("METADATA"), HEAD).or_else(|| head(root, &path.join("PKG-INFO"), HEAD))
        }
        _ => head(root, path, HEAD),
    }?;
    let fields = || text.lines().take_while(|line| !line.trim().is_empty());
    let field = |name: &str| {
        fields().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| word(value.trim()))?
        })
    };
    Some(PythonPackage { name: field("Name")?, version: field("Version")?, homepage: field("Home-page") })
}
