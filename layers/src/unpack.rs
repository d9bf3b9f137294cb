//! Archives that users bring: toolchains as tar in any compression, zip, or the data of a Debian package.
//!
//! Told apart by content. Names that would be whiteouts in a layer are refused: no image could hold them.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use crate::apply::Ownership;
use crate::compress::{Format, decoder, read_ahead};
use crate::path::{self, strip};
use crate::root::{Root, RootError};
use crate::stop::Stop;
use crate::tar::{self, Content, Entry, Kind, TarError};
use crate::whiteout;

pub mod deb;
mod looks;
mod merge;
mod place;
mod zip;

pub use looks::{Looks, described, no_installer, no_package, strange};
pub use place::PlaceError;
use place::Placer;

/// How an archive is unpacked.
#[derive(Clone, Copy, Debug)]
pub struct UnpackOptions {
    /// Leading path elements to drop; members with fewer are left out.
    pub strip: u32,
    /// Who owns what is made.
    pub ownership: Ownership,
    /// What is made gets an owner that its author has chosen: set-id bits are theirs, whoever the archive says.
    pub owned: bool,
}

/// What unpacking came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Paths of what was made, relative to the root, in the archive's order.
    pub made: Vec<PathBuf>,
    /// Device nodes, which are left out: absolute.
    pub devices: Vec<PathBuf>,
    /// Identify on this machine what was made.
    pub inodes: HashSet<(u64, u64)>,
    /// What the archive's author has to know although it was unpacked.
    pub remarks: Vec<String>,
}

