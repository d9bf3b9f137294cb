//! An index with a version more: the author's other lines stay as they are.

use std::collections::BTreeMap;

use super::files::parse;
use super::{Id, Index, Version};
use crate::yaml::{Mapping, Node, Sources, quoted};

/// The index of a tool that has this one version.
pub fn new_index(version: &Version, file: &str) -> String {
    let Version { id, version: number, .. } = version;
    let number = quoted(number);
    let item = item(version, file, "  ", false);
    format!(
        "spec_version: 1\nid: {id}\ntype: index\n\naliases:\n  latest: {number}\n  stable: {number}\n\nversions:\n{item}"
    )
}

/// `text`, the index of the same tool, with `version` in `file` listed and `aliases` standing for it. `None` if the
/// text is laid out in a way that only its author can change.
pub fn edited_index(text: &str, version: &Version, file: &str, aliases: &[String]) -> Option<String> {
    let before = index(text, &version.id)?;
    let node = parse("", text.as_bytes(), &mut Sources::default()).ok()?;
    let fields = node.mapping("index").ok()?;
    let mut edits = Edits(Vec::new());
    if before.versions.iter().all(|one| one.version != version.version) {
        edits.list(text, fields, version, file)?;
    }
    edits.aliases(text, fields, &version.version, aliases)?;
    let edited = edits.apply(text);
    // The text is edited by places; the tree is the judge.
    let after = index(&edited, &version.id)?;
    (after.aliases == expected_aliases(&before, version, aliases) && lists(&before, &after, version, file))
        .then_some(edited)
}

fn index(text: &str, id: &Id) -> Option<Index> {
    let node = parse("", text.as_bytes(), &mut Sources::default()).ok()?;
    let mut errors = Vec::new();
    Index::read(&node, id, &mut errors).filter(|_| errors.is_empty())
}

fn expected_aliases(before: &Index, version: &Version, aliases: &[String]) -> BTreeMap<String, String> {
    let new = aliases.iter().map(|alias| (alias.clone(), version.version.clone()));
    before.aliases.clone().into_iter().chain(new).collect()
}

/// True if `after` has what `before` has, and the new version.
fn lists(before: &Index, after: &Index, version: &Version, file: &str) -> bool {
    let parts = |index: &Index| -> BTreeMap<String, (String, Option<String>)> {
        index.versions.iter().map(|one| (one.version.clone(), (one.file.clone(), one.status.clone()))).collect()
    };
    let mut expected = parts(before);
    expected.entry(version.version.clone()).or_insert_with(|| (file.to_owned(), version.lifecycle.status.clone()));
    let after = parts(after);
    after == expected && after.get(&version.version).is_some_and(|(listed, _)| listed == file)
}

/// Replacements of bytes.
struct Edits(Vec<(usize, usize, String)>);

impl Edits {
    /// Lists a version in front of the others: authors have the newest there.
    fn list(&mut self, text: &str, fields: &Mapping, version: &Version, file: &str) -> Option<()> {
        let node = fields.get("versions")?;
        let items = node.sequence("versions").ok()?;
        if begins(text, node, '[') {
            let more = if items.is_empty() { "" } else { ", " };
            let item = in_flow(version, file);
            self.0.push((node.span.start + 1, node.span.start + 1, format!("{item}{more}")));
            return Some(());
        }
        let first = items.first()?;
        let dash = text.get(..first.span.start)?.rfind('-')?;
        let (line, indent) = indentation(text, dash)?;
        self.0.push((line, line, item(version, file, indent, begins(text, first, '{'))));
        Some(())
    }

    fn aliases(&mut self, text: &str, fields: &Mapping, version: &str, aliases: &[String]) -> Option<()> {
        let version = quoted(version);
        let node = fields.get("aliases");
        let there = node.and_then(|node| node.mapping("aliases").ok());
        let mut missing = Vec::new();
        for alias in aliases {
            match there.and_then(|there| there.get(alias)) {
                Some(value) => self.0.push((value.span.start, value.span.end, version.clone())),
                None => missing.push(format!("{alias}: {version}")),
            }
        }
        if missing.is_empty() {
            return Some(());
        }
        match (node, there.and_then(|there| there.entries.first())) {
            (Some(node), first) if begins(text, node, '{') => {
                let more = if first.is_some() { ", " } else { "" };
                let at = node.span.start + 1;
                self.0.push((at, at, format!("{}{more}", missing.join(", "))));
            }
            (_, Some((key, _))) => {
                let (line, indent) = indentation(text, key.span.start)?;
                self.0.push((line, line, missing.iter().map(|alias| format!("{indent}{alias}\n")).collect()));
            }
            _ => {
                let (key, _) = fields.entries.iter().find(|(key, _)| key.text == "versions")?;
                let (line, _) = indentation(text, key.span.start)?;
                let lines: String = missing.iter().map(|alias| format!("  {alias}\n")).collect();
                self.0.push((line, line, format!("aliases:\n{lines}")));
            }
        }
        Some(())
    }

    fn apply(mut self, text: &str) -> String {
        self.0.sort_by_key(|(start, ..)| *start);
        let mut edited = text.to_owned();
        for (start, end, new) in self.0.into_iter().rev() {
            edited.replace_range(start..end, &new);
        }
        edited
    }
}

