//! Archives as other tools write and read them, and archives that ask for too much.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a failing test panics")]

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use layers::apply::{ApplyOptions, Form, Ownership, apply};
use layers::compress::Compression;
use layers::diff::ExcludeSet;
use layers::portable::{Place, portable};
use layers::root::Root;
use layers::stop::Stop;
use layers::store::Store;
use layers::tar::{Entry, Kind, TarError, TarWriter, for_each, plain_directory};
use layers::unpack::{UnpackOptions, unpack};

/// All that is in an archive is in its layer.
static NOTHING: ExcludeSet = ExcludeSet::new(&[], &[], &[]);

mod attributes;
mod behind;
mod zips;

const BLOCK: usize = 512;

/// A header of the GNU format, as any tool would write it.
fn header(kind: u8, name: &[u8], size: u64) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    let length = name.len().min(100);
    block[..length].copy_from_slice(&name[..length]);
    block[100..108].copy_from_slice(b"0000644\0");
    block[108..116].copy_from_slice(b"0000000\0");
    block[116..124].copy_from_slice(b"0000000\0");
    block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    block[136..148].copy_from_slice(b"00000000000\0");
    block[156] = kind;
    if matches!(kind, b'1' | b'2') {
        block[157..162].copy_from_slice(b"first");
    }
    block[257..265].copy_from_slice(b"ustar  \0");
    summed(block, false)
}

