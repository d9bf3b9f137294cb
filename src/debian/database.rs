//! dpkg's database, written for packages that are unpacked and not configured (deb(5), dpkg(1), deb-triggers(5)).

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use layers::compress::decoder;
use layers::root::{Root, RootError};
use layers::tar::{self, Kind, TarError};
use layers::unpack::{UnpackError, deb};
use md5::{Digest as _, Md5};

use super::control::{self, Stanza};

/// Control files are small; anything else is no Debian package.
const LIMIT: u64 = 16 << 20;
/// What is remembered of all packages of a base, in bytes: their control files, and the names of what they unpack. The
/// largest bases have a tenth of it.
const ALL: u64 = 512 << 20;
/// What remembering a file costs beside its name and content.
const COST: u64 = 128;
const INFO: &str = "var/lib/dpkg/info";

/// The control files of a package.
#[derive(Debug, Default)]
pub struct Control {
    stanza: Stanza,
    /// The other files: name, mode, content.
    files: BTreeMap<String, (u32, Vec<u8>)>,
}

/// What may still be remembered of the packages of a base.
#[derive(Debug)]
pub struct Budget(u64);

impl Default for Budget {
    fn default() -> Self {
        Self(ALL)
    }
}

impl Budget {
    /// Counts a file of that name, of whose content so many bytes are remembered.
    fn file(&mut self, name: &Path, content: usize) -> Result<(), TarError> {
        let cost = (name.as_os_str().len() as u64).saturating_add(content as u64).saturating_add(COST);
        self.0 = self.0.checked_sub(cost).ok_or_else(|| TarError::Member {
            path: layers::path::shown(name.as_os_str().as_bytes()),
            problem: "is more than alloy remembers of the packages of a base (512 MiB of names and control files)",
        })?;
        Ok(())
    }

    /// Counts what a package has unpacked.
    pub fn unpacked(&mut self, files: &[PathBuf]) -> Result<(), UnpackError> {
        Ok(files.iter().try_for_each(|file| self.file(file, 0))?)
    }
}

impl Control {
    /// Reads the control files of a package.
    pub fn read(deb: impl Read + Send, budget: &mut Budget) -> Result<Self, UnpackError> {
        let mut files = BTreeMap::new();
        deb::member(deb, "control.tar", |member| {
            let (_, reader) = decoder(member)?;
            tar::for_each::<_, UnpackError>(reader, |entry, content| {
                let name = entry.path.to_string_lossy().into_owned();
                if entry.kind == Kind::File && !name.contains('/') {
                    let bytes = tar::small(&entry, content, LIMIT)?;
                    budget.file(&entry.path, bytes.len())?;
                    files.insert(name, (entry.mode & 0o777, bytes));
                }
                Ok(())
            })?;
            Ok(())
        })?;
        let text = files.remove("control").map(|(_, bytes)| String::from_utf8_lossy(&bytes).into_owned());
        let stanza = control::parse(&text.unwrap_or_default()).into_iter().next().unwrap_or_default();
        Ok(Self { stanza, files })
    }

    /// A field of the control file; empty where there is none.
    pub fn field(&self, name: &str) -> &str {
        self.stanza.get(name).unwrap_or_default()
    }

    /// True if the package that `root` has installed, as the `stanza` of dpkg's status says, is just this one: its fields,
    /// its scripts and the digests of its files are the same. Of a package without digests, and of one with configuration
    /// files, which have none, that cannot be seen.
    pub fn is_installed(&self, root: &Root, stanza: &str) -> bool {
        let stanza = control::parse(stanza).into_iter().next().unwrap_or_default();
        let fields = self.stanza.fields().all(|(name, value)| stanza.get(name) == Some(value));
        let (digests, conffiles) = (self.files.contains_key("md5sums"), self.files.contains_key("conffiles"));
        let same = |(name, (_, bytes)): (&String, &(u32, Vec<u8>))| {
            let path = format!("{INFO}/{}.{name}", self.prefix());
            root.read(Path::new(&path), LIMIT).is_ok_and(|installed| installed == *bytes)
        };
        fields && digests && !conffiles && self.files.iter().all(same)
    }

    fn package(&self) -> &str {
        self.field("Package")
    }

    /// What its files in the database begin with.
    fn prefix(&self) -> String {
        match self.field("Multi-Arch") {
            "same" => format!("{}:{}", self.package(), self.field("Architecture")),
            _ => self.package().to_owned(),
        }
    }

    fn lines(&self, name: &str) -> Vec<String> {
        let bytes = self.files.get(name).map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned());
        let lines = bytes.unwrap_or_default();
        lines
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(str::to_owned)
            .collect()
    }

    /// Its conffiles; those that are to be removed on upgrade are not there (deb-conffiles(5)).
    fn conffiles(&self) -> Vec<String> {
        self.lines("conffiles").into_iter().filter(|line| line.starts_with('/')).collect()
    }
}

/// All packages of a base.
#[derive(Debug, Default)]
pub struct Database {
    packages: Vec<(Control, Vec<PathBuf>)>,
}

impl Database {
    /// Adds a package with the paths it has unpacked, in the order of its archive.
    pub fn add(&mut self, control: Control, files: Vec<PathBuf>) {
        self.packages.push((control, files));
    }