/// True for a list or mapping that stands between brackets, of which this is the first.
fn begins(text: &str, node: &Node, bracket: char) -> bool {
    text.get(node.span.start..).is_some_and(|text| text.starts_with(bracket))
}

/// Where the line of `at` begins, and the blanks before `at`; `None` if something else stands there.
fn indentation(text: &str, at: usize) -> Option<(usize, &str)> {
    let line = text.get(..at)?.rfind('\n').map_or(0, |end| end + 1);
    let indent = text.get(line..at)?;
    indent.chars().all(|c| c == ' ').then_some((line, indent))
}

fn in_flow(version: &Version, file: &str) -> String {
    let status =
        version.lifecycle.status.as_ref().map_or(String::new(), |status| format!(", status: {}", quoted(status)));
    format!("{{version: {}, file: {}{status}}}", quoted(&version.version), quoted(file))
}

/// One entry of `versions`.
fn item(version: &Version, file: &str, indent: &str, flow: bool) -> String {
    if flow {
        return format!("{indent}- {}\n", in_flow(version, file));
    }
    let status = version.lifecycle.status.as_ref();
    let status = status.map_or(String::new(), |status| format!("{indent}  status: {}\n", quoted(status)));
    format!("{indent}- version: {}\n{indent}  file: {}\n{status}", quoted(&version.version), quoted(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: &str = "\
# Kept by hand.
spec_version: 1
id: tool.python.west
type: index
aliases:
    latest: 1.2.0   # the newest
versions:
    # newest first
    - version: 1.2.0
      file: 1.2.0.yaml
      status: stable
";

    fn version(number: &str) -> Version {
        let text = format!(
            "spec_version: 1\nid: tool.python.west\nversion: '{number}'\nproviders:\n- id: pip\n  method: pip\n  \
             host_platforms: {{linux/amd64: {{package: west, version: '{number}'}}}}\nlifecycle: {{status: preview}}\n"
        );
        let node = parse("", text.as_bytes(), &mut Sources::default()).unwrap();
        Version::read(&node, None, &mut Vec::new()).unwrap()
    }

    #[test]
    fn the_authors_lines_stay() {
        let aliases = ["latest".to_owned(), "next".to_owned()];
        let edited = edited_index(BLOCK, &version("1.10"), "1.10.yaml", &aliases).unwrap();
        let expected = BLOCK.replace("    latest: 1.2.0   #", "    next: \"1.10\"\n    latest: \"1.10\"   #").replace(
            "    - version: 1.2.0\n",
            "    - version: \"1.10\"\n      file: \"1.10.yaml\"\n      status: \"preview\"\n    - version: 1.2.0\n",
        );
        assert_eq!(edited, expected);
        assert_eq!(edited_index(&edited, &version("1.10"), "1.10.yaml", &[]).unwrap(), edited);
    }

    #[test]
    fn lists_and_mappings_between_brackets() {
        let flow = "{spec_version: 1, id: tool.python.west, aliases: {}, versions: []}\n";
        let edited = edited_index(flow, &version("2"), "2.yaml", &["stable".to_owned()]).unwrap();
        assert!(edited.contains("aliases: {stable: \"2\"}"), "{edited}");
        let edited = edited_index(&edited, &version("3"), "3.yaml", &[]).unwrap();
        assert!(
            edited.contains("[{version: \"3\", file: \"3.yaml\", status: \"preview\"}, {version: \"2\""),
            "{edited}"
        );
        let mixed = BLOCK.replace("aliases:\n    latest: 1.2.0   # the newest\n", "").replace(
            "- version: 1.2.0\n      file: 1.2.0.yaml\n      status: stable",
            "- {version: 1.2.0, file: 1.2.0.yaml}",
        );
        let edited = edited_index(&mixed, &version("3"), "3.yaml", &["stable".to_owned()]).unwrap();
        assert!(edited.contains("aliases:\n  stable: \"3\"\nversions:"), "{edited}");
        assert!(
            edited.contains("    - {version: \"3\", file: \"3.yaml\", status: \"preview\"}\n    - {version: 1.2.0"),
            "{edited}"
        );
    }

    #[test]
    fn what_cannot_be_edited_is_left_alone() {
        let other_file = BLOCK.replace("1.2.0.yaml", "old.yaml");
        assert_eq!(edited_index(&other_file, &version("1.2.0"), "1.2.0.yaml", &[]), None);
        assert_eq!(
            edited_index(&BLOCK.replace("spec_version: 1", "spec_version: 2"), &version("3"), "3.yaml", &[]),
            None
        );
        let shared = BLOCK.replace("    - version: 1.2.0", "    - # of 2024-01\n      version: 1.2.0");
        assert_eq!(edited_index(&shared, &version("3"), "3.yaml", &[]), None);
    }

    #[test]
    fn a_new_index_is_one() {
        let text = new_index(&version("1.10"), "1.10.yaml");
        let read = index(&text, &version("1").id).unwrap();
        assert_eq!(read.find("stable").unwrap().file, "1.10.yaml");
        assert_eq!(read.aliases_of("1.10").collect::<Vec<_>>(), ["latest", "stable"]);
    }
}