/// Why an archive cannot be unpacked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// An archive member, or what stands where it goes.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// A name that is kept for whiteouts.
    #[error(
        "the archive has `{path}`: no layer of an image can hold a name that begins with `.wh.`, which is the mark of a deleted file. The archive has to be packed without it"
    )]
    Whiteout {
        /// The member.
        path: PathBuf,
    },
    /// The archive.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// The root.
    #[error(transparent)]
    Root(#[from] RootError),
    /// Reading failed.
    #[error("cannot read the archive: {0}")]
    Read(#[from] io::Error),
    /// The zip is broken.
    #[error("cannot read the zip archive: {}", zip::said(_0))]
    Zip(#[from] ::zip::result::ZipError),
    /// None of the formats.
    #[error("not an archive that alloy knows (tar, also compressed with gzip, xz, bzip2, zstd, lz4 or lzma; zip; deb)")]
    UnknownFormat,
    /// A hard link to a member that is left out.
    #[error("`{path}` is a hard link to `{link}`, which is left out when {strip} leading path elements are dropped")]
    LinkLeftOut {
        /// The link.
        path: PathBuf,
        /// What it is another name of.
        link: PathBuf,
        /// How many.
        strip: u32,
    },
    /// Every member has too few path elements.
    #[error("nothing is left of the archive when {strip} leading path elements are dropped")]
    NothingLeft {
        /// How many.
        strip: u32,
    },
}

impl UnpackError {
    /// True if the archive is at fault, and neither what stands where it goes nor the machine.
    pub fn is_of_archive(&self) -> bool {
        let content = |error: &io::Error| error.raw_os_error().is_none();
        let of_tar = |error: &TarError| match error {
            TarError::Read(error) => content(error),
            TarError::Write { .. } => false,
            TarError::Name(_) | TarError::Member { .. } => true,
        };
        match self {
            Self::Place(PlaceError::Tar(error)) | Self::Tar(error) => of_tar(error),
            Self::Place(error) => {
                matches!(error, PlaceError::OwnLink { .. } | PlaceError::HardLink { .. } | PlaceError::TooLong { .. })
            }
            Self::Read(error) | Self::Zip(::zip::result::ZipError::Io(error)) => content(error),
            Self::Root(_) => false,
            Self::Zip(_)
            | Self::Whiteout { .. }
            | Self::UnknownFormat
            | Self::LinkLeftOut { .. }
            | Self::NothingLeft { .. } => true,
        }
    }
}

/// Takes the members of an archive, one after the other.
pub(crate) type Each<'e> = &'e mut dyn FnMut(Entry, &mut dyn Content) -> Result<(), UnpackError>;

/// Hands the members of an archive of any format to `each`. Gives what its author has to know although it can be read.
pub(crate) fn members(mut file: File, each: Each<'_>) -> Result<Vec<String>, UnpackError> {
    let mut head = Vec::new();
    (&mut file).take(8).read_to_end(&mut head)?;
    file.rewind()?;
    if zip::begins(&head) {
        zip::members(file, each).map(|()| Vec::new())
    } else if head.starts_with(deb::MAGIC) {
        deb::member(file, "data.tar", |data| tar_members(data, each))
    } else {
        tar_members(file, each)
    }
}

/// Whether `file` says itself that it is all there: it has been read to an end that its format proves. False of what has
/// no such end; what should have one, and is cut or damaged, is an error.
pub fn is_whole(mut file: File, stop: &Stop) -> Result<bool, UnpackError> {
    let mut head = Vec::new();
    (&mut file).take(512).read_to_end(&mut head)?;
    file.rewind()?;
    let known = zip::begins(&head) || head.starts_with(deb::MAGIC);
    if known || tar::looks_like_tar(&head) {
        let mut end = file.try_clone()?;
        members(file, &mut |_, content| Ok(io::copy(&mut stop.reader(content), &mut io::sink()).map(drop)?))?;
        if known {
            return Ok(true);
        }
        // Readers get along without the empty blocks that end a tar; only they say that nothing follows.
        let mut last = [0; 512];
        end.seek(io::SeekFrom::End(-512))?;
        end.read_exact(&mut last)?;
        return if last == [0; 512] { Ok(true) } else { Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()) };
    }
    if Format::of(&head) == Format::Plain {
        return Ok(false);
    }
    // Whatever is in it.
    io::copy(&mut stop.reader(decoder(file)?.1), &mut io::sink())?;
    Ok(true)
}

fn tar_members(input: impl Read + Send, each: Each<'_>) -> Result<Vec<String>, UnpackError> {
    let (_, reader) = decoder(input)?;
    read_ahead(reader, |mut reader| {
        let mut head = Vec::new();
        // A short read of a pipe is no reason to call it unknown.
        (&mut reader).take(512).read_to_end(&mut head)?;
        if !tar::looks_like_tar(&head) {
            return Err(UnpackError::UnknownFormat);
        }
        tar::for_each_as_tar(head.as_slice().chain(reader), each)
    })
}

/// Unpacks `file` into the directory `dest` of `root`, which must exist. Nothing outside of `dest` is touched.
pub fn unpack(file: File, root: &Root, dest: &Path, options: &UnpackOptions) -> Result<Unpacked, UnpackError> {
    let mut sink = Sink::new(root, dest, *options)?;
    let remarks = members(file, &mut |entry, content| sink.place(entry, content))?;
    Ok(Unpacked { remarks, ..sink.finish()? })
}

/// Unpacks the data of a Debian package with the owners and attributes it has. Links to directories stay: `/bin` of
/// a merged-/usr system is not replaced by a package's directory of that name. Gives the paths in it, in their order.
pub fn unpack_deb(file: File, root: &Root) -> Result<Vec<PathBuf>, UnpackError> {
    let options = UnpackOptions { strip: 0, ownership: Ownership::Archive, owned: true };
    let mut sink = Sink::new(root, Path::new(""), options)?;
    let place = &mut |entry: Entry, content: &mut dyn Content| sink.place(entry, content);
    let remarks = deb::member(file, "data.tar", |data| tar_members(data, place))?;
    // Nothing of a package of the distribution is to be guessed.
    match remarks.into_iter().next() {
        Some(remark) => Err(io::Error::new(io::ErrorKind::InvalidData, remark).into()),
        None => Ok(sink.finish()?.made),
    }
}

/// Where members go.
struct Sink<'a> {
    placer: Placer<'a>,
    dest: &'a Path,
    options: UnpackOptions,
    seen: u64,
    made: Vec<PathBuf>,
}

impl<'a> Sink<'a> {
    fn new(root: &'a Root, dest: &'a Path, options: UnpackOptions) -> Result<Self, UnpackError> {
        let placer = Placer::new(root, dest, options.ownership)?;
        Ok(Self { placer, dest, options, seen: 0, made: Vec::new() })
    }

