//! Which image of a layout or an archive is meant: what stands behind its path in the name of a base.

use std::fmt;
use std::path::{Path, PathBuf};

use layers::digest::Digest;

use crate::registry::Reference;

/// containerd's and BuildKit's annotation with the whole name of an image; the tag alone is in
/// [`REF_NAME`](super::REF_NAME).
pub const FULL_NAME: &str = "io.containerd.image.name";
/// Begins a digest behind a path.
const BY_DIGEST: &str = "@sha256:";

/// Which image is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The only one.
    Only,
    /// The one of that name.
    Named(String),
    /// The one of that digest.
    Digest(Digest),
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Only => Ok(()),
            Self::Named(name) => write!(f, ":{name}"),
            Self::Digest(digest) => write!(f, "@{digest}"),
        }
    }
}

impl Wanted {
    /// True if it is the name that an image has in some file: as it stands there, or with what Docker adds to names.
    pub(super) fn is(&self, name: &str) -> bool {
        match self {
            Self::Named(wanted) => {
                wanted == name || full_name(wanted).is_some_and(|wanted| full_name(name) == Some(wanted))
            }
            _ => false,
        }
    }
}

/// Takes apart what stands behind the scheme of a base: its path, which is the longest beginning for which `is_there`,
/// and which image is meant. Names may have colons, and so may paths.
pub fn place(text: &Path, is_there: impl Fn(&Path) -> bool) -> (PathBuf, Wanted) {
    let Some(written) = text.to_str() else { return (text.to_owned(), Wanted::Only) };
    let mut guess = None;
    let colons = written.rmatch_indices(':').map(|(at, _)| (at, false));
    let digest = written.rfind(BY_DIGEST).map(|at| (at, true));
    for (at, by_digest) in [(written.len(), false)].into_iter().chain(digest).chain(colons) {
        let wanted = match &written[at..] {
            "" => Wanted::Only,
            rest if by_digest => match rest[1..].parse() {
                Ok(digest) => Wanted::Digest(digest),
                Err(_) => continue,
            },
            rest => Wanted::Named(rest[1..].to_owned()),
        };
        let path = Path::new(&written[..at]);
        if is_there(path) {
            return (path.to_owned(), wanted);
        }
        // Of what is nowhere, the error says what is most often meant.
        if at < written.len() && guess.is_none() {
            guess = Some((path.to_owned(), wanted));
        }
    }
    guess.filter(|(_, wanted)| is_likely(wanted)).unwrap_or_else(|| (text.to_owned(), Wanted::Only))
}

/// A name with a directory in it may as well be the rest of a path.
fn is_likely(wanted: &Wanted) -> bool {
    !matches!(wanted, Wanted::Named(name) if name.contains('/'))
}

/// The name with registry, directory and tag, as Docker has it; `None` of what is no name of an image.
pub(super) fn full_name(name: &str) -> Option<String> {
    let Reference { registry, repository, tag, .. } = name.parse::<Reference>().ok()?;
    Some(format!("{registry}/{repository}:{}", tag?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_beginning_that_is_there_is_the_path() {
        let digest = Digest::of("x");
        let named = |name: &str| Wanted::Named(name.to_owned());
        let there = |path: &Path| ["dir", "a:b", "/x/dir", "dir:1"].iter().any(|one| path == Path::new(one));
        for (text, path, wanted) in [
            ("dir".to_owned(), "dir", Wanted::Only),
            ("dir:b:2".to_owned(), "dir", named("b:2")),
            ("dir:1:2".to_owned(), "dir:1", named("2")),
            ("a:b".to_owned(), "a:b", Wanted::Only),
            ("/x/dir:r.example:5000/team/app:1".to_owned(), "/x/dir", named("r.example:5000/team/app:1")),
            (format!("dir@{digest}"), "dir", Wanted::Digest(digest)),
            (format!("dir:1@{digest}"), "dir:1", Wanted::Digest(digest)),
            // What is not there is taken apart as it is meant most often.
            ("none:1".to_owned(), "none", named("1")),
            ("/x:1/none".to_owned(), "/x:1/none", Wanted::Only),
            (format!("none@{digest}"), "none", Wanted::Digest(digest)),
        ] {
            assert_eq!(place(Path::new(&text), there), (PathBuf::from(path), wanted), "{text}");
        }
    }

    #[test]
    fn names_are_compared_as_docker_writes_them_out() {
        for (wanted, name, same) in [
            ("1.2", "1.2", true),
            ("app:1.2", "docker.io/library/app:1.2", true),
            ("app", "app:latest", true),
            ("app:1.2", "docker.io/library/other:1.2", false),
            ("B A D", "B A D", true),
            ("B A D", "bad", false),
        ] {
            assert_eq!(Wanted::Named(wanted.to_owned()).is(name), same, "{wanted} {name}");
        }
        assert!(!Wanted::Only.is("app"));
        assert_eq!(full_name("r.example/app:1").unwrap(), "r.example/app:1");
    }
}
