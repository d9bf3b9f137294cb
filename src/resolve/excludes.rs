//! What a task leaves out of a directory that it copies, by globs.

use std::io;
use std::path::Path;

use glob::{MatchOptions, Pattern};

use super::tree::members;

const GLOBS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

/// Globs over paths inside of a directory.
pub(super) struct Excludes(Vec<Pattern>);

impl Excludes {
    pub(super) fn new(texts: &[String]) -> io::Result<Self> {
        let patterns = texts.iter().map(|text| Pattern::new(text)).collect::<Result<_, _>>();
        patterns.map(Self).map_err(io::Error::other)
    }

    pub(super) fn leave_out(&self, at: &Path) -> bool {
        self.0.iter().any(|pattern| matches(pattern, at))
    }
}

/// A name that is no text is left out as any other: what of it is no text matches `*` and `?`.
fn matches(pattern: &Pattern, at: &Path) -> bool {
    pattern.matches_with(&at.to_string_lossy(), GLOBS)
}

/// Those of `excludes` that leave nothing out of the directory `path` of the blueprint, and cannot be meant as they are
/// written. What a build leaves behind may be missing just now. Of a directory that cannot be read whole, nothing is known.
pub fn unused<'e>(directory: &Path, path: &str, excludes: &'e [String]) -> Vec<&'e str> {
    let Ok(members) = members(directory, path, &[]) else { return Vec::new() };
    let used = |text: &str| match Pattern::new(text) {
        Ok(pattern) => members.keys().any(|at| !at.as_os_str().is_empty() && matches(&pattern, at)),
        // That is told elsewhere.
        Err(_) => true,
    };
    let inside = format!("{path}/");
    let doubtful = |text: &str| {
        text.starts_with(&inside)
            || text.contains(['{', '}'])
            || text.starts_with(['#', '/'])
            || text.split('/').any(|part| matches!(part, "" | "." | ".."))
    };
    excludes.iter().map(String::as_str).filter(|text| doubtful(text) && !used(text)).collect()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn names_that_are_no_text_are_left_out_and_patterns_that_match_nothing_are_known() {
        let place = tempfile::tempdir().unwrap();
        let secret = OsStr::from_bytes(b"id_rsa\xff.key");
        std::fs::create_dir(place.path().join("src")).unwrap();
        std::fs::write(place.path().join("src").join(secret), "").unwrap();
        std::fs::write(place.path().join("src/a.c"), "").unwrap();
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        for (pattern, left) in [("*.key", 2), ("id_rsa?.key", 2), ("*", 1), ("b", 3)] {
            assert_eq!(members(place.path(), "src", &texts(&[pattern])).unwrap().len(), left, "{pattern}");
        }
        let all = texts(&["*.key", "src/a.c", "{a,b}.c", "a.c", "__pycache__", "../a.c", ""]);
        assert_eq!(unused(place.path(), "src", &all), ["src/a.c", "{a,b}.c", "../a.c", ""]);
    }
}
