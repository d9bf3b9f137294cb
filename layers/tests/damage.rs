//! A damaged archive is an error, or comes to all that it held: never to less without a warning, whatever the format and
//! wherever the damage is, unpacked where it goes and made a layer alike.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a failing test panics")]

use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;

use layers::apply::Ownership;
use layers::compress::Compression;
use layers::diff::ExcludeSet;
use layers::portable::{Place, portable};
use layers::root::Root;
use layers::stop::Stop;
use layers::store::Store;
use layers::tar::{Entry, Kind, TarWriter, plain_directory};
use layers::unpack::{UnpackOptions, unpack};

/// All that is in an archive is in its layer.
static NOTHING: ExcludeSet = ExcludeSet::new(&[], &[], &[]);

const MIB: usize = 1 << 20;
const CONFIG: &[u8] = b"important = yes\n";

fn bytes_of(size: usize) -> Vec<u8> {
    (0..u32::try_from(size).unwrap()).map(|n| (n.wrapping_mul(2_654_435_761) >> 26) as u8).collect()
}

fn file(path: &str, size: usize) -> Entry {
    Entry { kind: Kind::File, mode: 0o644, size: size as u64, ..plain_directory(Path::new(path)) }
}

/// Three whole MiB, of which the first has whole members, and the last the one that would be missed.
fn tar() -> Vec<u8> {
    let mut tar = TarWriter::new(Vec::new());
    let first = bytes_of(MIB - 512);
    tar.append(&file("first", first.len()), &mut first.as_slice()).unwrap();
    let second = bytes_of(2 * MIB - 512 - 1024 - 512 - 512 - 512);
    tar.append(&file("second", second.len()), &mut second.as_slice()).unwrap();
    tar.append(&file("empty", 0), &mut std::io::empty()).unwrap();
    tar.append(&file("important.conf", CONFIG.len()), &mut &CONFIG[..]).unwrap();
    let bytes = tar.finish().unwrap();
    assert_eq!(bytes.len(), 3 * MIB);
    bytes
}

