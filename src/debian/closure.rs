//! Everything that some packages need (Debian policy 7.2: `Depends` and `Pre-Depends`).

use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use debversion::Version;

use super::DebianError;
use super::index::{Index, Package};

/// Compares two versions (deb-version(7)).
pub fn compare(a: &str, b: &str) -> Ordering {
    match (a.parse::<Version>(), b.parse::<Version>()) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        _ => a.cmp(b),
    }
}

/// One alternative of a dependency: `name[:arch] [(op version)]`.
struct Alternative<'a> {
    name: &'a str,
    constraint: Option<(&'a str, &'a str)>,
}

fn alternatives(clause: &str) -> impl Iterator<Item = Alternative<'_>> {
    clause.split('|').filter_map(|text| {
        let text = text.trim();
        let (name, constraint) = match text.split_once('(') {
            Some((name, rest)) => {
                let rest = rest.trim().trim_end_matches(')').trim();
                let end = rest.find(|c: char| !matches!(c, '<' | '>' | '=')).unwrap_or(rest.len());
                (name.trim(), Some((&rest[..end], rest[end..].trim())))
            }
            None => (text, None),
        };
        let name = name.split(':').next().unwrap_or(name).trim();
        (!name.is_empty()).then_some(Alternative { name, constraint })
    })
}

fn satisfies(version: &str, constraint: Option<(&str, &str)>) -> bool {
    let Some((operator, wanted)) = constraint else { return true };
    let order = compare(version, wanted);
    match operator {
        "<<" => order.is_lt(),
        "<=" | "<" => order.is_le(),
        "=" => order.is_eq(),
        ">>" => order.is_gt(),
        _ => order.is_ge(),
    }
}

/// What looking for a closure may take: packages looked at, and versions compared. A base of bookworm takes a
/// five-hundredth of it; packages that all provide one name, which all need, would take the square of what they are.
const MOST_WORK: u64 = 20_000_000;
/// What comparing two versions costs beside their length, in packages looked at.
const COMPARING: usize = 100;

/// What may still be done.
struct Work(Cell<u64>);

impl Work {
    /// True if there was as much left.
    fn spend(&self, cost: usize) -> bool {
        let left = self.0.get().saturating_sub(1 + cost as u64);
        self.0.set(left);
        left > 0
    }

    fn is_done(&self) -> bool {
        self.0.get() == 0
    }
}

/// Who provides a name, in which version.
type Providers<'a> = HashMap<&'a str, Vec<(&'a Package, Option<&'a str>)>>;

/// Taken before other alternatives of a clause: in a base whose directories are merged from the beginning, `usrmerge`, which
/// needs perl for it, has nothing to do.
const FIRST: &str = "usr-is-merged";

/// The closure of all essential packages, of `roots` and, if wanted, of all that are required, sorted by name.
pub fn closure<'a>(index: &'a Index, roots: &[&str], required: bool) -> Result<Vec<&'a Package>, DebianError> {
    let latest = index.latest();
    let mut providers: Providers<'_> = HashMap::new();
    for package in latest.values() {
        for clause in package.provides.split(',') {
            // There are no alternatives in what a package provides (Debian policy 7.5).
            if let Some(Alternative { name, constraint }) = alternatives(clause).next() {
                providers.entry(name).or_default().push((package, constraint.map(|(_, version)| version)));
            }
        }
    }
    let work = Work(Cell::new(MOST_WORK));
    let mut chosen: BTreeMap<&str, &Package> = BTreeMap::new();
    let mut queue: BTreeSet<&str> =
        latest.values().filter(|p| p.essential || required && p.required).map(|p| &*p.name).collect();
    queue.extend(roots.iter().filter_map(|root| latest.get(root).map(|p| &*p.name)));
    while let Some(name) = queue.pop_first() {
        let Some(package) = latest.get(name) else { continue };
        if chosen.insert(name, package).is_some() {
            continue;
        }
        for clause in package.depends.split(',').filter(|clause| !clause.trim().is_empty()) {
            let needed = choose(clause, &latest, &providers, &chosen, &work);
            if work.is_done() {
                return Err(DebianError::Entangled { package: name.to_owned() });
            }
            let needed = needed
                .ok_or_else(|| DebianError::Unmet { package: name.to_owned(), dependency: clause.trim().to_owned() })?;
            if !chosen.contains_key(needed) {
                queue.insert(needed);
            }
        }
    }
    Ok(chosen.into_values().collect())
}

