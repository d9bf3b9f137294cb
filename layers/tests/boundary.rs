//! The destination of an archive is a boundary: what stands outside is never touched, what stands inside is never lost.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a failing test panics")]

use std::io::{Seek, Write};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use layers::apply::Ownership;
use layers::diff::{DiffOptions, ExcludeSet, diff, look};
use layers::ids::Exchange;
use layers::root::Root;
use layers::tar::{Entry, Kind, TarWriter, plain_directory};
use layers::unpack::{UnpackError, UnpackOptions, Unpacked, unpack};

type Member = (Entry, &'static [u8]);

fn file(path: &str, content: &'static [u8]) -> Member {
    let size = content.len() as u64;
    (Entry { kind: Kind::File, mode: 0o644, size, ..plain_directory(Path::new(path)) }, content)
}

fn directory(path: &str) -> Member {
    (plain_directory(Path::new(path)), b"")
}

fn link(path: &str, target: &str) -> Member {
    (Entry { kind: Kind::Symlink, link: target.into(), ..plain_directory(Path::new(path)) }, b"")
}

fn hard(path: &str, target: &str) -> Member {
    (Entry { kind: Kind::HardLink, link: target.into(), ..plain_directory(Path::new(path)) }, b"")
}

/// A root with something outside of the destination, which no archive may come to.
fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    for path in ["etc", "opt/tool"] {
        std::fs::create_dir_all(place.path().join(path)).unwrap();
    }
    std::fs::write(place.path().join("etc/shadow"), "secret").unwrap();
    place
}

fn unpacked(place: &Path, dest: &str, members: &[Member]) -> Result<Unpacked, UnpackError> {
    let mut tar = TarWriter::new(Vec::new());
    for (entry, content) in members {
        tar.append(entry, &mut &content[..]).unwrap();
    }
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&tar.finish().unwrap()).unwrap();
    file.rewind().unwrap();
    let options = UnpackOptions { strip: 0, ownership: Ownership::Invoker, owned: false };
    unpack(file, &Root::open(place).unwrap(), Path::new(dest), &options)
}

fn refused(place: &Path, dest: &str, members: &[Member], words: &str) {
    let error = unpacked(place, dest, members).unwrap_err().to_string();
    assert!(error.contains(words), "{error}");
    assert_eq!(std::fs::read(place.join("etc/shadow")).unwrap(), b"secret");
    let names: Vec<_> = std::fs::read_dir(place.join("etc")).unwrap().collect();
    assert_eq!(names.len(), 1, "nothing came to be outside");
}

#[test]
fn no_member_goes_through_a_link_of_the_archive() {
    for target in ["/etc", "../../etc", "here"] {
        let place = place();
        let members = [directory("here"), link("l", target), file("l/cron.evil", b"PWN")];
        refused(place.path(), "opt/tool", &members, "which the archive itself has brought");
        refused(place.path(), "opt/tool", &[link("l", target), directory("l")], "itself has brought");
    }
}

/// A link that says something else where it was moved to is made anew, and stays the archive's.
#[test]
fn no_member_goes_through_a_link_of_the_archive_that_was_moved() {
    for (name, target) in [("l", "../real"), ("l", "/opt/tool/real"), ("sub/l", "../../real")] {
        let place = place();
        let (moved, behind) = (format!("lib/{name}"), format!("usr/lib/{name}/file"));
        let before = [directory("real"), directory("usr/lib"), directory("lib"), directory("lib/sub")];
        let members = [link(&moved, target), link("lib", "usr/lib"), file(&behind, b"through")];
        refused(place.path(), "opt/tool", &[&before[..], &members].concat(), "itself has brought");
        assert_eq!(std::fs::read_dir(place.path().join("opt/tool/real")).unwrap().count(), 0, "{name} -> {target}");
    }
}