fn opened(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

/// What unpacking says; panics if it succeeds and something is missing.
fn unpacked(bytes: &[u8], what: &str) -> Result<(), String> {
    let directory = tempfile::tempdir().unwrap();
    let root = Root::open(directory.path()).unwrap();
    let options = UnpackOptions { strip: 0, ownership: Ownership::Invoker, owned: true };
    unpack(opened(bytes), &root, Path::new(""), &options).map_err(|error| error.to_string())?;
    let size =
        |name: &str| directory.path().join(name).metadata().unwrap_or_else(|_| panic!("{what}: no {name}")).len();
    assert_eq!(
        [size("first"), size("second"), size("empty")].map(|n| n as usize),
        [MIB - 512, 2 * MIB - 3072, 0],
        "{what}"
    );
    assert_eq!(std::fs::read(directory.path().join("important.conf")).unwrap_or_default(), CONFIG, "{what}");
    Ok(())
}

fn layer(bytes: &[u8], store: &Store) -> Result<u64, String> {
    let stop = Stop::default();
    let place = Place::as_it_is(&NOTHING, &stop);
    let compression: Compression = "none".parse().unwrap();
    let made = portable(opened(bytes), &place, store.layer_writer(compression).unwrap());
    made.map(|made| made.blob.descriptor.size).map_err(|error| error.to_string())
}

/// Cuts and flips around `boundaries`. With `checked`, the format's checksum shows every flip there.
fn sweep(name: &str, good: &[u8], boundaries: &[usize], checked: bool) {
    let scratch = tempfile::tempdir().unwrap();
    let store = Store::open(scratch.path()).unwrap();
    unpacked(good, name).unwrap_or_else(|error| panic!("{name}: {error}"));
    let whole = layer(good, &store).unwrap_or_else(|error| panic!("{name}: {error}"));
    for boundary in boundaries {
        for around in [-9_isize, -5, -1, 0, 1, 3, 8] {
            let Some(at) = boundary.checked_add_signed(around).filter(|at| *at < good.len()) else { continue };
            let mut flipped = good.to_vec();
            flipped[at] ^= 0x41;
            // Between two pieces, a cut leaves a whole stream with less in it: here, one that ends behind a member.
            let between = around == 0 && !checked;
            let cut = if between { good } else { &good[..at] };
            for (damage, bytes, seen) in [("cut", cut, !between), ("flipped", flipped.as_slice(), checked)] {
                let what = format!("{name}, {damage} at {at} of {}", good.len());
                let in_place = unpacked(bytes, &what);
                if let Ok(size) = layer(bytes, &store) {
                    assert_eq!(size, whole, "{what}");
                    assert!(in_place.is_ok(), "{what}: only in place {in_place:?}");
                }
                assert!(!seen || in_place.is_err(), "{what}: nothing said");
            }
        }
    }
}

/// Independent pieces, one behind the other, and where each of them ends.
fn pieces(data: &[u8], size: usize, pack: impl Fn(&[u8]) -> Vec<u8>) -> (Vec<u8>, Vec<usize>) {
    let (mut all, mut ends) = (Vec::new(), vec![0]);
    for piece in data.chunks(size) {
        all.extend(pack(piece));
        ends.push(all.len());
    }
    (all, ends)
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn xz(data: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn gzip_of_one_member_and_of_many() {
    // The eight bytes before the end are CRC and length; a cut between two members leaves a whole stream of less.
    let one = gzip(&tar());
    let stored = one.len() / 3;
    sweep("gz", &one, &[one.len(), stored, 2 * stored], true);
    let (many, ends) = pieces(&tar(), MIB, gzip);
    sweep("gz of members", &many, &ends, false);
}

#[test]
fn xz_of_one_stream_of_many_and_of_blocks() {
    let one = xz(&tar());
    sweep("xz", &one, &[12, one.len() / 2, one.len() - 12, one.len()], true);
    let (many, ends) = pieces(&tar(), MIB, xz);
    sweep("xz of streams", &many, &ends, false);
    let mut builder = liblzma::stream::MtStreamBuilder::new();
    let stream = builder.threads(2).preset(0).block_size(MIB as u64).encoder().unwrap();
    let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    encoder.write_all(&tar()).unwrap();
    let blocks = encoder.finish().unwrap();
    let third = blocks.len() / 3;
    sweep("xz of blocks", &blocks, &[third, 2 * third, blocks.len() - 30, blocks.len()], true);
}

#[test]
fn bzip2_of_one_stream_and_of_many() {
    let pack = |data: &[u8]| {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    };
    let one = pack(&tar());
    sweep("bz2", &one, &[one.len() / 2, one.len() - 1], false);
    let (many, ends) = pieces(&tar(), MIB, pack);
    sweep("bz2 of streams", &many, &ends, false);
}

#[test]
fn zstd_of_one_frame_and_of_many() {
    let pack = |data: &[u8], sized: bool| {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.set_pledged_src_size(sized.then_some(data.len() as u64)).unwrap();
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    };
    for sized in [true, false] {
        let one = pack(&tar(), sized);
        sweep("zst", &one, &[one.len() / 2, one.len()], true);
        let (many, ends) = pieces(&tar(), MIB, |data| pack(data, sized));
        sweep("zst of frames", &many, &ends, false);
    }
}

#[test]
fn lz4_of_one_frame_and_of_many() {
    use lz4_flex::frame::{FrameEncoder, FrameInfo};
    let pack = |data: &[u8]| {
        let mut encoder = FrameEncoder::with_frame_info(FrameInfo::new().content_checksum(true), Vec::new());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    };
    let one = pack(&tar());
    sweep("lz4", &one, &[one.len() / 2, one.len()], true);
    let (many, ends) = pieces(&tar(), MIB, pack);
    sweep("lz4 of frames", &many, &ends, false);
}

/// A plain tar has no checksum of its content, and may lack the blocks at its end: at the boundary of a member, a cut
/// cannot be seen, and GNU tar does not see it either. Everywhere else it is seen.
#[test]
fn tar_without_compression() {
    let good = tar();
    let end = good.len();
    for cut in [MIB - 1, MIB + 1, MIB + 100, MIB + 513, 2 * MIB, end - 2000, end - 1100, end - 1537] {
        assert!(unpacked(&good[..cut], "cut").is_err(), "{cut}");
    }
    unpacked(&good[..end - 1024], "without its end").unwrap();
    unpacked(&good[..end - 512], "with half of its end").unwrap();
    // A block of zeros in place of a header ends it, as for tar(1); what follows it is not forgotten without a word.
    let mut holed = good.clone();
    holed[MIB..MIB + 512].fill(0);
    let directory = tempfile::tempdir().unwrap();
    let root = Root::open(directory.path()).unwrap();
    let options = UnpackOptions { strip: 0, ownership: Ownership::Invoker, owned: true };
    let remarks = unpack(opened(&holed), &root, Path::new(""), &options).unwrap().remarks;
    assert!(remarks.len() == 1 && remarks[0].contains("`empty`, and whatever follows it, is left out"), "{remarks:?}");
    for at in [0, 99, MIB, MIB + 124, end - 2048, end - 2560 + 150] {
        let mut bad = good.clone();
        bad[at] ^= 0x41;
        assert!(unpacked(&bad, "flipped").is_err(), "{at}");
    }
    // A header for what is to come, and nothing to come.
    let mut long = TarWriter::new(Vec::new());
    long.append(&file(&"n".repeat(150), 0), &mut std::io::empty()).unwrap();
    let long = long.finish().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let root = Root::open(directory.path()).unwrap();
    let options = UnpackOptions { strip: 0, ownership: Ownership::Invoker, owned: true };
    assert!(unpack(opened(&long[..1024]), &root, Path::new(""), &options).is_err());
}

#[test]
fn zip_and_debian_packages() {
    use zip::write::SimpleFileOptions;
    for method in [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated] {
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(method);
        for (name, content) in [
            ("first", bytes_of(MIB - 512)),
            ("second", bytes_of(2 * MIB - 3072)),
            ("empty", Vec::new()),
            ("important.conf", CONFIG.to_vec()),
        ] {
            zip.start_file(name, options).unwrap();
            zip.write_all(&content).unwrap();
        }
        let good = zip.finish().unwrap().into_inner();
        unpacked(&good, "zip").unwrap();
        for cut in
            [10, good.len() / 3, good.len() / 2, good.len() - 100, good.len() - 23, good.len() - 22, good.len() - 1]
        {
            assert!(unpacked(&good[..cut], "zip").is_err(), "{cut}");
        }
        // In the content of each, every flip is seen.
        let config = good.windows(CONFIG.len()).position(|window| window == CONFIG);
        let places = [100, good.len() / 3, good.len() / 2].into_iter().chain(config);
        for at in places {
            let mut bad = good.clone();
            bad[at] ^= 0x41;
            assert!(unpacked(&bad, "zip").is_err(), "{at}");
        }
    }
    for data in [xz(&tar()), tar()] {
        let mut deb = b"!<arch>\n".to_vec();
        let mut head = Vec::new();
        for (name, content) in [("debian-binary", &b"2.0\n"[..]), ("control.tar", &[0; 1024]), ("data.tar", &data)] {
            head.push(deb.len());
            deb.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, content.len()).bytes());
            deb.extend_from_slice(content);
            deb.extend_from_slice(&b"\n"[..content.len() % 2]);
        }
        head.push(deb.len());
        let packed = data.starts_with(b"\xfd7zXZ");
        sweep("deb", &deb, &head[1..], false);
        for cut in [deb.len() - 2, deb.len() - 513, deb.len() - 1024, deb.len() - 2560] {
            assert!(unpacked(&deb[..cut], "deb").is_err(), "{packed} {cut}");
        }
    }
}

#[test]
fn a_zip_whose_records_do_not_agree_is_damaged() {
    let zip = |names: &[&str]| {
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for name in names {
            zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(CONFIG).unwrap();
        }
        zip.finish().unwrap().into_inner()
    };
    let good = zip(&["a", "b", "name.conf"]);
    let taken = |bytes: &[u8]| {
        let directory = tempfile::tempdir().unwrap();
        let options = UnpackOptions { strip: 0, ownership: Ownership::Invoker, owned: true };
        unpack(opened(bytes), &Root::open(directory.path()).unwrap(), Path::new(""), &options)
    };
    assert_eq!(taken(&good).unwrap().made.len(), 3);
    assert!(taken(&zip(&[])).unwrap().made.is_empty());
    let refused = |bytes: &[u8], words: &str| {
        let error = taken(bytes).unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
    };
    // How many members there are, twice in the last record.
    for (count, words) in [
        (0, "it has more members than its directory names"),
        (2, "its directory does not end where its last record says"),
    ] {
        let mut bad = good.clone();
        let end = bad.len() - 22;
        (bad[end + 8], bad[end + 10]) = (count, count);
        refused(&bad, words);
    }
    refused(&[good.clone(), zip(&["d"])].concat(), "it has more members than its directory names");
    // A name where the member is, and in the directory.
    let places = good.windows(9).enumerate().filter(|(_, window)| *window == b"name.conf").map(|(at, _)| at);
    for at in places {
        let mut bad = good.clone();
        bad[at] = b'N';
        refused(&bad, "in its directory");
    }
}

#[test]
fn a_package_is_what_dpkg_takes_for_one() {
    let package = |members: &[(&str, &[u8])]| {
        let mut deb = b"!<arch>\n".to_vec();
        for (name, content) in members {
            deb.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, content.len()).bytes());
            deb.extend_from_slice(content);
            deb.extend_from_slice(&b"\n"[..content.len() % 2]);
        }
        deb
    };
    let data = tar();
    let (version, control, data) = (("debian-binary", &b"2.0\n"[..]), ("control.tar", &[0; 1024][..]), &data[..]);
    for good in [
        [version, control, ("data.tar", data)].as_slice(),
        &[("debian-binary/", b"2.1\nmore"), ("_gpgorigin", b"x"), control, ("_y", b""), ("data.tar/", data)],
        &[version, ("control.tar.zst", b""), ("data.tar.xz", data), ("after", b"z")],
    ] {
        unpacked(&package(good), "deb").unwrap();
    }
    for (bad, words) in [
        (package(&[("data.tar", data)]), "has `data.tar` where debian-binary belongs"),
        (package(&[version, ("data.tar", data)]), "has `data.tar` where control.tar belongs"),
        (package(&[("data.tar", data), version, control]), "where debian-binary belongs"),
        (package(&[("debian-binary", b"9.0\n"), control, ("data.tar", data)]), "of a version of the format"),
        (package(&[version, control, ("data.tar.foo", data)]), "has `data.tar.foo` where data.tar belongs"),
        (package(&[version, control]), "has no data.tar"),
    ] {
        let error = unpacked(&bad, "deb").unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
    }
    let good = package(&[version, control, ("data.tar", data)]);
    let mut bad = good.clone();
    let size = bad.windows(10).position(|window| window == b"1024      ").unwrap();
    bad[size..size + 5].copy_from_slice(b"+1024");
    let error = unpacked(&bad, "deb").unwrap_err().to_string();
    assert!(error.contains("the Debian package is damaged"), "{error}");
}
