//! An archive's layer on a root comes to the same as the archive unpacked there, for any archive and any root: or it
//! is said that it does not. As root, owners take part.

use std::io::{Seek, Write};
use std::path::PathBuf;

use layers::apply::{ApplyOptions, Form, Ownership, apply};
use layers::compress::{Compression, decoder};
use layers::portable::{Place, portable};
use layers::store::Store;
use layers::tar::{Entry, Kind, TarWriter, plain_directory};
use layers::tree::{self, Tree, difference};
use layers::unpack::{UnpackOptions, unpack};
use proptest::prelude::*;

use super::super::attributes;
use super::*;
use crate::op::Mode;

const EPOCH: u64 = 1_000_000;

fn name() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        12 => prop::sample::select(vec!["a", "b", "c", "lib"]),
        1 => prop::sample::select(vec!["x.pyc", ".wh.a", "with space", "tmp"]),
    ]
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
        Kind::Fifo,
    ]);
    let mode = prop::sample::select(vec![0o755, 0o644, 0o700, 0o4755, 0o2711, 0o2644, 0o1777]);
    let content = prop::collection::vec(any::<u8>(), 0..30);
    let link = prop_oneof![path(), Just(PathBuf::from("/opt")), Just(PathBuf::from("..")), Just(PathBuf::from("lib"))];
    (path(), kind, mode, 0..2_000_000_i64, content, link).prop_map(|(path, kind, mode, mtime, content, link)| {
        let size = if kind == Kind::File { content.len() as u64 } else { 0 };
        let link = if matches!(kind, Kind::Symlink | Kind::HardLink) { link } else { PathBuf::new() };
        (Entry { kind, mode, mtime: (mtime, 0), size, link, ..plain_directory(&path) }, content)
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
    let mut writer = TarWriter::new(Vec::new());
    for (entry, content) in entries {
        writer.append(entry, &mut content.as_slice()).unwrap();
    }
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&writer.finish().unwrap()).unwrap();
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

/// As a layer of it would have it: times clamped, those of directories that are only passed through left open.
fn seen(root: &Root, dest: &Path) -> Tree {
    let mut tree = tree::read(root).unwrap();
    for (path, node) in &mut tree {
        node.mtime = if dest.starts_with(path) { 0 } else { node.mtime.min(i64::try_from(EPOCH).unwrap()) };
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
        let of = |a: &Ancestor| Entry { mode: a.mode, uid: a.uid, gid: a.gid, ..plain_directory(&a.path) };
        let ancestors: Vec<Entry> = facts.ancestors.iter().map(of).collect();
        let place = Place {
            dest: &facts.dest,
            ancestors: &ancestors,
            strip: case.strip,
            owner: facts.owner,
            mode: mode.as_ref().map(|mode| mode as &dyn Fn(u32, bool) -> u32),
            mtime_max: EPOCH,
            stop: &layers::stop::Stop::default(),
        };
        portable(tar(&case.archive), &place, store.layer_writer(Compression::default()).unwrap()).ok()
    };
    let first = make(&usual)?;
    let World::Facts(facts) = look_at(root, &request(Some(first.tops.clone())), owner).unwrap() else { return None };
    let made = if facts == usual { first } else { make(&facts)? };
    let (_, reader) = decoder(store.open_blob(&made.blob.descriptor.digest).unwrap()).unwrap();
    let options = ApplyOptions { form: Form::Plain, parents: &[], ownership: Ownership::Archive };
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
            case.owner,
            case.mode.as_ref(),
            true,
            attributes::Made::default(),
        )
        .unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]
    #[test]
    fn a_portable_layer_is_the_archive_unpacked(case in case()) {
        if !rustix::process::geteuid().is_root() {
            return Ok(());
        }
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
