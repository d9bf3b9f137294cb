//! What a file is that is no archive: servers answer with pages, and files have other formats than their names say.

use std::fs::File;
use std::io::{self, Read, Seek};

use crate::compress::{Format, decoder};
use crate::tar::looks_like_tar;

use super::{deb, zip};

/// What a file looks like by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looks {
    /// It has no byte.
    Empty,
    /// A page for browsers.
    Html,
    /// JSON, as interfaces answer.
    Json,
    /// XML, as object stores answer.
    Xml,
    /// The few lines that Git LFS keeps in the place of a file.
    LfsPointer,
    /// 7z.
    SevenZip,
    /// RPM.
    Rpm,
    /// RAR.
    Rar,
    /// A program for Linux.
    Program,
    /// A program for Windows.
    WindowsProgram,
    /// A script, such as installers are.
    Script,
    /// Something compressed that is no tar.
    Compressed,
    /// A text.
    Text,
    /// An archive, where one of a kind was wanted that it is not.
    Archive,
    /// Nothing of these.
    Unknown,
}

/// What begins so.
const MAGIC: [(&[u8], Looks); 11] = [
    (b"version https://git-lfs", Looks::LfsPointer),
    (b"7z\xbc\xaf\x27\x1c", Looks::SevenZip),
    (b"\xed\xab\xee\xdb", Looks::Rpm),
    (b"Rar!\x1a\x07", Looks::Rar),
    (b"\x7fELF", Looks::Program),
    (b"MZ", Looks::WindowsProgram),
    (b"#!", Looks::Script),
    (b"<?xml", Looks::Xml),
    (b"<", Looks::Html),
    (b"{", Looks::Json),
    (b"[", Looks::Json),
];

impl Looks {
    /// By the beginning of a file.
    fn of(head: &[u8]) -> Self {
        let start = head.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(head.len());
        // A page may begin with a mark of its encoding (UTF-8).
        let text = head[start..].strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head[start..]);
        if head.is_empty() {
            return Self::Empty;
        }
        match MAGIC.iter().find(|(magic, _)| text.starts_with(magic)) {
            Some((_, Self::Xml)) if head.windows(5).any(|part| part.eq_ignore_ascii_case(b"<html")) => Self::Html,
            Some((_, looks)) => *looks,
            None if text.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) => Self::Text,
            None => Self::Unknown,
        }
    }

    /// For a sentence: it looks like this.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "an empty file",
            Self::Html => "an HTML page",
            Self::Json => "JSON",
            Self::Xml => "XML",
            Self::LfsPointer => "a pointer of Git LFS",
            Self::SevenZip => "a 7z archive",
            Self::Rpm => "an RPM package",
            Self::Rar => "a RAR archive",
            Self::Program => "a program for Linux",
            Self::WindowsProgram => "a program for Windows",
            Self::Script => "a script",
            Self::Compressed => "one compressed file that is no tar",
            Self::Text => "a text",
            Self::Archive => "an archive of another kind",
            Self::Unknown => "nothing that alloy knows",
        }
    }
}

/// What `file` looks like if it does not begin as an archive does that can be unpacked. Afterwards it is at its beginning.
pub fn strange(file: &mut File) -> io::Result<Option<Looks>> {
    let head = head(&mut *file)?;
    file.rewind()?;
    if zip::begins(&head) || head.starts_with(deb::MAGIC) {
        return Ok(None);
    }
    let inside = decoder(file.try_clone()?).and_then(|(format, reader)| Ok((format, self::head(reader)?)));
    file.rewind()?;
    Ok(match inside {
        Ok((_, inside)) if looks_like_tar(&inside) => None,
        Ok((Format::Plain, _)) => Some(Looks::of(&head)),
        Ok(_) => Some(Looks::Compressed),
        // What is damaged is said when it is unpacked.
        Err(_) => None,
    })
}

/// What the archive `file` is by its beginning, and the command that lists or tests one that is. Afterwards it is at its
/// beginning.
pub fn described(file: &mut File) -> io::Result<(&'static str, &'static str)> {
    // Whoever could not read it has left it anywhere.
    file.rewind()?;
    let looks = strange(&mut *file)?;
    let head = head(&mut *file)?;
    file.rewind()?;
    if head.starts_with(deb::MAGIC) {
        return Ok(("a Debian package", "dpkg-deb -c"));
    }
    if head.starts_with(b"PK") {
        return Ok(("a zip archive", "unzip -t"));
    }
    Ok(match (Format::of(&head), looks) {
        (Format::Plain, Some(looks)) => (looks.name(), "file"),
        (Format::Plain, None) => ("a tar archive", "tar -tf"),
        (_, Some(looks)) => (looks.name(), "file"),
        (Format::Gzip, _) => ("a tar archive compressed with gzip", "tar -tzf"),
        (Format::Zstd, _) => ("a tar archive compressed with zstd", "tar --zstd -tf"),
        (Format::Xz, _) => ("a tar archive compressed with xz", "tar -tJf"),
        (Format::Bzip2, _) => ("a tar archive compressed with bzip2", "tar -tjf"),
        (Format::Lz4 | Format::Lz4Legacy, _) => ("a tar archive compressed with LZ4", "tar -I lz4 -tf"),
        (Format::Lzma, _) => ("a tar archive compressed with LZMA", "tar --lzma -tf"),
    })
}

