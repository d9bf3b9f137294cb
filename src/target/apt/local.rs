//! Packages of no archive: files that a task names.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use layers::root::Root;

use super::Status;
use crate::debian::{Budget, Control};
use crate::op::{Secrets, Source};
use crate::target::TargetError;

/// Bytes of a file that is no package by which one sees what it is.
const HEAD: usize = 512;

/// What the control file of a package says it is.
#[derive(Debug)]
pub struct LocalDeb {
    what: String,
    control: Control,
    /// Its name.
    pub package: String,
    /// Its version.
    pub version: String,
    /// Debian's name of its architecture, or `all`.
    pub architecture: String,
}

impl LocalDeb {
    /// Reads the package at `path`, which came from `source`.
    pub fn read(source: &Source, path: &Path) -> Result<Self, TargetError> {
        let what = match source {
            Source::Url { url, .. } => Secrets::as_written(url),
            Source::Local { path } | Source::Tree { path, .. } => path.clone(),
        };
        let failed = |source| TargetError::Host { path: path.to_owned(), source };
        let control = match Control::read(File::open(path).map_err(failed)?, &mut Budget::default()) {
            Ok(control) => control,
            Err(error) => {
                let mut head = Vec::new();
                let file = File::open(path).map_err(failed)?;
                file.take(HEAD as u64).read_to_end(&mut head).map_err(failed)?;
                let why = format!("is no Debian package: {}", found(&head).unwrap_or_else(|| error.to_string()));
                return Err(TargetError::Deb { what, why });
            }
        };
        let word = |field: &str| {
            let text = control.field(field);
            let known = text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.:~".contains(c)) && text.len() <= 128;
            if known && text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
                return Ok(text.to_owned());
            }
            let why = format!("has no {} in its control file that could be one", field.to_ascii_lowercase());
            Err(TargetError::Deb { what: what.clone(), why })
        };
        let (package, version, architecture) = (word("Package")?, word("Version")?, word("Architecture")?);
        Ok(Self { what, package, version, architecture, control })
    }

    /// An error unless a root of `status`, with `foreign` architectures, takes its architecture.
    pub fn fits(&self, status: &Status<'_>, foreign: &str) -> Result<(), TargetError> {
        let architecture = self.architecture.as_str();
        let native = status.native().unwrap_or(architecture);
        if architecture == "all" || architecture == native || foreign.lines().any(|line| line.trim() == architecture) {
            return Ok(());
        }
        let why = format!(
            "is a package for {architecture}, and this is {native}: with `arch: {architecture}` beside its `url` it is for \
             builds of that architecture alone; `dpkg --add-architecture {architecture}` in a task before takes it here"
        );
        Err(TargetError::Deb { what: self.what.clone(), why })
    }

    /// Why it cannot be installed beside `other`, which the same task names: of a name there is one package, of each
    /// architecture that it is built for.
    pub fn beside(&self, other: &Self) -> Result<(), TargetError> {
        let apart =
            self.architecture != other.architecture && self.architecture != "all" && other.architecture != "all";
        if self.package != other.package || apart {
            return Ok(());
        }
        let why = format!(
            "is {} {}, and {} is {} {}: one of them can be installed, so leave the other out of `debs`",
            self.package, self.version, other.what, other.package, other.version
        );
        Err(TargetError::Deb { what: self.what.clone(), why })
    }

    /// Its name in records of what is installed: that of dpkg, with `:arch` where that is not `native`.
    pub fn recorded_as(&self, native: &str) -> String {
        match self.architecture.as_str() {
            own if own == native || own == "all" => self.package.clone(),
            other => format!("{}:{other}", self.package),
        }
    }

    /// True if this very package is installed in `root`. Vendors build packages anew under the version that they had.
    pub fn is_installed(&self, root: &Root, status: &Status<'_>) -> bool {
        let stanza = status.stanza(&self.package, &self.version, &self.architecture);
        stanza.is_some_and(|stanza| self.control.is_installed(root, stanza))
    }

    /// True if a package of its name and version is installed, this one or another.
    pub fn has_namesake(&self, status: &Status<'_>) -> bool {
        status.stanza(&self.package, &self.version, &self.architecture).is_some()
    }

    /// As apt names its file.
    pub fn file_name(&self) -> String {
        super::file_named(&self.package, &self.version, &self.architecture)
    }
}

