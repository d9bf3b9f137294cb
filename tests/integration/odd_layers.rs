//! Layers as nobody should write them, and some do: what tasks and `alloy run` see of them, a flat tar, a directory and a
//! foreign tool are one and the same.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use layers::tar::{Entry, Kind, TarWriter, plain_directory};

use crate::support::forged::Forged;
use crate::support::user::User;
use crate::support::{Store, blueprint, text, tool};

/// A name, the members of each layer (`path`, `path/`, `path -> target`, `path = target`, `path char`, `path null`, `path pipe`,
/// `path nobody`), and what there is
/// in the end.
type Case = (&'static str, &'static [&'static [&'static str]], &'static str);

/// All lie below `odd/NAME`, and `@` stands for that in links that are absolute.
const CASES: [Case; 30] = [
    (
        "whiteout-through-a-link",
        &[&["etc/gone", "etc/stays", "loc -> @/etc"], &["loc/.wh.gone"]],
        "etc/ etc/stays loc@",
    ),
    ("member-behind-an-own-link", &[&["etc/x"], &["link -> etc", "link/added"]], "etc/ etc/added etc/x link@"),
    ("member-behind-a-lower-link", &[&["etc/x", "link -> @/etc"], &["link/added"]], "etc/ etc/added etc/x link@"),
    ("member-behind-a-dead-link", &[&["link -> nowhere"], &["link/added"]], "link@ nowhere/ nowhere/added"),
    ("whiteout-of-nothing", &[&["a/b"], &["x/.wh.y", "z/", "z/.wh.y", "a/.wh.c"]], "a/ a/b z/"),
    ("whiteout-first", &[&["a/x"], &[".wh.a", "a/y"]], "a/ a/y"),
    ("whiteout-last", &[&["a/x"], &["a/y", ".wh.a"]], "a/ a/y"),
    ("file-becomes-a-directory", &[&["a"], &["a/x"]], "a/ a/x"),
    ("directory-becomes-a-file", &[&["a/x"], &["a"]], "a"),
    ("link-becomes-a-directory", &[&["etc/x", "a -> etc"], &["a/", "a/y"]], "a/ a/y etc/ etc/x"),
    ("whiteout-below-a-file", &[&["a"], &["a/.wh.x", "a/.wh..wh..opq"]], "a"),
    ("node-of-no-device", &[&["a", "b"], &["a char"]], "b"),
    ("node-of-a-device", &[&["a", "b"], &["a null", "c null", "d = c"]], "b"),
    ("node-that-is-gone", &[&["a null", "b null", "d/c null", "e"], &[".wh.a", "b", ".wh.d"]], "b e"),
    ("link-to-a-lower-file", &[&["d/a", "l -> d"], &["h = d/a", "i = l/a"]], "d/ d/a h i l@"),
    ("opaque-first", &[&["d/a"], &["d/.wh..wh..opq", "d/c"]], "d/ d/c"),
    ("opaque-last", &[&["d/a"], &["d/c", "d/.wh..wh..opq"]], "d/ d/c"),
    ("anew-in-one-layer", &[&["d/a"], &["d/.wh.a", "d/a"]], "d/ d/a"),
    ("gone-and-anew", &[&["d/a"], &[".wh.d"], &["d/b"]], "d/ d/b"),
    ("whiteouts-of-dots", &[&["d/a"], &["d/.wh..", "d/.wh..."]], "d/ d/a"),
    ("whiteout-that-is-a-link", &[&["a/x", "a/q"], &["a/.wh.x -> q"]], "a/ a/q"),
    ("whiteout-that-is-a-hard-link", &[&["a/x", "a/q"], &["a/.wh.x = a/q"]], "a/ a/q"),
    ("whiteout-that-is-a-directory", &[&["a/x", "a/q"], &["a/.wh.x/"]], "a/ a/q"),
    ("whiteout-that-is-a-node", &[&["a/x", "a/q"], &["a/.wh.x char"]], "a/ a/q"),
    ("below-a-whiteout", &[&["a/x", "a/q"], &["a/.wh.x/y", "a/r"]], "a/ a/q a/r a/x"),
    ("below-a-name-of-aufs", &[&["a/x"], &["a/.wh..wh.orph/y", "a/.wh..wh.aufs"]], "a/ a/x"),
    ("link-to-a-lower-link", &[&["d/a", "l -> d/a"], &["h = l"]], "d/ d/a h@ l@"),
    ("link-to-a-lower-pipe", &[&["p pipe"], &["h = p"]], "h p"),
    ("twice-in-one-layer", &[&["a"], &["b", "b/", "b/x"]], "a b/ b/x"),
    ("owner-of-nobody", &[&["d/", "d/a"], &["d/a nobody", "d/b nobody"]], "d/ d/a d/b"),
];

