//! Reading members. The `tar` crate reads headers; extended headers are read here, since values may hold any byte,
//! line ends included, and the crate's reader splits at those.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use tar::{EntryType, Header};

use super::budget::Budget;
use super::sparse::{self, Segment, SparseReader};
use super::stored::{Stored, empty, holds_data, stored_size};
use super::{Content, Entry, Kind, TarError, XATTR, end, limits};
use crate::path::{self, PathError};

/// Bytes of all extended headers and long names of one member; attributes of 64 KiB fit many times.
const MAX_EXTENDED: u64 = 4 << 20;
const BLOCK: u64 = 512;
/// An owner that changes nothing (chown(2)): what has it is whoever's who extracts it, which is root.
const NOBODY: u32 = u32::MAX;

/// How names of members become paths.
type Clean = fn(&[u8]) -> Result<PathBuf, PathError>;

/// What extended headers and long names said of the member that follows.
#[derive(Default)]
struct Ahead {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    uid: Option<u32>,
    gid: Option<u32>,
    size: Option<u64>,
    mtime: Option<(i64, u32)>,
    xattrs: Vec<(OsString, Vec<u8>)>,
    sparse: sparse::Pax,
    /// Bytes of the headers that said so.
    bytes: u64,
    /// Whether there was one.
    any: bool,
}

/// Hands members to `each`, one after the other, and gives their number. Memory is bounded by what a header may
/// hold, never by what it claims. What follows the end of the archive is read, so that a checksum of it is checked.
pub fn for_each<R: Read, E: From<TarError>>(
    reader: R,
    each: impl FnMut(Entry, &mut dyn Content) -> Result<(), E>,
) -> Result<u64, E> {
    walk(reader, path::clean, None, each)
}

/// The same, for archives that tar(1) is to have read alike: where it goes on with a warning, this does, and gives the
/// warnings.
pub fn for_each_as_tar<R: Read, E: From<TarError>>(
    reader: R,
    each: impl FnMut(Entry, &mut dyn Content) -> Result<(), E>,
) -> Result<Vec<String>, E> {
    let mut remarks = Vec::new();
    walk(reader, path::clean, Some(&mut remarks), each)?;
    Ok(remarks)
}

/// The same, for archives of which nobody expects more than [`path::plain`] names.
pub fn for_each_plain<R: Read, E: From<TarError>>(
    reader: R,
    each: impl FnMut(Entry, &mut dyn Content) -> Result<(), E>,
) -> Result<u64, E> {
    walk(reader, path::plain, None, each)
}

fn walk<R: Read, E: From<TarError>>(
    mut reader: R,
    clean: Clean,
    remarks: Option<&mut Vec<String>>,
    mut each: impl FnMut(Entry, &mut dyn Content) -> Result<(), E>,
) -> Result<u64, E> {
    let mut count = 0;
    let mut ahead = Ahead::default();
    let mut budget = Budget::default();
    let mut next = next_header(&mut reader)?;
    while let Next::Member(header) = next {
        let size = stored_size(&header)?;
        match header.entry_type() {
            EntryType::XHeader => {
                let bytes = ahead.extended(&mut reader, size)?;
                ahead.read(&bytes)?;
            }
            EntryType::GNULongName => ahead.path = Some(without_nul(ahead.extended(&mut reader, size)?)),
            EntryType::GNULongLink => ahead.link = Some(without_nul(ahead.extended(&mut reader, size)?)),
            EntryType::XGlobalHeader => drop(Ahead::default().extended(&mut reader, size)?),
            // The name of the whole archive.
            other if other.as_byte() == b'V' => pass(&mut (&mut reader).take(padded(size)))?,
            _ => {
                let ahead = std::mem::take(&mut ahead);
                // Whatever a header says of the size of a link, a directory or a device: nothing is stored for it.
                let stored = if holds_data(&header) { ahead.size.unwrap_or(size) } else { 0 };
                // Its further blocks stand before the content, and are not counted in its size.
                let gnu = match header.as_gnu() {
                    Some(gnu) if header.entry_type() == EntryType::GNUSparse => {
                        Some(sparse::gnu(gnu, &mut reader).map_err(TarError::from)?)
                    }
                    _ => None,
                };
                let mut padded = (&mut reader).take(padded(stored));
                let mut content = Stored::new((&mut padded).take(stored));
                let (entry, segments) = member(&header, ahead, stored, gnu, clean, &mut content)?;
                count += 1;
                budget.member(&entry, segments.is_some())?;
                match segments {
                    None => {
                        // A directory may have something stored, which is not its content.
                        content.of(&entry.path, entry.size);
                        each(entry, &mut content)?;
                    }
                    Some(segments) => {
                        let mut whole =
                            SparseReader::new(&mut content, segments, entry.size).map_err(TarError::from)?;
                        each(entry, &mut whole)?;
                    }
                }
                // Whatever was not read, and the padding.
                pass(&mut padded)?;
            }
        }
        next = next_header(&mut reader)?;
    }
    if ahead.any {
        return Err(damaged("an extended header has no member").into());
    }
    if matches!(next, Next::Zeros) {
        end::behind_zeros(&mut reader, count, remarks)?;
    }
    Ok(count)
}

