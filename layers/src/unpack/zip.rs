//! Members of a zip archive, as members of a tar would be.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use zip::read::ZipFile;
use zip::result::ZipError;
use zip::{CompressionMethod, DateTime};

use super::{Each, UnpackError};
use crate::path;
use crate::tar::budget::Names;
use crate::tar::{Content, Entry, Kind, TarError, plain_directory};

mod directory;
mod lzma;

/// The mark of an archive that might have been split, and was not (APPNOTE 8.5.4).
const UNSPLIT: &[u8; 4] = b"PK\x07\x08";
/// A link's target is a path; more is not one.
const MAX_TARGET: u64 = 4095;

/// True for how a zip archive begins: with a member, or with its end where it has none.
pub(super) fn begins(head: &[u8]) -> bool {
    let head = head.strip_prefix(UNSPLIT).unwrap_or(head);
    head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06")
}

pub(super) fn members(file: File, each: Each<'_>) -> Result<(), UnpackError> {
    let headers = file.try_clone()?;
    let mut archive = directory::open(file)?;
    // Members that share their data are no archive that anybody packed: each would come to as much as all of it. Without
    // such, the sum is what the file can hold.
    if archive.has_overlapping_files()? {
        return Err(damaged("its members overlap").into());
    }
    let mut names = Names::default();
    let mut bounds = Bounds { end: archive.central_directory_start(), first: None };
    for index in 0..archive.len() {
        let packed_by_lzma = archive.by_index_raw(index)?.compression() == CompressionMethod::LZMA;
        let mut member = if packed_by_lzma { archive.by_index_raw(index)? } else { archive.by_index(index)? };
        let maker = bounds.member(&headers, &member)?;
        let path = path::clean(&name(member.name_raw(), maker)).map_err(TarError::from)?;
        names.count(&path)?;
        let kind = match (member.is_dir(), member.is_symlink()) {
            (true, _) => Kind::Directory,
            (_, true) => Kind::Symlink,
            _ => Kind::File,
        };
        // The crate's own answer lacks the sticky bit, and makes what Windows packed writable for the group.
        // Zip says nothing of owners: set-id bits are those of nobody in particular (unzip(1) drops them as well).
        let unix = (member.external_attributes() >> 16) & 0o1777;
        let default = if kind == Kind::Directory { 0o755 } else { 0o644 };
        let mode = if unix == 0 { default } else { unix };
        let mtime = (member.last_modified().map_or(0, seconds), 0);
        let mut entry = Entry { kind, mode, mtime, ..plain_directory(&path) };
        let size = member.size();
        let reader: Box<dyn Read + '_> = if packed_by_lzma {
            if member.encrypted() {
                return Err(damaged(format!("`{}` is encrypted", shown(&path))).into());
            }
            let crc = member.crc32();
            Box::new(lzma::Decoder::new(&mut member, size, crc)?)
        } else {
            Box::new(&mut member)
        };
        let mut content = Counted { inner: reader, path: &path, read: 0 };
        match kind {
            Kind::Symlink => {
                let mut target = Vec::new();
                (&mut content).take(MAX_TARGET).read_to_end(&mut target)?;
                let problem = match (target.as_slice(), size > MAX_TARGET) {
                    (_, true) => Some("is a link to a name longer than the 4095 bytes that Linux allows"),
                    ([], _) => Some("is a link to nothing"),
                    (target, _) if target.contains(&0) => Some("is a link to a name with a NUL byte"),
                    _ => None,
                };
                if let Some(problem) = problem {
                    return Err(TarError::Member { path: shown(&path), problem }.into());
                }
                entry.link = PathBuf::from(OsString::from_vec(target));
                content.finish(size)?;
                each(entry, &mut io::empty())?;
            }
            _ => {
                entry.size = if kind == Kind::File { size } else { 0 };
                each(entry, &mut content)?;
                content.finish(size)?;
            }
        }
    }
    Ok(bounds.check(&headers)?)
}

/// What the reader of zips says, for people: some of its texts are names of its own parts.
pub(super) fn said(error: &ZipError) -> String {
    match error {
        ZipError::Io(error) => error.to_string(),
        ZipError::InvalidArchive(text) if ["EOCD", "CDFH", "::"].iter().any(|own| text.contains(own)) => {
            "the records of its end are damaged or missing, as in a file that is not all there".to_owned()
        }
        ZipError::InvalidArchive(text) => format!("it is damaged, or not all of it is there: {text}"),
        ZipError::UnsupportedArchive(text) => format!("it needs what alloy does not know: {text}"),
        other => other.to_string(),
    }
}

/// Where the members and the directory of an archive begin and end (APPNOTE.TXT, sections 4.3.7 and 4.3.12): the
/// numbers in its last record are not covered by any checksum, and a wrong one would lose members without a word.
struct Bounds {
    /// Where the directory ends, as far as it was read.
    end: u64,
    /// Where the first member is.
    first: Option<u64>,
}

