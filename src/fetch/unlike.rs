//! What comes in the place of a file: a page of a login or an error, say.

use std::fs::File;
use std::io;

use layers::digest::Digest;
use layers::unpack::{Looks, strange};

use super::{Wanted, hint};
use crate::op::file_of;

/// Suffixes of what is neither JSON nor XML.
const BINARY: [&str; 20] = [
    "7z", "a", "bin", "bz2", "deb", "elf", "exe", "gz", "hex", "img", "jar", "rpm", "run", "sh", "so", "tar", "tgz",
    "whl", "xz", "zip",
];

/// What is known of a download that has another digest than the one that was expected.
#[derive(Debug)]
pub struct Known {
    /// Another URL that gave a file of the digest that was expected.
    pub gave: Option<String>,
    /// What the lockfile pins the download by, where the digest is the lockfile's.
    pub pin: Option<String>,
    /// What came, if it is no file as it is named.
    pub came: Option<Came>,
}

impl Known {
    /// What was found: what it looks like says more than its digest.
    pub(super) fn found(&self, digest: &Digest) -> String {
        self.came.as_ref().map_or_else(|| digest.to_string(), |came| told(came.size, came.looks))
    }

    /// What to do.
    pub(super) fn hint(&self, url: &str, found: &Digest) -> String {
        match self {
            Self { came: Some(Came { looks, near, .. }), .. } => {
                hint::useless(url, Wanted::Archive, *looks, near.as_deref())
            }
            Self { pin: Some(pin), .. } => format!(
                "alloy.lock.yml has another digest: if the publisher replaced the file, check it, and pin the new one: \
                 alloy lock --update='{pin}'"
            ),
            Self { gave: Some(gave), .. } => format!(
                "that digest is what {gave} gave: if the new file is the right one, write `sha256: {}`",
                found.hex()
            ),
            _ => "if the publisher replaced the file, check it and put the new digest into `sha256`".into(),
        }
    }
}

/// What came in the place of a file.
#[derive(Debug)]
pub struct Came {
    /// Bytes.
    pub size: u64,
    /// What they look like.
    pub looks: Looks,
    /// What kept a header from being sent.
    pub near: Option<String>,
}

/// What `file` looks like, if it is no file as `url` names one. Afterwards it is at its beginning.
pub fn unlike_its_name(url: &str, file: &mut File) -> io::Result<Option<Looks>> {
    let Some(looks) = strange(file)? else { return Ok(None) };
    let name = file_of(url).to_ascii_lowercase();
    let suffix = name.rsplit_once('.').map_or("", |(_, suffix)| suffix);
    let meant = match looks {
        Looks::Html => matches!(suffix, "html" | "htm" | "xhtml"),
        // Much that is meant is one of these.
        Looks::Json | Looks::Xml => !BINARY.contains(&suffix),
        Looks::LfsPointer | Looks::Empty => false,
        _ => true,
    };
    Ok((!meant).then_some(looks))
}

/// So many bytes that look like something, in a sentence.
pub(super) fn told(size: u64, looks: Looks) -> String {
    match (size, looks) {
        (_, Looks::Empty) => "an empty file".to_owned(),
        (1, _) => format!("1 byte, which looks like {}", looks.name()),
        _ => format!("{size} bytes, which look like {}", looks.name()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;

    fn unlike(url: &str, content: &[u8]) -> Option<Looks> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        file.rewind().unwrap();
        unlike_its_name(url, &mut file).unwrap()
    }

    #[test]
    fn a_page_in_the_place_of_an_archive_is_noticed() {
        assert_eq!(unlike("https://a.example/x.tgz", b"<!DOCTYPE html>"), Some(Looks::Html));
        assert_eq!(unlike("https://a.example/x.tgz", b"{\"message\": 404}"), Some(Looks::Json));
        assert_eq!(unlike("https://a.example/x.tgz", b""), Some(Looks::Empty));
        assert_eq!(unlike("https://a.example/x.html", b"<!DOCTYPE html>"), None);
        assert_eq!(unlike("https://a.example/x.json", b"{}"), None);
        assert_eq!(unlike("https://a.example/x.sh", b"#!/bin/sh"), None);
    }
}
