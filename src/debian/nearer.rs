//! Archives that a lockfile names, and where this machine has the same. What a file is, its digest says: any mirror is
//! as good as the one that was asked when it was pinned.

use std::collections::BTreeMap;
use std::path::Path;

use super::BaseOptions;
use super::sources::{self, Distribution, HostSource};
use crate::fetch::taken_apart;
use crate::lock::{BasePin, Lock};

/// Which part of a distribution's archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    distribution: Distribution,
    security: bool,
}

/// Archives of `lock`, each with the one to ask before it: of `--mirror`, else of this machine's apt sources.
pub fn nearer(lock: &Lock, options: &BaseOptions) -> Vec<(String, String)> {
    let host = match options.mirror {
        Some(_) => Vec::new(),
        None => sources::of_this_machine(Path::new("/etc")),
    };
    let near = |part: Part| match &options.mirror {
        Some(mirror) => of_mirror(&taken_apart(mirror).0, part),
        None => of_host(&host, part),
    };
    let all = archives(lock).into_iter();
    all.filter_map(|(archive, part)| near(part).filter(|near| *near != archive).map(|near| (archive, near))).collect()
}

/// The archives of a distribution that a lockfile names.
fn archives(lock: &Lock) -> BTreeMap<String, Part> {
    let debs = lock.apt.values().flat_map(|tasks| tasks.values()).flat_map(|pin| &pin.debs);
    let mut found: BTreeMap<String, Part> =
        debs.filter_map(|deb| Some((deb.archive.clone(), by_name(&deb.archive)?))).collect();
    let pins = lock.base.values().filter_map(|pin| match pin {
        BasePin::Archive(platforms) => Some(platforms.values()),
        BasePin::Image(_) => None,
    });
    // Of a base it is known what it is, whatever it is called. Ubuntu has both in one archive.
    for pin in pins.flatten() {
        let distribution = Distribution::named(&pin.distribution);
        for pocket in pin.pockets.iter().rev() {
            let security = distribution == Distribution::Debian && pocket.suite.ends_with("-security");
            found.insert(pocket.uri.clone(), Part { distribution, security });
        }
    }
    found
}

/// What an archive is called everywhere; `ubuntu-ports` is another one, of other architectures.
fn by_name(archive: &str) -> Option<Part> {
    let (distribution, security) = match archive.rsplit('/').next()? {
        "debian" => (Distribution::Debian, false),
        "debian-security" => (Distribution::Debian, true),
        "ubuntu" => (Distribution::Ubuntu, false),
        _ => return None,
    };
    Some(Part { distribution, security })
}

/// The part of a mirror that is named by its main archive; none if that is of another distribution.
fn of_mirror(mirror: &str, part: Part) -> Option<String> {
    match by_name(mirror) {
        Some(named) if named.distribution != part.distribution => None,
        _ if part.security => mirror.strip_suffix("/debian").map(|start| format!("{start}/debian-security")),
        _ => Some(mirror.to_owned()),
    }
}

fn of_host(host: &[HostSource], part: Part) -> Option<String> {
    let fits = |source: &&HostSource| {
        let security = part.distribution == Distribution::Debian && source.suite.contains("security");
        Distribution::of(&source.suite) == Some(part.distribution)
            && security == part.security
            && source.uri.starts_with("http")
            // An archive of its own, such as backports of a site.
            && by_name(&source.uri).is_none_or(|named| named == part)
    };
    host.iter().find(fits).map(|source| source.uri.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(archive: &str) -> Part {
        by_name(archive).unwrap()
    }

    #[test]
    fn a_mirror_stands_in_for_its_own_distribution() {
        let (debian, security) = (part("http://a.example/debian"), part("http://s.example/debian-security"));
        let ubuntu = part("http://u.example/ubuntu");
        let mirror = "http://m.example/x/debian";
        assert_eq!(of_mirror(mirror, debian).unwrap(), mirror);
        assert_eq!(of_mirror(mirror, security).unwrap(), "http://m.example/x/debian-security");
        assert_eq!(of_mirror(mirror, ubuntu), None);
        // Its name says nothing: it is what the user says it is.
        assert_eq!(of_mirror("http://m.example/apt", ubuntu).unwrap(), "http://m.example/apt");
        assert_eq!(of_mirror("http://m.example/apt", security), None);
        assert_eq!(by_name("http://p.example/ubuntu-ports"), None);
    }

    #[test]
    fn this_machine_has_a_mirror_of_what_it_is() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("apt")).unwrap();
        let list = "deb https://node.example/repo nodistro main\n\
                    deb http://m.example/debian bookworm main\n\
                    deb http://m.example/debian-security bookworm-security main\n";
        std::fs::write(directory.path().join("apt/sources.list"), list).unwrap();
        let host = sources::of_this_machine(directory.path());
        assert_eq!(of_host(&host, part("http://a.example/debian")).unwrap(), "http://m.example/debian");
        assert_eq!(of_host(&host, part("x/debian-security")).unwrap(), "http://m.example/debian-security");
        assert_eq!(of_host(&host, part("x/ubuntu")), None);
    }
}
