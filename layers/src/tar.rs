//! Members of tar archives as values; writing them deterministically, reading them defensively.
//!
//! Written: POSIX.1-2001 (PAX) with ustar headers, extended headers only where a field does not fit, their records
//! sorted, no user or group names. Read: that, GNU and old formats, `SCHILY.xattr.*`.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use tar::{EntryType, Header};

use crate::path::PathError;

pub(crate) mod budget;
mod end;
mod limits;
mod read;
mod sparse;
mod stored;

pub use read::{for_each, for_each_as_tar, for_each_plain};

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file; its content follows.
    File,
    /// A further name of an earlier member.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A directory.
    Directory,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Relative and clean; empty for the root itself.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// Permission bits, set-id and sticky included.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time: seconds since 1970 and nanoseconds.
    pub mtime: (i64, u32),
    /// Length of the content in bytes.
    pub size: u64,
    /// Extended attributes.
    pub xattrs: Vec<(OsString, Vec<u8>)>,
    /// Target of a link; of a hard link, relative and clean.
    pub link: PathBuf,
    /// Device numbers.
    pub device: (u32, u32),
}

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TarError {
    /// Not a tar, or cut off, or the reader below failed.
    #[error("cannot read the archive: {0}")]
    Read(#[from] io::Error),
    /// The file of a member.
    #[error("cannot write `{path}`: {source}")]
    Write {
        /// The member.
        path: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A name that cannot be used.
    #[error(transparent)]
    Name(#[from] PathError),
    /// A member with a field that cannot be used.
    #[error("archive member `{path}` {problem}")]
    Member {
        /// Its name.
        path: String,
        /// What is wrong.
        problem: &'static str,
    },
}

/// The content of a member.
pub trait Content: Read {
    /// Passes over zeros that come next and that the archive does not hold; gives their number. What is not passed over
    /// is read as zeros.
    fn hole(&mut self) -> io::Result<u64> {
        Ok(0)
    }
}

impl Content for io::Empty {}
impl<R: Read> Content for io::Take<R> {}

/// The content of a member that is to be small; a larger one is an error.
pub fn small(entry: &Entry, content: &mut dyn Content, limit: u64) -> Result<Vec<u8>, TarError> {
    let mut bytes = Vec::new();
    content.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let path = crate::path::shown(entry.path.as_os_str().as_bytes());
        return Err(TarError::Member { path, problem: "is larger than what is read into memory" });
    }
    Ok(bytes)
}

const XATTR: &str = "SCHILY.xattr.";
/// Largest values of the octal fields of a ustar header.
const MAX_ID: u32 = 0o7_777_777;
const MAX_SIZE: u64 = 0o77_777_777_777;
const MAX_NAME: usize = 100;

/// Writes members.
pub struct TarWriter<W: Write> {
    out: W,
    buffer: Vec<u8>,
}

/// Content passes through in pieces of this many bytes.
const PIECE: usize = 128 << 10;

impl<W: Write> TarWriter<W> {
    /// Members go to `out`.
    pub fn new(out: W) -> Self {
        Self { out, buffer: vec![0; PIECE] }
    }

    /// Writes a member, with exactly `entry.size` bytes of `content` for a file.
    pub fn append(&mut self, entry: &Entry, content: &mut dyn Read) -> io::Result<()> {
        let mut name = entry.path.as_os_str().as_bytes().to_vec();
        if name.is_empty() {
            name.push(b'.');
        }
        if entry.kind == Kind::Directory {
            name.push(b'/');
        }
        let mut header = Header::new_ustar();
        header.set_entry_type(match entry.kind {
            Kind::File => EntryType::Regular,
            Kind::HardLink => EntryType::Link,
            Kind::Symlink => EntryType::Symlink,
            Kind::Directory => EntryType::Directory,
            Kind::CharDevice => EntryType::Char,
            Kind::BlockDevice => EntryType::Block,
            Kind::Fifo => EntryType::Fifo,
        });
        let size = if entry.kind == Kind::File { entry.size } else { 0 };
        let records = pax_records(entry, &name, size)?;
        if !records.is_empty() {
            let mut extended = Header::new_ustar();
            extended.set_entry_type(EntryType::XHeader);
            extended.set_mode(0o644);
            extended.set_size(records.len() as u64);
            set_name(&mut extended, b"PaxHeaders/x");
            extended.set_mtime(0);
            extended.set_uid(0);
            extended.set_gid(0);
            self.block(&mut extended, &records)?;
        }
        set_name(&mut header, &name);
        set_link(&mut header, entry.link.as_os_str().as_bytes());
        header.set_mode(entry.mode);
        header.set_uid(if entry.uid > MAX_ID { 0 } else { entry.uid.into() });
        header.set_gid(if entry.gid > MAX_ID { 0 } else { entry.gid.into() });
        header.set_size(if size > MAX_SIZE { 0 } else { size });
        header.set_mtime(u64::try_from(entry.mtime.0).unwrap_or(0).min(MAX_SIZE));
        let device = matches!(entry.kind, Kind::CharDevice | Kind::BlockDevice);
        let (major, minor) = if device { entry.device } else { (0, 0) };
        header.set_device_major(major)?;
        header.set_device_minor(minor)?;
        header.set_cksum();
        self.out.write_all(header.as_bytes())?;
        if size > 0 {
            self.content(&mut content.take(size), size, entry)?;
            self.pad(size)?;
        }
        Ok(())
    }

    fn content(&mut self, content: &mut dyn Read, size: u64, entry: &Entry) -> io::Result<()> {
        let mut left = size;
        while left > 0 {
            match content.read(&mut self.buffer) {
                Ok(0) => {
                    let text = format!("{} shrank while it was read", entry.path.display());
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
                }
                Ok(length) => {
                    self.out.write_all(&self.buffer[..length])?;
                    left -= length as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn block(&mut self, header: &mut Header, content: &[u8]) -> io::Result<()> {
        header.set_cksum();
        self.out.write_all(header.as_bytes())?;
        self.out.write_all(content)?;
        self.pad(content.len() as u64)
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let excess = usize::try_from(size % 512).unwrap_or_default();
        if excess == 0 { Ok(()) } else { self.out.write_all(&[0; 512][excess..]) }
    }

    /// Writes the end of the archive, and gives the writer back.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 1024])?;
        Ok(self.out)
    }
}

fn set_name(header: &mut Header, name: &[u8]) {
    let length = name.len().min(MAX_NAME);
    header.as_old_mut().name[..length].copy_from_slice(&name[..length]);
}

fn set_link(header: &mut Header, link: &[u8]) {
    let length = link.len().min(MAX_NAME);
    header.as_old_mut().linkname[..length].copy_from_slice(&link[..length]);
}

/// pax(1), "pax Extended Header": `length key=value\n`, the length counting itself.
fn pax_records(entry: &Entry, name: &[u8], size: u64) -> io::Result<Vec<u8>> {
    let mut records: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut add = |key: &[u8], value: &[u8]| records.push((key.to_vec(), value.to_vec()));
    if name.len() > MAX_NAME {
        add(b"path", name);
    }
    if entry.link.as_os_str().len() > MAX_NAME {
        add(b"linkpath", entry.link.as_os_str().as_bytes());
    }
    for (key, id) in [("uid", entry.uid), ("gid", entry.gid)] {
        if id > MAX_ID {
            add(key.as_bytes(), id.to_string().as_bytes());
        }
    }
    if size > MAX_SIZE {
        add(b"size", size.to_string().as_bytes());
    }
    if entry.mtime.0 < 0 || entry.mtime.0.unsigned_abs() > MAX_SIZE {
        add(b"mtime", entry.mtime.0.to_string().as_bytes());
    }
    for (attribute, value) in &entry.xattrs {
        // A reader takes what is before the first one for the key.
        if attribute.as_bytes().contains(&b'=') {
            let (path, name) = (entry.path.display(), attribute.display());
            let text =
                format!("{path} has the extended attribute {name}, whose name no archive can hold: it has a `=`");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        add(&[XATTR.as_bytes(), attribute.as_bytes()].concat(), value);
    }
    records.sort_unstable();
    let mut bytes = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + rest.to_string().len();
        // One more digit may make the length one digit longer.
        length = rest + length.to_string().len();
        bytes.extend_from_slice(format!("{length} ").as_bytes());
        bytes.extend_from_slice(&key);
        bytes.push(b'=');
        bytes.extend_from_slice(&value);
        bytes.push(b'\n');
    }
    Ok(bytes)
}

/// True if `head`, the first 512 bytes, is the header of a tar member, whatever its age.
pub fn looks_like_tar(head: &[u8]) -> bool {
    let Some(block) = head.get(..512) else { return false };
    if block.iter().all(|byte| *byte == 0) {
        return true;
    }
    // Some old tools added up signed bytes (POSIX.1-2001, pax(1), "chksum", says unsigned); every reader takes both.
    let outside = |at: usize| !(148..156).contains(&at);
    let byte = |at: usize, byte: u8| if outside(at) { byte } else { b' ' };
    let bytes = || block.iter().enumerate().map(|(at, found)| byte(at, *found));
    let unsigned: i64 = bytes().map(i64::from).sum();
    let signed: i64 = bytes().map(|byte| i64::from(byte.cast_signed())).sum();
    Header::from_byte_slice(block).cksum().is_ok_and(|expected| [unsigned, signed].contains(&expected.into()))
}

/// A directory of the usual kind, for parents that an archive leaves out.
pub fn plain_directory(path: &Path) -> Entry {
    Entry {
        path: path.to_owned(),
        kind: Kind::Directory,
        mode: 0o755,
        uid: 0,
        gid: 0,
        mtime: (0, 0),
        size: 0,
        xattrs: Vec::new(),
        link: PathBuf::new(),
        device: (0, 0),
    }
}

/// The last element of a member's path.
pub fn file_name(path: &Path) -> &OsStr {
    path.file_name().unwrap_or_else(|| OsStr::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str) -> Entry {
        Entry { kind: Kind::File, mode: 0o644, mtime: (1_000, 0), ..plain_directory(Path::new(path)) }
    }

    fn round_trip(entries: &[(Entry, &[u8])]) -> Vec<(Entry, Vec<u8>)> {
        let mut writer = TarWriter::new(Vec::new());
        for (entry, content) in entries {
            writer.append(entry, &mut &content[..]).unwrap();
        }
        let bytes = writer.finish().unwrap();
        assert!(looks_like_tar(&bytes));
        let mut back = Vec::new();
        for_each::<_, TarError>(bytes.as_slice(), |entry, reader| {
            let mut content = Vec::new();
            reader.read_to_end(&mut content)?;
            back.push((entry, content));
            Ok(())
        })
        .unwrap();
        back
    }

    #[test]
    fn everything_that_is_written_is_read_back() {
        let long = "d/".repeat(200) + "file";
        let odd = Path::new(OsStr::from_bytes(b"new\nline\xff"));
        let entries = [
            (Entry { size: 3, ..entry("plain") }, &b"abc"[..]),
            (Entry { size: 1, uid: 3_000_000_000, gid: 0o7_777_777, ..entry(&long) }, b"x"),
            (Entry { path: odd.to_owned(), ..entry("") }, b""),
            (Entry { kind: Kind::Symlink, link: long.clone().into(), ..entry("link") }, b""),
            (Entry { kind: Kind::HardLink, link: long.into(), ..entry("hard") }, b""),
            (Entry { kind: Kind::CharDevice, device: (1, 3), ..entry("null") }, b""),
            (Entry { kind: Kind::Fifo, ..entry("pipe") }, b""),
            (plain_directory(Path::new("dir")), b""),
            (plain_directory(Path::new("")), b""),
            (
                Entry {
                    xattrs: vec![
                        ("security.capability".into(), [&[1, 0, 0, 2][..], &[0; 16]].concat()),
                        ("user.a".into(), vec![b'\n'; 99]),
                        (OsStr::from_bytes(b"user.b\xff\n").to_owned(), b"=".to_vec()),
                    ],
                    ..entry("x")
                },
                b"",
            ),
            (Entry { mtime: (-5, 0), ..entry("old") }, b""),
        ];
        let back = round_trip(&entries);
        assert_eq!(back.len(), entries.len());
        for ((expected, content), (found, found_content)) in entries.iter().zip(&back) {
            assert_eq!((expected, *content), (found, found_content.as_slice()));
        }
    }

    #[test]
    fn attributes_whose_names_would_be_others_are_not_written() {
        let entry = Entry { xattrs: vec![("user.a=b".into(), b"c".to_vec())], ..entry("x") };
        let error = TarWriter::new(Vec::new()).append(&entry, &mut io::empty()).unwrap_err().to_string();
        assert!(error.contains("x has the extended attribute user.a=b"), "{error}");
    }

    #[test]
    fn names_that_leave_the_archive_are_refused() {
        let mut writer = TarWriter::new(Vec::new());
        writer.append(&entry("../../etc/passwd"), &mut io::empty()).unwrap();
        let bytes = writer.finish().unwrap();
        assert!(for_each::<_, TarError>(bytes.as_slice(), |_, _| Ok(())).is_err());
    }
}
