//! `apply(diff(a, b), a) == b`, for any two trees.
//!
//! The upper directory is made here as the kernel's overlayfs makes it (whiteouts, opaque directories), so that the
//! property needs no mount. As root, owners, devices and capabilities take part.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a failing test panics")]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use layers::apply::{ApplyOptions, Form, Ownership, apply};
use layers::diff::{DiffOptions, ExcludeSet, diff};
use layers::ids::Exchange;
use layers::root::{FileKind, Root};
use layers::tree::{self, difference};
use proptest::prelude::*;

/// What a path of a model is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Directory,
    File(Vec<u8>),
    Symlink(PathBuf),
    Fifo,
    Device(u32, u32),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    what: What,
    mode: u32,
    owner: (u32, u32),
    mtime: i64,
    attribute: Option<Vec<u8>>,
    capability: bool,
}

type Model = BTreeMap<PathBuf, Node>;
/// Paths that are further names of a file.
type Links = BTreeMap<PathBuf, PathBuf>;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn name() -> impl Strategy<Value = OsString> {
    prop_oneof![
        4 => prop::sample::select(vec!["a", "b", "c", "d"]).prop_map(OsString::from),
        1 => prop::sample::select(vec!["with space", "new\nline", "-dash", ".hidden", "ünï", "wh.x", "%s"]).prop_map(OsString::from),
        1 => Just(OsString::from("n".repeat(120))),
        1 => Just(OsString::from_vec(b"\xff\xfe".to_vec())),
    ]
}

fn node() -> impl Strategy<Value = Node> {
    let what = prop_oneof![
        4 => Just(What::Directory),
        5 => prop::collection::vec(any::<u8>(), 0..40).prop_map(What::File),
        1 => Just(What::File(vec![0; 70_000])),
        2 => prop::sample::select(vec!["a", "../b", "/etc/passwd", "missing"]).prop_map(|t| What::Symlink(t.into())),
        1 => Just(What::Fifo),
        1 => Just(What::Device(1, 3)),
    ];
    let mode = prop::sample::select(vec![0o755, 0o644, 0o700, 0o4755, 0o2711, 0o1777, 0o600]);
    let owner = prop::sample::select(vec![(0, 0), (1000, 1000), (0, 42), (3_000_000, 7)]);
    let attribute = prop::option::weighted(0.2, prop::collection::vec(any::<u8>(), 1..20));
    (what, mode, owner, 0..2_000_000_000_i64, attribute, prop::bool::weighted(0.1)).prop_map(
        |(what, mode, owner, mtime, attribute, capability)| {
            // Without root there are no devices, and everything is ours.
            let what = if !is_root() && matches!(what, What::Device(..)) { What::Fifo } else { what };
            let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
            let owner = if is_root() { owner } else { own };
            // user.* is for files and directories alone (xattr(7)).
            let plain = matches!(what, What::Directory | What::File(_));
            let capability = capability && is_root() && matches!(what, What::File(_));
            Node { what, mode, owner, mtime, attribute: attribute.filter(|_| plain), capability }
        },
    )
}

/// Paths of up to three elements; what has something below it is a directory.
fn model() -> impl Strategy<Value = Model> {
    prop::collection::vec((prop::collection::vec(name(), 1..4), node()), 0..14).prop_map(|entries| {
        let mut model = Model::new();
        for (names, node) in entries {
            let path: PathBuf = names.iter().collect();
            let blocked = path
                .ancestors()
                .skip(1)
                .filter(|up| !up.as_os_str().is_empty())
                .any(|up| model.get(up).is_some_and(|node| node.what != What::Directory));
            let has_children = model.keys().any(|other| other != &path && other.starts_with(&path));
            if blocked || (has_children && node.what != What::Directory) {
                continue;
            }
            for up in path.ancestors().skip(1).filter(|up| !up.as_os_str().is_empty()) {
                let plain = Node { what: What::Directory, mode: 0o755, mtime: 7, attribute: None, ..node.clone() };
                model.entry(up.to_owned()).or_insert(Node { capability: false, ..plain });
            }
            model.insert(path, node);
        }
        model
    })
}

