//! Whose releases a suite is taken from, and that none goes back to an older one.

use std::fs;

use crate::support::signed_archive::{Archive, Key, Release, days_ago, on_bookworm, with_apt};
use crate::support::{Ended, Store, text};

#[test]
fn a_source_names_the_keys_that_sign_it() {
    let (a, b) = (Key::new(1), Key::new(2));
    let archive = Archive::serve(Release::new(&b, &days_ago(1), "1"));
    let machine = tempfile::tempdir().unwrap();
    let (apt, keyrings) = (machine.path().join("apt"), machine.path().join("keyrings"));
    fs::create_dir_all(apt.join("sources.list.d")).unwrap();
    fs::create_dir_all(apt.join("trusted.gpg.d")).unwrap();
    fs::create_dir_all(&keyrings).unwrap();
    // Both are trusted where a source says nothing.
    fs::write(keyrings.join("debian-archive-keyring.gpg"), a.armoured()).unwrap();
    fs::write(apt.join("trusted.gpg.d/b.asc"), b.armoured()).unwrap();
    fs::write(keyrings.join("debian-archive-keyring.pgp"), b.armoured()).unwrap();
    let blueprint = on_bookworm();
    let lock = |name: &str, source: String| {
        let file = apt.join("sources.list.d").join(name);
        fs::write(&file, source).unwrap();
        let _ = fs::remove_file(blueprint.path().join("alloy.lock.yml"));
        let ended =
            with_apt(&Store::new(), &apt, &keyrings, &["lock", text(blueprint.path()), "--platform=linux/amd64"]);
        fs::remove_file(file).unwrap();
        ended
    };
    let url = archive.url("debian");
    let stanza = |value: &str| {
        let source = format!("Types: deb\nURIs: {url}\nSuites: bookworm\nComponents: main\n");
        lock("x.sources", source + value)
    };
    let signed_by = |value: &str| stanza(&format!("Signed-By: {value}\n"));
    let line = |options: &str| lock("x.list", format!("deb {options} {url} bookworm main\n"));
    let block = |key: &Key| {
        let lines = key.armoured();
        let lines = lines.lines().map(|line| if line.is_empty() { "\n .".into() } else { format!("\n {line}") });
        lines.collect::<String>()
    };
    let unsigned = |ended: Ended| {
        let said = ended.fails(4).stderr;
        assert!(said.contains("InRelease is not signed by a key of "), "{said}");
    };
    stanza("").ok();
    signed_by(&b.fingerprint()).ok();
    signed_by(&format!("{}, {}!", a.fingerprint(), b.fingerprint())).ok();
    signed_by(&block(&b)).ok();
    line(&format!("[signed-by={}]", b.fingerprint().to_lowercase())).ok();
    unsigned(signed_by(&a.fingerprint()));
    unsigned(signed_by(&format!("{}!", a.fingerprint())));
    unsigned(signed_by(&block(&a)));
    unsigned(line(&format!("[arch=amd64 signed-by={}]", a.fingerprint())));
    let both = keyrings.join("debian-archive-keyring.pgp");
    unsigned(line(&format!("[signed-by={},{}]", a.fingerprint(), text(&both))));
    for ended in [signed_by("DEADBEEF"), signed_by("/x/y.gpg and others"), line("[signed-by+=/x.gpg]")] {
        let said = ended.fails(2).stderr;
        assert!(said.contains("Signed-By is not understood") && said.contains("--keyring FILE"), "{said}");
    }
}

