//! Short texts that tasks put on a host, kept in the store so that what became of them can be shown line by line.

use std::path::Path;

use layers::root::Root;
use layers::store::Store;

use super::InstallError;
use super::seen::{Seen, What};
use crate::op::{Secrets, without_credentials};

const KIND: &str = "texts";
/// Bytes of one.
pub const LONGEST: u64 = 64 << 10;
/// Lines of a comparison that are shown.
const SHOWN: usize = 40;
/// Lines around what differs.
const AROUND: usize = 2;
/// Lines of both sides that are compared one with each other; of more, the old ones stand before the new ones.
const COMPARED: usize = 400;

/// Keeps what is at `path`, if it is a text that everybody may read and that has no secret in it.
pub fn keep(store: &Store, secrets: &Secrets, root: &Root, path: &Path, seen: &Seen) -> Result<(), InstallError> {
    let What::File(content) = &seen.what else { return Ok(()) };
    let (Some(digest), Some(text)) = (content.digest, read(root, path, seen)) else { return Ok(()) };
    if secrets.mask(&text) == text {
        store.put_record(KIND, &digest.hex(), text.as_bytes())?;
    }
    Ok(())
}

/// A short text that everybody may read: of others, digests are shown.
fn read(root: &Root, path: &Path, seen: &Seen) -> Option<String> {
    if is_short(seen) && closed(root, path, seen).is_none() { text(root.read(path, LONGEST).ok()?) } else { None }
}

/// True for a file that is short enough to be shown.
pub fn is_short(seen: &Seen) -> bool {
    matches!(&seen.what, What::File(content) if content.size.is_some_and(|size| size <= LONGEST))
}

fn text(bytes: Vec<u8>) -> Option<String> {
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

/// Why not everybody may read the file at `path`: its own mode, or that of a directory above it.
fn closed(root: &Root, path: &Path, seen: &Seen) -> Option<String> {
    if seen.mode & 0o004 == 0 {
        return Some(format!("the file's mode is {:04o}", seen.mode));
    }
    let relative = path.strip_prefix("/").unwrap_or(path);
    let above = relative.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty());
    let above = above.filter_map(|above| Some((above, root.metadata_followed(above).ok()?.mode)));
    let closed = above.filter(|(_, mode)| mode & 0o001 == 0).last();
    closed.map(|(above, mode)| format!("the mode of /{} is {mode:04o}", above.display()))
}

/// What is shown of a content that differs.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Lines that were and are, if both are known.
    pub lines: Vec<String>,
    /// Why they are not everybody's to see, if that is so.
    pub hidden: Option<String>,
}

/// The text of what `was` there, if it was kept.
pub fn kept(store: &Store, was: &Seen) -> Option<Vec<u8>> {
    let What::File(content) = &was.what else { return None };
    store.record(KIND, &content.digest?.hex()).ok()?
}

/// How what is at `path` differs from what it `was`; `old` knows the text of that, if anybody does.
pub fn compare(root: &Root, path: &Path, was: &Seen, now: &Seen, old: impl FnOnce() -> Option<Vec<u8>>) -> Comparison {
    // Who opens or closes a file changes its mode, too: neither text is shown.
    let before = || (was.mode & 0o004 == 0).then(|| format!("the file's mode was {:04o}", was.mode));
    if let Some(why) = closed(root, path, now).or_else(before) {
        let content = (is_short(now)).then(|| text(root.read(path, LONGEST).ok()?)).flatten();
        let size = content.map(|text| lines(text.lines().count())).or_else(|| match &now.what {
            What::File(content) => content.size.map(|size| format!("{size} bytes")),
            _ => None,
        });
        let size = size.map_or(String::new(), |size| format!(" ({size})"));
        let hidden = Some(format!("content differs{size}, not shown: {why}"));
        return Comparison { lines: Vec::new(), hidden };
    }
    let shown = || Some(unified(&text(old()?)?, &read(root, path, now)?));
    Comparison { lines: shown().unwrap_or_default(), hidden: None }
}

fn lines(number: usize) -> String {
    if number == 1 { "1 line".to_owned() } else { format!("{number} lines") }
}

/// A line as it is compared, and as it is shown.
type Line<'a> = (&'a str, &'a str);