/// A second tree: some of the first's paths changed, gone or kept, some new.
fn change(a: Model) -> impl Strategy<Value = (Model, Model)> {
    let count = a.len();
    (Just(a), prop::collection::vec((0_u8..4, node()), count), model()).prop_map(|(a, changes, new)| {
        let mut b = new;
        let own: BTreeSet<PathBuf> = b.keys().cloned().collect();
        for ((path, old), (choice, fresh)) in a.iter().zip(changes) {
            let parent_is_there = path.parent().is_none_or(|up| {
                up.as_os_str().is_empty() || b.get(up).is_some_and(|node| node.what == What::Directory)
            });
            if own.contains(path) || !parent_is_there {
                continue;
            }
            match choice {
                0 => {}
                1 => {
                    let directory = old.what == What::Directory;
                    let what = if directory { What::Directory } else { fresh.what.clone() };
                    let plain = matches!(what, What::Directory | What::File(_));
                    let attribute = fresh.attribute.clone().filter(|_| plain);
                    let capability = fresh.capability && matches!(what, What::File(_));
                    b.insert(path.clone(), Node { what, attribute, capability, ..fresh });
                }
                _ => {
                    b.insert(path.clone(), old.clone());
                }
            }
        }
        (a, b)
    })
}

/// Every second file of a directory becomes a further name of the file before it.
fn links(model: &Model) -> Links {
    let mut links = Links::new();
    let mut last: Option<&PathBuf> = None;
    for (path, node) in model {
        match (&node.what, last) {
            (What::File(content), Some(first)) if content.len() % 2 == 1 => {
                links.insert(path.clone(), first.clone());
            }
            (What::File(_), _) => last = Some(path),
            _ => {}
        }
    }
    links
}

/// cap_net_raw+ep, as setcap(8) writes it (vfs_cap_data, revision 2).
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn make(place: &Path, path: &Path, node: &Node) {
    let root = Root::open(place).unwrap();
    let parent = root.directory(path.parent().unwrap()).unwrap();
    let name = path.file_name().unwrap();
    match &node.what {
        What::Directory => parent.create_dir(name, 0o755).unwrap(),
        What::File(content) => parent.create_file(name, 0o600).unwrap().write_all(content).unwrap(),
        What::Symlink(target) => parent.symlink(name, target).unwrap(),
        What::Fifo => parent.node(name, FileKind::Fifo, (0, 0)).unwrap(),
        What::Device(major, minor) => parent.node(name, FileKind::CharDevice, (*major, *minor)).unwrap(),
    }
    parent.set_owner(name, Some(node.owner.0), Some(node.owner.1)).unwrap();
    if let Some(value) = &node.attribute {
        parent.set_xattr(name, "user.test".as_ref(), value).unwrap();
    }
    if node.capability {
        parent.set_xattr(name, "security.capability".as_ref(), &CAPABILITY).unwrap();
    }
    if !matches!(node.what, What::Symlink(_)) {
        parent.set_mode(name, node.mode).unwrap();
    }
}

fn finish(place: &Path, model: &Model, only: &dyn Fn(&Path) -> bool) {
    let root = Root::open(place).unwrap();
    // Children before their directories: making them changes the directory's time.
    for (path, node) in model.iter().rev().filter(|(path, _)| only(path)) {
        let parent = root.directory(path.parent().unwrap()).unwrap();
        parent.set_mtime(path.file_name().unwrap(), (node.mtime, 0)).unwrap();
    }
}

fn link(place: &Path, path: &Path, first: &Path) {
    let root = Root::open(place).unwrap();
    let to = root.directory(path.parent().unwrap()).unwrap();
    let from = root.directory(first.parent().unwrap()).unwrap();
    to.hard_link(path.file_name().unwrap(), &from, first.file_name().unwrap()).unwrap();
}

fn write_tree(place: &Path, model: &Model, links: &Links) {
    for (path, node) in model {
        match links.get(path) {
            Some(first) => link(place, path, first),
            None => make(place, path, node),
        }
    }
    // The last name of a file decides about its time: all have the first one's.
    let first = |path: &Path| !links.contains_key(path);
    finish(place, model, &first);
}