/// What `file` looks like if it does not begin as a Debian package does (deb(5)). Afterwards it is at its beginning.
pub fn no_package(file: &mut File) -> io::Result<Option<Looks>> {
    let head = head(&mut *file)?;
    file.rewind()?;
    let first = head.strip_prefix(deb::MAGIC);
    if first.is_some_and(|member| member.starts_with(b"debian-binary")) {
        return Ok(None);
    }
    Ok(Some(strange(file)?.unwrap_or(Looks::Archive)))
}

/// What `file` looks like if no kernel and no shell can run it: what is neither known nor an archive may be a script
/// without a first line that says so. Afterwards it is at its beginning.
pub fn no_installer(file: &mut File) -> io::Result<Option<Looks>> {
    let looks = strange(file)?.unwrap_or(Looks::Archive);
    let runs = matches!(looks, Looks::Script | Looks::Program | Looks::Text | Looks::Json | Looks::Unknown);
    Ok(Some(looks).filter(|_| !runs))
}

fn head(reader: impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    reader.take(512).read_to_end(&mut head)?;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        file
    }

    #[test]
    fn what_servers_answer_in_the_place_of_an_archive() {
        for (bytes, looks) in [
            (&b""[..], Looks::Empty),
            (b"\n <!DOCTYPE html><title>Log in</title>", Looks::Html),
            (b"\xef\xbb\xbf<?xml version='1.0'?><html xmlns='x'>", Looks::Html),
            (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", Looks::Xml),
            (b"{\"message\":\"404\"}", Looks::Json),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", Looks::LfsPointer),
            (b"7z\xbc\xaf\x27\x1c\0\x04", Looks::SevenZip),
            (b"\xed\xab\xee\xdb\x03", Looks::Rpm),
            (b"\x7fELF\x02", Looks::Program),
            (b"MZ\x90", Looks::WindowsProgram),
            (b"#!/bin/sh\nexit 0", Looks::Script),
            (b"Not found.\n", Looks::Text),
            (b"\x01\x02\x03", Looks::Unknown),
        ] {
            assert_eq!(strange(&mut file(bytes)).unwrap(), Some(looks), "{bytes:?}");
        }
    }

    #[test]
    fn what_cannot_be_run_is_no_installer() {
        for bytes in [&b"#!/bin/sh\nexit 0"[..], b"\x7fELF\x02", b"echo hello\n", b"[ -n \"$1\" ]\n", b"\x01\x02\x03"] {
            assert_eq!(no_installer(&mut file(bytes)).unwrap(), None, "{bytes:?}");
        }
        for (bytes, looks) in [
            (&b""[..], Looks::Empty),
            (b"<!DOCTYPE html><title>Log in</title>", Looks::Html),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", Looks::LfsPointer),
            (b"MZ\x90", Looks::WindowsProgram),
            (b"PK\x03\x04", Looks::Archive),
            (&gzip(b"#!/bin/sh\n"), Looks::Compressed),
        ] {
            assert_eq!(no_installer(&mut file(bytes)).unwrap(), Some(looks), "{bytes:?}");
        }
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(content).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn an_archive_is_described_with_what_looks_into_it() {
        for (bytes, described) in [
            (b"something\n".to_vec(), ("a text", "file")),
            (b"PK\x03\x04 and so on".to_vec(), ("a zip archive", "unzip -t")),
            (b"!<arch>\ndebian-binary".to_vec(), ("a Debian package", "dpkg-deb -c")),
            (vec![0; 1024], ("a tar archive", "tar -tf")),
            (gzip(&[0; 1024]), ("a tar archive compressed with gzip", "tar -tzf")),
            (gzip(b"one file"), ("one compressed file that is no tar", "file")),
        ] {
            let mut file = file(&bytes);
            file.seek(std::io::SeekFrom::End(0)).unwrap();
            assert_eq!(super::described(&mut file).unwrap(), described);
            assert_eq!(file.stream_position().unwrap(), 0);
        }
    }

    #[test]
    fn a_compressed_file_is_looked_into() {
        assert_eq!(strange(&mut file(&gzip(b"one file"))).unwrap(), Some(Looks::Compressed));
        let mut cut = gzip(&[7; 4000]);
        cut.truncate(8);
        assert_eq!(strange(&mut file(&cut)).unwrap(), None, "a damaged archive is told of by who reads it");
        assert_eq!(strange(&mut file(b"PK\x05\x06")).unwrap(), None);
    }
}
