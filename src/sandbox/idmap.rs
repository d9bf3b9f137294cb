//! The ids an ordinary user may map: `/etc/subuid`, `/etc/subgid`, and the set-id helpers that write the map.
//!
//! subuid(5), newuidmap(1). Id 0 inside is the user; 1 and up come from the range. Root has a map as well, in which not
//! even id 0 is its own.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::SandboxError;
use crate::vars::Vars;

/// Fewer ids than this and Debian's `nobody` (65534) has no place.
const NEEDED: u32 = 65_535;

/// One kind of id: which file, which helper.
struct Kind {
    file: &'static str,
    program: &'static str,
}

impl Kind {
    /// What the file says; nothing where there is none.
    fn text(&self) -> Result<String, SandboxError> {
        match fs::read(self.file) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(SandboxError::setup(format!("read {}", self.file), error)),
        }
    }
}

const UIDS: Kind = Kind { file: "/etc/subuid", program: "newuidmap" };
const GIDS: Kind = Kind { file: "/etc/subgid", program: "newgidmap" };

/// The map of an ordinary user, ready to be written.
pub struct IdMap {
    uid: u32,
    gid: u32,
    uids: Vec<Range>,
    gids: Vec<Range>,
    /// Where programs are looked for, to say what is wrong with those that write it.
    path: OsString,
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

    fn has(self, id: u32) -> bool {
        id >= self.start && id - self.start < self.count
    }
}

impl IdMap {
    /// The map for the user this process runs as.
    pub fn of_current_user(vars: &Vars) -> Result<Self, SandboxError> {
        let uid = rustix::process::getuid().as_raw();
        let gid = rustix::process::getgid().as_raw();
        let account = account(uid);
        // Users of a directory service may be in no list; their login sets the variable.
        let name = account.clone().or_else(|| vars.get("USER"));
        let (uid_text, gid_text) = (UIDS.text()?, GIDS.text()?);
        let ranges = |kind: &Kind, text: &str| {
            find_ranges(text, name.as_deref(), uid).ok_or_else(|| SandboxError::NoRange {
                file: kind.file,
                user: account.clone().unwrap_or_else(|| uid.to_string()),
                needed: NEEDED,
                hint: hint(account.as_deref(), uid, &[uid_text.clone(), gid_text.clone()]),
            })
        };
        let path = vars.os("PATH").unwrap_or_default();
        Ok(Self { uid, gid, uids: ranges(&UIDS, &uid_text)?, gids: ranges(&GIDS, &gid_text)?, path })
    }

    /// True if a user of the machine is one inside.
    pub fn has_user(&self, uid: u32) -> bool {
        uid == self.uid || self.uids.iter().any(|range| range.has(uid))
    }

    /// True if a group of the machine is one inside.
    pub fn has_group(&self, gid: u32) -> bool {
        gid == self.gid || self.gids.iter().any(|range| range.has(gid))
    }