/// Reads all that is left, which has to be there.
fn pass(rest: &mut io::Take<impl Read>) -> Result<(), TarError> {
    io::copy(rest, &mut io::sink())?;
    if rest.limit() > 0 { Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()) } else { Ok(()) }
}

fn damaged(text: &'static str) -> TarError {
    io::Error::new(io::ErrorKind::InvalidData, text).into()
}

/// What comes where a header can be.
enum Next {
    Member(Box<Header>),
    /// A block of zeros.
    Zeros,
    /// Nothing at all, as old tools write the end.
    Nothing,
}

fn next_header(reader: &mut impl Read) -> Result<Next, TarError> {
    let mut header = Header::new_old();
    let block = header.as_mut_bytes();
    let mut filled = 0;
    while filled < block.len() {
        match reader.read(&mut block[filled..]) {
            Ok(0) if filled == 0 => return Ok(Next::Nothing),
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    if block.iter().all(|byte| *byte == 0) {
        return Ok(Next::Zeros);
    }
    if !super::looks_like_tar(header.as_bytes()) {
        return Err(damaged("damaged: a header has a wrong checksum"));
    }
    Ok(Next::Member(Box::new(header)))
}

fn padded(size: u64) -> u64 {
    size.checked_next_multiple_of(BLOCK).unwrap_or(u64::MAX)
}

fn without_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
    bytes
}

impl Ahead {
    /// The content of a header that says something of the member to come.
    fn extended(&mut self, reader: &mut impl Read, size: u64) -> Result<Vec<u8>, TarError> {
        self.any = true;
        self.bytes = self.bytes.saturating_add(padded(size));
        if self.bytes > MAX_EXTENDED {
            return Err(damaged("the extended headers of a member are larger than 4 MiB"));
        }
        let mut bytes = Vec::new();
        let mut content = reader.take(padded(size));
        content.read_to_end(&mut bytes)?;
        pass(&mut content)?;
        bytes.truncate(usize::try_from(size).unwrap_or_default());
        Ok(bytes)
    }

    /// pax(1), "pax Extended Header": `length key=value\n`, the length counting itself.
    fn read(&mut self, mut bytes: &[u8]) -> Result<(), TarError> {
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, "an extended header is malformed");
        while !bytes.is_empty() {
            let space = bytes.iter().take(20).position(|byte| *byte == b' ').ok_or_else(malformed)?;
            let length: usize =
                std::str::from_utf8(&bytes[..space]).ok().and_then(|text| text.parse().ok()).ok_or_else(malformed)?;
            let record = bytes.get(space + 1..length).ok_or_else(malformed)?;
            bytes = &bytes[length..];
            let record = record.strip_suffix(b"\n").ok_or_else(malformed)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(malformed)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            match key.strip_prefix(XATTR.as_bytes()) {
                // Its name may be any bytes.
                Some(name) => self.xattrs.push((OsString::from_vec(name.to_vec()), value.to_vec())),
                None => {
                    let key = String::from_utf8_lossy(key);
                    self.record(&key, value).ok_or_else(|| unreadable(&key))?;
                }
            }
        }
        Ok(())
    }

    fn record(&mut self, key: &str, value: &[u8]) -> Option<()> {
        match key {
            "path" => self.path = Some(value.to_vec()),
            "linkpath" => self.link = Some(value.to_vec()),
            "uid" => self.uid = Some(owner(value)?),
            "gid" => self.gid = Some(owner(value)?),
            "size" => self.size = Some(number(value)?),
            "mtime" => self.mtime = Some(time(value)?),
            _ => {
                if let Some(key) = key.strip_prefix("GNU.sparse.") {
                    self.sparse.record(key, value)?;
                }
            }
        }
        Some(())
    }
}