/// What umoci 0.4 fails at (a file in the way of a directory, whiteouts of dots), keeps (nodes, and what is below names
/// of whiteouts), or takes by the very name that a layer has for a link's target.
const NOT_UMOCI: [&str; 9] = [
    "file-becomes-a-directory",
    "whiteout-below-a-file",
    "whiteouts-of-dots",
    "node-of-no-device",
    "node-of-a-device",
    "node-that-is-gone",
    "link-to-a-lower-file",
    "below-a-whiteout",
    "below-a-name-of-aufs",
];

/// One layer of all cases that are `wanted`, the one of that number.
fn layer(number: usize, wanted: impl Fn(&str) -> bool) -> Vec<u8> {
    let mut tar = TarWriter::new(Vec::new());
    for (name, layers, _) in CASES.iter().filter(|(name, ..)| wanted(name)) {
        for member in layers.get(number).copied().unwrap_or_default() {
            let (path, rest) = member.split_once(' ').unwrap_or((member, ""));
            let at = |path: &str| format!("odd/{name}/{path}");
            let (kind, link) = match rest.split_once(' ') {
                Some(("->", target)) => (Kind::Symlink, target.replace('@', &format!("/odd/{name}"))),
                Some(("=", target)) => (Kind::HardLink, at(target)),
                _ if rest == "pipe" => (Kind::Fifo, String::new()),
                _ if rest == "char" || rest == "null" => (Kind::CharDevice, String::new()),
                _ if path.ends_with('/') => (Kind::Directory, String::new()),
                _ => (Kind::File, String::new()),
            };
            let mode = if kind == Kind::Directory { 0o755 } else { 0o644 };
            let path = at(path.trim_end_matches('/'));
            let device = if rest == "null" { (1, 3) } else { (0, 0) };
            let uid = if rest == "nobody" { u32::MAX } else { 0 };
            let entry = Entry { kind, mode, device, uid, link: link.into(), ..plain_directory(Path::new(&path)) };
            tar.append(&entry, &mut std::io::empty()).unwrap();
        }
    }
    tar.finish().unwrap()
}

/// A root that has a shell, of this machine's.
fn shell(place: &Path) -> Vec<u8> {
    let script = r#"
        mkdir -p "$0/bin" "$0/tmp" "$0/run"; cp -L /bin/bash "$0/bin/"; ln -s bash "$0/bin/sh"
        ldd /bin/bash | grep -o '/[^ ]*' | while read -r library; do
            mkdir -p "$0/$(dirname "$library")"; cp -L "$library" "$0/$library"
        done
        tar -C "$0" --owner=0 --group=0 --mtime=@0 -cf "$0.tar" .
    "#;
    let root = place.join("shell");
    tool("sh", &["-ec", script, text(&root)]).ok();
    fs::read(root.with_extension("tar")).unwrap()
}

