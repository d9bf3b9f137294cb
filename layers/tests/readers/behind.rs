//! What follows the end of an archive, and of the stream that it is packed in, as the tools themselves write them.

use std::io::Write;
use std::process::{Command, Stdio};

use layers::diff::ExcludeSet;
use layers::portable::{Place, portable};
use layers::root::Root;
use layers::stop::Stop;
use layers::store::Store;
use layers::unpack::{UnpackOptions, unpack};

use super::{Ownership, Path, in_place, opened, refused};

/// All that is in an archive is in its layer.
static NOTHING: ExcludeSet = ExcludeSet::new(&[], &[], &[]);

const TOOLS: [&str; 8] =
    ["gzip", "bzip2", "xz -T1", "xz -T2 --block-size=64KiB", "zstd -q", "lz4 -q", "lz4 -lq", "xz --format=lzma"];

/// What `command` makes of `input`.
fn piped(command: &str, input: &[u8]) -> Vec<u8> {
    let mut child =
        Command::new("sh").args(["-c", command]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{command}");
    output.stdout
}

/// What tar makes of files of these names, with what compresses well and badly in them.
fn tar(names: &[&str]) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    for name in names {
        let bytes: Vec<u8> = (0..300_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 27) as u8).collect();
        std::fs::write(directory.path().join(name), bytes).unwrap();
    }
    piped(&format!("tar -C {} -cf - {}", directory.path().display(), names.join(" ")), b"")
}

/// The names that were unpacked and what was said of them, alike by both ways into an image.
fn taken(bytes: &[u8]) -> (Vec<String>, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let root = Root::open(directory.path()).unwrap();
    let options = UnpackOptions { strip: 0, ownership: Ownership::Invoker, owned: true };
    let unpacked = unpack(opened(bytes), &root, Path::new(""), &options).unwrap();
    let (store, stop) = (tempfile::tempdir().unwrap(), Stop::default());
    let store = Store::open(store.path()).unwrap();
    let writer = store.layer_writer("zstd:1".parse().unwrap()).unwrap();
    let streamed = portable(opened(bytes), &Place::as_it_is(&NOTHING, &stop), writer).unwrap();
    assert_eq!(streamed.remarks, unpacked.remarks);
    (unpacked.made.iter().map(|path| path.display().to_string()).collect(), unpacked.remarks)
}

