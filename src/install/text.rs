//! Short texts that tasks put on a host, kept in the store so that what became of them can be shown line by line.

use std::path::Path;

use layers::root::Root;
use layers::store::Store;

use super::InstallError;
use super::seen::{Seen, What};
use crate::op::Secrets;

const KIND: &str = "texts";
/// Bytes of one.
const LONGEST: u64 = 64 << 10;
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

/// A text that everybody may read: of others, digests are shown.
fn read(root: &Root, path: &Path, seen: &Seen) -> Option<String> {
    let short = matches!(&seen.what, What::File(content) if content.size.is_some_and(|size| size <= LONGEST));
    let bytes = if short && seen.mode & 0o004 != 0 { root.read(path, LONGEST).ok()? } else { return None };
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

/// How the text at `path` differs from what it `was`; nothing where one of them is not to be shown.
pub fn differences(store: &Store, root: &Root, path: &Path, was: &Seen) -> Vec<String> {
    let What::File(content) = &was.what else { return Vec::new() };
    let shown = || {
        let old = store.record(KIND, &content.digest?.hex()).ok()??;
        let old = String::from_utf8(old).ok().filter(|_| was.mode & 0o004 != 0)?;
        let new = read(root, path, &Seen::at(root, path).ok()?)?;
        Some(unified(&old, &new))
    };
    shown().unwrap_or_default()
}

/// Lines that were and are, as `diff -u` has them, without its head.
fn unified(old: &str, new: &str) -> Vec<String> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let start = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let rest = old.len().min(new.len()) - start;
    let end = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(old, new)| old == new).count();
    let (gone, come) = (&old[start..old.len() - end], &new[start..new.len() - end]);
    let mut lines: Vec<String> =
        old[start.saturating_sub(AROUND)..start].iter().map(|line| format!("  {line}")).collect();
    lines.extend(changes(gone, come));
    lines.extend(old[old.len() - end..].iter().take(AROUND).map(|line| format!("  {line}")));
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
fn changes(old: &[&str], new: &[&str]) -> Vec<String> {
    let (minus, plus) = (|line: &&str| format!("- {line}"), |line: &&str| format!("+ {line}"));
    if old.len() + new.len() > COMPARED {
        return old.iter().map(minus).chain(new.iter().map(plus)).collect();
    }
    let mut common = vec![vec![0_u32; new.len() + 1]; old.len() + 1];
    for at in (0..old.len()).rev() {
        for to in (0..new.len()).rev() {
            common[at][to] = match old[at] == new[to] {
                true => common[at + 1][to + 1] + 1,
                false => common[at + 1][to].max(common[at][to + 1]),
            };
        }
    }
    let (mut at, mut to, mut lines) = (0, 0, Vec::new());
    while at < old.len() || to < new.len() {
        if at < old.len() && to < new.len() && old[at] == new[to] {
            lines.push(format!("  {}", old[at]));
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
        let long = unified(&"a\n".repeat(1000), &"b\n".repeat(1000));
        assert_eq!((long.len(), long.last().unwrap().as_str()), (SHOWN + 1, "… and 1960 more lines"));
    }
}