    fn place(&mut self, entry: Entry, content: &mut dyn Content) -> Result<(), UnpackError> {
        // The archive's own top directory says nothing about the one that is there.
        self.seen += u64::from(!entry.path.as_os_str().is_empty());
        let Some(mut entry) = relocated(entry, self.options.strip, Path::new(""))? else { return Ok(()) };
        if entry.path.as_os_str().is_empty() {
            return Ok(());
        }
        if !self.options.owned {
            drop_set_id(&mut entry);
        }
        let shown = below(self.dest, &entry.path)?;
        self.placer.place(&entry, content)?;
        self.made.push(shown);
        Ok(())
    }

    fn finish(self) -> Result<Unpacked, UnpackError> {
        if self.made.is_empty() && self.seen > 0 {
            return Err(UnpackError::NothingLeft { strip: self.options.strip });
        }
        let (devices, inodes) = self.placer.finish()?;
        Ok(Unpacked { made: self.made, devices, inodes, remarks: Vec::new() })
    }
}

/// Whoever unpacks becomes the owner. A program that was to run as somebody, or as some group, must not run as root
/// for that: the bits stay only where the archive says root as well. So do capabilities, which are parts of root.
pub(crate) fn drop_set_id(entry: &mut Entry) {
    entry.mode &= if entry.uid == 0 { !0 } else { !0o4000 };
    entry.mode &= if entry.gid == 0 { !0 } else { !0o2000 };
    entry.xattrs.retain(|(attribute, _)| entry.uid == 0 || attribute != "security.capability");
}

/// The member with `count` leading path elements dropped, below `dest`; `None` for one with fewer.
pub(crate) fn relocated(mut entry: Entry, count: u32, dest: &Path) -> Result<Option<Entry>, UnpackError> {
    let stripped = |path: &Path| if count == 0 { Some(path.to_owned()) } else { strip(path, count) };
    if entry.path.as_os_str().is_empty() {
        return Ok(None);
    }
    let Some(path) = stripped(&entry.path) else { return Ok(None) };
    if entry.kind == Kind::HardLink {
        let Some(link) = stripped(&entry.link) else {
            return Err(UnpackError::LinkLeftOut { path: entry.path, link: entry.link, strip: count });
        };
        entry.link = below(dest, &link)?;
    }
    use std::os::unix::ffi::OsStrExt;
    if path.iter().any(|name| name.as_bytes().starts_with(whiteout::PREFIX.as_bytes())) {
        return Err(UnpackError::Whiteout { path });
    }
    entry.path = below(dest, &path)?;
    Ok(Some(entry))
}