fn named(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn zeros_behind_a_stream_are_nothing_and_all_else_is_told() {
    let tar = tar(&["first", "last"]);
    for tool in TOOLS {
        let good = piped(tool, &tar);
        let with = |rest: &[u8]| [good.as_slice(), rest].concat();
        for nothing in [&b""[..], &[0; 4], &[0; 512], &[0; 70_000]] {
            assert_eq!(taken(&with(nothing)), (named(&["first", "last"]), Vec::new()), "{tool}");
        }
        for rest in [&b"x"[..], b"-----BEGIN PGP SIGNATURE-----\n", b"\0\0\0\0\0\0\0\0signed"] {
            let (made, remarks) = taken(&with(rest));
            assert_eq!(made, named(&["first", "last"]), "{tool}");
            let [remark] = remarks.as_slice() else { panic!("{tool}: {remarks:?}") };
            assert!(remark.contains("what follows the end of its ") && remark.contains(" is left out"), "{remark}");
        }
        // The end of what was cut off is not the end of an archive, whatever follows.
        for cut in [good.len() / 2, good.len() / 2 + 1] {
            for rest in [&b""[..], &[0; 1000], b"rest of it"] {
                assert!(in_place(&[&good[..cut], rest].concat()).1.is_err(), "{tool} at {cut}");
            }
        }
        if tool.ends_with("lzma") {
            continue;
        }
        let (one, other) = tar.split_at(tar.len() / 3);
        let both = [piped(tool, one), piped(tool, other)].concat();
        assert_eq!(taken(&both), (named(&["first", "last"]), Vec::new()), "{tool}");
        // What is wanted is never taken for what may be left out.
        let apart = [piped(tool, one), b"something".to_vec(), piped(tool, other)].concat();
        let error = in_place(&apart).1.unwrap_err();
        assert!(error.contains("there is something behind its end"), "{tool}: {error}");
    }
}

#[test]
fn lz4_in_all_its_kinds() {
    let tar = tar(&["first", "last"]);
    let (one, other) = tar.split_at(200_000);
    let skippable = |size: u32| {
        let content = vec![b'n'; usize::try_from(size).unwrap()];
        [&[0x5c, 0x2a, 0x4d, 0x18][..], &size.to_le_bytes(), &content].concat()
    };
    for first in ["lz4 -q", "lz4 -lq"] {
        for second in ["lz4 -q", "lz4 -lq"] {
            // Of the old format, only a frame that ends with a small block ends where another begins.
            let frames = [piped(first, one), piped(second, other)].concat();
            assert_eq!(piped("lz4 -dq", &frames).len(), tar.len(), "as lz4 itself reads it");
            for skipped in [0, 40, 600_000] {
                let bytes = [skippable(skipped), skippable(3), frames.clone()].concat();
                assert_eq!(taken(&bytes), (named(&["first", "last"]), Vec::new()), "{first}, {second}, {skipped}");
            }
        }
    }
    let zstd = [skippable(400_000), piped("zstd -q", &tar)].concat();
    assert_eq!(taken(&zstd).0, named(&["first", "last"]));
    assert!(in_place(&skippable(400_000)[..9000]).1.unwrap_err().contains("cut off"));
}

#[test]
fn dictionaries_of_lzma_are_what_can_be_used() {
    let tar = tar(&["first", "last"]);
    for known in [true, false] {
        let mut good = piped("xz --format=lzma --lzma1=preset=1,lc=2", &tar);
        let size = if known { tar.len() as u64 } else { u64::MAX };
        good[5..13].copy_from_slice(&size.to_le_bytes());
        for dictionary in [u32::MAX, 1 << 31, 3 << 29, 1 << 20] {
            good[1..5].copy_from_slice(&dictionary.to_le_bytes());
            assert_eq!(taken(&good), (named(&["first", "last"]), Vec::new()), "{dictionary}");
        }
    }
    let mut odd = piped("xz --format=lzma", &tar);
    for dictionary in [5_000_000_u32, 0xffff_fffe, 1_000_001] {
        odd[1..5].copy_from_slice(&dictionary.to_le_bytes());
        assert_eq!(taken(&odd).0, named(&["first", "last"]), "{dictionary}");
    }
    // A tar whose first name reads like such a header.
    let tar = self::tar(&["]abcdefgh"]);
    assert_eq!(taken(&tar).0, named(&["]abcdefgh"]));
}

#[test]
fn a_lone_block_of_zeros_ends_an_archive_with_a_warning() {
    let (one, other) = (tar(&["first"]), tar(&["last"]));
    let content = 512 + 300_000_usize.next_multiple_of(512);
    let lone = [&one[..content], &[0; 512], &other[..]].concat();
    assert_eq!(
        piped("tar -tf - 2>&1; cat > /dev/null", &lone),
        b"first\ntar: A lone zero block at 588\n",
        "as tar itself reads it"
    );
    let (made, remarks) = taken(&lone);
    assert_eq!(made, named(&["first"]));
    let [remark] = remarks.as_slice() else { panic!("{remarks:?}") };
    assert!(remark.contains("a single block of zeros ends the archive") && remark.contains("`last`"), "{remark}");
    // Archives one behind the other.
    let (made, remarks) = taken(&[one.as_slice(), &other].concat());
    assert_eq!(made, named(&["first"]));
    let [remark] = remarks.as_slice() else { panic!("{remarks:?}") };
    assert!(remark.contains("another archive follows") && remark.contains("`last`"), "{remark}");
    // At the very end, it is one of the two that end an archive; before everything else, it ends none.
    assert_eq!(taken(&[&one[..content], &[0; 512]].concat()), (named(&["first"]), Vec::new()));
    refused(&[&[0; 512], &other[..]].concat(), "a single block of zeros");
}
