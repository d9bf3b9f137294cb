//! The book and the other texts: every link leads somewhere, every chapter can be found, and README stays short.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::support::{repository, text};

/// Where the chapters are.
const CHAPTERS: &str = "docs/src";
const SUMMARY: &str = "docs/src/SUMMARY.md";
/// Texts beside the book.
const OTHERS: [&str; 7] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "layers/README.md",
    "data/keys/README.md",
];
/// Lines of README.
const README_LINES: usize = 150;

fn below(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(repository(text(directory))).unwrap() {
        let path = directory.join(entry.unwrap().file_name());
        if repository(text(&path)).is_dir() {
            below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.insert(text(&path).to_owned());
        }
    }
}

/// The chapters, by their path in the repository, without the summary.
pub fn chapters() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    below(Path::new(CHAPTERS), &mut found);
    assert!(found.remove(SUMMARY), "there is no {SUMMARY}");
    found
}

/// The chapters, and the texts beside the book.
pub fn texts_to_read() -> Vec<String> {
    chapters().into_iter().chain(OTHERS.map(str::to_owned)).collect()
}

/// What stands between backticks in a text.
pub fn code_in(path: &str) -> Vec<String> {
    let lines: Vec<String> = prose(path).into_iter().map(|(_, line)| line).collect();
    words(&lines.join("\n")).into_iter().map(|code| code.replace('\n', " ")).collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The text without blocks of code and comments, which have no links and no headings; each line with its number.
fn prose(path: &str) -> Vec<(usize, String)> {
    let (mut fenced, mut comment, mut lines) = (false, false, Vec::new());
    for (number, line) in read(path).lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        comment |= line.starts_with("<!--");
        if !fenced && !comment {
            lines.push((number + 1, line.to_owned()));
        }
        comment &= !line.contains("-->");
    }
    assert!(!fenced && !comment, "a block of {path} is not closed");
    lines
}

/// A line without what stands between backticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("``")
}

/// What the links of a file lead to, each with its line.
fn links(path: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(path) {
        let line = without_code(&line);
        for (at, _) in line.match_indices("](") {
            let target = &line[at + 2..];
            let end = target.find(')').unwrap_or_else(|| panic!("{path}:{number}: a link is not closed"));
            found.push((number, target[..end].to_owned()));
        }
    }
    found
}

/// What a heading is called in links, as mdBook and the forges make it.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The anchors of a file.
fn anchors(path: &str) -> BTreeSet<String> {
    let (mut found, mut times) = (BTreeSet::new(), BTreeMap::<String, usize>::new());
    for (_, line) in prose(path) {
        let title = line.trim_start_matches('#');
        if title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let name = anchor(title);
        let count = times.entry(name.clone()).or_default();
        found.insert(if *count == 0 { name } else { format!("{name}-{count}") });
        *count += 1;
    }
    found
}

/// `path` without `..`, if it stays in the repository.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => parts.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !parts.pop() {
                    return None;
                }
            }
            _ => return None,
        }
    }
    Some(parts)
}

/// What is wrong with a link of the file `from`.
fn wrong(from: &str, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let directory = Path::new(from).parent().unwrap();
    let path = if file.is_empty() { Some(PathBuf::from(from)) } else { plain(&directory.join(file)) };
    let Some(path) = path else { return Some("leads out of the repository".to_owned()) };
    if !repository(text(&path)).exists() {
        return Some("leads to nothing".to_owned());
    }
    // The book is read without the repository around it.
    if from.starts_with(CHAPTERS) && !path.starts_with(CHAPTERS) {
        return Some("leads out of the book".to_owned());
    }
    let anchor = anchor?;
    let known = anchors(text(&path));
    (!known.contains(anchor)).then(|| format!("leads to no heading; there are {known:?}"))
}