fn summed(mut block: Vec<u8>, signed: bool) -> Vec<u8> {
    block[148..156].fill(b' ');
    let value = |byte: &u8| if signed { i64::from(byte.cast_signed()) } else { i64::from(*byte) };
    let sum: i64 = block.iter().map(value).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn padded(content: &[u8]) -> Vec<u8> {
    let mut bytes = content.to_vec();
    bytes.resize(content.len().next_multiple_of(BLOCK), 0);
    bytes
}

fn member(kind: u8, name: &[u8], content: &[u8]) -> Vec<u8> {
    [header(kind, name, content.len() as u64), padded(content)].concat()
}

fn pax(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length = (1..9).map(|digits| rest + digits).find(|length| length.to_string().len() + rest == *length).unwrap();
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

fn ended(parts: &[Vec<u8>]) -> Vec<u8> {
    [parts.concat(), vec![0; 1024]].concat()
}

fn read(bytes: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, TarError> {
    let mut members = Vec::new();
    for_each::<_, TarError>(bytes, |entry, content| {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        members.push((entry, bytes));
        Ok(())
    })?;
    Ok(members)
}

fn opened(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

fn in_place(bytes: &[u8]) -> (tempfile::TempDir, Result<Vec<PathBuf>, String>) {
    let directory = tempfile::tempdir().unwrap();
    let root = Root::open(directory.path()).unwrap();
    let options = UnpackOptions { strip: 0, ownership: Ownership::Invoker, owned: true };
    let result = unpack(opened(bytes), &root, Path::new(""), &options);
    let result = result.map(|unpacked| unpacked.made).map_err(|error| error.to_string());
    (directory, result)
}

fn streamed(bytes: &[u8]) -> Result<u64, String> {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let stop = Stop::default();
    let place = Place::as_it_is(&NOTHING, &stop);
    let compression: Compression = "zstd:1".parse().unwrap();
    let made = portable(opened(bytes), &place, store.layer_writer(compression).unwrap());
    made.map(|made| made.blob.descriptor.size).map_err(|error| error.to_string())
}

/// Refused by both ways into an image, with the same words.
fn refused(bytes: &[u8], words: &str) {
    for error in [in_place(bytes).1.map(drop).unwrap_err(), streamed(bytes).map(drop).unwrap_err()] {
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn sizes_of_what_has_no_data_skip_nothing() {
    for kind in *b"123456" {
        let name: &[u8] = if kind == b'5' { b"odd/" } else { b"odd" };
        let bytes = ended(&[member(b'0', b"first", b"1"), header(kind, name, 700), member(b'0', b"after", b"2")]);
        let members = read(&bytes).unwrap();
        let names: Vec<_> = members.iter().map(|(entry, _)| entry.path.to_str().unwrap()).collect();
        assert_eq!(names, ["first", "odd", "after"], "{}", char::from(kind));
        assert_eq!((members[1].0.size, members[2].1.as_slice()), (0, &b"2"[..]));
        // The same by an extended header.
        let ahead = member(b'x', b"pax", &pax("size", b"900"));
        let bytes = ended(&[member(b'0', b"first", b"1"), ahead, header(kind, name, 0), member(b'0', b"after", b"2")]);
        assert_eq!(read(&bytes).unwrap().len(), 3, "{}", char::from(kind));
    }
    // A directory of a time that had no kind for it.
    let bytes = ended(&[header(0, b"old/", 700), member(0, b"old/file", b"2")]);
    assert_eq!(
        read(&bytes).unwrap().iter().map(|(entry, _)| entry.kind).collect::<Vec<_>>(),
        [Kind::Directory, Kind::File]
    );
}

#[test]
fn kinds_of_old_gnu_archives() {
    let parts = [
        member(b'V', b"label", b""),
        member(b'D', b"dumped/", b"Yfile\0\0"),
        member(b'0', b"slash/", b"no content"),
        member(b'N', b"names", b"Rename x to y\n"),
        member(b'7', b"contiguous", b"c"),
        member(b'0', b"after", b"2"),
    ];
    let members = read(&ended(&parts)).unwrap();
    let found: Vec<_> = members.iter().map(|(entry, _)| (entry.path.to_str().unwrap(), entry.kind)).collect();
    let expected = [
        ("dumped", Kind::Directory),
        ("slash", Kind::Directory),
        ("names", Kind::File),
        ("contiguous", Kind::File),
        ("after", Kind::File),
    ];
    assert_eq!(found, expected);
    for (entry, content) in &members {
        assert_eq!(entry.size, content.len() as u64, "{}", entry.path.display());
    }
    let error = read(&ended(&[member(b'M', b"rest", b"of it")])).unwrap_err().to_string();
    assert!(error.contains("`rest` is continued from another volume"), "{error}");
}

#[test]
fn signed_checksums_and_owners_that_were_not_written() {
    let mut block = header(b'0', "gr\u{f6}\u{df}e".as_bytes(), 0);
    block = summed(block, true);
    assert_eq!(read(&ended(&[block])).unwrap().len(), 1);
    let mut block = header(b'0', b"nobody", 0);
    block[108..124].fill(0);
    let members = read(&ended(&[summed(block, false)])).unwrap();
    assert_eq!((members[0].0.uid, members[0].0.gid), (0, 0));
}

#[test]
fn damage_is_not_called_an_unknown_format() {
    let good = ended(&[member(b'0', b"file", b"x")]);
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 0);
    xz.write_all(&good).unwrap();
    let mut xz = xz.finish().unwrap();
    let at = xz.len() / 2;
    xz[at] ^= 1;
    refused(&xz, "the xz stream is damaged");
    let zst = zstd::bulk::compress(&good, 1).unwrap();
    refused(&zst[..zst.len() - 2], "the zstd stream is cut off");
    let mut bz2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bz2.write_all(&good).unwrap();
    let bz2 = bz2.finish().unwrap();
    refused(&bz2[..bz2.len() - 2], "the bzip2 stream is cut off");
}

#[test]
fn what_linux_cannot_make_is_refused_when_the_layer_is_made() {
    let long = [&b"d/".repeat(2050)[..], b"x"].concat();
    refused(&ended(&[member(b'L', b"long", &long), member(b'0', b"x", b"")]), "a name longer than the 4096 bytes");
    let element = vec![b'n'; 256];
    refused(&ended(&[member(b'L', b"long", &element), member(b'0', b"x", b"")]), "longer than the 255 bytes");
    refused(&ended(&[member(b'K', b"long", &long), member(b'2', b"x", b"")]), "`x` is a link to a name longer");
    let attribute = |name: &str, size: usize| {
        let records = pax(&format!("SCHILY.xattr.user.{name}"), &vec![b'v'; size]);
        ended(&[member(b'x', b"pax", &records), member(b'0', b"x", b"")])
    };
    refused(&attribute("a", (64 << 10) + 1), "`x` has an extended attribute larger than the 64 KiB");
    refused(&attribute(&"a".repeat(251), 1), "`x` has an extended attribute whose name");
    assert_eq!(read(&attribute(&"a".repeat(250), 64 << 10)).unwrap().len(), 1);
}

/// Thousands of elements in one name: nothing may call itself for each of them.
#[test]
fn deep_names_do_not_exhaust_the_stack() {
    let deep = [&b"d/".repeat(2000)[..], b"x"].concat();
    let bytes = ended(&[member(b'L', b"long", &deep), member(b'0', b"x", b"hi")]);
    let run = move || {
        assert!(streamed(&bytes).is_ok());
        let (directory, result) = in_place(&bytes);
        assert_eq!(result.unwrap().len(), 1);
        let root = tempfile::tempdir().unwrap();
        let options = ApplyOptions { form: Form::Plain, parents: None, ownership: Ownership::Invoker };
        apply(bytes.as_slice(), &Root::open(root.path()).unwrap(), &options).unwrap();
        for made in [directory, root] {
            layers::root::remove_tree(&made.keep()).unwrap();
        }
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(run).unwrap().join().unwrap();
}

#[test]
fn extended_headers_of_one_member_are_limited_in_their_sum() {
    let one = member(b'x', b"pax", &pax("SCHILY.xattr.user.a", &vec![b'v'; 60 << 10]));
    let many: Vec<_> = std::iter::repeat_n(one.clone(), 100).chain([member(b'0', b"x", b"")]).collect();
    refused(&ended(&many), "the extended headers of a member are larger than 4 MiB");
    // As many for as many members are fine.
    let each = std::iter::repeat_n([one, member(b'0', b"x", b"")].concat(), 100).collect::<Vec<_>>();
    assert_eq!(read(&ended(&each)).unwrap().len(), 100);
    // Those for all members are not kept.
    let global = std::iter::repeat_n(member(b'g', b"pax", &pax("comment", &vec![b'c'; 60 << 10])), 100);
    assert_eq!(read(&ended(&global.chain([member(b'0', b"x", b"")]).collect::<Vec<_>>())).unwrap().len(), 1);
}

fn sparse(name: &str, size: u64, data: &[(u64, &[u8])]) -> Vec<u8> {
    let map: Vec<String> = data.iter().map(|(at, bytes)| format!("{at},{}", bytes.len())).collect();
    let records = [
        pax("GNU.sparse.size", size.to_string().as_bytes()),
        pax("GNU.sparse.numblocks", data.len().to_string().as_bytes()),
        pax("GNU.sparse.map", map.join(",").as_bytes()),
    ];
    let content: Vec<u8> = data.iter().flat_map(|(_, bytes)| bytes.to_vec()).collect();
    [member(b'x', b"pax", &records.concat()), member(b'0', name.as_bytes(), &content)].concat()
}

#[test]
fn holes_stay_holes() {
    let size = 40 << 30;
    let bytes = ended(&[sparse("image", size, &[(0, b"begin"), (1 << 30, b"middle")]), member(b'0', b"after", b"2")]);
    let (directory, result) = in_place(&bytes);
    assert_eq!(result.unwrap().len(), 2);
    let metadata = directory.path().join("image").metadata().unwrap();
    assert_eq!(metadata.len(), size);
    assert!(metadata.blocks() < 1000, "{} blocks", metadata.blocks());
    let mut file = File::open(directory.path().join("image")).unwrap();
    let mut found = [0; 8];
    file.seek(io::SeekFrom::Start((1 << 30) - 1)).unwrap();
    file.read_exact(&mut found).unwrap();
    assert_eq!(&found, b"\0middle\0");
}

#[test]
fn sparse_files_of_absurd_sizes_are_refused() {
    for size in [1 << 62, u64::MAX, (256 << 30) + 1] {
        refused(&ended(&[sparse("absurd", size, &[(0, b"x")])]), "`absurd` is a sparse file");
    }
    let half = 129 << 30;
    let bytes = ended(&[sparse("one", half, &[(0, b"x")]), sparse("two", half, &[(0, b"x")])]);
    let error = in_place(&bytes).1.unwrap_err();
    assert!(error.contains("`two` is a sparse file"), "{error}");
}

#[test]
fn members_of_one_archive_have_a_limited_sum_of_names() {
    let mut tar = TarWriter::new(Vec::new());
    let deep = Entry { kind: Kind::File, ..plain_directory(Path::new(&("d/".repeat(2000) + "x"))) };
    tar.append(&deep, &mut io::empty()).unwrap();
    let one = tar.finish().unwrap();
    let one = &one[..one.len() - 1024];
    // 600 MiB of names, of which none is new.
    let many = io::repeat(0).take(0).chain(Repeated { bytes: one, left: 150_000, at: 0 });
    let error = for_each::<_, TarError>(many, |_, _| Ok(())).unwrap_err().to_string();
    assert!(error.contains("512 MiB of names"), "{}", &error[error.len() - 100..]);
}

struct Repeated<'b> {
    bytes: &'b [u8],
    left: u32,
    at: usize,
}

impl Read for Repeated<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at == self.bytes.len() && self.left > 0 {
            (self.left, self.at) = (self.left - 1, 0);
        }
        let length = buf.len().min(self.bytes.len() - self.at);
        buf[..length].copy_from_slice(&self.bytes[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}
