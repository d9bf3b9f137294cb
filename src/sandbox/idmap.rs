//! The ids an ordinary user may map: `/etc/subuid`, `/etc/subgid`, and the set-id helpers that write the map.
//!
//! subuid(5), newuidmap(1). Id 0 inside is the user; 1 and up come from the range. Root has a map as well, in which not
//! even id 0 is its own.

use std::fs;
use std::process::{Command, Stdio};

use super::SandboxError;

/// Fewer ids than this and Debian's `nobody` (65534) has no place.
const NEEDED: u32 = 65_535;

/// One kind of id: which file, which helper.
struct Kind {
    file: &'static str,
    program: &'static str,
}

const UIDS: Kind = Kind { file: "/etc/subuid", program: "newuidmap" };
const GIDS: Kind = Kind { file: "/etc/subgid", program: "newgidmap" };

/// The map of an ordinary user, ready to be written.
pub struct IdMap {
    uid: u32,
    gid: u32,
    uids: Range,
    gids: Range,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    start: u32,
    count: u32,
}

impl Range {
    /// True if an id is in both.
    fn meets(self, other: Self) -> bool {
        self.start < other.start.saturating_add(other.count) && other.start < self.start.saturating_add(self.count)
    }
}

impl IdMap {
    /// The map for the user this process runs as.
    pub fn of_current_user() -> Result<Self, SandboxError> {
        let uid = rustix::process::getuid().as_raw();
        let gid = rustix::process::getgid().as_raw();
        let name = user_name(uid);
        let range = |kind: &Kind| {
            let text = fs::read_to_string(kind.file).unwrap_or_default();
            find_range(&text, name.as_deref(), uid).ok_or_else(|| SandboxError::NoRange {
                file: kind.file,
                user: name.clone().unwrap_or_else(|| uid.to_string()),
                needed: NEEDED,
            })
        };
        Ok(Self { uid, gid, uids: range(&UIDS)?, gids: range(&GIDS)? })
    }

    /// Writes the map of process `pid`.
    pub fn write(&self, pid: u32) -> Result<(), SandboxError> {
        write_one(&UIDS, pid, self.uid, self.uids)?;
        write_one(&GIDS, pid, self.gid, self.gids)
    }
}

/// Ids that nobody has: systemd's UIDS-GIDS document calls them unused, and keeps them for user namespaces.
const UNUSED: Range = Range { start: 0x7000_0000, count: 0x0FFF_FFFF };

/// Ids that are negative to programs of old. Nobody has them either: they stand for themselves.
const HIGH: Range = Range { start: 0x8000_0000, count: 0x7FFF_FFFF };

/// Writes the map of process `pid` as root: every id inside is one that nobody has outside. Gives user and group that
/// are root inside.
pub(super) fn write_for_root(pid: u32) -> std::io::Result<(u32, u32)> {
    let write = |kind: &Kind, file: &str| {
        let map = map_for_root(&fs::read_to_string(kind.file).unwrap_or_default());
        fs::write(format!("/proc/{pid}/{file}"), &map)?;
        let root = map.split_whitespace().nth(1).and_then(|start| start.parse().ok());
        root.ok_or_else(|| std::io::Error::other("a map without root"))
    };
    Ok((write(&UIDS, "uid_map")?, write(&GIDS, "gid_map")?))
}

/// The map: first what the administrator has set aside for root, then unused ids, so that no image runs out of them.
fn map_for_root(text: &str) -> String {
    let own = find_range(text, Some("root"), 0).filter(|range| range.start > 0);
    let inside = own.map_or(0, |range| range.count);
    let mut map = own.map_or_else(String::new, |range| format!("0 {} {}\n", range.start, range.count));
    let apart = |range: Range| own.is_none_or(|own| !own.meets(range));
    if apart(UNUSED) && inside < UNUSED.count {
        map += &format!("{inside} {} {}\n", UNUSED.start + inside, UNUSED.count - inside);
    }
    if apart(HIGH) && inside <= HIGH.start {
        map += &format!("{0} {0} {1}\n", HIGH.start, HIGH.count);
    }
    map
}

fn write_one(kind: &Kind, pid: u32, own: u32, range: Range) -> Result<(), SandboxError> {
    let numbers = [pid, 0, own, 1, 1, range.start, range.count];
    let result = Command::new(kind.program).args(numbers.map(|n| n.to_string())).stdin(Stdio::null()).output();
    match result {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(SandboxError::Mapper {
            program: kind.program,
            message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(SandboxError::NoMapper { program: kind.program })
        }
        Err(error) => Err(SandboxError::setup(format!("run {}", kind.program), error)),
    }
}

fn user_name(uid: u32) -> Option<String> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    // Users of a directory service are not in the file; their login sets the variable.
    name.or_else(|| std::env::var("USER").ok())
}

/// The largest range for the user, by name or id.
fn find_range(text: &str, name: Option<&str>, uid: u32) -> Option<Range> {
    let uid = uid.to_string();
    text.lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':');
            let user = fields.next()?;
            let range = Range { start: fields.next()?.parse().ok()?, count: fields.next()?.parse().ok()? };
            (Some(user) == name || user == uid).then_some(range)
        })
        .filter(|range| range.count >= NEEDED)
        .max_by_key(|range| range.count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_range_by_name_or_id() {
        let text = "root:1:2\nann:100000:65536\n# bob:1:65536\n1001:300000:65536\nann:9:1000000\n";
        assert_eq!(find_range(text, Some("ann"), 1000), Some(Range { start: 9, count: 1_000_000 }));
        assert_eq!(find_range(text, None, 1001), Some(Range { start: 300_000, count: 65_536 }));
        assert_eq!(find_range(text, Some("root"), 0), None, "a range too small for nobody is of no use");
        assert_eq!(find_range(text, Some("eve"), 7), None);
    }

    #[test]
    fn root_has_ids_of_nobody() {
        const HIGH: &str = "2147483648 2147483648 2147483647\n";
        let unused = format!("0 1879048192 268435455\n{HIGH}");
        assert_eq!(map_for_root("ann:100000:65536\n"), unused);
        assert_eq!(map_for_root("root:0:65536\n"), unused, "never its own id");
        assert_eq!(
            map_for_root("root:100000:65536\nroot:1:9\n"),
            format!("0 100000 65536\n65536 1879113728 268369919\n{HIGH}"),
            "ids beyond root's own range come from the unused ones"
        );
        let large = format!("0 1000000 1000000000\n{HIGH}");
        assert_eq!(map_for_root("root:1000000:1000000000\n"), large, "large, and in the way");
        assert_eq!(
            map_for_root("root:1879048192:65536\n"),
            format!("0 1879048192 65536\n{HIGH}"),
            "they must not meet"
        );
        assert_eq!(map_for_root("root:3000000000:65536\n"), "0 3000000000 65536\n65536 1879113728 268369919\n");
    }
}
