use super::*;

#[test]
fn an_owner_that_is_nobody_is_root() {
    let record = |text: &str| format!("{} {text}\n", text.len() + 4).into_bytes();
    let ids = |value: &str| {
        let mut ahead = Ahead::default();
        ahead.read(&record(&format!("uid={value}"))).map(|()| ahead.uid).map_err(|error| error.to_string())
    };
    assert_eq!(
        (ids("00007"), ids("000-1")),
        (Ok(Some(7)), Err("cannot read the archive: the field `uid` of an extended header cannot be read".into()))
    );
    assert_eq!(
        (owner(b"-1"), owner(b"4294967294"), owner(b"-2"), owner(b"4294967296")),
        (Some(NOBODY), Some(NOBODY - 1), None, None)
    );
    // What a header says, in whatever way, comes to the same.
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::Regular);
    header.set_path("x").unwrap();
    header.set_uid(NOBODY.into());
    header.set_gid(7);
    let ahead = || Ahead { gid: Some(NOBODY), ..Ahead::default() };
    let (found, _) = member(&header, ahead(), 0, None, path::clean, &mut io::empty()).unwrap();
    assert_eq!((found.uid, found.gid), (0, 0));
}

#[test]
fn times_with_a_fraction() {
    assert_eq!(time(b"1350244992.023960108"), Some((1_350_244_992, 23_960_108)));
    assert_eq!(time(b"-1.25"), Some((-2, 750_000_000)));
    assert_eq!(time(b"12"), Some((12, 0)));
    assert_eq!(time(b"x"), None);
}

/// What GNU tar makes of a sparse file, in each of its formats.
#[test]
fn sparse_files_have_their_holes() {
    use std::io::Write;
    use std::os::unix::fs::FileExt;
    let directory = tempfile::tempdir().unwrap();
    let file = std::fs::File::create(directory.path().join("sparse")).unwrap();
    let mut expected = vec![0; 5_000_000];
    for at in (0..40).map(|n| n * 100_000 + 4096) {
        file.write_all_at(b"data", at).unwrap();
        let at = usize::try_from(at).unwrap();
        expected[at..at + 4].copy_from_slice(b"data");
    }
    file.set_len(5_000_000).unwrap();
    (&file).flush().unwrap();
    for arguments in [
        &["--format=gnu"][..],
        &["--format=posix", "--sparse-version=0.0"],
        &["--format=posix", "--sparse-version=0.1"],
        &["--format=posix", "--sparse-version=1.0"],
    ] {
        let output = std::process::Command::new("tar")
            .args(["-C", directory.path().to_str().unwrap(), "-S", "-cf", "-"])
            .args(arguments)
            .arg("sparse")
            .output()
            .unwrap();
        assert!(output.status.success());
        assert!(output.stdout.len() < 1_000_000, "not sparse: {arguments:?}");
        let mut found = Vec::new();
        for_each::<_, TarError>(output.stdout.as_slice(), |entry, content| {
            assert_eq!(entry.path.to_str(), Some("sparse"));
            assert_eq!(entry.size, 5_000_000);
            content.read_to_end(&mut found)?;
            Ok(())
        })
        .unwrap();
        assert!(found == expected, "{arguments:?}");
    }
}