#[test]
fn nobody_goes_back_to_an_older_release() {
    let key = Key::new(3);
    let dates = [300, 2, 1].map(days_ago);
    let [old, new, newest] = [0, 1, 2].map(|at| Release::new(&key, &dates[at], &format!("{at}")));
    let (archive, blueprint, store) = (Archive::serve(new.clone()), on_bookworm(), Store::new());
    let keyring = blueprint.path().join("key.asc");
    fs::write(&keyring, key.armoured()).unwrap();
    let pinned = || fs::read_to_string(blueprint.path().join("alloy.lock.yml")).unwrap();
    let at = |store: &Store, path: &str, more: &[&str]| {
        let url = archive.url(path);
        let mut arguments = vec!["lock", text(blueprint.path()), "--platform=linux/amd64", "--mirror", &url];
        arguments.extend(["--keyring", text(&keyring)]);
        store.run(&[&arguments, more].concat())
    };
    at(&store, "debian", &[]).ok();
    let before = pinned();
    assert!(before.contains(&dates[1]), "{before}");
    // The one there was, and a newer one after an older one: of several servers behind a name one may lag behind.
    at(&store, "debian", &["--update"]).ok();
    archive.now(&[old.clone(), new.clone()]);
    at(&store, "debian", &["--update"]).ok();
    assert_eq!(pinned(), before);
    archive.now(std::slice::from_ref(&old));
    let fresh = Store::new();
    // By what this store has seen, and by what the lockfile says alone.
    for (store, what) in [(&store, "delete "), (&fresh, "take the base's pin out of alloy.lock.yml")] {
        let said = at(store, "debian", &["--update"]).fails(4).stderr;
        let both = format!("is of {}, older than one of the same place that was seen, of {}", dates[0], dates[1]);
        assert!(said.contains(&both), "{said}");
        assert!(said.contains(what) && said.contains("--mirror URL"), "{said}");
        assert_eq!(pinned(), before);
    }
    // Without a lockfile as well, and when a build asks again.
    fs::remove_file(blueprint.path().join("alloy.lock.yml")).unwrap();
    let said = at(&store, "debian", &[]).fails(4).stderr;
    assert!(!said.contains("take the base's pin"), "{said}");
    let url = archive.url("debian");
    let build = ["build", text(blueprint.path()), "--pull", "--platform=linux/amd64", "--mirror", &url];
    let said = store.run(&[&build[..], &["--keyring", text(&keyring)]].concat()).fails(4).stderr;
    assert!(said.contains("older than one of the same place"), "{said}");
    // A mirror has its own memory; that it lags behind the lockfile is said.
    fs::write(blueprint.path().join("alloy.lock.yml"), &before).unwrap();
    let said = at(&store, "lags/debian", &["--update"]).ok().stderr;
    assert!(said.contains("what alloy.lock.yml pins is newer"), "{said}");
    assert!(pinned().contains(&dates[0]));
    // What is pinned is named by its digest, and nobody asks for a release.
    at(&store, "debian", &[]).ok();
    archive.now(&[newest]);
    at(&store, "debian", &["--update"]).ok();
    assert!(pinned().contains(&dates[2]));
    // What was deleted is forgotten, and what others signed is no memory of what these sign.
    archive.now(&[Release::new(&Key::new(4), &dates[0], "0")]);
    fs::write(&keyring, Key::new(4).armoured()).unwrap();
    fs::remove_file(blueprint.path().join("alloy.lock.yml")).unwrap();
    at(&store, "debian", &[]).ok();
    fs::remove_dir_all(store.path().join("store/records/releases")).unwrap();
    archive.now(&[old]);
    fs::write(&keyring, key.armoured()).unwrap();
    fs::remove_file(blueprint.path().join("alloy.lock.yml")).unwrap();
    at(&store, "debian", &[]).ok();
}

#[test]
fn what_an_archive_says_makes_no_lines() {
    let keyrings = tempfile::tempdir().unwrap();
    let key = Key::new(1);
    std::fs::write(keyrings.path().join("debian-archive-keyring.asc"), key.armoured()).unwrap();
    let keyring = keyrings.path().join("debian-archive-keyring.asc");
    let archive = Archive::serve(Release::new(&key, &days_ago(2), "1.0"));
    let (blueprint, store) = (on_bookworm(), Store::new());
    let from = ["--mirror", &archive.url("debian"), "--keyring", text(&keyring)];
    let ask = |command: &str| store.run(&[&[command, text(blueprint.path())][..], &from].concat());
    ask("lock").ok();
    let lock = blueprint.path().join("alloy.lock.yml");
    let pinned = format!(
        "{}apt:\n  linux/amd64:\n    \"t.yml: one\":\n      packages: [passwd]\n      suite: bookworm\n      closure:\n      \
         - {{package: passwd, version: \"0.5\", arch: amd64, archive: {}, filename: pool/main/passwd.deb, size: 100, \
         sha256: {}}}\n",
        std::fs::read_to_string(&lock).unwrap(),
        archive.url("debian"),
        "0".repeat(64)
    );
    std::fs::write(&lock, pinned).unwrap();
    archive.now(&[Release::new(&key, &days_ago(1), "2.0")]);
    assert!(ask("outdated").ok().stdout.contains("passwd"), "a newer version is told");
    archive.now(&[Release::new(&key, &days_ago(1), "2.0\u{7}\n forged line")]);
    let ended = ask("outdated").ok();
    assert!(!ended.stdout.contains("forged"), "{}", ended.stdout);
    let date = days_ago(1);
    for date in [date.replacen(' ', "\n forged ", 1), date.replace("UTC", "+0000 (forged)")] {
        archive.now(&[Release::new(&key, &date, "2.0")]);
        let said = ask("outdated").fails(4).stderr;
        assert!(said.contains("InRelease"), "{said}");
        assert!(!said.lines().any(|line| line.trim_start().starts_with("forged")), "{said}");
    }
}
