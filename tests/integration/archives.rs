//! Archives of every format, from a server and from the image, and what of them a layer keeps.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::files::Files;
use crate::support::user::User;
use crate::support::{digests, readable, shared, tasks, text, with_tools};

/// A tree with all that archives of toolchains hold: links of both kinds, set-id bits, long names, holes.
const TREE: &str = r"
    deep=top/$(printf 'd%.0s' {1..90})/$(printf 'e%.0s' {1..90})/$(printf 'f%.0s' {1..90})
    mkdir -p top/bin top/lib top/empty $deep
    echo tool > top/bin/tool; chmod 755 top/bin/tool; ln top/bin/tool top/bin/same
    echo su > top/bin/su; chmod 2775 top/empty
    echo library > top/lib/libx.so.1; chmod 640 top/lib/libx.so.1; ln -s libx.so.1 top/lib/libx.so
    echo long > top/$(printf 'n%.0s' {1..120}); echo deep > $deep/file
    truncate -s 3M top/holes; printf middle | dd of=top/holes bs=1 seek=1500000 conv=notrunc status=none
    echo read me > README
    chown -R 4321:4321 top; chmod 4755 top/bin/su
";

/// What is in each of the directories, one line each, contents included, behind a line that names the directory.
const LIST: &str = r#"
    for place; do
        echo "== $place"; cd $place
        find . -mindepth 1 -type f -printf '%P %m %U:%G %n ' -exec sh -c 'sha256sum < $0' {} ';' | sort
        find . -mindepth 1 ! -type f -printf '%P %y %m %U:%G %l\n' | sort
    done
"#;

/// The server with one archive for each format.
fn archives() -> Files {
    let files = Files::serve();
    files.script(&format!(
        "{TREE}
        tar -cSf a.tar top README; tar --format=posix -cSf posix.tar top README
        for kind in gz bz2 xz zst lz4; do tar -cSf - top README > plain; \
            case $kind in gz) gzip -n;; bz2) bzip2;; xz) xz;; zst) zstd -q;; lz4) lz4 -q;; esac < plain > a.tar.$kind; done
        cp a.tar.gz a.tgz; cp a.tar.xz a.txz; cp a.tar.bz2 a.tbz2; cp a.tar.zst misnamed.zip; cp posix.tar none
        tar -cSf - top README | xz --format=lzma > a.tar.lzma; tar -cSf - top README | lz4 -lq > legacy.tar.lz4
        zip -qry a.zip top README; zip -qry -Z bzip2 bzip2.zip top README
        python3 -c '{REPACK}'
        mkdir -p deb/DEBIAN deb/usr; cp -a top deb/usr/; cp README deb/usr/
        printf 'Package: a\nVersion: 1\nArchitecture: all\nMaintainer: a\nDescription: a\n' > deb/DEBIAN/control
        printf '#!/bin/sh\ntouch /ran\n' > deb/DEBIAN/postinst; chmod 755 deb/DEBIAN/postinst
        for kind in gzip xz zstd; do dpkg-deb -Z$kind -b deb a-$kind.deb > /dev/null; done"
    ));
    files
}

/// Packs the members of a zip anew: by LZMA, and as Windows may do it.
const REPACK: &str = r#"
import zipfile
source = zipfile.ZipFile("a.zip")
with zipfile.ZipFile("lzma.zip", "w") as target:
    for member in source.infolist():
        content = source.read(member)
        member.compress_type = zipfile.ZIP_LZMA
        target.writestr(member, content, zipfile.ZIP_LZMA)
with zipfile.ZipFile("windows.zip", "w", zipfile.ZIP_DEFLATED) as target:
    for name in ["sdk\\bin\\", "sdk\\bin\\tool.exe", "sdk\\readme.txt"]:
        member = zipfile.ZipInfo(name, (2024, 1, 2, 3, 4, 6))
        member.create_system = 0
        target.writestr(member, "" if name.endswith("\\") else name)
"#;

const TARS: [&str; 14] = [
    "a.tar",
    "posix.tar",
    "a.tar.gz",
    "a.tar.bz2",
    "a.tar.xz",
    "a.tar.zst",
    "a.tar.lz4",
    "a.tar.lzma",
    "legacy.tar.lz4",
    "a.tgz",
    "a.txz",
    "a.tbz2",
    "misnamed.zip",
    "none",
];