/// Lines that were and are, as `diff -u` has them, without its head. What lets somebody in is not shown.
fn unified(old: &str, new: &str) -> Vec<String> {
    let (old_shown, new_shown) = (without_credentials(old), without_credentials(new));
    let (old, new): (Vec<Line<'_>>, Vec<Line<'_>>) =
        (old.lines().zip(old_shown.lines()).collect(), new.lines().zip(new_shown.lines()).collect());
    let start = old.iter().zip(&new).take_while(|(old, new)| old.0 == new.0).count();
    let rest = old.len().min(new.len()) - start;
    let end = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(old, new)| old.0 == new.0).count();
    let (gone, come) = (&old[start..old.len() - end], &new[start..new.len() - end]);
    let around = |(_, shown): &Line<'_>| format!("  {shown}");
    let mut lines: Vec<String> = old[start.saturating_sub(AROUND)..start].iter().map(around).collect();
    lines.extend(changes(gone, come));
    lines.extend(old[old.len() - end..].iter().take(AROUND).map(around));
    if lines.len() > SHOWN {
        let more = lines.len() - SHOWN;
        lines.truncate(SHOWN);
        lines.push(format!("… and {more} more lines"));
    }
    if gone.is_empty() && come.is_empty() {
        lines.push("  (only the end of the last line differs)".to_owned());
    }
    lines
}

/// The shortest way from `old` to `new`, by their longest common subsequence.
fn changes(old: &[Line<'_>], new: &[Line<'_>]) -> Vec<String> {
    let minus = |(_, line): &Line<'_>| format!("- {line}");
    let plus = |(_, line): &Line<'_>| format!("+ {line}");
    if old.len() + new.len() > COMPARED {
        return old.iter().map(minus).chain(new.iter().map(plus)).collect();
    }
    let mut common = vec![vec![0_u32; new.len() + 1]; old.len() + 1];
    for at in (0..old.len()).rev() {
        for to in (0..new.len()).rev() {
            common[at][to] = match old[at].0 == new[to].0 {
                true => common[at + 1][to + 1] + 1,
                false => common[at + 1][to].max(common[at][to + 1]),
            };
        }
    }
    let (mut at, mut to, mut lines) = (0, 0, Vec::new());
    while at < old.len() || to < new.len() {
        if at < old.len() && to < new.len() && old[at].0 == new[to].0 {
            lines.push(format!("  {}", old[at].1));
            (at, to) = (at + 1, to + 1);
        } else if at < old.len() && (to == new.len() || common[at + 1][to] >= common[at][to + 1]) {
            lines.push(minus(&old[at]));
            at += 1;
        } else {
            lines.push(plus(&new[to]));
            to += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_shown_with_what_is_around_it() {
        let shown = |old: &str, new: &str| unified(old, new).join("\n");
        assert_eq!(shown("1\n2\n3\n4\n5\n6\n", "1\n2\n3\nx\n5\n6\n"), "  2\n  3\n- 4\n+ x\n  5\n  6");
        assert_eq!(shown("a\nb\nc\n", "b\nc\nd\n"), "- a\n  b\n  c\n+ d");
        assert_eq!(shown("", "a\n"), "+ a");
        assert_eq!(shown("a\n", ""), "- a");
        assert_eq!(shown("a\na\n", "a\n"), "  a\n- a");
        assert_eq!(shown("a", "a\n"), "  a\n  (only the end of the last line differs)");
        let token = |value: &str| format!("a\nexport A_TOKEN={value}\n");
        assert_eq!(shown(&token("x"), &token("y")), "  a\n- export A_TOKEN=***\n+ export A_TOKEN=***");
        let long = unified(&"a\n".repeat(1000), &"b\n".repeat(1000));
        assert_eq!((long.len(), long.last().unwrap().as_str()), (SHOWN + 1, "… and 1960 more lines"));
    }

    #[test]
    fn what_is_not_everybodys_is_not_shown() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let chmod = |path: &str, mode| {
            std::fs::set_permissions(directory.path().join(path), PermissionsExt::from_mode(mode)).unwrap();
        };
        let root = Root::open(directory.path()).unwrap();
        std::fs::create_dir_all(directory.path().join("root/a")).unwrap();
        let path = Path::new("/root/a/x");
        std::fs::write(directory.path().join("root/a/x"), "old\n").unwrap();
        chmod("root/a/x", 0o644);
        chmod("root/a", 0o755);
        let was = Seen::at(&root, path).unwrap();
        std::fs::write(directory.path().join("root/a/x"), "new\nmore\n").unwrap();
        for (file, above, lines, hidden) in [
            (0o644, 0o755, 3, None),
            (0o640, 0o755, 0, Some("content differs (2 lines), not shown: the file's mode is 0640")),
            (0o644, 0o700, 0, Some("content differs (2 lines), not shown: the mode of /root is 0700")),
        ] {
            chmod("root/a/x", file);
            chmod("root", above);
            let now = Seen::at(&root, path).unwrap();
            let found = compare(&root, path, &was, &now, || Some(b"old\n".to_vec()));
            assert_eq!((found.lines.len(), found.hidden.as_deref()), (lines, hidden));
        }
    }
}
