//! Members of a layer in any order: what overlay shows of its tree, in mounts of the kernel's own, is what the layers
//! come to where one is applied onto the other.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a failing test panics")]

mod support;

use std::path::{Path, PathBuf};

use layers::apply::{ApplyOptions, Form, Ownership, apply};
use layers::root::Root;
use layers::tar::{Entry, Kind, TarWriter, plain_directory};
use layers::tree::{difference, read};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

const BASE: [&str; 6] = ["a/ 750", "a/b/ 700", "a/b/f", "a/b/g", "a/h", "s -> a/h"];
/// What may lie between the base and the layer.
const BETWEEN: [&str; 5] = ["", ".wh.a", "a/.wh.b", "a/.wh..wh..opq", "a/b/.wh..wh..opq"];
/// What the layer is made of.
const MEMBERS: [&str; 14] = [
    "a/ 770",
    "a/b/ 707",
    "a/b/f",
    "a/b/n",
    "a/b",
    "a",
    ".wh.a",
    "a/.wh.b",
    "a/b/.wh.f",
    "a/.wh..wh..opq",
    "a/b/.wh..wh..opq",
    ".wh.a/",
    "a/b/.wh.f = a/b/g",
    "a/.wh.b/f",
];

/// What a layer may lie on that has links, or is none.
const LED: [&str; 6] = ["", "l -> a", "l -> /a/b", "l/ 750", "l -> nowhere", "a"];
/// And what such a layer is made of.
const LEADS: [&str; 20] = [
    "a/ 770",
    "l/n",
    "l/b/n",
    "l/.wh.b",
    "l/.wh.f",
    "l/.wh..wh..opq",
    "l -> a",
    "l -> ../a/b",
    "l -> l",
    "l",
    ".wh.l",
    ".wh..wh..opq",
    "n = l/h",
    "n = a/b/f",
    "a/b char",
    "x/.wh.y",
    "l/h/z",
    "l/.wh.h -> nowhere",
    "n = s",
    "n = l",
];

fn layer<'m>(members: impl IntoIterator<Item = &'m &'m str>) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    for member in members.into_iter().filter(|member| !member.is_empty()) {
        let of = |kind, path: &str, link: &str| Entry {
            kind,
            mode: 0o644,
            link: link.into(),
            ..plain_directory(Path::new(path))
        };
        let mut entry = match member.split_once(' ') {
            Some((path, "char")) => of(Kind::CharDevice, path, ""),
            Some((path, rest)) if rest.starts_with("-> ") => of(Kind::Symlink, path, &rest[3..]),
            Some((path, rest)) if rest.starts_with("= ") => of(Kind::HardLink, path, &rest[2..]),
            None if member.ends_with('/') => plain_directory(Path::new(member.trim_end_matches('/'))),
            Some((path, mode)) => {
                Entry { mode: u32::from_str_radix(mode, 8).unwrap(), ..plain_directory(Path::new(path)) }
            }
            None => of(Kind::File, member, ""),
        };
        entry.mtime = (1_000_000_000, 0);
        writer.append(&entry, &mut std::io::empty()).unwrap();
    }
    writer.finish().unwrap()
}

fn fresh(place: &Path, name: &str) -> (PathBuf, Root) {
    let path = place.join(name);
    std::fs::create_dir(&path).unwrap();
    let root = Root::open(&path).unwrap();
    (path, root)
}

fn compare(place: &Path, tars: &[Vec<u8>], in_order: bool, said: &str) -> bool {
    let plain = ApplyOptions { form: Form::Plain, parents: None, ownership: Ownership::Invoker };
    let (_, flat) = fresh(place, "flat");
    let in_turn: Vec<_> = tars.iter().map(|tar| apply(tar.as_slice(), &flat, &plain)).collect();
    let (mut trees, mut paths): (Vec<Root>, Vec<String>) = (Vec::new(), Vec::new());
    for (number, tar) in tars.iter().enumerate() {
        let (path, tree) = fresh(place, &number.to_string());
        let lower = ApplyOptions { form: Form::OverlayLower, parents: Some(&trees), ownership: Ownership::Invoker };
        let applied = apply(tar.as_slice(), &tree, &lower);
        match (&applied, &in_turn[number]) {
            (Err(_), Err(_)) => return false,
            (Err(error), _) | (_, Err(error)) => panic!("{said}: {error}"),
            _ => {}
        }
        trees.insert(0, tree);
        paths.insert(0, path.to_str().unwrap().to_owned());
    }
    let (merged, shown) = fresh(place, "merged");
    let options = std::ffi::CString::new(format!("lowerdir={},userxattr", paths.join(":"))).unwrap();
    drop(shown);
    mount("overlay", &merged, "overlay", MountFlags::empty(), options.as_c_str()).unwrap();
    let shown = Root::open(&merged).unwrap();
    let shown = read(&shown);
    unmount(&merged, UnmountFlags::DETACH).unwrap();
    let shown = shown.unwrap_or_else(|error| panic!("{said}: {error}"));
    let mut found = difference(&shown, &read(&flat).unwrap());
    // Attributes of a directory that the layer left out are those from below, as far as the layer has said what is gone.
    found.retain(|found| in_order || found.field != "mode");
    // And of the top itself, which may be of another layer than the kernel takes, no layer here says anything.
    found.retain(|found| found.field != "mtime" || in_order && found.path != Path::new(""));
    assert!(found.is_empty(), "{said}: {found:#?}");
    true
}

