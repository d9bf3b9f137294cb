use super::*;
use crate::tar::{TarWriter, plain_directory};

struct Bytes(Vec<u8>);

impl Source for Bytes {
    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.0.as_slice()))
    }
}

fn layer(members: &[(Entry, &[u8])]) -> Bytes {
    let mut writer = TarWriter::new(Vec::new());
    for (entry, content) in members {
        writer.append(entry, &mut &content[..]).unwrap();
    }
    Bytes(writer.finish().unwrap())
}

fn file(path: &str, content: &[u8]) -> Entry {
    let size = content.len() as u64;
    Entry { kind: Kind::File, mode: 0o644, mtime: (1_000, 0), size, ..plain_directory(Path::new(path)) }
}

fn compared(left: &Bytes, right: &Bytes, limit: usize) -> Comparison {
    let spill = tempfile::tempdir().unwrap();
    let comparison = compare(left, right, limit, spill.path()).unwrap();
    assert_eq!(std::fs::read_dir(spill.path()).unwrap().count(), 0);
    comparison
}

fn told(comparison: &Comparison) -> Vec<[String; 4]> {
    let told = comparison.differences.iter();
    told.map(|d| [d.path.display().to_string(), d.field.clone(), d.left.clone(), d.right.clone()]).collect()
}

fn contents(left: &[u8], right: &[u8]) -> [String; 3] {
    let sides = [left, right].map(|content| layer(&[(file("x", content), content)]));
    let told = told(&compared(&sides[0], &sides[1], 9));
    let [_, field, left, right] = told.last().unwrap().clone();
    [field, left, right]
}

#[test]
fn equal_layers_have_no_differences() {
    let one = layer(&[(plain_directory(Path::new("d")), b""), (file("d/x", b"abc"), b"abc")]);
    assert_eq!(compared(&one, &one, 9), Comparison::default());
}

#[test]
fn the_first_differing_line_or_byte_is_told() {
    assert_eq!(contents(b"one\ntwo\nx", b"one\nTWO\nx"), ["line 2", "\"two\"", "\"TWO\""]);
    assert_eq!(contents(b"a\0b\x01c", b"a\0b\x02c"), ["byte 3", "01 63", "02 63"]);
    assert_eq!(contents(b"one\n", b"one\ntwo\n"), ["line 2", "ends here", "\"two\""]);
    let long = "x".repeat(500);
    let [field, ..] = contents(format!("{long}a").as_bytes(), format!("{long}b").as_bytes());
    assert_eq!(field, "byte 500");
    // Same line, other line end.
    assert_eq!(contents(b"a\n", b"a")[0], "byte 1");
}

#[test]
fn what_not_everybody_may_read_is_not_shown() {
    let key = |content: &'static [u8]| layer(&[(Entry { mode: 0o640, ..file("key", content) }, content)]);
    let found = told(&compared(&key(b"head\nhunter2\n"), &key(b"head\nsecret7\n"), 9));
    assert_eq!(found[0][1], "line 2");
    assert!(found[0][2..].iter().all(|value| value.starts_with("sha256:")), "{found:?}");
}

#[test]
fn every_field_is_told() {
    let base = file("x", b"");
    let with = |change: &dyn Fn(&mut Entry)| {
        let mut entry = base.clone();
        change(&mut entry);
        let (left, right) = (layer(&[(base.clone(), b"")]), layer(&[(entry, b"")]));
        told(&compared(&left, &right, 9)).remove(0)[1..].to_vec()
    };
    assert_eq!(with(&|entry| entry.mode = 0o4755), ["mode", "0644", "4755"]);
    assert_eq!(with(&|entry| entry.uid = 7), ["owner", "0:0", "7:0"]);
    assert_eq!(with(&|entry| entry.mtime = (1_001, 0)), ["mtime", "1000", "1001"]);
    assert_eq!(with(&|entry| entry.kind = Kind::Fifo), ["kind", "file", "named pipe"]);
    assert_eq!(
        with(&|entry| entry.xattrs.push(("user.a".into(), b"1".to_vec()))),
        ["xattrs", "none of these", "user.a=\"1\""]
    );
    let link = |to: &str| (Entry { kind: Kind::Symlink, link: to.into(), ..base.clone() }, &b""[..]);
    assert_eq!(told(&compared(&layer(&[link("a")]), &layer(&[link("b")]), 9))[0][1..], ["link target", "a", "b"]);
}

