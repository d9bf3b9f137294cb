//! What usually makes a file differ from one build to the next, and what helps.

use layers::tree::Difference;

/// What is likely behind `difference`.
pub(super) fn likely(difference: &Difference) -> Option<&'static str> {
    let path = difference.path.to_string_lossy();
    let ends = |ends: &[&str]| ends.iter().any(|end| path.ends_with(end));
    if difference.field == "mtime" {
        return Some("its time is set after the tasks: touch -d @$SOURCE_DATE_EPOCH");
    }
    if matches!(difference.field.as_str(), "mode" | "owner" | "link target" | "order") {
        return None;
    }
    if path.starts_with("etc/ssh/ssh_host_") {
        return Some("a host key is random, and everybody who has the image has it: delete it, make it at first start");
    }
    if ends(&[".pem", ".key", ".crt", "_rsa", "_ed25519"]) || path.contains("/private/") {
        return Some("a key is random: make it when the container starts");
    }
    if matches!(path.as_ref(), "etc/shadow" | "etc/gshadow") {
        return Some("the salt of a password is random: give the hash, as `usermod -p` takes it");
    }
    if path.starts_with("var/lib/dpkg/") {
        return Some("the archive has other packages by now: pin them, name=version, or use a mirror that stays");
    }
    let inside = |directories: &[&str]| directories.iter().any(|directory| format!("/{path}").contains(directory));
    if inside(&["/.git/"]) {
        return Some(
            "git writes down when it wrote which file: delete .git, or use `git_clone`, which leaves that out",
        );
    }
    if inside(&["/.cache/", "/_cacache/", "/.cargo/registry/"]) {
        return Some("a cache: delete it in the task that filled it");
    }
    if ends(&[".log"]) || path.starts_with("var/log/") {
        return Some("a log: delete it in the task that wrote it");
    }
    if ends(&[".pyc"]) {
        return Some("Python's bytecode: compile it with --invalidation-mode unchecked-hash, or not at all");
    }
    if holds_time(&difference.left) && holds_time(&difference.right) {
        return Some("it holds a time: use SOURCE_DATE_EPOCH, which every task has in its environment");
    }
    if ends(&[".gz", ".tgz"]) {
        return Some("gzip writes the time into its header: gzip -n");
    }
    if ends(&[".a"]) {
        return Some("an archive of ar holds times: ar D");
    }
    if ends(&[".tar"]) {
        return Some("a tar holds times: tar --sort=name --mtime=@$SOURCE_DATE_EPOCH");
    }
    if ends(&[".zip", ".jar", ".whl"]) {
        return Some("a zip holds times: set them to SOURCE_DATE_EPOCH before, and use zip -X");
    }
    None
}

/// As date(1) has them in the C locale.
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// True for a text with a time of day, a date, or seconds since 1970.
fn holds_time(text: &str) -> bool {
    // Digits as 0, all else as it is: shapes are looked for.
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let seconds = || {
        let mut numbers = text.split(|c: char| !c.is_ascii_digit());
        // From 2001 to 2286.
        numbers.any(|number| number.len() == 10 && !number.starts_with('0'))
    };
    let month = |month: &&str| shape.contains(&format!("{month} 0")) || shape.contains(&format!("0 {month}"));
    shape.contains("00:00:00") || shape.contains("0000-00-00") || MONTHS.iter().any(month) || seconds()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(path: &str, field: &str, left: &str, right: &str) -> Option<&'static str> {
        let (left, right) = (left.to_owned(), right.to_owned());
        likely(&Difference { path: path.into(), field: field.to_owned(), left, right })
    }

    #[test]
    fn times_are_known_by_their_shape() {
        for text in ["Sat Nov 21 10:01:02 UTC 2026", "built 2026-11-21", "1795255262", "10:01:02", "21 Nov 2026"] {
            assert!(holds_time(text), "{text}");
        }
        for text in ["3a b4 07", "version 12.3", "0123456789", "12345678901", ""] {
            assert!(!holds_time(text), "{text}");
        }
        let (left, right) = ("Nov 21 10:01:02", "Nov 21 10:01:09");
        assert!(cause("srv/now", "line 1", left, right).unwrap().contains("SOURCE_DATE_EPOCH"));
    }

    #[test]
    fn a_cause_is_named_only_where_it_is_known() {
        assert!(cause("etc/ssh/ssh_host_rsa_key", "byte 4", "", "").unwrap().contains("host key"));
        assert!(cause("opt/x.tar.gz", "byte 4", "3a", "3b").unwrap().contains("gzip -n"));
        assert_eq!(cause("etc/ssh/ssh_host_rsa_key", "mode", "0600", "0644"), None);
        assert_eq!(cause("srv/random", "byte 0", "3a b4", "3b 11"), None);
    }
}
