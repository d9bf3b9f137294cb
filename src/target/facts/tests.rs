//! An archive's layer on a root comes to the same as the archive unpacked there, for any archive and any root: or it
//! is said that it does not. As root, owners take part.

use std::ffi::OsString;
use std::io::{Seek, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use layers::apply::{ApplyOptions, Form, Ownership, apply};
use layers::compress::{Compression, Encoder, decoder};
use layers::portable::{Place, PortableError, portable};
use layers::store::Store;
use layers::tar::{Entry, Kind, TarWriter, plain_directory};
use layers::tree::{self, Tree, difference};
use layers::unpack::{UnpackOptions, unpack};
use proptest::prelude::*;

use super::super::attributes;
use super::*;
use crate::op::Mode;

const EPOCH: u64 = 1_000_000;

fn name() -> impl Strategy<Value = OsString> {
    let long = prop::sample::select(vec![99, 100, 101, 155, 156, 255]);
    prop_oneof![
        40 => prop::sample::select(vec!["a", "b", "c", "lib"]).prop_map(OsString::from),
        3 => prop::sample::select(vec!["x.pyc", ".wh.a", "with space", "tmp", "new\nline", "ünï"]).prop_map(OsString::from),
        2 => long.prop_map(|length| OsString::from("n".repeat(length))),
        1 => Just(OsString::from_vec(b"\xff\xfe".to_vec())),
    ]
}

/// Most fit into the header of a tar, some need one more, and no kernel has all of them.
fn time() -> impl Strategy<Value = (i64, u32)> {
    let seconds = prop_oneof![
        8 => 0..2_000_000_i64,
        1 => prop::sample::select(vec![-1, -2_000_000_000, 0xffff_ffff, 0x1_0000_0000, 8_589_934_592, i64::MAX, i64::MIN]),
    ];
    (seconds, prop_oneof![3 => Just(0), 1 => 1..1_000_000_000_u32])
}

fn attributes_of() -> impl Strategy<Value = Vec<(OsString, Vec<u8>)>> {
    let one = prop_oneof![
        4 => (prop::sample::select(vec!["user.note", "user.a.b"]), prop::collection::vec(any::<u8>(), 0..40)),
        1 => Just(("security.selinux", b"some:label\0".to_vec())),
        1 => Just(("user.overlay.opaque", b"y".to_vec())),
        1 => Just(("trusted.note", b"x".to_vec())),
        2 => Just(("security.capability", b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec())),
        1 => Just(("user.large", vec![7; 3000])),
    ];
    let one = one.prop_map(|(name, value)| (OsString::from(name), value));
    prop_oneof![6 => Just(Vec::new()), 1 => prop::collection::vec(one, 1..3)]
}

fn path() -> impl Strategy<Value = PathBuf> {
    prop::collection::vec(name(), 1..4).prop_map(|names| names.iter().collect())
}

fn entry() -> impl Strategy<Value = (Entry, Vec<u8>)> {
    let kind = prop::sample::select(vec![
        Kind::Directory,
        Kind::Directory,
        Kind::File,
        Kind::File,
        Kind::File,
        Kind::Symlink,
        Kind::HardLink,
        Kind::HardLink,
        Kind::Fifo,
        Kind::CharDevice,
    ]);
    let mode = prop::sample::select(vec![0o755, 0o644, 0o700, 0o4755, 0o2711, 0o2644, 0o1777, 0o6755, 0]);
    let owner = prop::sample::select(vec![(0, 0), (0, 0), (1000, 7), (0, 42), (3_000_000, 0)]);
    let content = prop_oneof![
        12 => prop::collection::vec(any::<u8>(), 0..30),
        1 => (511..514_usize).prop_map(|length| vec![b'x'; length]),
        1 => Just(vec![0; 70_000]),
    ];
    let link = prop_oneof![path(), Just(PathBuf::from("/opt")), Just(PathBuf::from("..")), Just(PathBuf::from("lib"))];
    let said = (mode, owner, time(), attributes_of());
    (path(), kind, said, content, link).prop_map(|(path, kind, (mode, (uid, gid), mtime, xattrs), content, link)| {
        let content = if kind == Kind::File { content } else { Vec::new() };
        let link = if matches!(kind, Kind::Symlink | Kind::HardLink) { link } else { PathBuf::new() };
        let mut xattrs = xattrs;
        // A header has one of each name.
        xattrs.sort();
        xattrs.dedup_by(|one, other| one.0 == other.0);
        let size = content.len() as u64;
        (Entry { kind, mode, uid, gid, mtime, size, link, xattrs, ..plain_directory(&path) }, content)
    })
}

#[derive(Clone, Debug)]
struct Case {
    parent: Vec<(Entry, Vec<u8>)>,
    archive: Vec<(Entry, Vec<u8>)>,
    dest: &'static str,
    strip: u32,
    owner: Option<(u32, Option<u32>)>,
    mode: Option<Mode>,
}

fn case() -> impl Strategy<Value = Case> {
    let modes = vec![Mode::Octal(0o750), Mode::Symbolic("u+x,go-w".into()), Mode::Symbolic("a+X".into())];
    (
        prop::collection::vec(entry(), 0..5),
        prop::collection::vec(entry(), 1..8),
        prop::sample::select(vec!["/opt", "/opt/x", "/opt/x/deep", "/link/x", "/lib", "/a/b"]),
        0_u32..2,
        prop::option::weighted(0.3, prop::sample::select(vec![(0, None), (1000, Some(7)), (5, None)])),
        prop::option::weighted(0.3, prop::sample::select(modes)),
    )
        .prop_map(|(parent, archive, dest, strip, owner, mode)| Case { parent, archive, dest, strip, owner, mode })
}

fn tar(entries: &[(Entry, Vec<u8>)]) -> std::fs::File {
    packed(entries, "none".parse().unwrap())
}

fn packed(entries: &[(Entry, Vec<u8>)], compression: Compression) -> std::fs::File {
    let mut writer = TarWriter::new(Vec::new());
    for (entry, content) in entries {
        writer.append(entry, &mut content.as_slice()).unwrap();
    }
    let mut encoder = Encoder::new(tempfile::tempfile().unwrap(), compression).unwrap();
    encoder.write_all(&writer.finish().unwrap()).unwrap();
    let mut file = encoder.finish().unwrap();
    file.rewind().unwrap();
    file
}

/// The root both begin with: what the case says, and a few things that are always there.
fn parent(case: &Case, place: &Path) -> Root {
    std::fs::create_dir_all(place.join("opt")).unwrap();
    std::os::unix::fs::symlink("/opt", place.join("link")).unwrap();
    let root = Root::open(place).unwrap();
    let options = UnpackOptions { strip: 0, ownership: Ownership::Root, owned: false };
    // What does not fit is left out.
    for one in &case.parent {
        let _ = unpack(tar(std::slice::from_ref(one)), &root, Path::new("opt"), &options);
        let _ = unpack(tar(std::slice::from_ref(one)), &root, Path::new(""), &options);
    }
    root
}

/// As a layer of it would have it: times clamped, those of directories that are only passed through left open, and
/// without labels of the machine.
fn seen(root: &Root, dest: &Path) -> Tree {
    let mut tree = tree::read(root).unwrap();
    for (path, node) in &mut tree {
        node.mtime = if dest.starts_with(path) { 0 } else { node.mtime.min(i64::try_from(EPOCH).unwrap()) };
        node.xattrs.retain(|(name, _)| name != "security.selinux");
    }
    tree
}

/// `None` when the archive has to be unpacked in place.
fn as_layer(case: &Case, root: &Root) -> Option<PathBuf> {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let request = |tops| FactsRequest {
        dest: case.dest.to_owned(),
        owner: case.owner.map(|_| Owner { user: "somebody".into(), group: None }),
        creates: None,
        sets_attributes: case.owner.is_some() || case.mode.is_some(),
        tops,
    };
    let owner = |_: &Owner| Ok(case.owner.unwrap());
    let mode = case.mode.as_ref().map(|mode| move |before: u32, directory: bool| mode.apply(before, directory));
    // As a build does it: first for the usual world, to know what is in the archive, then for this one.
    let usual = Facts { dest: case.dest.trim_start_matches('/').into(), ancestors: Vec::new(), owner: case.owner };
    let make = |facts: &Facts| {
        let ancestors: Vec<Entry> = facts.ancestors.iter().map(Ancestor::entry).collect();
        let place = Place {
            dest: &facts.dest,
            ancestors: &ancestors,
            strip: case.strip,
            owner: facts.owner,
            mode: mode.as_ref().map(|mode| mode as &dyn Fn(u32, bool) -> u32),
            mtime_max: EPOCH,
            exclude: &crate::target::excluded(),
            stop: &layers::stop::Stop::default(),
        };
        portable(tar(&case.archive), &place, store.layer_writer(Compression::default()).unwrap()).ok()
    };
    let first = make(&usual)?;
    let World::Facts(facts) = look_at(root, &request(Some(first.tops.clone())), owner).unwrap() else { return None };
    let made = if facts == usual { first } else { make(&facts)? };
    let (_, reader) = decoder(store.open_blob(&made.blob.descriptor.digest).unwrap()).unwrap();
    let options = ApplyOptions { form: Form::Plain, parents: None, ownership: Ownership::Archive };
    apply(reader, root, &options).unwrap();
    Some(facts.dest)
}

fn in_place(case: &Case, root: &Root) {
    let dest = Path::new(case.dest);
    root.create_dir_all(dest, 0o755).unwrap();
    let options = UnpackOptions { strip: case.strip, ownership: Ownership::Root, owned: case.owner.is_some() };
    unpack(tar(&case.archive), root, dest, &options).unwrap();
    if case.owner.is_some() || case.mode.is_some() {
        attributes::set(
            root,
            &root.resolve(dest).unwrap(),
            attributes::Attributes { owner: case.owner, mode: case.mode.as_ref(), recursive: true },
            attributes::Made::default(),
        )
        .unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]
    #[test]
    #[ignore = "needs root, which may give files away"]
    fn a_portable_layer_is_the_archive_unpacked(case in case()) {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let left = parent(&case, one.path());
        if let Some(dest) = as_layer(&case, &left) {
            let right = parent(&case, two.path());
            in_place(&case, &right);
            let found = difference(&seen(&left, &dest), &seen(&right, &dest));
            prop_assert!(found.is_empty(), "{found:#?}");
        }
    }
}

/// The layer mentions the directories that are there, and a layer replaces attributes by what it mentions.
#[test]
#[ignore = "needs root, which may give files away"]
fn directories_that_are_there_keep_their_attributes() {
    let xattrs = vec![("user.empty".into(), Vec::new()), ("user.note".into(), b"kept".to_vec())];
    let lib = Entry { mode: 0o711, uid: 7, gid: 42, xattrs, ..plain_directory(Path::new("lib")) };
    let file = Entry { kind: Kind::File, mode: 0o644, size: 1, ..plain_directory(Path::new("a/a")) };
    let archive = vec![(file, b"x".to_vec())];
    let case = Case { parent: vec![(lib, Vec::new())], archive, dest: "/lib", strip: 0, owner: None, mode: None };
    let directory = tempfile::tempdir().unwrap();
    let root = parent(&case, directory.path());
    let before = root.xattrs(Path::new("lib")).unwrap();
    assert!(before.len() >= 2, "{before:?}");
    assert!(as_layer(&case, &root).is_some(), "a layer of its own");
    assert_eq!(root.xattrs(Path::new("lib")).unwrap(), before);
    let found = root.metadata(Path::new("lib")).unwrap();
    assert_eq!((found.mode, found.uid, found.gid), (0o711, 0, 0), "unpacked as root's, with root's ids");
    assert!(root.exists(Path::new("lib/a/a")).unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    /// The same bytes, or the same reason why not, whichever program has packed it: a key says what an archive holds
    /// and where it goes, and no more.
    #[test]
    fn an_archive_is_one_layer_however_it_is_packed(case in case()) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let mode = case.mode.as_ref().map(|mode| move |before: u32, directory: bool| mode.apply(before, directory));
        let made = ["none", "gzip", "zstd"].map(|packing| {
            let place = Place {
                dest: Path::new("opt/x"),
                ancestors: &[],
                strip: case.strip,
                owner: case.owner,
                mode: mode.as_ref().map(|mode| mode as &dyn Fn(u32, bool) -> u32),
                mtime_max: EPOCH,
                exclude: &crate::target::excluded(),
            stop: &layers::stop::Stop::default(),
            };
            let writer = store.layer_writer(Compression::default()).unwrap();
            match portable(packed(&case.archive, packing.parse().unwrap()), &place, writer) {
                Ok(made) => Ok((made.blob.descriptor.digest, made.blob.diff_id, made.tops)),
                Err(PortableError::Unsuited(reason)) => Err(reason.to_owned()),
                Err(error) => Err(error.to_string()),
            }
        });
        for other in &made[1..] {
            prop_assert_eq!(other, &made[0]);
        }
    }
}