/// The package that a clause brings in: one that is there already, else the first alternative that exists, else the
/// best provider of a virtual one.
fn choose<'a>(
    clause: &str,
    latest: &HashMap<&'a str, &'a Package>,
    providers: &Providers<'a>,
    chosen: &BTreeMap<&'a str, &'a Package>,
    work: &Work,
) -> Option<&'a str> {
    let satisfies = |version: &str, constraint: Option<(&str, &str)>| {
        let compared = constraint.map_or(0, |(_, wanted)| COMPARING + version.len() + wanted.len());
        work.spend(compared) && satisfies(version, constraint)
    };
    let real = |wanted: &Alternative<'_>| {
        latest.get(wanted.name).filter(|p| satisfies(&p.version, wanted.constraint)).map(|p| &*p.name)
    };
    let provided = |wanted: &Alternative<'_>| {
        let fits = |version: &Option<&str>| match (wanted.constraint, version) {
            (None, _) => true,
            (constraint, Some(version)) => satisfies(version, constraint),
            (Some(_), None) => false,
        };
        let all = providers.get(wanted.name).into_iter().flatten();
        all.take_while(|_| work.spend(0))
            .filter(|(_, version)| fits(version))
            .map(|(package, _)| *package)
            .collect::<Vec<_>>()
    };
    for wanted in alternatives(clause).take_while(|_| work.spend(0)) {
        let there = real(&wanted).filter(|name| chosen.contains_key(name));
        let there = there.or_else(|| provided(&wanted).into_iter().map(|p| &*p.name).find(|n| chosen.contains_key(n)));
        if there.is_some() {
            return there;
        }
    }
    let first = alternatives(clause).find(|wanted| wanted.name == FIRST).and_then(|wanted| real(&wanted));
    if first.is_some() {
        return first;
    }
    for wanted in alternatives(clause).take_while(|_| work.spend(0)) {
        let best =
            || provided(&wanted).into_iter().min_by_key(|p| (!p.essential, !p.required, &*p.name)).map(|p| &*p.name);
        if let Some(name) = real(&wanted).or_else(best) {
            return Some(name);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        let stanza = |text: &str| {
            let digits = "0".repeat(64);
            format!("{text}Architecture: amd64\nFilename: x\nSHA256: {digits}\nSize: 1\n\n")
        };
        let text: String = [
            "Package: base\nVersion: 1\nEssential: yes\nPre-Depends: libc (>= 2.30)\nDepends: awk | never, sh-of-old (<< 2)\n",
            "Package: libc\nVersion: 2.31\n",
            "Package: libc\nVersion: 2.4\n",
            "Package: mawk\nVersion: 1\nProvides: awk\nPriority: required\n",
            "Package: gawk\nVersion: 1\nProvides: awk\n",
            "Package: dash\nVersion: 5\nProvides: sh-of-old (= 1.5)\n",
            "Package: apt\nVersion: 2\nDepends: base:any\n",
        ]
        .map(stanza)
        .concat();
        let mut index = Index::default();
        index.read("http://a.example", text.as_bytes()).unwrap();
        index
    }

    #[test]
    fn alternatives_versions_and_virtual_packages() {
        let index = index();
        let closure = closure(&index, &["apt", "no-such-root"], false).unwrap();
        let names: Vec<String> = closure.iter().map(|p| format!("{}={}", p.name, p.version)).collect();
        assert_eq!(names, ["apt=2", "base=1", "dash=5", "libc=2.31", "mawk=1"]);
    }

    #[test]
    fn directories_that_are_merged_are_not_merged_again() {
        let text = "Package: init\nEssential: yes\nDepends: usrmerge | usr-is-merged;\n\
                    Package: usrmerge\nDepends: perl;\nPackage: perl;\nPackage: tzdata\nPriority: required;\n";
        let names = |text: &str, required| {
            let index = of_stanzas(text);
            closure(&index, &[], required).unwrap().iter().map(|p| p.name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names(text, false), ["init", "perl", "usrmerge"]);
        let with = format!("{text}Package: usr-is-merged;\n");
        assert_eq!(names(&with, false), ["init", "usr-is-merged"]);
        assert_eq!(names(&with, true), ["init", "tzdata", "usr-is-merged"]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let mut index = index();
        index.packages.retain(|package| &*package.name != "dash");
        let error = closure(&index, &[], false).unwrap_err();
        assert!(error.to_string().contains("`sh-of-old (<< 2)`, which base needs"), "{error}");
    }

    fn of_stanzas(text: &str) -> Index {
        let more = format!("Version: 1\nFilename: x\nSHA256: {}\nSize: 1\n\n", "0".repeat(64));
        let mut index = Index::default();
        index.read("http://a.example", text.replace(";\n", &format!("\n{more}")).as_bytes()).unwrap();
        index
    }

    #[test]
    fn what_all_need_and_all_provide_has_an_end() {
        let of = |count: usize| {
            // The first one is not chosen before the last is looked at.
            let all = (0..count)
                .map(|n| format!("Package: p{n:06}\nEssential: yes\nProvides: a (= 1)\nDepends: a (= 2) | p{n:06};\n"));
            of_stanzas(&all.collect::<String>())
        };
        assert_eq!(closure(&of(200), &[], false).unwrap().len(), 200);
        let error = closure(&of(2000), &[], false).unwrap_err();
        assert!(error.to_string().contains("too many ways"), "{error}");
    }

    #[test]
    fn one_clause_has_an_end() {
        let providers: String = (0..3000).map(|n| format!("Package: p{n}\nProvides: a (= 1);\n")).collect();
        let alternatives = vec!["a (= 2)"; 100_000].join(" | ");
        let index = of_stanzas(&format!("{providers}Package: x\nEssential: yes\nDepends: {alternatives};\n"));
        let error = closure(&index, &[], false).unwrap_err();
        assert!(error.to_string().contains("too many ways"), "{error}");
    }

    #[test]
    fn what_is_provided_is_one_name_each() {
        let index = of_stanzas("Package: x\nEssential: yes\nDepends: a;\nPackage: y\nProvides: a | b;\n");
        assert_eq!(closure(&index, &[], false).unwrap().len(), 2);
        let index = of_stanzas("Package: x\nEssential: yes\nDepends: b;\nPackage: y\nProvides: a | b;\n");
        assert!(closure(&index, &[], false).is_err());
    }
}