/// What lies below the `odd` of each line, by its case: directories with a slash behind them, links with an `@`.
fn by_case<'l>(lines: impl Iterator<Item = &'l str>) -> BTreeMap<String, String> {
    let mut found: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for line in lines {
        let Some((case, path)) = line.split_once("odd/").and_then(|(_, path)| path.split_once('/')) else { continue };
        let paths = found.entry(case.to_owned()).or_default();
        paths.extend(Some(path).filter(|path| !path.is_empty()));
    }
    let sorted = |mut paths: Vec<&str>| {
        paths.sort_unstable();
        paths.join(" ")
    };
    found.into_iter().map(|(case, paths)| (case, sorted(paths))).collect()
}

#[test]
fn odd_layers_are_the_same_to_everybody() {
    let (place, store) = (tempfile::tempdir().unwrap(), Store::new());
    let shell = shell(place.path());
    let stack = |name: &str, wanted: &dyn Fn(&str) -> bool| {
        let layers = [shell.clone(), layer(0, wanted), layer(1, wanted), layer(2, wanted)];
        Forged::stack(place.path(), &layers, "gzip -n").layout(&place.path().join(name))
    };
    let base = stack("base", &|_| true);
    let manifest = "name: Odd\nversion: 1.0.0\nrun_order: [a.yml]\nimage: {env_from_profile: false}\n";
    let list = "shopt -s globstar dotglob\nfor path in /odd/**; do\n\
                if [ -L $path ]; then echo $path@; elif [ -d $path ]; then echo $path/; else echo $path; fi\ndone";
    let task = format!(
        "- name: list\n  action: run_command\n  reason: test\n  command: |\n    exec > /seen\n    {}\n",
        list.replace('\n', "\n    ")
    );
    let odd = blueprint(&[("manifest.yml", manifest), ("a.yml", &task)]);
    let at = |name: &str| place.path().join(name);
    let outputs = ["tar", "dir"].map(|kind| format!("type={kind},dest={}", text(&at(kind))));
    let mut arguments = vec!["build", text(odd.path()), "--base", &base, "-t", "odd:1", "--no-attest"];
    outputs.iter().for_each(|output| arguments.extend(["-o", output]));
    let said = store.run(&arguments).ok().stderr;
    let nodes = ["no-device/a", "a-device/a", "a-device/c", "a-device/d"].map(|path| format!("/odd/node-of-{path}"));
    for kind in ["tar", "dir"] {
        let told = format!("{} is without device nodes, which the image keeps: {}", text(&at(kind)), nodes.join(", "));
        assert!(said.contains(&told), "{told}: {said}");
    }

    let ran = store.run(&["run", "odd:1", "--", "bash", "-c", list]).ok().stdout;
    let names = "cd \"$0\" && find odd \\( -type l -printf '%p@\\n' -o -type d -printf '%p/\\n' -o -printf '%p\\n' \\)";
    let in_directory = tool("sh", &["-c", names, text(&at("dir"))]).ok().stdout;
    let others = stack("others", &|name| !NOT_UMOCI.contains(&name));
    let output = format!("type=oci,dest={}", text(&at("oci")));
    store
        .run(&["build", text(odd.path()), "--base", &others, "-t", "odd:2", "--compression", "gzip", "-o", &output])
        .ok();
    tool("umoci", &["unpack", "--image", &format!("{}:2", text(&at("oci"))), text(&at("umoci"))]).ok();
    let by_umoci = tool("sh", &["-c", names, text(&at("umoci/rootfs"))]).ok().stdout;
    // `tar` marks directories as well.
    let listed = tool("tar", &["-tvf", text(&at("tar"))]).ok().stdout;
    let listed: String = listed
        .lines()
        .filter_map(|line| line.split_whitespace().nth(5).map(|path| (line.starts_with('l'), path)))
        .map(|(link, path)| format!("{path}{}\n", if link { "@" } else { "" }))
        .collect();
    let seen = fs::read_to_string(at("dir").join("seen")).unwrap();
    let views = [("task", &seen), ("run", &ran), ("tar", &listed), ("dir", &in_directory), ("umoci", &by_umoci)];
    for (view, lines) in views {
        let found = by_case(lines.lines());
        for (name, _, expected) in CASES {
            if view == "umoci" && NOT_UMOCI.contains(&name) {
                continue;
            }
            assert_eq!(found.get(name).map(String::as_str), Some(expected), "{name}, as {view} has it");
        }
    }
}

