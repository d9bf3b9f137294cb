//! dpkg's database, written for packages that are unpacked and not configured (deb(5), dpkg(1), deb-triggers(5)).

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use layers::compress::decoder;
use layers::root::{Root, RootError};
use layers::tar::{self, Kind};
use layers::unpack::{UnpackError, deb};
use md5::{Digest as _, Md5};

use super::control::{self, Stanza};

/// Control files are small; anything else is no Debian package.
const LIMIT: u64 = 16 << 20;
const INFO: &str = "var/lib/dpkg/info";

/// The control files of a package.
#[derive(Debug, Default)]
pub struct Control {
    stanza: Stanza,
    /// The other files: name, mode, content.
    files: BTreeMap<String, (u32, Vec<u8>)>,
}

impl Control {
    /// Reads the control files of a package.
    pub fn read(deb: File) -> Result<Self, UnpackError> {
        let mut files = BTreeMap::new();
        deb::member(deb, "control.tar", |member| {
            let (_, reader) = decoder(member)?;
            tar::for_each::<_, UnpackError>(reader, |entry, content| {
                let name = entry.path.to_string_lossy().into_owned();
                if entry.kind == Kind::File && !name.contains('/') {
                    let bytes = tar::small(&entry, content, LIMIT)?;
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

    fn field(&self, name: &str) -> &str {
        self.stanza.get(name).unwrap_or_default()
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