impl Bounds {
    /// Takes a member in, which must be called the same where it is and in the directory. Gives the kind of system that
    /// packed it (4.4.2).
    fn member(&mut self, file: &File, member: &ZipFile<'_, directory::Bounded>) -> io::Result<u8> {
        const LOCAL: u64 = 30;
        const CENTRAL: u64 = 46;
        let number = |at: u64| -> io::Result<u64> {
            let mut bytes = [0; 2];
            file.read_exact_at(&mut bytes, at)?;
            Ok(u16::from_le_bytes(bytes).into())
        };
        let (local, central) = (member.header_start(), member.central_header_start());
        let length = number(local + 26)?;
        let mut name = vec![0; usize::try_from(length).unwrap_or_default()];
        file.read_exact_at(&mut name, local + LOCAL)?;
        let same_length = number(central + 28)? == length;
        let mut listed = name.clone();
        file.read_exact_at(&mut listed, central + CENTRAL)?;
        if !same_length || listed != name {
            let (name, listed) = (path::shown(&name), path::shown(member.name_raw()));
            return Err(damaged(format!("the member `{name}` is called `{listed}` in its directory")));
        }
        let more = number(central + 28)? + number(central + 30)? + number(central + 32)?;
        self.end = self.end.max(central + CENTRAL + more);
        self.first = Some(self.first.map_or(local, |first| first.min(local)));
        let mut maker = [0];
        file.read_exact_at(&mut maker, central + 5)?;
        Ok(maker[0])
    }

    /// An error if there is more than was read.
    fn check(&self, file: &File) -> io::Result<()> {
        let mut mark = [0; 4];
        file.read_exact_at(&mut mark, self.end)?;
        // The end of the directory, that of a large archive, or a signature of the directory.
        if !matches!(&mark, b"PK\x05\x06" | b"PK\x06\x06" | b"PK\x05\x05") {
            return Err(damaged("its directory does not end where its last record says"));
        }
        let mut mark = [0; 4];
        file.read_exact_at(&mut mark, 0)?;
        let begin = if mark == *UNSPLIT { UNSPLIT.len() as u64 } else { 0 };
        if self.first.unwrap_or(self.end) != begin {
            return Err(damaged("it has more members than its directory names"));
        }
        Ok(())
    }
}

/// Systems whose paths have `\` between elements: FAT, NTFS, VFAT (4.4.2.2).
const BACKSLASHES: [u8; 3] = [0, 10, 14];

/// The name of a member, with `/` between its elements. Some packers of Windows write `\`, against 4.4.17.1; as to
/// unzip(1), it counts only where there is no `/` and the system is one that has no other.
fn name(name: &[u8], maker: u8) -> Vec<u8> {
    if !BACKSLASHES.contains(&maker) || name.contains(&b'/') {
        return name.to_vec();
    }
    name.iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }).collect()
}

fn damaged(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.into())
}

/// The content of a member. The crate compares the CRC where the content ends, which nobody reaches who reads as many
/// bytes as there should be.
struct Counted<'p, R> {
    inner: R,
    path: &'p Path,
    read: u64,
}

impl<R: Read> Counted<'_, R> {
    /// Reads what is left, which shows whether CRC and size are right.
    fn finish(mut self, size: u64) -> io::Result<()> {
        io::copy(&mut self, &mut io::sink())?;
        if self.read != size {
            return Err(damaged(format!("`{}` has {} bytes instead of {size}", shown(self.path), self.read)));
        }
        Ok(())
    }
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buf).map_err(|error| match error.raw_os_error() {
            Some(_) => error,
            None => damaged(format!("`{}` is damaged: {error}", shown(self.path))),
        })?;
        self.read = self.read.saturating_add(length as u64);
        Ok(length)
    }
}

impl<R: Read> Content for Counted<'_, R> {}

fn shown(path: &Path) -> String {
    path::shown(path.as_os_str().as_encoded_bytes())
}

/// Seconds since 1970 of a time that has no zone, taken as UTC ("days from civil", proleptic Gregorian).
fn seconds(time: DateTime) -> i64 {
    let (year, month, day) = (i64::from(time.year()), i64::from(time.month()), i64::from(time.day()));
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719_468;
    days * 86_400 + i64::from(time.hour()) * 3600 + i64::from(time.minute()) * 60 + i64::from(time.second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_without_a_zone_are_utc() {
        let time = DateTime::from_date_and_time(2024, 2, 29, 12, 30, 2).unwrap();
        assert_eq!(seconds(time), 1_709_209_802);
    }

    #[test]
    fn an_archive_that_was_not_split_after_all_is_one() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("a"), vec![7; 3000]).unwrap();
        let mut zip = std::process::Command::new("zip");
        zip.args(["-q", "-s", "64k", "o.zip", "a"]).current_dir(&place);
        assert!(zip.status().unwrap().success());
        let bytes = std::fs::read(place.path().join("o.zip")).unwrap();
        assert!(bytes.starts_with(b"PK\x07\x08") && begins(&bytes[..8]));
        let mut found = Vec::new();
        let file = File::open(place.path().join("o.zip")).unwrap();
        super::super::members(file, &mut |entry, content| {
            found.push((entry.path, io::copy(&mut &mut *content, &mut io::sink())?));
            Ok(())
        })
        .unwrap();
        assert_eq!(found, [(PathBuf::from("a"), 3000)]);
    }
}
