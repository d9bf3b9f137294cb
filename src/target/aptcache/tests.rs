use super::*;

fn cache() -> (tempfile::TempDir, AptCache) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path().join("store")).unwrap();
    let cache = AptCache::new(store.root().join("work/x"), "base", &store).unwrap();
    (directory, cache)
}

fn archived(content: &[u8]) -> Archived {
    Archived { name: "hello_1_all.deb".into(), sha256: Digest::of(content), size: content.len() as u64 }
}

#[test]
fn a_package_is_kept_only_if_it_is_what_the_index_says() {
    let (_directory, cache) = cache();
    let (right, place) = (archived(b"right"), cache.archives().join("hello_1_all.deb"));
    for wrong in [&b"wrong"[..], b"right and more", b"righ"] {
        fs::write(&place, wrong).unwrap();
        cache.keep_archives(std::slice::from_ref(&right)).unwrap();
        assert!(!cache.download(&right).exists());
    }
    fs::remove_file(&place).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &place).unwrap();
    let passwd = archived(&fs::read("/etc/passwd").unwrap());
    cache.keep_archives(std::slice::from_ref(&passwd)).unwrap();
    assert!(!cache.download(&passwd).exists(), "a link leads out of the directory");
    fs::remove_file(&place).unwrap();
    fs::write(&place, b"right").unwrap();
    cache.keep_archives(std::slice::from_ref(&right)).unwrap();
    assert_eq!(fs::read(cache.download(&right)).unwrap(), b"right");
    // What a command does to what it was lent is done to nothing else.
    fs::remove_file(&place).unwrap();
    cache.lend_archives(std::slice::from_ref(&right)).unwrap();
    fs::write(&place, b"wrong").unwrap();
    assert_eq!(fs::read(cache.download(&right)).unwrap(), b"right");
}

#[test]
fn lists_that_nobody_signed_are_not_kept() {
    let (directory, cache) = cache();
    let root = Root::open(directory.path()).unwrap();
    cache.prepare(&root);
    fs::write(cache.lists().join("a_dists_x_InRelease"), "Suite: x\n").unwrap();
    cache.keep_lists().unwrap();
    let kept = &cache.sources.get().unwrap().as_ref().unwrap().kept;
    assert!(!kept.exists());
    // What was kept is lent to roots that trust the same keys, as a copy.
    fs::create_dir_all(kept).unwrap();
    fs::write(kept.join("a_dists_x_InRelease"), "Suite: x\n").unwrap();
    let files = [("a_dists_x_InRelease".to_owned(), Digest::of("Suite: x\n"))].into();
    fs::write(kept.join(DATES), serde_json::to_vec(&Kept { files, ..Kept::default() }).unwrap()).unwrap();
    let other = |name: &str| AptCache::new(directory.path().join(name), "base", &cache.store).unwrap();
    let (same, more) = (other("same"), other("more"));
    same.prepare(&root);
    let has_lists = |cache: &AptCache| cache.lists().join("a_dists_x_InRelease").exists();
    assert!(!has_lists(&same), "nothing is lent before apt asks for what is newer");
    same.lend_lists();
    assert!(has_lists(&same));
    fs::write(same.lists().join("a_dists_x_InRelease"), "changed").unwrap();
    assert_eq!(fs::read(kept.join("a_dists_x_InRelease")).unwrap(), b"Suite: x\n");
    fs::create_dir_all(directory.path().join("etc/apt/trusted.gpg.d")).unwrap();
    fs::write(directory.path().join("etc/apt/trusted.gpg.d/own.asc"), "key").unwrap();
    more.prepare(&root);
    more.lend_lists();
    assert!(!has_lists(&more));
}

#[test]
fn kept_lists_that_were_damaged_are_lent_to_nobody() {
    let (directory, cache) = cache();
    let root = Root::open(directory.path()).unwrap();
    cache.prepare(&root);
    let kept = &cache.sources.get().unwrap().as_ref().unwrap().kept;
    fs::create_dir_all(kept).unwrap();
    fs::write(kept.join("a_dists_x_InRelease"), "Suite: x\n").unwrap();
    let files = [("a_dists_x_InRelease".to_owned(), Digest::of("Suite: y\n"))].into();
    fs::write(kept.join(DATES), serde_json::to_vec(&Kept { files, ..Kept::default() }).unwrap()).unwrap();
    let other = AptCache::new(directory.path().join("other"), "base", &cache.store).unwrap();
    other.prepare(&root);
    other.lend_lists();
    assert!(!other.lists().join("a_dists_x_InRelease").exists());
    // Nor do they keep good ones from being kept.
    assert!(!kept.exists());
}

#[test]
fn sources_are_signed_as_they_say_and_never_by_more() {
    let (directory, cache) = cache();
    let etc = directory.path().join("etc/apt");
    for place in ["trusted.gpg.d", "sources.list.d"] {
        fs::create_dir_all(etc.join(place)).unwrap();
    }
    for name in ["trusted.gpg.d/a.asc", "trusted.gpg.d/a.asc.old", "own.gpg"] {
        fs::write(etc.join(name), name).unwrap();
    }
    let stanza = |suite: &str, more: &str| format!("Types: deb\nURIs: http://m\nSuites: {suite}\n{more}\n\n");
    let fingerprint = "0123456789abcdef0123456789abcdef01234567";
    let all = [
        stanza("all", ""),
        stanza("file", "Signed-By: /etc/apt/own.gpg"),
        stanza("none", "Signed-By: /etc/apt/none.gpg"),
        stanza("chosen", &format!("Signed-By: {fingerprint}")),
        stanza("block", "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n /abc"),
        stanza("odd", "Signed-By: DEADBEEF"),
        stanza("two", "Signed-By: /etc/apt/own.gpg") + &stanza("two", ""),
    ];
    fs::write(etc.join("sources.list.d/x.sources"), all.concat()).unwrap();
    let archives = cache.sources_of(&Root::open(directory.path()).unwrap()).unwrap().archives;
    let found = |archive: &Archive| {
        let of = |keyring: &Keyring| match keyring {
            Keyring::File(path) => fs::read_to_string(path).unwrap(),
            Keyring::Block(text) => text.lines().last().unwrap().to_owned(),
            Keyring::Carried { .. } => unreachable!("no source in a root has them"),
        };
        let keyrings = archive.trust.keyrings.iter().map(of).collect::<Vec<_>>().join(" ");
        format!("{}: {keyrings} {}", archive.suite, archive.trust.only.len())
    };
    let expected =
        ["all: trusted.gpg.d/a.asc 0", "file: own.gpg 0", "none:  0", "chosen: trusted.gpg.d/a.asc 1", "block: /abc 0"];
    assert_eq!(archives.iter().map(found).collect::<Vec<_>>(), expected);
}

#[test]
fn more_lists_than_may_be_open_are_copied() {
    let directory = tempfile::tempdir().unwrap();
    let [from, to] = ["from", "to"].map(|name| directory.path().join(name));
    fs::create_dir(&from).unwrap();
    fs::create_dir(&to).unwrap();
    for number in 0..2000 {
        fs::write(from.join(number.to_string()), "x").unwrap();
    }
    // As most systems have it.
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let few = rustix::process::Rlimit { current: Some(1024), ..most };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, few).unwrap();
    assert_eq!(copy_files(&Root::open(&from).unwrap(), &to).unwrap().len(), 2000);
}
