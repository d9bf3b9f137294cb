//! What dpkg and apt have written down about a root: which packages are installed, and which of them by apt itself.

use std::collections::BTreeMap;

use crate::op::Deb;

/// A dpkg status file (`/var/lib/dpkg/status`), read for what is installed.
#[derive(Debug)]
pub struct Status<'a> {
    installed: Vec<Installed<'a>>,
}

#[derive(Debug)]
struct Installed<'a> {
    package: &'a str,
    version: &'a str,
    architecture: &'a str,
    stanza: &'a str,
}

impl<'a> Status<'a> {
    /// Reads the text of a status file. Packages that are not wholly installed count as missing.
    pub fn read(text: &'a str) -> Self {
        Self { installed: text.split("\n\n").filter_map(Installed::parse).collect() }
    }

    /// The architecture of the root: that of dpkg itself.
    pub fn native(&self) -> Option<&'a str> {
        self.installed.iter().find(|has| has.package == "dpkg").map(|has| has.architecture)
    }

    /// True if `architecture` is what a bare name means to apt.
    fn is_own(&self, architecture: &str) -> bool {
        architecture == "all" || self.native().is_none_or(|native| native == architecture)
    }

    /// What the file says of a package that is installed in just that version.
    pub fn stanza(&self, package: &str, version: &str, architecture: &str) -> Option<&'a str> {
        let same =
            |has: &&Installed<'_>| (has.package, has.version, has.architecture) == (package, version, architecture);
        self.installed.iter().find(same).map(|has| has.stanza)
    }

    /// Packages of this root that `now`, the same one later, does not have in any version: `name`, or `name:arch` for one of
    /// another architecture than its own.
    pub fn gone(&self, now: &Status<'_>) -> Vec<String> {
        let there = |had: &&Installed<'_>| {
            let same = |has: &Installed<'_>| {
                has.package == had.package
                    && (has.architecture == had.architecture
                        || [has.architecture, had.architecture].iter().all(|one| self.is_own(one)))
            };
            now.installed.iter().any(same)
        };
        let gone = self.installed.iter().filter(|had| !there(had));
        gone.map(|had| match self.is_own(had.architecture) {
            true => had.package.to_owned(),
            false => format!("{}:{}", had.package, had.architecture),
        })
        .collect()
    }

    /// Those of `packages` that are not installed. A bare name means the native architecture, as it does to apt;
    /// `name:arch` counts only in that architecture, `name=version` only in that version. Which version `name/suite`
    /// means, apt alone knows: it is asked each time.
    pub fn missing<'p>(&self, packages: &'p [String]) -> Vec<&'p str> {
        let there = |wanted: &str| {
            let wanted = Wanted::read(wanted);
            wanted.suite.is_none() && self.installed.iter().any(|has| self.satisfies(has, &wanted))
        };
        packages.iter().map(String::as_str).filter(|wanted| !there(wanted)).collect()
    }

    fn satisfies(&self, has: &Installed<'_>, wanted: &Wanted<'_>) -> bool {
        has.package == wanted.package
            && wanted.version.is_none_or(|version| version == has.version)
            && self.fits(wanted.architecture, has.architecture)
    }

    /// True if a package of `architecture` is what somebody asked for who named the architecture `wanted`, or none.
    fn fits(&self, wanted: Option<&str>, architecture: &str) -> bool {
        match wanted {
            // `name:all` and `name:any` are other ways to say what a bare name says (apt-get(8)).
            None | Some("native" | "all" | "any") => self.is_own(architecture),
            Some(wanted) => wanted == architecture,
        }
    }

    /// Those of `debs` that nobody asked for: not in `packages`, and not installed before because somebody did.
    /// `states` is apt's list of what it has installed by itself.
    pub fn automatic(&self, packages: &[String], debs: &[Deb], states: &str) -> Vec<String> {
        let asked = |deb: &Deb| {
            packages
                .iter()
                .map(|wanted| Wanted::read(wanted))
                .any(|wanted| wanted.package == deb.package && self.fits(wanted.architecture, &deb.architecture))
        };
        // apt has a package for all architectures under the native one.
        let same = |deb: &Deb, architecture: &str| {
            architecture == deb.architecture || [architecture, &deb.architecture].iter().all(|one| self.is_own(one))
        };
        let marked = |deb: &Deb| {
            states.split("\n\n").any(|stanza| {
                let field = |name: &str| stanza.lines().find_map(|line| line.strip_prefix(name));
                field("Package: ") == Some(&deb.package)
                    && field("Architecture: ").is_none_or(|architecture| same(deb, architecture))
                    && field("Auto-Installed: ") == Some("1")
            })
        };
        let new = |deb: &Deb| {
            let has = |has: &Installed<'_>| has.package == deb.package && same(deb, has.architecture);
            !self.installed.iter().any(has)
        };
        let automatic = debs.iter().filter(|deb| !asked(deb) && (new(deb) || marked(deb)));
        automatic
            .map(|deb| match deb.architecture.as_str() {
                "all" => deb.package.clone(),
                architecture => format!("{}:{architecture}", deb.package),
            })
            .collect()
    }
}

impl<'a> Installed<'a> {
    fn parse(stanza: &'a str) -> Option<Self> {
        let field =
            |name: &str| stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::trim);
        // deb822, dpkg's status: "want flag state".
        field("Status")?.ends_with(" installed").then_some(())?;
        let (package, version, architecture) = (field("Package")?, field("Version")?, field("Architecture")?);
        Some(Self { package, version, architecture, stanza })
    }
}