fn below(dest: &Path, path: &Path) -> Result<PathBuf, UnpackError> {
    use std::os::unix::ffi::OsStrExt;
    let joined = Path::new("/").join(dest).join(path);
    let joined: &OsStr = joined.as_os_str();
    Ok(path::clean(joined.as_bytes()).map_err(TarError::from)?)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::compress::{Compression, Encoder};
    use crate::tar::{TarWriter, plain_directory};

    fn archive(compression: &str) -> Vec<u8> {
        let mut tar = TarWriter::new(Vec::new());
        let file = |path: &str| Entry { kind: Kind::File, mode: 0o4755, size: 2, ..plain_directory(Path::new(path)) };
        tar.append(&plain_directory(Path::new("top")), &mut io::empty()).unwrap();
        tar.append(&file("top/bin/gcc"), &mut &b"hi"[..]).unwrap();
        let hard = Entry { kind: Kind::HardLink, link: "top/bin/gcc".into(), ..file("top/bin/cc") };
        tar.append(&hard, &mut io::empty()).unwrap();
        let link = Entry { kind: Kind::Symlink, link: "bin/gcc".into(), ..file("top/gcc") };
        tar.append(&link, &mut io::empty()).unwrap();
        tar.append(&file("README"), &mut &b"rd"[..]).unwrap();
        let mut encoder = Encoder::new(Vec::new(), compression.parse::<Compression>().unwrap()).unwrap();
        encoder.write_all(&tar.finish().unwrap()).unwrap();
        encoder.finish().unwrap()
    }

    fn unpacked(bytes: &[u8], strip: u32) -> (tempfile::TempDir, Result<Unpacked, UnpackError>) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("opt")).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        let root = Root::open(directory.path()).unwrap();
        let options = UnpackOptions { strip, ownership: Ownership::Invoker, owned: false };
        let result = unpack(file, &root, Path::new("opt"), &options);
        (directory, result)
    }

    #[test]
    fn directories_that_an_archive_leaves_out_are_made_now() {
        let before = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
        let (directory, result) = unpacked(&archive("none"), 0);
        result.unwrap();
        let time = |path: &str| directory.path().join(path).metadata().unwrap().modified().unwrap();
        assert!(time("opt/top/bin") > before, "the archive does not name it");
        assert_eq!(time("opt/top"), std::time::UNIX_EPOCH, "the archive names it");
    }

    #[test]
    fn no_beginning_of_an_archive_is_all_of_it() {
        let whole = |bytes: &[u8]| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(bytes).unwrap();
            file.rewind().unwrap();
            is_whole(file, &Stop::default())
        };
        let mut zip = ::zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        zip.start_file("top/file", ::zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(&[b'x'; 2000]).unwrap();
        let zip = zip.finish().unwrap().into_inner();
        // What ends a plain tar is two empty blocks, of which one tells as much.
        let each = [(archive("none"), 1024), (archive("gzip"), 1), (archive("zstd"), 1), (zip, 1)];
        for (bytes, least) in each {
            assert!(whole(&bytes).unwrap());
            for end in (0..=bytes.len() - least).step_by(7).chain([bytes.len() - least]) {
                assert!(!whole(&bytes[..end]).unwrap_or(false), "{end} of {}", bytes.len());
            }
        }
        assert!(!whole(b"a text").unwrap());
    }

    #[test]
    fn leading_elements_are_dropped() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        for compression in ["none", "gzip", "zstd"] {
            let (directory, result) = unpacked(&archive(compression), 1);
            assert_eq!(
                result.unwrap().made,
                ["opt/bin/gcc", "opt/bin/cc", "opt/gcc"].map(PathBuf::from),
                "{compression}"
            );
            let gcc = directory.path().join("opt/bin/gcc").metadata().unwrap();
            assert_eq!(gcc.permissions().mode() & 0o7777, 0o4755);
            assert_eq!(gcc.nlink(), 2);
            assert_eq!(std::fs::read(directory.path().join("opt/gcc")).unwrap(), b"hi");
            assert!(!directory.path().join("opt/README").exists());
        }
    }

    #[test]
    fn capabilities_are_of_root_or_nobody() {
        for (uid, left) in [(0, 2), (1000, 1)] {
            let xattrs = ["security.capability", "user.note"].map(|name| (name.into(), b"x".to_vec())).to_vec();
            let mut entry = Entry { uid, xattrs, ..plain_directory(Path::new("bin/ping")) };
            drop_set_id(&mut entry);
            assert_eq!(entry.xattrs.len(), left, "of user {uid}");
        }
    }

    #[test]
    fn a_link_to_what_is_dropped_is_an_error() {
        let mut tar = TarWriter::new(Vec::new());
        let file = Entry { kind: Kind::File, size: 1, ..plain_directory(Path::new("top")) };
        tar.append(&file, &mut &b"x"[..]).unwrap();
        let hard = Entry { kind: Kind::HardLink, link: "top".into(), ..plain_directory(Path::new("dir/link")) };
        tar.append(&hard, &mut io::empty()).unwrap();
        let (_directory, result) = unpacked(&tar.finish().unwrap(), 1);
        assert!(matches!(result, Err(UnpackError::LinkLeftOut { strip: 1, .. })), "{result:?}");
    }

    #[test]
    fn dropping_everything_and_unknown_formats_are_errors() {
        assert!(matches!(unpacked(&archive("none"), 9).1, Err(UnpackError::NothingLeft { strip: 9 })));
        assert!(matches!(unpacked(&[7; 2000], 0).1, Err(UnpackError::UnknownFormat)));
        assert!(matches!(unpacked(b"", 0).1, Err(UnpackError::UnknownFormat)));
    }
}
