use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};

use super::*;

fn place() -> (tempfile::TempDir, impl Fn(&str) -> PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().canonicalize().unwrap();
    (place, move |name: &str| path.join(name))
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn write(path: &Path, text: &str) -> Result<(), SinkError> {
    Sink::at(path)?.write_all(text.as_bytes())
}

#[test]
fn a_file_is_replaced_and_keeps_its_mode() {
    let (place, at) = place();
    std::fs::write(at("file"), "a long text from before").unwrap();
    std::fs::set_permissions(at("file"), PermissionsExt::from_mode(0o640)).unwrap();
    let before = File::open(at("file")).unwrap();
    write(&at("file"), "new").unwrap();
    write(&at("free"), "new").unwrap();
    assert_eq!(std::fs::read(at("file")).unwrap(), b"new");
    assert_eq!(at("file").metadata().unwrap().mode() & 0o7777, 0o640);
    // Whoever was reading reads on what there was.
    assert_eq!(io::read_to_string(before).unwrap(), "a long text from before");
    let failed: Result<(), SinkError> = Sink::at(&at("file")).unwrap().write(|mut file| {
        file.write_all(b"half").unwrap();
        Err(SinkError::Tree)
    });
    assert!(failed.is_err());
    assert_eq!(std::fs::read(at("file")).unwrap(), b"new");
    assert_eq!(names(place.path()), ["file", "free"]);
}

#[test]
fn links_stay_and_what_they_lead_to_is_written() {
    let (_place, at) = place();
    std::fs::create_dir(at("d")).unwrap();
    std::fs::write(at("d/file"), "old").unwrap();
    symlink("d/file", at("link")).unwrap();
    symlink("link", at("chain")).unwrap();
    symlink("d/free", at("nowhere")).unwrap();
    symlink("circle", at("circle")).unwrap();
    write(&at("chain"), "new").unwrap();
    write(&at("nowhere"), "made").unwrap();
    assert!(at("chain").is_symlink() && at("link").is_symlink() && at("nowhere").is_symlink());
    assert_eq!(std::fs::read(at("d/file")).unwrap(), b"new");
    assert_eq!(std::fs::read(at("d/free")).unwrap(), b"made");
    assert!(matches!(write(&at("circle"), ""), Err(SinkError::Write { .. })));
}

#[test]
fn what_cannot_be_written_is_known_before() {
    let (_place, at) = place();
    std::fs::write(at("file"), "").unwrap();
    std::fs::create_dir(at("d")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    let look = |name: &str| Sink::at(&at(name)).map(drop);
    assert!(matches!(look("none/file"), Err(SinkError::Missing { .. })));
    assert!(matches!(look("file/x"), Err(SinkError::NotADirectory { .. })));
    assert!(matches!(look("d"), Err(SinkError::Directory { .. })));
    assert!(matches!(look("free/"), Err(SinkError::Directory { .. })));
    assert!(matches!(look("socket"), Err(SinkError::Socket { .. })));
    assert!(matches!(directory(Path::new("-")), Err(SinkError::Tree)));
    assert!(matches!(directory(&at("file/x")), Err(SinkError::NotADirectory { .. })));
    assert_eq!(directory(&at("d/e/f")).unwrap().0, at("d/e/f"));
}

#[test]
fn a_fifo_is_written_to() {
    let (_place, at) = place();
    rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let path = at("fifo");
    let reader = std::thread::spawn(move || std::fs::read_to_string(path).unwrap());
    write(&at("fifo"), "through").unwrap();
    assert_eq!(reader.join().unwrap(), "through");
    assert!(at("fifo").metadata().unwrap().file_type().is_fifo());
}

#[test]
fn a_descriptor_s_name_goes_on_where_it_is() {
    use std::os::fd::AsRawFd;
    let (_place, at) = place();
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(at("file")).unwrap();
    file.write_all(b"first ").unwrap();
    write(Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd())), "second").unwrap();
    assert_eq!(std::fs::read(at("file")).unwrap(), b"first second");
    assert_eq!(file.metadata().unwrap().ino(), at("file").metadata().unwrap().ino());
    assert!(
        Sink::at(Path::new("/proc/self/fd/1")).unwrap().is_output() && Sink::at(Path::new("-")).unwrap().is_output()
    );
}

#[test]
fn only_what_the_dead_have_left_is_swept() {
    let (place, at) = place();
    for name in [".out.alloy-AAAAAAAA", ".out.alloy-short", ".other.alloy-AAAAAAAA", ".out.alloy-BBBBBBBB"] {
        std::fs::write(at(name), "x").unwrap();
    }
    std::fs::create_dir_all(at(".out.alloy-CCCCCCCC/deep/er")).unwrap();
    let lives = File::open(at(".out.alloy-BBBBBBBB")).unwrap();
    lives.lock().unwrap();
    let staged = Staged::of(&at("out")).unwrap();
    let unique = staged.path().file_name().unwrap().to_str().unwrap().to_owned();
    write(&at("out"), "x").unwrap();
    let mut left = vec![".other.alloy-AAAAAAAA", ".out.alloy-BBBBBBBB", &unique, ".out.alloy-short", "out"];
    left.sort_unstable();
    assert_eq!(names(place.path()), left);
    drop((staged, lives));
    write(&at("out"), "x").unwrap();
    assert_eq!(names(place.path()), [".other.alloy-AAAAAAAA", ".out.alloy-short", "out"]);
}

#[test]
fn a_directory_takes_a_place() {
    let (place, at) = place();
    let fill = |text: &str| {
        let staged = Staged::of(&at("out")).unwrap();
        std::fs::write(staged.path().join("file"), text).unwrap();
        staged.persist(&at("out")).unwrap();
    };
    fill("one");
    fill("two");
    let mut found = String::new();
    File::open(at("out/file")).unwrap().read_to_string(&mut found).unwrap();
    assert_eq!((found.as_str(), names(place.path())), ("two", vec!["out".to_owned()]));
}

#[test]
fn what_meets_is_found() {
    let path = |text: &str| Taken::Path(text.into());
    let tree = |text: &str| Taken::Tree(text.into());
    assert_eq!(clash(&[Taken::Output, path("/a"), tree("/b")]), None);
    assert_eq!(clash(&[path("/a"), Taken::Output, Taken::Output]), Some((&Taken::Output, &Taken::Output)));
    assert!(clash(&[path("/a"), tree("/b"), path("/b/c")]).is_some());
    assert!(clash(&[tree("/b/c"), tree("/b")]).is_some() && clash(&[tree("/b"), tree("/bc")]).is_none());
}