    /// Writes the map of process `pid`.
    pub(super) fn write(&self, pid: u32) -> Result<(), SandboxError> {
        write_one(&UIDS, pid, self.uid, &self.uids, &self.path)?;
        write_one(&GIDS, pid, self.gid, &self.gids, &self.path)
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

fn write_one(kind: &Kind, pid: u32, own: u32, ranges: &[Range], path: &OsStr) -> Result<(), SandboxError> {
    let (mut numbers, mut inside) = (vec![pid, 0, own, 1], 1);
    for range in ranges {
        numbers.extend([inside, range.start, range.count]);
        inside = inside.saturating_add(range.count);
    }
    let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
    let result = Command::new(kind.program).args(numbers).stdin(Stdio::null()).output();
    match result {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(SandboxError::Mapper {
            program: kind.program,
            message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            hint: mapper_hint(kind.program, path),
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(SandboxError::NoMapper { program: kind.program })
        }
        Err(error) => Err(SandboxError::setup(format!("run {}", kind.program), error)),
    }
}

/// Why `newuidmap` and `newgidmap`, which are set-user-ID programs, may gain no privileges here, and what to do.
fn mapper_hint(program: &str, path: &OsStr) -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if status.lines().any(|line| line.split_whitespace().eq(["NoNewPrivs:", "1"])) {
        return Some(format!(
            "no process started here gains privileges (no_new_privs), and {program} needs some: start the container without \
             `--security-opt no-new-privileges` (in a pod: `allowPrivilegeEscalation: true`), or run alloy as its root"
        ));
    }
    let path = found(program, path)?;
    let flags = rustix::fs::statvfs(&path).ok()?.f_flag;
    let (place, mode) = (path.display(), fs::metadata(&path).ok()?.permissions().mode());
    if flags.contains(rustix::fs::StatVfsMountFlags::NOSUID) {
        return Some(format!(
            "{place} is on a file system that is mounted `nosuid`, where it gains no privileges: as root, mount that \
             without, or run alloy as root"
        ));
    }
    let is_privileged = mode & 0o4000 != 0 || rustix::fs::getxattr(&path, "security.capability", &mut [0; 64]).is_ok();
    if !is_privileged {
        return Some(format!("{place} has lost its set-user-ID bit: as root, apt-get install --reinstall uidmap"));
    }
    Some(
        "in a container, it needs CAP_SYS_ADMIN (docker run --cap-add SYS_ADMIN …, podman run --cap-add SYS_ADMIN …); elsewhere, \
         the user's ranges in /etc/subuid and /etc/subgid must not hold 0, nor the user's own id, nor ids that do not exist"
            .into(),
    )
}

/// Where the program is by `PATH`.
fn found(program: &str, path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(path).map(|directory| directory.join(program)).find(|path| path.is_file())
}

/// An error if this user can be given no sandbox, as far as files say: nothing is tried.
pub fn possible(vars: &Vars) -> Result<(), SandboxError> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    IdMap::of_current_user(vars)?;
    let path = vars.os("PATH").unwrap_or_default();
    match [&UIDS, &GIDS].into_iter().find(|kind| found(kind.program, &path).is_none()) {
        Some(kind) => Err(SandboxError::NoMapper { program: kind.program }),
        None => Ok(()),
    }
}

/// The name of the account that has the id `uid`, if there is one, here or in a directory service.
fn account(uid: u32) -> Option<String> {
    let named = |text: &str| {
        text.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
        })
    };
    named(&fs::read_to_string("/etc/passwd").unwrap_or_default()).or_else(|| {
        let mut getent = Command::new("getent");
        let asked = getent.args(["passwd", &uid.to_string()]).stdin(Stdio::null()).output().ok()?;
        named(&String::from_utf8_lossy(&asked.stdout))
    })
}

/// What a user without a range can do; `texts` are the files that list ranges.
fn hint(account: Option<&str>, uid: u32, texts: &[String]) -> String {
    let Some(name) = account else {
        return format!(
            "the user id {uid} has no account on this machine, and ranges belong to accounts: run alloy as root or as a \
             user with an account, or make one, as root: useradd --create-home --uid {uid} NAME"
        );
    };
    let start = first_free(texts);
    let range = format!("{start}-{}", start + RANGE - 1);
    format!("as root: usermod --add-subuids {range} --add-subgids {range} {name}")
}

/// How many ids useradd(8) gives a user, and from where on (login.defs(5)).
const RANGE: u32 = 65_536;
const FIRST: u32 = 100_000;

/// Where the first range of [`RANGE`] ids begins that nobody has by `texts`.
fn first_free(texts: &[String]) -> u32 {
    let range = |line: &str| {
        let mut fields = line.trim().split(':').skip(1);
        Some(Range { start: fields.next()?.parse().ok()?, count: fields.next()?.parse().ok()? })
    };
    let mut taken: Vec<Range> = texts.iter().flat_map(|text| text.lines().filter_map(range)).collect();
    taken.sort_by_key(|range| range.start);
    taken.iter().fold(FIRST, |start, taken| {
        let meets = Range { start, count: RANGE }.meets(*taken);
        if meets { taken.start.saturating_add(taken.count) } else { start }
    })
}