/// What a task asks apt for: `name[:arch][=version]` or `name[:arch][/suite]` (apt-get(8), "install").
struct Wanted<'a> {
    package: &'a str,
    architecture: Option<&'a str>,
    version: Option<&'a str>,
    suite: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    fn read(text: &'a str) -> Self {
        let cut = |text: &'a str, at: char| text.split_once(at).map_or((text, None), |(text, rest)| (text, Some(rest)));
        let (name, version) = cut(text, '=');
        let (name, suite) = cut(name, '/');
        let (package, architecture) = cut(name, ':');
        Self { package, architecture, version, suite }
    }
}

/// Versions of what dpkg's `status` has installed, by name; with `:arch` for one of another architecture than `native`.
pub fn installed(status: &str, native: &str) -> BTreeMap<String, String> {
    let all = Status::read(status).installed.into_iter().map(|has| {
        let own = has.architecture == native || has.architecture == "all";
        let name = if own { has.package.to_owned() } else { format!("{}:{}", has.package, has.architecture) };
        (name, has.version.to_owned())
    });
    all.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Package: cmake\nStatus: install ok installed\nArchitecture: amd64\nVersion: 3.25.1-1\n\n\
                          Package: git\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1:2.39\n";
    const DPKG: &str = "Package: dpkg\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\n";

    #[test]
    fn only_what_is_missing_is_installed() {
        let packages = [
            "cmake",
            "cmake=3.25.1-1",
            "cmake=3.26",
            "cmake:amd64",
            "cmake:arm64",
            "cmake/bookworm-backports",
            "git",
            "ninja-build",
        ];
        let packages = packages.map(str::to_owned);
        let expected = ["cmake=3.26", "cmake:arm64", "cmake/bookworm-backports", "git", "ninja-build"];
        assert_eq!(Status::read(STATUS).missing(&packages), expected);
    }

    #[test]
    fn a_bare_name_is_one_of_the_native_architecture() {
        let zlib = |arch: &str| {
            format!("{DPKG}Package: zlib1g-dev\nStatus: install ok installed\nArchitecture: {arch}\nVersion: 1:1.2\n")
        };
        let packages = ["zlib1g-dev", "zlib1g-dev:i386", "zlib1g-dev=1:1.2"].map(str::to_owned);
        let missing = |arch: &str| Status::read(&zlib(arch)).missing(&packages).join(" ");
        assert_eq!(missing("i386"), "zlib1g-dev zlib1g-dev=1:1.2");
        assert_eq!(missing("amd64"), "zlib1g-dev:i386");
        assert_eq!(missing("all"), "zlib1g-dev:i386");
    }

    #[test]
    fn what_is_no_longer_there_is_gone() {
        let of = |name: &str, arch: &str, version: &str| {
            format!("Package: {name}\nStatus: install ok installed\nArchitecture: {arch}\nVersion: {version}\n\n")
        };
        let before = [
            DPKG.to_owned(),
            of("git", "amd64", "1"),
            of("x", "all", "1"),
            of("y", "i386", "1"),
            of("z", "amd64", "1"),
        ];
        let now = [DPKG.to_owned(), of("x", "amd64", "2"), of("y", "amd64", "1"), of("z", "amd64", "2")];
        let (before, now) = (before.concat(), now.concat());
        assert_eq!(Status::read(&before).gone(&Status::read(&now)), ["git", "y:i386"]);
        assert_eq!(Status::read(&now).gone(&Status::read(&now)), [""; 0]);
    }

    #[test]
    fn what_nobody_asked_for_is_automatic() {
        let deb = |package: &str, architecture: &str| Deb {
            package: package.into(),
            version: "1:2".into(),
            architecture: architecture.into(),
            source: crate::op::Source::Url { url: "http://a.example".into(), sha256: None },
            size: 1,
        };
        let debs = [deb("jq", "amd64"), deb("libjq1", "amd64"), deb("data", "all"), deb("cmake", "amd64")];
        let states = "Package: cmake\nArchitecture: amd64\nAuto-Installed: 1\n";
        let wanted = ["jq:amd64".to_owned()];
        let automatic = |status: &str, states| Status::read(status).automatic(&wanted, &debs, states);
        assert_eq!(automatic(STATUS, ""), ["libjq1:amd64", "data"]);
        assert_eq!(automatic(STATUS, states), ["libjq1:amd64", "data", "cmake:amd64"]);
        // Of another architecture it is another package.
        let other = "Package: cmake\nArchitecture: i386\nAuto-Installed: 1\n";
        assert_eq!(automatic(&format!("{DPKG}{STATUS}"), other), ["libjq1:amd64", "data"]);
        let debs = [deb("jq", "i386"), deb("jq", "amd64")];
        let wanted = ["jq".to_owned()];
        assert_eq!(Status::read(DPKG).automatic(&wanted, &debs, ""), ["jq:i386"]);
    }

    #[test]
    fn what_is_installed_has_a_version() {
        assert_eq!(installed(STATUS, "amd64"), BTreeMap::from([("cmake".into(), "3.25.1-1".into())]));
        assert_eq!(installed(STATUS, "arm64").keys().collect::<Vec<_>>(), ["cmake:amd64"]);
    }
}
