//! dpkg's database (deb-status, dpkg-query(1)), and the one that distroless images have in its place.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use layers::root::Root;

use super::{DebianPackage, MOST_PACKAGES, ends_with, plain, word};
use crate::debian::{Stanza, stanzas};

/// Bytes of `status`; that of a full desktop has 5 MB.
const STATUS: u64 = 64 << 20;
/// Bytes of all lists of files.
const LISTS: u64 = 512 << 20;
const FIELDS: [&str; 7] = ["Package", "Status", "Version", "Architecture", "Source", "Maintainer", "Homepage"];

/// The packages that are installed.
pub(super) fn installed(root: &Root) -> BTreeSet<DebianPackage> {
    let single = Path::new("var/lib/dpkg/status.d");
    let parts = root.read_dir(single).unwrap_or_default().into_iter();
    let parts = parts.filter(|name| !ends_with(name, ".md5sums")).map(|name| single.join(name)).take(MOST_PACKAGES);
    let files = std::iter::once(PathBuf::from("var/lib/dpkg/status")).chain(parts);
    let mut packages = BTreeSet::new();
    let mut left = STATUS;
    for path in files {
        let Ok(file) = root.open_file(&path) else { continue };
        let mut reader = BufReader::with_capacity(256 << 10, file.take(left));
        let wanted = |name: &str| FIELDS.iter().any(|field| field.eq_ignore_ascii_case(name));
        // What was read before it failed counts.
        let _ = stanzas(&mut reader, wanted, |stanza| {
            if packages.len() < MOST_PACKAGES {
                packages.extend(package(stanza));
            }
        });
        left = reader.into_inner().limit();
    }
    packages
}

fn package(stanza: &Stanza) -> Option<DebianPackage> {
    // `want flag status`; a single package of a distroless image has none.
    let status = stanza.get("Status").and_then(|status| status.split_whitespace().nth(2));
    if matches!(status, Some("not-installed" | "config-files")) {
        return None;
    }
    let name = word(stanza.get("Package")?)?;
    let version = word(stanza.get("Version")?)?;
    let source = stanza.get("Source").and_then(|source| {
        // `name`, or `name (version)` where the binary package is counted otherwise.
        let (source, other) = source.split_once(" (").unwrap_or((source, ""));
        let other = other.trim_end_matches(')');
        let other = if other.is_empty() { version.clone() } else { word(other)? };
        Some((word(source)?, other))
    });
    Some(DebianPackage {
        architecture: word(stanza.get("Architecture").unwrap_or("all"))?,
        source: source.filter(|(source, other)| (source, other) != (&name, &version)),
        maintainer: stanza.get("Maintainer").and_then(plain),
        homepage: stanza.get("Homepage").and_then(word),
        name,
        version,
    })
}

/// The paths that dpkg has installed, up to their first element that `wanted` wants.
pub(super) fn owned(root: &Root, wanted: impl Fn(&OsStr) -> bool) -> HashSet<PathBuf> {
    let info = Path::new("var/lib/dpkg/info");
    let mut owned = HashSet::new();
    let mut left = LISTS;
    for name in root.read_dir(info).unwrap_or_default().iter().filter(|name| ends_with(name, ".list")) {
        let mut list = Vec::new();
        let read = root.open_file(&info.join(name)).map(|file| file.take(left).read_to_end(&mut list));
        left = left.saturating_sub(list.len() as u64);
        if !matches!(read, Ok(Ok(_))) {
            continue;
        }
        for line in String::from_utf8_lossy(&list).lines() {
            let elements: Vec<&str> = line.split('/').filter(|element| !element.is_empty()).collect();
            let end = elements.iter().position(|element| wanted(OsStr::new(element)));
            owned.extend(end.map(|end| elements[..=end].iter().collect::<PathBuf>()));
        }
    }
    owned
}