#[test]
fn every_link_leads_somewhere() {
    let (mut count, mut broken) = (0, Vec::new());
    for file in texts_to_read().into_iter().chain([SUMMARY.to_owned()]) {
        for (number, target) in links(&file) {
            count += 1;
            broken.extend(wrong(&file, &target).map(|why| format!("{file}:{number}: {target} {why}")));
        }
    }
    assert!(count > 100, "only {count} links were found");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn broken_links_are_found() {
    for target in ["nothing.md", "#nothing", "security-model.md#nothing", "../../README.md", "../../../x.md"] {
        assert!(wrong("docs/src/introduction.md", target).is_some(), "{target}");
    }
    assert_eq!(wrong("docs/src/introduction.md", "security-model.md#modes"), None);
    assert_eq!(anchor(" A team's cache: `alloy run` & more_so"), "a-teams-cache-alloy-run--more_so");
    assert_eq!(without_code("a `[b](c)` [d](e)"), "a `` [d](e)");
}

#[test]
fn every_chapter_is_in_the_summary_once_and_has_a_title() {
    let listed: Vec<String> = links(SUMMARY).into_iter().map(|(_, target)| format!("{CHAPTERS}/{target}")).collect();
    let set: BTreeSet<String> = listed.iter().cloned().collect();
    assert_eq!(set.len(), listed.len(), "a chapter is listed twice: {listed:?}");
    assert_eq!(set, chapters());
    for chapter in set {
        let lines = prose(&chapter);
        let titles = lines.iter().filter(|(_, line)| line.starts_with("# ")).count();
        let first = lines.iter().find(|(_, line)| !line.trim().is_empty()).unwrap();
        assert!(titles == 1 && first.1.starts_with("# "), "{chapter} does not begin with its one title");
    }
}

/// Words between backticks.
fn words(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn the_map_has_the_modules_in_their_order() {
    let script = read("ci/imports");
    let order = script.split_once("ORDER = [").unwrap().1.split_once(']').unwrap().0;
    let order: Vec<&str> = order.split('"').skip(1).step_by(2).collect();
    let map = read("ARCHITECTURE.md");
    let table = map.split_once("### Modules of `src/`").unwrap().1.split_once("###").unwrap().0;
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let listed: Vec<&str> = rows.map(|row| words(row)[0]).collect();
    assert_eq!(listed, order);
    let library = map.split_once("### Modules of `layers/src`").unwrap().1.split_once("##").unwrap().0;
    let listed: BTreeSet<&str> = library.lines().filter(|line| line.starts_with("| `")).flat_map(words).collect();
    let files = fs::read_dir(repository("layers/src")).unwrap().map(|entry| entry.unwrap().path());
    let modules: BTreeSet<String> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| text(Path::new(path.file_stem().unwrap())).to_owned())
        .filter(|name| name != "lib")
        .collect();
    assert_eq!(listed, modules.iter().map(String::as_str).collect());
}

/// What CONTRIBUTING names is there: files, and modules of tests by which they are filtered.
#[test]
fn what_contributors_are_told_is_there() {
    let guide = read("CONTRIBUTING.md");
    let modules = read("tests/integration/main.rs");
    let (mut filters, mut files) = (0, 0);
    for word in words(&guide.replace("```", "")) {
        if let Some((_, given)) = word.split_once("cargo test --test integration -- ") {
            for filter in given.split(' ') {
                let module = filter.split("::").next().unwrap();
                assert!(modules.contains(&format!("mod {module};")), "{filter}: there is no such module of tests");
                filters += 1;
            }
        }
        let place = ["src/", "ci/", "docs/", "tests/", "testdata/"].iter().any(|start| word.starts_with(start));
        if place && !word.contains(['*', ' ']) && !word.contains("NAME") {
            assert!(repository(word).exists(), "{word} is not there");
            files += 1;
        }
    }
    assert!(filters >= 4 && files >= 20, "{filters} filters and {files} files were looked at");
}

#[test]
fn readme_is_short() {
    let lines = read("README.md").lines().count();
    assert!(lines <= README_LINES, "README.md has {lines} lines: what is longer belongs into the book");
}