#[test]
fn every_format_gives_the_same_files() {
    let files = archives();
    let mut text_of_tasks = String::new();
    let mut unarchive = |name: &str, dest: &str, strip: u32| {
        let (url, sha256) = (files.url(name), files.sha256(name));
        text_of_tasks += &format!(
            "- {{name: {name}, action: unarchive_from_url, url: '{url}', sha256: {sha256}, dest: {dest}, strip_components: {strip}}}\n"
        );
    };
    const ZIPS: [&str; 3] = ["a.zip", "bzip2.zip", "lzma.zip"];
    for name in TARS.iter().chain(&ZIPS) {
        unarchive(name, &format!("/opt/whole/{name}"), 0);
        unarchive(name, &format!("/opt/stripped/{name}"), 1);
    }
    unarchive("windows.zip", "/opt/windows", 1);
    for kind in ["gzip", "xz", "zstd"] {
        unarchive(&format!("a-{kind}.deb"), &format!("/opt/deb/{kind}"), 1);
    }
    let blueprint = tasks(&text_of_tasks);
    let ours = shared().build(&[text(blueprint.path()), "-t", "archives"]);
    // One container lists them all.
    let places = ["whole", "stripped", "deb"].map(|kind| format!("/opt/{kind}/*")).join(" ");
    let script = format!("set -- {places} /opt/windows; {LIST}");
    let listed = shared().run(&["run", "archives", "--", "sh", "-c", &script]).ok().stdout;
    let lists: BTreeMap<&str, &str> = listed.split("== ").skip(1).map(|list| list.split_once('\n').unwrap()).collect();
    assert_eq!(lists.len(), 2 * (TARS.len() + ZIPS.len()) + 4, "{listed}");
    let list = |place: &str| lists[place].to_owned();
    let whole = list("/opt/whole/a.tar");
    for line in [
        "README 644 0:0 1 ",
        "top/bin/tool 755 0:0 2 ",
        "top/bin/same 755 0:0 2 ",
        "top/bin/su 755 0:0 1 ",
        "top/empty d 775 0:0 \n",
        "top/lib/libx.so l 777 0:0 libx.so.1\n",
        "top/lib/libx.so.1 640 0:0 1 ",
        "n 644 0:0 1 ",
        "/file 644 0:0 1 ",
    ] {
        assert!(whole.contains(line), "{line} is not in:\n{whole}");
    }
    let holes = layers::digest::Digest::of(std::fs::read(files.path().join("top/holes")).unwrap()).hex();
    assert!(whole.contains(&format!("top/holes 644 0:0 1 {holes}")), "{whole}");
    let stripped = list("/opt/stripped/a.tar");
    let expected: String =
        whole.lines().filter_map(|line| Some(line.strip_prefix("top/")?.to_owned() + "\n")).collect();
    assert_eq!(stripped, expected);
    for name in TARS {
        assert_eq!(list(&format!("/opt/whole/{name}")), whole, "{name}");
        assert_eq!(list(&format!("/opt/stripped/{name}")), stripped, "{name}");
    }
    // A zip has no hard links.
    let once = |list: &str| list.replace(" 755 0:0 2 ", " 755 0:0 1 ");
    for name in ZIPS {
        assert_eq!(list(&format!("/opt/whole/{name}")), once(&whole), "{name}");
        assert_eq!(list(&format!("/opt/stripped/{name}")), once(&stripped), "{name}");
    }
    let windows = list("/opt/windows");
    let names: Vec<&str> = windows.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names, ["bin/tool.exe", "readme.txt", "bin"], "{windows}");
    // Of a package, the files alone: no control files, no scripts.
    for kind in ["gzip", "xz", "zstd"] {
        assert_eq!(list(&format!("/opt/deb/{kind}")), whole, "{kind}");
    }
    shared().run(&["run", "archives", "test", "-e", "/ran"]).fails(1);

    let user = User::new().with_base();
    user.shell(&format!("alloy build {} --metadata-file m.json", readable(&blueprint))).ok();
    let theirs: Value = serde_json::from_slice(&std::fs::read(user.home().join("m.json")).unwrap()).unwrap();
    assert_eq!(digests(&ours), digests(&theirs));
}