/// All sequences of up to `length` of `members`, none of them twice.
fn sequences(members: &[&'static str], length: usize) -> Vec<Vec<&'static str>> {
    let mut all = vec![Vec::new()];
    let mut last = all.clone();
    for _ in 0..length {
        let longer = |done: &Vec<&'static str>| {
            let done = done.clone();
            let rest = members.iter().filter(|member| !done.contains(member)).copied().collect::<Vec<_>>();
            rest.into_iter().map(move |member| [done.as_slice(), &[member]].concat())
        };
        last = last.iter().flat_map(longer).collect();
        all.extend(last.clone());
    }
    all
}

#[test]
#[ignore = "runs in the mount namespace that the other test makes"]
fn in_a_namespace() {
    let (mut compared, mut number) = (0, 0);
    let scratch = tempfile::tempdir().unwrap();
    let mut try_all = |between: &[&'static str], all: &[Vec<&'static str>]| {
        for between in between {
            for members in all {
                number += 1;
                let place = scratch.path().join(number.to_string());
                std::fs::create_dir(&place).unwrap();
                let tars = [layer(&BASE), layer([between]), layer(members)];
                let in_order = members.iter().skip(1).all(|member| !member.contains(".wh."));
                compared += usize::from(compare(&place, &tars, in_order, &format!("{between:?}, then {members:?}")));
                layers::root::remove_tree(&place).unwrap();
            }
        }
    };
    try_all(&BETWEEN, &sequences(&MEMBERS, 3));
    try_all(&LED, &sequences(&LEADS, 2));
    assert!(compared > 5000, "{compared} views were compared");
}

/// Applies `tars` one after the other as trees of their own, and gives the modes of `a` and `a/b` in the last.
fn modes(tars: &[Vec<u8>]) -> [u32; 2] {
    let place = tempfile::tempdir().unwrap();
    let mut trees: Vec<Root> = Vec::new();
    for (number, tar) in tars.iter().enumerate() {
        let (_, tree) = fresh(place.path(), &number.to_string());
        let lower = ApplyOptions { form: Form::OverlayLower, parents: Some(&trees), ownership: Ownership::Invoker };
        apply(tar.as_slice(), &tree, &lower).unwrap();
        trees.insert(0, tree);
    }
    ["a", "a/b"].map(|path| trees[0].metadata(Path::new(path)).unwrap().mode)
}

#[test]
fn what_is_hidden_gives_nothing() {
    let (base, top) = (layer(&BASE), layer(&["a/b/n"]));
    assert_eq!(modes(&[base.clone(), top.clone()]), [0o750, 0o700]);
    let cases: [(&[&str], [u32; 2]); 6] = [
        (&["a"], [0o755, 0o755]),
        (&[".wh.a"], [0o755, 0o755]),
        (&["a/b"], [0o750, 0o755]),
        (&["a/.wh.b"], [0o750, 0o755]),
        (&["a/ 711", "a/.wh..wh..opq"], [0o711, 0o755]),
        (&[".wh.a", "a/ 711"], [0o711, 0o755]),
    ];
    for (between, expected) in cases {
        assert_eq!(modes(&[base.clone(), layer(between), top.clone()]), expected, "{between:?}");
    }
    // And what the layer itself hides.
    let own = layer(&["a/ 711", "a/.wh..wh..opq", "a/b/n"]);
    assert_eq!(modes(&[base, own]), [0o711, 0o755]);
}

#[test]
fn members_come_to_what_overlay_shows() {
    support::run_in_a_namespace();
}