/// An owner as a pax header has it. What is -1 there is that to chown(2), too.
fn owner(value: &[u8]) -> Option<u32> {
    let id: i64 = number(value)?;
    if id == -1 { Some(NOBODY) } else { u32::try_from(id).ok() }
}

fn number<T: std::str::FromStr>(value: &[u8]) -> Option<T> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn unreadable(key: &str) -> io::Error {
    let message = format!("the field `{}` of an extended header cannot be read", path::shown(key.as_bytes()));
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// Seconds with an optional fraction.
fn time(value: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(value).ok()?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{fraction:0<9}");
    let mut nanoseconds: u32 = digits.get(..9)?.parse().ok()?;
    let mut seconds: i64 = seconds.parse().ok()?;
    if text.starts_with('-') && nanoseconds > 0 {
        seconds = seconds.checked_sub(1)?;
        nanoseconds = 1_000_000_000 - nanoseconds;
    }
    Some((seconds, nanoseconds))
}

/// The member as a value and, for a sparse file, where its data belongs.
fn member(
    header: &Header,
    ahead: Ahead,
    stored: u64,
    gnu: Option<(u64, Vec<Segment>)>,
    clean: Clean,
    content: &mut impl Read,
) -> Result<(Entry, Option<Vec<Segment>>), TarError> {
    let name = ahead.sparse.name.clone().or(ahead.path).unwrap_or_else(|| header.path_bytes().into_owned());
    let refuse = |problem| TarError::Member { path: path::shown(&name), problem };
    let kind = match header.entry_type() {
        // Old archives mark a directory by the end of its name alone.
        EntryType::Regular if name.ends_with(b"/") => Kind::Directory,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::File,
        EntryType::Link => Kind::HardLink,
        EntryType::Symlink => Kind::Symlink,
        EntryType::Directory => Kind::Directory,
        EntryType::Char => Kind::CharDevice,
        EntryType::Block => Kind::BlockDevice,
        EntryType::Fifo => Kind::Fifo,
        // GNU tar's: a directory with a list of what was in it, and a list of names that long ago stood for long ones.
        other if other.as_byte() == b'D' => Kind::Directory,
        other if other.as_byte() == b'N' => Kind::File,
        other if other.as_byte() == b'M' => return Err(refuse("is continued from another volume")),
        _ => return Err(refuse("is of a kind that alloy does not know")),
    };
    let old = header.as_old();
    let id = |ahead: Option<u32>, field: &[u8], header: io::Result<u64>| {
        let said = || header.ok().and_then(|id| u32::try_from(id).ok());
        let id = ahead.or_else(|| if empty(field) { Some(0) } else { said() });
        let id = id.map(|id| if id == NOBODY { 0 } else { id });
        id.ok_or_else(|| refuse("has an owner that cannot be read"))
    };
    let (uid, gid) = (id(ahead.uid, &old.uid, header.uid())?, id(ahead.gid, &old.gid, header.gid())?);
    let mtime = ahead.mtime.unwrap_or_else(|| {
        let seconds = header.mtime().ok().and_then(|seconds| i64::try_from(seconds).ok());
        (seconds.unwrap_or_default(), 0)
    });
    let mode = if empty(&old.mode) { Ok(0) } else { header.mode() };
    let mode = mode.map_err(|_| refuse("has a mode that cannot be read"))? & 0o7777;
    let number = |number: io::Result<Option<u32>>| number.ok().flatten().unwrap_or_default();
    let link = ahead.link.or_else(|| header.link_name_bytes().map(|link| link.into_owned())).unwrap_or_default();
    if matches!(kind, Kind::HardLink | Kind::Symlink) && link.is_empty() {
        return Err(refuse("is a link to nothing"));
    }
    let mut xattrs = ahead.xattrs;
    xattrs.sort_unstable();
    let sparse = match kind {
        Kind::File if gnu.is_none() => ahead.sparse.segments(content)?,
        _ => gnu,
    };
    let (size, segments) = match sparse {
        Some((size, segments)) => (size, Some(segments)),
        None => (if kind == Kind::File { stored } else { 0 }, None),
    };
    let entry = Entry {
        path: clean(&name)?,
        kind,
        mode,
        uid,
        gid,
        mtime,
        size,
        xattrs,
        link: match kind {
            Kind::HardLink => clean(&link)?,
            _ => PathBuf::from(OsString::from_vec(link)),
        },
        device: (number(header.device_major()), number(header.device_minor())),
    };
    limits::check(&entry).map_err(refuse)?;
    Ok((entry, segments))
}

#[cfg(test)]
mod tests;