#[test]
fn packages_and_libraries_go_into_a_sysroot() {
    let files = Files::serve();
    files.script(
        "mkdir -p deb/DEBIAN deb/lib/x86_64-linux-gnu deb/usr/lib/pkgconfig
        printf 'Package: x\nVersion: 1\nArchitecture: all\nMaintainer: a\nDescription: a\n' > deb/DEBIAN/control
        echo library > deb/lib/x86_64-linux-gnu/libx.so.1
        printf 'Name: x\nDescription: x\nVersion: 1\nLibs: -L/usr/lib -lx\nCflags: -I/usr/include/x\n' > deb/usr/lib/pkgconfig/x.pc
        dpkg-deb -b deb x.deb > /dev/null; echo '<html>' > page.deb
        tar -czf plain.tar.gz deb/lib",
    );
    let (url, sha256) = (files.url("x.deb"), files.sha256("x.deb"));
    let tasks_of = |last: &str| {
        format!(
            "- {{name: merged, action: run_command, reason: test, command: mkdir -p /opt/a/usr/lib && ln -s usr/lib /opt/a/lib}}
- {{name: a, action: install_target_lib, url: '{url}', sha256: {sha256}, sysroot: /opt/a, dest: /opt/unused}}
- {{name: b, action: install_target_lib, url: '{url}', dest: /opt/b, owner: '12:34'}}
- {{name: c, action: install_target_lib, url: '{url}', sha256: {sha256}}}
- {{name: d, action: install_deb_to_sysroot, url: '{url}', sha256: {sha256}, sysroot: '{{{{.Vars.SDK_SYSROOT}}}}/d'}}
- {{name: e, action: pkg_config_env, sysroot: /opt/a, env_file: /etc/profile.d/50-pkgconfig.sh, mode: READ_ALL}}
{last}"
        )
    };
    let check = "- {name: f, action: run_command, reason: test, run_as: dev, \
                 command: 'test \"$(echo $(pkg-config --libs --cflags x))\" = \"-I/opt/a/usr/include/x -L/opt/a/usr/lib -lx\"'}\n";
    let blueprint = with_tools(&tasks_of(check));
    shared().build(&[text(blueprint.path()), "-t", "sysroot", "--var", "SDK_SYSROOT=/opt/c"]);
    let library = "x86_64-linux-gnu/libx.so.1";
    let script = format!(
        "stat -c '%n %U' /opt/a/usr/lib/{library} /opt/c/lib/{library} /opt/c/d/lib/{library}
        stat -c '%n %u:%g' /opt/b/lib/{library}; readlink /opt/a/lib; stat -c %a /etc/profile.d/50-pkgconfig.sh
        ls -d /opt/unused /var/lib/dpkg/info/x.list 2>/dev/null"
    );
    let shown = shared().run(&["run", "sysroot", "--", "sh", "-c", &script]);
    let expected = format!(
        "/opt/a/usr/lib/{library} root\n/opt/c/lib/{library} root\n/opt/c/d/lib/{library} root\n/opt/b/lib/{library} 12:34\nusr/lib\n444\n"
    );
    assert_eq!(shown.fails(2).stdout, expected);

    let ended = shared().run(&["build", text(blueprint.path())]).fails(3);
    assert!(ended.stderr.contains("set the variable SDK_SYSROOT to an absolute path"), "{}", ended.stderr);
    let page =
        tasks(&format!("- {{name: a, action: install_target_lib, url: '{}', dest: /opt}}\n", files.url("page.deb")));
    let ended = shared().run(&["build", text(page.path())]).fails(4);
    assert!(
        ended.stderr.contains("page.deb gave no archive: 7 bytes, which look like an HTML page"),
        "{}",
        ended.stderr
    );
    let (url, sha256) = (files.url("plain.tar.gz"), files.sha256("plain.tar.gz"));
    let plain = tasks(&format!(
        "- {{name: a, action: install_deb_to_sysroot, url: '{url}', sha256: {sha256}, sysroot: /opt/plain}}\n"
    ));
    let said = shared().run(&["build", text(plain.path())]).fails(4).stderr;
    assert!(said.contains("plain.tar.gz gave no Debian package"), "{said}");
}