#[test]
fn attributes_that_cannot_be_set_here_are_left_out() {
    let (place, store) = (tempfile::tempdir().unwrap(), Store::new());
    let mut tar = TarWriter::new(Vec::new());
    for (path, attribute) in [("d", "com.example.of"), ("d/x", "com.example.of"), ("d/y", "org.example.of")] {
        let xattrs = vec![(attribute.into(), b"v".to_vec())];
        tar.append(&Entry { xattrs, ..plain_directory(Path::new(path)) }, &mut std::io::empty()).unwrap();
    }
    let base = Forged::stack(place.path(), &[shell(place.path()), tar.finish().unwrap()], "gzip -n");
    let base = base.layout(&place.path().join("base"));
    let manifest = "name: Odd\nversion: 1.0.0\nrun_order: [a.yml]\nimage: {env_from_profile: false}\n";
    let task = "- {name: look, action: run_command, reason: test, command: 'echo /d/* > /seen'}\n";
    let odd = blueprint(&[("manifest.yml", manifest), ("a.yml", task)]);
    let outputs = ["tar", "dir"].map(|kind| format!("type={kind},dest={}", text(&place.path().join(kind))));
    let words = ["build", text(odd.path()), "--base", &base, "-o", &outputs[0], "-o", &outputs[1], "--no-attest"];
    let said = store.run(&words).ok().stderr;
    let told = "the image keeps them: com.example.of of /d, org.example.of of /d/y";
    assert_eq!(said.matches(told).count(), 1, "{said}");
    for kind in ["tar", "dir"] {
        let told = format!("{} is without extended attributes", text(&place.path().join(kind)));
        assert!(said.contains(&told), "{told}: {said}");
    }
    assert_eq!(fs::read_to_string(place.path().join("dir/seen")).unwrap(), "/d/x /d/y\n");
}

#[test]
fn an_ordinary_user_unpacks_directories_that_nobody_may_write_in() {
    let (user, place) = (User::new(), tempfile::tempdir().unwrap());
    let mut tar = TarWriter::new(Vec::new());
    for (path, mode) in [("ro", 0o555), ("ro/in", 0o555), ("ro/in/x", 0o700)] {
        tar.append(&Entry { mode, ..plain_directory(Path::new(path)) }, &mut std::io::empty()).unwrap();
    }
    let mut later = TarWriter::new(Vec::new());
    for path in ["ro/in/y", "ro/in/.wh.x"] {
        later.append(&plain_directory(Path::new(path)), &mut std::io::empty()).unwrap();
    }
    Forged::stack(place.path(), &[tar.finish().unwrap(), later.finish().unwrap()], "gzip -n")
        .layout(&place.path().join("base"));
    let manifest = "name: Odd\nversion: 1.0.0\nrun_order: [a.yml]\nimage: {env_from_profile: false}\n";
    let task = "- {name: write, action: write_env_file, file: /srv/own, content: own}\n";
    let odd = blueprint(&[("manifest.yml", manifest), ("a.yml", task)]);
    tool("cp", &["-r", text(&place.path().join("base")), text(odd.path()), text(&user.home())]).ok();
    tool("chmod", &["-R", "a+rX", text(&user.home())]).ok();
    let name = text(odd.path()).rsplit('/').next().unwrap().to_owned();
    let build = format!("alloy build ~/{name} --base oci:$HOME/base -o type=dir,dest=$HOME/dir --no-attest");
    // Twice: what was written first is deleted.
    user.shell(&format!("{build} && {build}")).ok();
    let found = user.shell("cd dir && find ro -printf '%p %m\\n' | sort").ok().stdout;
    assert_eq!(found, "ro 555\nro/in 555\nro/in/y 755\n");
}