    /// True if the package is there.
    pub fn has(&self, name: &str) -> bool {
        self.packages.iter().any(|(control, _)| control.package() == name)
    }

    /// Name, architecture and path of every `preinst`.
    pub fn preinsts(&self) -> impl Iterator<Item = (&str, &str, String)> {
        self.packages.iter().filter(|(control, _)| control.files.contains_key("preinst")).map(|(control, _)| {
            let path = format!("/{INFO}/{}.preinst", control.prefix());
            (control.package(), control.field("Architecture"), path)
        })
    }

    /// Writes it.
    pub fn write(&self, root: &Root) -> Result<(), RootError> {
        for directory in [INFO, "var/lib/dpkg/updates", "var/lib/dpkg/triggers", "var/lib/dpkg/parts"] {
            root.create_dir_all(Path::new(directory), 0o755)?;
        }
        let write = |path: String, mut bytes: &[u8], mode| root.write_file(Path::new(&path), &mut bytes, mode);
        let mut status = Vec::new();
        for (control, files) in &self.packages {
            let prefix = control.prefix();
            for (name, (mode, bytes)) in &control.files {
                write(format!("{INFO}/{prefix}.{name}"), bytes, *mode)?;
            }
            let mut list = b"/.\n".to_vec();
            for file in files {
                list.push(b'/');
                list.extend_from_slice(file.as_os_str().as_bytes());
                list.push(b'\n');
            }
            write(format!("{INFO}/{prefix}.list"), &list, 0o644)?;
            status.extend_from_slice(stanza(control, root)?.as_bytes());
        }
        write("var/lib/dpkg/status".into(), &status, 0o644)?;
        write("var/lib/dpkg/available".into(), b"", 0o644)?;
        write(format!("{INFO}/format"), b"1\n", 0o644)?;
        self.triggers(root)
    }

    /// Interests: in paths in `triggers/File`, in names in a file of each name.
    fn triggers(&self, root: &Root) -> Result<(), RootError> {
        let mut paths = String::new();
        let mut named: BTreeMap<String, String> = BTreeMap::new();
        for (control, _) in &self.packages {
            for line in control.lines("triggers") {
                let mut words = line.split_whitespace();
                let (Some(directive), Some(name)) = (words.next(), words.next()) else { continue };
                let Some(kind) = directive.strip_prefix("interest") else { continue };
                let mut interested = control.prefix();
                if kind == "-noawait" {
                    interested += "/noawait";
                }
                if name.starts_with('/') {
                    paths += &format!("{name} {interested}\n");
                } else {
                    *named.entry(name.to_owned()).or_default() += &format!("{interested}\n");
                }
            }
        }
        named.insert("File".into(), paths);
        named.insert("Lock".into(), String::new());
        named.insert("Unincorp".into(), String::new());
        for (name, text) in named {
            let path = Path::new("var/lib/dpkg/triggers").join(name);
            root.write_file(&path, &mut text.as_bytes(), 0o644)?;
        }
        Ok(())
    }
}

/// The package's stanza of `status`, with the MD5 sums of its conffiles as they are now.
fn stanza(control: &Control, root: &Root) -> Result<String, RootError> {
    let mut text = String::new();
    for (name, value) in control.stanza.fields() {
        text += &format!("{name}: {value}\n");
        if name == "Package" {
            text += "Status: install ok unpacked\n";
        }
    }
    let conffiles = control.conffiles();
    if !conffiles.is_empty() {
        text += "Conffiles:\n";
    }
    for path in conffiles {
        let content = root.read(Path::new(&path), 256 << 20)?;
        text += &format!(" {path} {}\n", hex::encode(Md5::digest(&content)));
    }
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::io;

    use layers::tar::{Entry, TarWriter, plain_directory};

    use super::*;

    /// A package with so many control files of 4 MiB.
    fn package(files: usize) -> Vec<u8> {
        let mut control = TarWriter::new(Vec::new());
        for number in 0..files {
            let entry = Entry {
                kind: Kind::File,
                mode: 0o644,
                size: 4 << 20,
                ..plain_directory(Path::new(&format!("f{number}")))
            };
            control.append(&entry, &mut io::repeat(0).take(4 << 20)).unwrap();
        }
        let control = control.finish().unwrap();
        let mut deb = deb::MAGIC.to_vec();
        for (name, content) in [("debian-binary", b"2.0\n".as_slice()), ("control.tar", &control)] {
            deb.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, content.len()).bytes());
            deb.extend(content);
        }
        deb
    }

    #[test]
    fn control_files_of_all_packages_add_up() {
        let (package, mut budget) = (package(16), Budget::default());
        // 64 MiB each, and a little for the names.
        for _ in 0..7 {
            Control::read(package.as_slice(), &mut budget).unwrap();
        }
        let error = Control::read(package.as_slice(), &mut budget).unwrap_err().to_string();
        assert!(error.contains("f15") && error.contains("512 MiB of names and control files"), "{error}");
    }

    #[test]
    fn names_of_what_is_unpacked_add_up() {
        let (names, mut budget) = (vec![PathBuf::from("d/".repeat(2000)); 1000], Budget::default());
        let fit = ALL / (1000 * (4000 + COST));
        (0..fit).for_each(|_| budget.unpacked(&names).unwrap());
        assert!(budget.unpacked(&names).unwrap_err().to_string().contains("512 MiB of names"));
    }
}