/// Ranges of the user, by name or id, as the file has them.
fn ranges(text: &str, name: Option<&str>, uid: u32) -> Vec<Range> {
    let uid = uid.to_string();
    let range = |line: &str| {
        let mut fields = line.trim().split(':');
        let user = fields.next()?;
        let range = Range { start: fields.next()?.parse().ok()?, count: fields.next()?.parse().ok()? };
        (Some(user) == name || user == uid).then_some(range)
    };
    text.lines().filter_map(range).collect()
}

/// The largest range for the user that is large enough.
fn find_range(text: &str, name: Option<&str>, uid: u32) -> Option<Range> {
    ranges(text, name, uid).into_iter().filter(|range| range.count >= NEEDED).max_by_key(|range| range.count)
}

/// The same, or as many of smaller ones as are large enough together.
fn find_ranges(text: &str, name: Option<&str>, uid: u32) -> Option<Vec<Range>> {
    if let Some(range) = find_range(text, name, uid) {
        return Some(vec![range]);
    }
    let mut found: Vec<Range> = Vec::new();
    for range in ranges(text, name, uid) {
        if range.count == 0 || found.iter().any(|other| other.meets(range)) {
            continue;
        }
        found.push(range);
        if found.iter().fold(0, |sum: u32, range| sum.saturating_add(range.count)) >= NEEDED {
            return Some(found);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_proposed_that_nobody_has() {
        let free = |uids: &str, gids: &str| first_free(&[uids.to_owned(), gids.to_owned()]);
        assert_eq!(free("", ""), 100_000);
        assert_eq!(free("bob:100000:65536\n", ""), 165_536);
        assert_eq!(free("eve:165536:65536\nbob:100000:65536\n", "ann:231072:9\n"), 231_081);
        assert_eq!(free("bob:200000:65536\nroot:5:10\n", "bob:300000:65536\n"), 100_000);
        // Between the two there is no room.
        assert_eq!(free("a:100000:65536\nb:165600:65536\n", ""), 231_136);
        let texts = ["bob:100000:65536\n".to_owned(), String::new()];
        assert_eq!(
            hint(Some("ann"), 1000, &texts),
            "as root: usermod --add-subuids 165536-231071 --add-subgids 165536-231071 ann"
        );
        let without = hint(None, 4711, &texts);
        assert!(without.contains("4711 has no account") && !without.contains("usermod"), "{without}");
    }

    #[test]
    fn finds_the_range_by_name_or_id() {
        let text = "root:1:2\nann:100000:65536\n# bob:1:65536\n1001:300000:65536\nann:9:1000000\n";
        assert_eq!(find_range(text, Some("ann"), 1000), Some(Range { start: 9, count: 1_000_000 }));
        assert_eq!(find_range(text, None, 1001), Some(Range { start: 300_000, count: 65_536 }));
        assert_eq!(find_range(text, Some("root"), 0), None, "a range too small for nobody is of no use");
        assert_eq!(find_range(text, Some("eve"), 7), None);
    }

    #[test]
    fn a_map_has_its_owner_and_its_ranges() {
        let range = Range { start: 100_000, count: 65_536 };
        let map = IdMap { uid: 1000, gid: 7, uids: vec![range], gids: vec![range], path: OsString::new() };
        assert!([1000, 100_000, 165_535].into_iter().all(|uid| map.has_user(uid)));
        assert!(map.has_group(7) && ![0, 7, 99_999, 165_536].into_iter().any(|uid| map.has_user(uid)));
    }

    #[test]
    fn small_ranges_count_together() {
        let text = "ann:100000:40000\nbob:1:9\nann:120000:40000\nann:200000:40000\n";
        let of = |start| Range { start, count: 40_000 };
        assert_eq!(find_ranges(text, Some("ann"), 1000), Some(vec![of(100_000), of(200_000)]), "they must not meet");
        assert_eq!(find_ranges(text, Some("bob"), 7), None);
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
