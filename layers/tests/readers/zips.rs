//! Zip archives.

use super::*;

fn zipped(write: impl FnOnce(&mut zip::ZipWriter<io::Cursor<Vec<u8>>>)) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    write(&mut zip);
    zip.finish().unwrap().into_inner()
}

fn stored() -> zip::write::SimpleFileOptions {
    zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored)
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8], which: usize) -> Vec<u8> {
    let at = bytes.windows(from.len()).enumerate().filter(|(_, window)| *window == from).nth(which).unwrap().0;
    let mut bytes = bytes.to_vec();
    bytes[at..at + to.len()].copy_from_slice(to);
    bytes
}

#[test]
fn zip_members_are_what_their_checksums_and_sizes_say() {
    let good = zipped(|zip| {
        zip.start_file("file", stored()).unwrap();
        zip.write_all(&[b'A'; 100]).unwrap();
        zip.add_symlink("link", "target", stored()).unwrap();
    });
    in_place(&good).1.unwrap();
    streamed(&good).unwrap();
    refused(&replaced(&good, b"AAAA", b"B", 0), "`file` is damaged: Invalid checksum");
    refused(&replaced(&good, b"target", b"T", 0), "`link` is damaged: Invalid checksum");
    let deflated = zipped(|zip| {
        zip.start_file("file", zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(&[b'A'; 100]).unwrap();
    });
    // The sizes stand in the directory at the end: the second time that they are written.
    for wrong in [10_u32, 99, 101, 5000] {
        let bytes = replaced(&deflated, &100_u32.to_le_bytes(), &wrong.to_le_bytes(), 1);
        assert!(in_place(&bytes).1.is_err(), "{wrong}");
        assert!(streamed(&bytes).is_err(), "{wrong}");
    }
}

#[test]
fn zip_members_that_overlap_are_refused() {
    let good = zipped(|zip| {
        for name in ["one", "two"] {
            zip.start_file(name, stored()).unwrap();
            zip.write_all(&[b'A'; 100]).unwrap();
        }
    });
    // The second entry of the directory says that its member is where the first is.
    let end = good.len() - 22;
    let directory = u32::from_le_bytes(good[end + 16..end + 20].try_into().unwrap()) as usize;
    let second = directory + (end - directory) / 2;
    let mut bad = good.clone();
    bad[second + 42..second + 46].fill(0);
    refused(&bad, "its members overlap");
}

/// Only the end of an archive, which says that so many members are in a directory of so many bytes, and where its own
/// record is.
fn zip_end(members: u64, size: u64, start: u64, record: u64) -> Vec<u8> {
    let large = [
        &b"PK\x06\x06"[..],
        &44_u64.to_le_bytes(),
        &[45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &members.to_le_bytes(),
        &members.to_le_bytes(),
        &size.to_le_bytes(),
        &start.to_le_bytes(),
    ];
    let locator = [&b"PK\x06\x07\0\0\0\0"[..], &record.to_le_bytes(), &[1, 0, 0, 0]];
    let last = [&b"PK\x05\x06\0\0\0\0"[..], &[0xff; 12], &[0, 0]];
    [large.concat(), locator.concat(), last.concat()].concat()
}

/// A zip of empty files: `members` of them, with comments of this many bytes.
fn empty_files(members: u32, comment: u16) -> Vec<u8> {
    let (mut local, mut directory) = (Vec::new(), Vec::new());
    for n in 0..members {
        let name = format!("{n:07x}");
        let at = u32::try_from(local.len()).unwrap();
        let common = [&[20, 0][..], &[0; 6], &[33, 0], &[0; 12], &7_u16.to_le_bytes(), &[0; 2]].concat();
        local.extend([&b"PK\x03\x04"[..], &common, name.as_bytes()].concat());
        let rest = [&comment.to_le_bytes()[..], &[0; 4], &(0o100_644_u32 << 16).to_le_bytes(), &at.to_le_bytes()];
        directory.extend([&b"PK\x01\x02\x14\x03"[..], &common, &rest.concat(), name.as_bytes()].concat());
        directory.resize(directory.len() + usize::from(comment), b'c');
    }
    let (start, size) = (local.len() as u64, directory.len() as u64);
    [local, directory, zip_end(members.into(), size, start, start + size)].concat()
}

#[test]
fn directories_of_zips_are_limited() {
    assert_eq!(in_place(&empty_files(3, 5)).1.unwrap().len(), 3);
    streamed(&empty_files(3, 5)).unwrap();
    const WORDS: &str = "its directory is larger than the 32 MiB that alloy reads into memory";
    // Many members; few with much to say; numbers that are not true.
    refused(&empty_files(700_000, 0), WORDS);
    let long = empty_files(600, 60_000);
    refused(&long, WORDS);
    let (start, size) = (37 * 600, (53 + 60_000) * 600);
    let end = start + size;
    let short = zip_end(600, 46 * 600, start, end);
    refused(&[&long[..usize::try_from(end).unwrap()], &short].concat(), WORDS);
    let front = [&b"PK\x03\x04"[..], &[0; 996]].concat();
    for (members, size) in [(100_000_000, 0), (1, 1 << 40)] {
        refused(&[front.clone(), zip_end(members, size, 1000, 1000)].concat(), WORDS);
    }
    // A record that only a reader finds who searches for it.
    let hidden = zip_end(100_000_000, 1 << 40, 1000, 900);
    refused(&[front, hidden].concat(), "the record of its end is not where it should be");
}
