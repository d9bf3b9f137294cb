//! Whiteouts: how a layer says that something below it is gone (OCI image-spec 1.1, "Whiteouts").

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Before the name of what is gone.
pub const PREFIX: &str = ".wh.";
/// In a directory of which nothing from below is to be seen.
pub const OPAQUE: &str = ".wh..wh..opq";
/// Where aufs keeps the files that have several names, to which those are links.
pub const PSEUDO_LINKS: &str = ".wh..wh.plnk";
/// Before names that union file systems keep for themselves; never part of an image.
const RESERVED: &str = ".wh..wh.";

/// Overlay's mark of an opaque directory, in a user namespace and outside.
pub const OVERLAY_OPAQUE: [&str; 2] = ["user.overlay.opaque", "trusted.overlay.opaque"];
/// Overlay's mark of a whiteout that is a plain file.
pub const OVERLAY_WHITEOUT: [&str; 2] = ["user.overlay.whiteout", "trusted.overlay.whiteout"];

/// What the name of a layer's member means.
#[derive(Debug, PartialEq, Eq)]
pub enum Name<'a> {
    /// An ordinary file.
    Plain,
    /// The file of this name is gone.
    Whiteout(&'a OsStr),
    /// Nothing from below is to be seen in this directory.
    Opaque,
    /// Of no meaning to us.
    Reserved,
}

/// What `name` means.
pub fn classify(name: &OsStr) -> Name<'_> {
    let bytes = name.as_bytes();
    if bytes == OPAQUE.as_bytes() {
        return Name::Opaque;
    }
    if bytes.starts_with(RESERVED.as_bytes()) {
        return Name::Reserved;
    }
    match bytes.strip_prefix(PREFIX.as_bytes()) {
        None => Name::Plain,
        Some(b"" | b"." | b"..") => Name::Reserved,
        Some(name) => Name::Whiteout(OsStr::from_bytes(name)),
    }
}

/// True for what lies below a name that is no ordinary file's: no image has it.
pub fn is_inside(path: &Path) -> bool {
    let above = path.parent().unwrap_or(Path::new(""));
    above.iter().any(|name| classify(name) != Name::Plain)
}

/// The member that says that `name` is gone.
pub fn of(name: &OsStr) -> OsString {
    let mut whiteout = OsString::from(PREFIX);
    whiteout.push(name);
    whiteout
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_their_meaning() {
        assert_eq!(classify(OsStr::new("a.wh.b")), Name::Plain);
        assert_eq!(classify(OsStr::new(".wh.a")), Name::Whiteout(OsStr::new("a")));
        assert_eq!(classify(OsStr::new(".wh..a")), Name::Whiteout(OsStr::new(".a")));
        assert_eq!(classify(OsStr::new(".wh..wh..opq")), Name::Opaque);
        assert_eq!(classify(OsStr::new(".wh..wh.plnk")), Name::Reserved);
        assert_eq!(classify(OsStr::new(".wh...")), Name::Reserved);
        for (path, inside) in [("a/.wh.b/c", true), (".wh..wh.plnk/1.2", true), ("a/.wh.b", false), ("a/b/c", false)] {
            assert_eq!(is_inside(Path::new(path)), inside, "{path}");
        }
        assert_eq!(of(OsStr::new("x")), ".wh.x");
    }
}