#[test]
fn links_that_were_there_lead_as_far_as_the_destination() {
    let place = place();
    let tool = place.path().join("opt/tool");
    std::fs::create_dir_all(tool.join("usr/lib")).unwrap();
    symlink("usr/lib", tool.join("lib")).unwrap();
    symlink("/opt/tool/usr", tool.join("own")).unwrap();
    symlink("/etc", tool.join("out")).unwrap();
    symlink("nowhere", tool.join("dangling")).unwrap();
    let members = [directory("lib"), file("lib/libc", b"c"), file("own/bin/sh", b"sh")];
    unpacked(place.path(), "opt/tool", &members).unwrap();
    assert!(tool.join("lib").is_symlink() && tool.join("usr/lib/libc").exists() && tool.join("usr/bin/sh").exists());
    for name in ["out/x", "dangling/x"] {
        refused(place.path(), "opt/tool", &[file(name, b"x")], "does not lead to a directory beneath");
    }
    refused(place.path(), "opt/tool", &[directory("dangling")], "does not lead to a directory beneath");
    // The root itself is where absolute links begin.
    symlink("/opt", place.path().join("abs")).unwrap();
    unpacked(place.path(), "", &[file("abs/x", b"x")]).unwrap();
    assert!(place.path().join("opt/x").exists());
    // A link in place of a file goes; what it led to stays.
    symlink("/etc/shadow", tool.join("file")).unwrap();
    unpacked(place.path(), "opt/tool", &[file("file", b"mine")]).unwrap();
    assert_eq!(std::fs::read(place.path().join("etc/shadow")).unwrap(), b"secret");
    assert_eq!(std::fs::read(tool.join("file")).unwrap(), b"mine");
}

#[test]
fn hard_links_are_to_files_of_the_archive() {
    let place = place();
    std::fs::write(place.path().join("opt/tool/there"), "mine").unwrap();
    refused(place.path(), "opt/tool", &[hard("h", "there")], "no file that the archive has brought");
    refused(place.path(), "opt/tool", &[link("l", "/etc"), hard("h", "l/shadow")], "itself has brought");
    let members = [file("a", b"a"), hard("b", "a"), hard("a", "a")];
    unpacked(place.path(), "opt/tool", &members).unwrap();
    assert_eq!(place.path().join("opt/tool/a").metadata().unwrap().nlink(), 2);
}

#[test]
fn a_directory_is_never_deleted_with_what_is_in_it() {
    let place = place();
    let tool = place.path().join("opt/tool");
    std::fs::create_dir_all(tool.join("lib/deep/er")).unwrap();
    std::fs::create_dir_all(tool.join("empty")).unwrap();
    for (path, content) in [("lib/libmine.so", "mine"), ("lib/deep/er/x", "x"), ("file", "f")] {
        std::fs::write(tool.join(path), content).unwrap();
    }
    refused(place.path(), "opt/tool", &[file("lib", b"boo")], "a directory that is not empty stands there");
    refused(place.path(), "opt/tool", &[directory("file")], "where something else stands");
    refused(place.path(), "opt/tool", &[link("lib", "/etc")], "would not lead to a directory beneath");
    refused(place.path(), "opt/tool", &[link("lib", "lib/deep")], "into that directory itself");
    assert!(tool.join("lib/libmine.so").exists() && tool.join("lib/deep/er/x").exists());
    // The same name in both, and not the same in it: nothing is moved.
    std::fs::create_dir_all(tool.join("other")).unwrap();
    std::fs::write(tool.join("other/libmine.so"), "theirs").unwrap();
    refused(place.path(), "opt/tool", &[link("lib", "other")], "differ");
    assert!(tool.join("lib/deep/er/x").exists() && !tool.join("other/deep").exists());
    let members = [link("empty", "lib"), link("lib", "usr/lib"), file("usr/lib/libq.so", b"q")];
    unpacked(place.path(), "opt/tool", &members).unwrap();
    assert_eq!(std::fs::read_link(tool.join("lib")).unwrap(), Path::new("usr/lib"));
    assert_eq!(std::fs::read(tool.join("usr/lib/libmine.so")).unwrap(), b"mine");
    assert_eq!(std::fs::read(tool.join("lib/deep/er/x")).unwrap(), b"x");
    assert_eq!(std::fs::read_link(tool.join("empty")).unwrap(), Path::new("lib"));
}