/// What a file is that is no package, by its first bytes.
fn found(head: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(head);
    let start = text.trim_start().to_ascii_lowercase();
    let kind = match () {
        () if head.is_empty() => return Some("it is empty".to_owned()),
        () if start.starts_with("<!doctype html") || start.starts_with("<html") => "an HTML page, such as of a login",
        () if start.starts_with("version https://git-lfs") => "a pointer of git-lfs, not the file that it stands for",
        () if start.starts_with('{') || start.starts_with('[') => "JSON, such as of an error",
        () if start.starts_with('<') => "XML, such as of an error",
        () if head.starts_with(&[0xed, 0xab, 0xee, 0xdb]) => "an RPM package",
        () => return None,
    };
    Some(format!("it is {kind}"))
}

#[cfg(test)]
mod tests {
    use layers::tar::{Entry, Kind, TarWriter, plain_directory};

    use super::*;

    /// A package without files, as tests want it.
    fn package(directory: &Path, name: &str, version: &str, architecture: &str) -> LocalDeb {
        let file = format!("{name}-{version}-{architecture}.deb");
        let control = format!("Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n");
        let path = directory.join(&file);
        let mut files = TarWriter::new(Vec::new());
        let size = control.len() as u64;
        let entry = Entry { kind: Kind::File, mode: 0o644, size, ..plain_directory(Path::new("control")) };
        files.append(&entry, &mut control.as_bytes()).unwrap();
        let mut deb = b"!<arch>\n".to_vec();
        for (name, content) in [("debian-binary", b"2.0\n".as_slice()), ("control.tar", &files.finish().unwrap())] {
            deb.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, content.len()).bytes());
            deb.extend(content);
        }
        std::fs::write(&path, deb).unwrap();
        LocalDeb::read(&Source::Local { path: file }, &path).unwrap()
    }

    #[test]
    fn of_a_name_there_is_one() {
        let directory = tempfile::tempdir().unwrap();
        let of = |version, architecture| package(directory.path(), "foo", version, architecture);
        let (one, other) = (of("1.0", "amd64"), of("1.1", "amd64"));
        let told = other.beside(&one).unwrap_err().to_string();
        assert!(told.starts_with("foo-1.1-amd64.deb is foo 1.1, and foo-1.0-amd64.deb is foo 1.0: "), "{told}");
        assert!(of("1.0", "all").beside(&one).is_err());
        assert!(
            of("1.0", "i386").beside(&one).is_ok()
                && package(directory.path(), "bar", "1.0", "amd64").beside(&one).is_ok()
        );
        assert_eq!((one.recorded_as("amd64"), one.recorded_as("arm64")), ("foo".into(), "foo:amd64".into()));
    }

    #[test]
    fn what_is_no_package_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        let read = |content: &str| {
            std::fs::write(&path, content).unwrap();
            let source = Source::Url { url: "https://a.example/x.deb".into(), sha256: None };
            LocalDeb::read(&source, &path).unwrap_err().to_string()
        };
        assert_eq!(read(""), "https://a.example/x.deb is no Debian package: it is empty");
        assert!(read("\n<!DOCTYPE html><html>").contains("an HTML page"));
        assert!(read("{\"message\": \"not found\"}").contains("JSON"));
        assert!(read("version https://git-lfs.github.com/spec/v1").contains("git-lfs"));
        assert!(read("!<arch>\ncut").contains("is no Debian package"));
    }
}