#[test]
fn order_and_headers_are_the_last_things_looked_at() {
    let (a, b) = ((file("a", b""), &b""[..]), (file("b", b""), &b""[..]));
    let ordered = layer(&[a.clone(), b.clone()]);
    let told_ = told(&compared(&ordered, &layer(&[b, a.clone()]), 9));
    assert_eq!(told_[0][1], "order");
    let mut other = ordered.0.clone();
    // The name of the owner, which is not read; the checksum follows.
    other[265] = b'r';
    let sum: u32 =
        other[..512].iter().enumerate().map(|(at, b)| if (148..156).contains(&at) { 32 } else { u32::from(*b) }).sum();
    other[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let told_ = told(&compared(&ordered, &Bytes(other), 9));
    assert_eq!(told_[0][1], "tar headers");
}

/// Files that the right layer does not have.
fn absent(paths: impl IntoIterator<Item = String>, limit: usize) -> Comparison {
    let all: Vec<_> = paths.into_iter().map(|path| (file(&path, b""), &b""[..])).collect();
    compared(&layer(&all), &layer(&[]), limit)
}

fn unlisted(comparison: &Comparison) -> Vec<(String, usize)> {
    comparison.unlisted.iter().map(|rest| (rest.directory.display().to_string(), rest.count)).collect()
}

#[test]
fn only_so_many_are_listed() {
    let comparison = absent((0..30).map(|n| format!("f{n:02}")), 20);
    assert_eq!(comparison.differences.len(), 20);
    assert_eq!(unlisted(&comparison), [(String::new(), 10)]);
    assert_eq!(told(&comparison)[0], ["f00", "existence", "file of 0 bytes", "absent"]);
    let below = absent((0..30).map(|n| format!("srv/data/f{n:02}")), 20);
    assert_eq!(unlisted(&below), [("srv/data".to_owned(), 10)]);
    assert_eq!(unlisted(&absent(["a".to_owned(), "b".to_owned()], 0)), [(String::new(), 2)]);
}

#[test]
fn a_directory_with_very_many_hides_no_other() {
    let cache = (0..300).map(|n| format!("root/.cache/tool/{:x}/{n:04}", n % 16));
    let others = ["etc/a.conf", "etc/b.conf", "opt/tool/bin/x", "var/log/z"].map(str::to_owned);
    let comparison = absent(cache.chain(others.clone()), 20);
    assert_eq!(comparison.differences.len(), 20);
    let paths: Vec<String> = told(&comparison).into_iter().map(|[path, ..]| path).collect();
    assert!(others.iter().all(|path| paths.contains(path)), "{paths:?}");
    assert!(paths.is_sorted());
    let left = unlisted(&comparison);
    assert!(left.iter().all(|(directory, _)| directory.starts_with("root/.cache/tool")), "{left:?}");
    assert_eq!(left.iter().map(|(_, count)| count).sum::<usize>(), 304 - 20);
}

#[test]
fn a_member_with_several_differences_is_listed_whole_if_it_fits() {
    let (old, new) = (file("a/x", b"1"), Entry { mode: 0o600, mtime: (7, 0), ..file("a/x", b"22") });
    let many: Vec<Entry> = (0..9).map(|n| file(&format!("b/{n}"), b"")).collect();
    let mut left: Vec<(Entry, &[u8])> = vec![(old, b"1")];
    left.extend(many.iter().map(|entry| (entry.clone(), &b""[..])));
    let comparison = compared(&layer(&left), &layer(&[(new, b"22")]), 6);
    let listed = told(&comparison);
    assert_eq!(listed.iter().filter(|[path, ..]| path == "a/x").count(), 4, "{listed:?}");
    assert_eq!(unlisted(&comparison), [("b".to_owned(), 7)]);
}
