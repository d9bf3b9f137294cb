//! Which files belong to a blueprint: its own texts, what its tasks read, and what its readers want to know.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use layers::path::plain;

use super::{ContentError, HubError};
use crate::blueprint::Blueprint;
use crate::op::{Source, passwords_written};
use crate::resolve::{Member, local, members};

/// Files for people, with any ending.
const FOR_PEOPLE: [&str; 5] = ["README", "LICENSE", "LICENCE", "COPYING", "NOTICE"];
/// What a user's own `.env` is made from.
const EXAMPLE: &str = ".env.example";
/// What is of one machine or person, whoever names it.
pub(super) const PRIVATE: [&str; 3] = [".env", "alloy.state.yml", super::RECORD];
const VERSION_CONTROL: [&str; 4] = [".git", ".hg", ".svn", ".bzr"];

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// As it was read, and checked.
    Text(String),
    /// On disk, below the blueprint's directory.
    File { directory: PathBuf, real: PathBuf, executable: bool },
    /// One that may have nothing in it.
    Directory,
}

/// The files of a blueprint, by their paths in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents(pub(super) BTreeMap<PathBuf, Content>);

impl Contents {
    /// The files of `blueprint`, of which tasks read `read`.
    pub fn of(blueprint: &Blueprint, read: impl IntoIterator<Item = Source>) -> Result<Self, HubError> {
        let mut contents = Self(BTreeMap::new());
        for (path, text) in blueprint.texts() {
            without_passwords(path, text)?;
            contents.add(path, Content::Text(text.to_owned()))?;
        }
        let directory = &blueprint.directory;
        let people = for_people(directory)?.into_iter().map(|path| Source::Local { path });
        for source in read.into_iter().chain(people) {
            match source {
                Source::Local { path } => contents.add_file(directory, &path, false)?,
                Source::Tree { path, excludes } => contents.add_tree(directory, &path, &excludes)?,
                Source::Url { .. } => {}
            }
        }
        Ok(contents)
    }

    fn add_file(&mut self, directory: &Path, path: &str, copied: bool) -> Result<(), HubError> {
        let real = local(directory, path).map_err(failed("read", &directory.join(path)))?;
        // Only who copies it goes by it.
        let mode = || real.metadata().map_err(failed("read", &real)).map(|found| found.permissions().mode());
        let executable = copied && mode()? & 0o111 != 0;
        // A task may read what is a text, too.
        match self.0.get_mut(Path::new(path)) {
            Some(Content::File { executable: known, .. }) => *known |= executable,
            Some(_) => {}
            None => self.add(path, Content::File { directory: directory.to_owned(), real, executable })?,
        }
        Ok(())
    }

    fn add_tree(&mut self, directory: &Path, path: &str, excludes: &[String]) -> Result<(), HubError> {
        for (inside, member) in members(directory, path, excludes).map_err(failed("read", &directory.join(path)))? {
            let at = if inside.as_os_str().is_empty() { PathBuf::from(path) } else { Path::new(path).join(&inside) };
            let shown = at.display().to_string();
            let Some(text) = at.to_str() else {
                let problem = "has a name that is not UTF-8, which no published blueprint has";
                return Err(HubError::Contents(ContentError::Member { path: shown, problem }));
            };
            match member {
                Member::File => self.add_file(directory, text, true)?,
                Member::Directory if text.is_empty() => {}
                Member::Directory => self.add(text, Content::Directory)?,
                Member::Link(_) => {
                    let problem = "is a link: a published blueprint has none. Leave it out by `excludes`";
                    return Err(HubError::Contents(ContentError::Member { path: shown, problem }));
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &str, content: Content) -> Result<(), HubError> {
        let clean = plain(path.as_bytes()).map_err(|error| HubError::Contents(error.into()))?;
        let named = |names: &[&str], part: &std::ffi::OsStr| names.iter().any(|name| part == *name);
        let private = clean.file_name().is_some_and(|name| named(&PRIVATE, name))
            || clean.iter().any(|part| named(&VERSION_CONTROL, part));
        if private {
            let problem = "is of one machine or person, and is not published";
            return Err(HubError::Contents(ContentError::Member { path: path.to_owned(), problem }));
        }
        self.0.insert(clean, content);
        Ok(())
    }

    /// Paths of files.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let files = self.0.iter().filter(|(_, content)| **content != Content::Directory);
        files.map(|(path, _)| path.as_path())
    }
}

/// An error for a text that would give its author's password to everybody.
fn without_passwords(path: &str, text: &str) -> Result<(), HubError> {
    let Some((place, host)) = passwords_written(text).into_iter().next() else { return Ok(()) };
    let (path, line) = (path.to_owned(), text[..place.start].lines().count().max(1));
    Err(HubError::Contents(ContentError::Password { path, line, host: host.to_owned() }))
}

fn for_people(directory: &Path) -> Result<Vec<String>, HubError> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed("list", directory))? {
        let entry = entry.map_err(failed("list", directory))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let stem = name.split(['.', '-']).next().unwrap_or_default();
        // A link that leads elsewhere is not the blueprint's.
        let known = name == EXAMPLE || FOR_PEOPLE.iter().any(|known| stem.eq_ignore_ascii_case(known));
        if known && local(directory, &name).is_ok() {
            found.push(name);
        }
    }
    Ok(found)
}

pub(super) fn failed(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> HubError {
    move |source| HubError::File { what, path: path.to_owned(), source: layers::disk::told(source, path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blueprint_has_what_it_needs_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("manifest.yml", "name: x\nversion: 1.0.0\nrun_order: [./tasks/a.yml]\n");
        for name in ["README.md", "license-MIT", "tools.tar", ".env", ".git/config", "notes.txt", "alloy.state.yml"] {
            write(name, "x");
        }
        write("tasks/a.yml", "- {name: a, action: unpack, source: tools.tar, dest: /opt/a}\n");
        write("tasks/b.yml", "[]\n");
        std::os::unix::fs::symlink("/etc/hostname", directory.path().join("COPYING")).unwrap();
        let blueprint = crate::blueprint::load(directory.path()).unwrap();
        let contents = |read: &str| Contents::of(&blueprint, [Source::Local { path: read.to_owned() }]);
        let all = contents("tools.tar").unwrap();
        let paths: Vec<_> = all.paths().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(paths, ["README.md", "license-MIT", "manifest.yml", "tasks/a.yml", "tools.tar"]);
        for private in [".env", ".git/config", "alloy.state.yml", "missing"] {
            assert!(contents(private).is_err(), "{private}");
        }
    }
}
