//! Members of a zip archive, as members of a tar would be.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use zip::{DateTime, ZipArchive};

use super::{Each, UnpackError};
use crate::path;
use crate::tar::{Entry, Kind, TarError, plain_directory};

/// A link's target is a path; more is not one.
const MAX_TARGET: u64 = 4096;

pub(super) fn members(file: File, each: Each<'_>) -> Result<(), UnpackError> {
    let mut archive = ZipArchive::new(BufReader::new(file))?;
    for index in 0..archive.len() {
        let mut member = archive.by_index(index)?;
        let path = path::clean(member.name_raw()).map_err(TarError::from)?;
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
        match kind {
            Kind::Symlink => {
                let mut target = Vec::new();
                member.take(MAX_TARGET).read_to_end(&mut target)?;
                entry.link = PathBuf::from(OsString::from_vec(target));
                each(entry, &mut io::empty())?;
            }
            _ => {
                entry.size = if kind == Kind::File { member.size() } else { 0 };
                each(entry, &mut member)?;
            }
        }
    }
    Ok(())
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
}