/// What overlayfs leaves in the upper directory when `a` becomes `b`.
fn write_upper(place: &Path, a: &Model, a_links: &Links, b: &Model, b_links: &Links) {
    let group = |links: &Links, path: &Path| {
        let first = links.get(path).cloned().unwrap_or_else(|| path.to_owned());
        let mut all: BTreeSet<PathBuf> = links.iter().filter(|(_, f)| **f == first).map(|(p, _)| p.clone()).collect();
        all.insert(first);
        all
    };
    let resolved =
        |model: &Model, links: &Links, path: &Path| model.get(links.get(path).map_or(path, PathBuf::as_path)).cloned();
    let mut changed: BTreeSet<PathBuf> = BTreeSet::new();
    for path in b.keys() {
        let same = resolved(a, a_links, path) == resolved(b, b_links, path)
            && group(a_links, path) == group(b_links, path)
            && group(b_links, path).iter().all(|p| resolved(a, a_links, p) == resolved(b, b_links, p));
        if !same {
            changed.extend(group(b_links, path));
        }
    }
    let gone: BTreeSet<PathBuf> = a.keys().filter(|path| !b.contains_key(*path)).cloned().collect();
    let ancestors = |paths: &BTreeSet<PathBuf>| -> BTreeSet<PathBuf> {
        let ups = paths.iter().flat_map(|path| path.ancestors().skip(1).map(Path::to_owned));
        ups.filter(|up| !up.as_os_str().is_empty() && b.get(up).is_some_and(|n| n.what == What::Directory)).collect()
    };
    let mut shown: BTreeSet<PathBuf> = changed.clone();
    shown.extend(ancestors(&changed));
    shown.extend(ancestors(&gone));
    for path in &shown {
        match b_links.get(path) {
            Some(first) => link(place, path, first),
            None => make(place, path, &b[path]),
        }
        let replaced = a.get(path).is_some_and(|node| node.what != What::Directory);
        if b[path].what == What::Directory && replaced {
            let root = Root::open(place).unwrap();
            let parent = root.directory(path.parent().unwrap()).unwrap();
            parent.set_xattr(path.file_name().unwrap(), "user.overlay.opaque".as_ref(), b"y").unwrap();
        }
    }
    for path in &gone {
        let parent = path.parent().unwrap();
        let visible = parent.as_os_str().is_empty() || b.get(parent).is_some_and(|node| node.what == What::Directory);
        if !visible {
            continue;
        }
        let root = Root::open(place).unwrap();
        let directory = root.directory(parent).unwrap();
        let name = path.file_name().unwrap();
        if is_root() {
            directory.node(name, FileKind::CharDevice, (0, 0)).unwrap();
        } else {
            directory.create_file(name, 0o600).unwrap();
            directory.set_xattr(name, "user.overlay.whiteout".as_ref(), b"y").unwrap();
        }
    }
    finish(place, b, &|path| shown.contains(path) && !b_links.contains_key(path));
}

/// Differences, but for the time of the root itself, which no layer records.
fn differences(left: &Path, right: &Path) -> Vec<tree::Difference> {
    let read = |path: &Path| tree::read(&Root::open(path).unwrap()).unwrap();
    let mut found = difference(&read(left), &read(right));
    found.retain(|difference| !difference.path.as_os_str().is_empty());
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn applying_a_diff_gives_the_other_tree((a, b) in model().prop_flat_map(change)) {
        let place = tempfile::tempdir().unwrap();
        let directory = |name: &str| {
            let path = place.path().join(name);
            std::fs::create_dir(&path).unwrap();
            path
        };
        let (before, upper, after) = (directory("before"), directory("upper"), directory("after"));
        let (a_links, b_links) = (links(&a), links(&b));
        write_tree(&before, &a, &a_links);
        write_tree(&after, &b, &b_links);
        write_upper(&upper, &a, &a_links, &b, &b_links);
        let exclude = ExcludeSet::default();
        let options = DiffOptions { mtime_max: u64::MAX, exclude: &exclude, lowers: &[], ids: Exchange::default() };
        let mut layer = Vec::new();
        diff(&Root::open(&upper).unwrap(), &mut layer, &options).unwrap();
        let mut again = Vec::new();
        diff(&Root::open(&upper).unwrap(), &mut again, &options).unwrap();
        prop_assert!(layer == again, "two diffs of one directory differ");

        let ownership = if is_root() { Ownership::Archive } else { Ownership::Invoker };
        let plain = ApplyOptions { form: Form::Plain, parents: None, ownership };
        apply(layer.as_slice(), &Root::open(&before).unwrap(), &plain).unwrap();
        let mut found = differences(&before, &after);
        // Device nodes of layers are left out there.
        found.retain(|difference| (difference.field.as_str(), difference.right.as_str()) != ("existence", "CharDevice"));
        prop_assert_eq!(found, vec![]);

        // As an overlay's lower, the layer is the upper directory that it came from.
        let lower = directory("lower");
        let overlay = ApplyOptions { form: Form::OverlayLower, parents: None, ownership };
        apply(layer.as_slice(), &Root::open(&lower).unwrap(), &overlay).unwrap();
        let mut back = Vec::new();
        diff(&Root::open(&lower).unwrap(), &mut back, &options).unwrap();
        prop_assert!(layer == back, "a layer that is unpacked for an overlay is another layer");
    }
}