#[test]
fn links_of_a_merged_directory_lead_where_they_led() {
    let place = place();
    let tool = place.path().join("opt/tool");
    for path in ["lib/sub", "share", "usr/lib/both"] {
        std::fs::create_dir_all(tool.join(path)).unwrap();
    }
    std::fs::create_dir_all(tool.join("lib/both")).unwrap();
    for path in ["share/f", "lib/g", "lib/sub/h"] {
        std::fs::write(tool.join(path), path).unwrap();
    }
    let links = [
        ("out", "../share/f"),
        ("sub/up", "../g"),
        ("sub/out", "../../share/f"),
        ("sub/around", "../../lib/g"),
        ("both/out", "../../share/f"),
        ("plain", "sub/h"),
        ("abs", "/opt/tool/share/f"),
    ];
    for (name, target) in links {
        symlink(target, tool.join("lib").join(name)).unwrap();
    }
    // The same text in both, which does not mean the same: nothing is moved.
    symlink("../share/f", tool.join("usr/lib/out")).unwrap();
    refused(place.path(), "opt/tool", &[link("lib", "usr/lib")], "differ");
    std::fs::remove_file(tool.join("usr/lib/out")).unwrap();
    symlink("../sub/../../share/f", tool.join("lib/sub/odd")).unwrap();
    refused(place.path(), "opt/tool", &[link("lib", "usr/lib")], "");
    std::fs::remove_file(tool.join("lib/sub/odd")).unwrap();
    unpacked(place.path(), "opt/tool", &[link("lib", "usr/lib")]).unwrap();
    let says = |name: &str| std::fs::read_link(tool.join("usr/lib").join(name)).unwrap();
    assert_eq!(says("out"), Path::new("../../share/f"));
    assert_eq!(says("sub/out"), Path::new("../../../share/f"));
    assert_eq!((says("sub/up"), says("plain")), (PathBuf::from("../g"), PathBuf::from("sub/h")));
    for (name, content) in [
        ("out", "share/f"),
        ("sub/out", "share/f"),
        ("sub/up", "lib/g"),
        ("sub/around", "lib/g"),
        ("both/out", "share/f"),
    ] {
        assert_eq!(std::fs::read_to_string(tool.join("lib").join(name)).unwrap(), content, "{name}");
    }
}

#[test]
fn set_id_bits_are_of_root_or_nobody() {
    let place = place();
    let member = |path: &str, uid, gid| {
        let (entry, content) = file(path, b"x");
        (Entry { mode: 0o6755, uid, gid, ..entry }, content)
    };
    let members = [member("root", 0, 0), member("user", 1000, 0), member("group", 0, 5)];
    unpacked(place.path(), "opt/tool", &members).unwrap();
    for (name, mode) in [("root", 0o6755), ("user", 0o2755), ("group", 0o4755)] {
        assert_eq!(place.path().join("opt/tool").join(name).metadata().unwrap().mode() & 0o7777, mode, "{name}");
    }
}

#[test]
fn devices_are_left_out_and_named() {
    let place = place();
    let device = Entry { kind: Kind::BlockDevice, device: (254, 0), ..plain_directory(Path::new("dev/sda")) };
    let result = unpacked(place.path(), "opt/tool", &[(device, b""), file("x", b"x")]).unwrap();
    assert_eq!(result.devices, [PathBuf::from("/opt/tool/dev/sda")]);
    assert!(!place.path().join("opt/tool/dev/sda").exists() && place.path().join("opt/tool/x").exists());
}

#[test]
fn names_of_whiteouts_are_refused() {
    let place = place();
    for name in [".wh.passwd", "etc/.wh..wh..opq", "a/.wh.b/c"] {
        refused(place.path(), "opt/tool", &[file(name, b"")], "begins with `.wh.`");
    }
    std::fs::write(place.path().join("opt/.wh.x"), "").unwrap();
    let exclude = ExcludeSet::default();
    let options = DiffOptions { mtime_max: 0, exclude: &exclude, lowers: &[], ids: Exchange::default() };
    let error = diff(&Root::open(place.path()).unwrap(), Vec::new(), &options).unwrap_err().to_string();
    assert!(error.contains("`/opt/.wh.x` cannot be in a layer"), "{error}");
}

#[test]
fn attributes_whose_names_would_be_others_are_refused() {
    let place = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(place.path().join("srv/d")).unwrap();
    std::fs::write(place.path().join("srv/f"), "").unwrap();
    let root = Root::open(place.path()).unwrap();
    let srv = root.directory(Path::new("srv")).unwrap();
    let exclude = ExcludeSet::default();
    for name in ["d", "f"].map(std::ffi::OsStr::new) {
        srv.set_xattr(name, "user.a".as_ref(), b"b=c").unwrap();
        assert!(look(&root, &exclude).unwrap().is_empty());
        srv.set_xattr(name, "user.a=b".as_ref(), b"c").unwrap();
        let options = DiffOptions { mtime_max: 0, exclude: &exclude, lowers: &[], ids: Exchange::default() };
        for error in [look(&root, &exclude).unwrap_err(), diff(&root, Vec::new(), &options).unwrap_err()] {
            let expected = format!("`/srv/{}` cannot be in a layer: its extended attribute `user.a=b`", name.display());
            assert!(error.to_string().contains(&expected), "{error}");
        }
        srv.remove_xattr(name, "user.a=b".as_ref()).unwrap();
    }
}
