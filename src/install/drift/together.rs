//! Findings as people are told them: what is missing with all that was below it is one thing that happened.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Finding, Subject};

/// So many paths that differ in the same way are told together.
const MANY: usize = 10;

/// One or several findings that are told as one.
#[derive(Debug)]
pub struct Together<'a> {
    /// All of them, of which there is one at least.
    pub findings: Vec<&'a Finding>,
    /// The directory in which they all are, if there are several; it may be one of them.
    pub within: Option<String>,
}

impl Together<'_> {
    /// Which paths, and what is the matter with them: for several ones.
    pub fn several(&self) -> Option<String> {
        let (within, first) = (self.within.as_ref()?, self.findings.first()?);
        let below = self.findings.iter().filter(|finding| finding.path() != Some(within)).count();
        if first.missing.is_some() {
            return Some(format!("{within} and {} below it are missing", paths(below)));
        }
        let (field, was, is) = (first.field, &first.was, &first.is);
        Some(format!("{within} and below: {field} of {}, was {was}, is {is}", paths(self.findings.len())))
    }

    /// Who put them there.
    pub fn by(&self) -> String {
        let by: BTreeSet<&str> = self.findings.iter().map(|finding| finding.by.as_str()).collect();
        match by.first() {
            Some(one) if by.len() == 1 => (*one).to_owned(),
            Some(one) => format!("{one} and {} more", by.len() - 1),
            None => String::new(),
        }
    }
}

fn paths(number: usize) -> String {
    if number == 1 { "1 path".to_owned() } else { format!("{} paths", thousands(number)) }
}

/// A number that may be long, as it is read.
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `findings` in their order, those that are told as one in the place of the first of them.
pub fn together<'a>(findings: impl Iterator<Item = &'a Finding>) -> Vec<Together<'a>> {
    let mut groups: Vec<Vec<&Finding>> = Vec::new();
    let mut known: BTreeMap<_, usize> = BTreeMap::new();
    for finding in findings {
        let same = match (&finding.what, &finding.missing) {
            (_, Some(top)) => (Some(top.as_str()), "", "", "", ""),
            (Subject::Path(_), None) if matches!(finding.field, "mode" | "owner") => {
                (None, finding.field, finding.was.as_str(), finding.is.as_str(), finding.by.as_str())
            }
            _ => {
                groups.push(vec![finding]);
                continue;
            }
        };
        match known.get(&same) {
            Some(at) => groups[*at].push(finding),
            None => {
                known.insert(same, groups.len());
                groups.push(vec![finding]);
            }
        }
    }
    groups.into_iter().flat_map(told).collect()
}

fn told(findings: Vec<&Finding>) -> Vec<Together<'_>> {
    let first = findings.first();
    if let Some(top) = first.and_then(|first| first.missing.clone()) {
        let below = findings.iter().any(|finding| finding.path() != Some(&top));
        return vec![Together { findings, within: below.then_some(top) }];
    }
    if findings.len() > MANY
        && let Some(within) = common(&findings)
    {
        return vec![Together { findings, within: Some(within) }];
    }
    findings.into_iter().map(|finding| Together { findings: vec![finding], within: None }).collect()
}

/// The deepest directory that has all of them in it, or is one of them.
fn common(findings: &[&Finding]) -> Option<String> {
    let mut paths = findings.iter().filter_map(|finding| finding.path());
    let mut common = Path::new(paths.next()?);
    for path in paths {
        while !Path::new(path).starts_with(common) {
            common = common.parent()?;
        }
    }
    common.to_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(path: &str, field: &'static str, missing: Option<&str>) -> Finding {
        Finding {
            what: Subject::Path(path.to_owned()),
            field,
            was: "was".to_owned(),
            is: "is".to_owned(),
            by: "a.yml:1 (A)".to_owned(),
            lines: Vec::new(),
            hidden: None,
            missing: missing.map(str::to_owned),
        }
    }

    #[test]
    fn what_is_missing_together_is_one_thing() {
        let mut all = vec![
            finding("/opt/sdk", "existence", Some("/opt/sdk")),
            finding("/opt/sdk-x", "existence", Some("/opt/sdk-x")),
        ];
        all.extend((0..4211).map(|number| finding(&format!("/opt/sdk/{number}"), "existence", Some("/opt/sdk"))));
        all.push(finding("/srv/a/b", "existence", Some("/srv/a")));
        all[5].by = "b.yml:1 (B)".to_owned();
        let found = together(all.iter());
        let told: Vec<_> = found.iter().map(|one| (one.several(), one.by())).collect();
        let several = |text: &str, by: &str| (Some(text.to_owned()), by.to_owned());
        assert_eq!(
            told,
            [
                several("/opt/sdk and 4,211 paths below it are missing", "a.yml:1 (A) and 1 more"),
                (None, "a.yml:1 (A)".to_owned()),
                several("/srv/a and 1 path below it are missing", "a.yml:1 (A)"),
            ]
        );
    }

    #[test]
    fn so_are_many_that_differ_in_the_same_way() {
        let mut all: Vec<Finding> =
            (0..11).map(|number| finding(&format!("/opt/sdk/{number}"), "owner", None)).collect();
        all.push(finding("/opt/sdk/0", "content", None));
        let found = together(all.iter());
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].several().unwrap(), "/opt/sdk and below: owner of 11 paths, was was, is is");
        assert_eq!(together(all[1..].iter()).len(), 11);
    }

    #[test]
    fn long_numbers_are_read_by_threes() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
