//! Reading a blueprint's files: only those that are named, and none from outside its directory.

use std::collections::{BTreeMap, HashSet};
use std::path::{Component, Path, PathBuf};

use super::files::{Disk, FileError, Files};
use super::manifest::Manifest;
use super::{Blueprint, LoadError, Problems, Task, TaskFile, Variables};
use crate::lock::Lockfile;
use crate::yaml::{self, Budget, Diagnostic, Node, Sources, Span};

/// The entry point of a blueprint.
pub const MANIFEST_FILE: &str = "manifest.yml";
/// Pins.
pub const LOCK_FILE: &str = "alloy.lock.yml";
const VARIABLES_FILE: &str = "variables.yml";
/// What alloy looks for in every blueprint.
pub const OWN_FILES: [&str; 3] = [MANIFEST_FILE, LOCK_FILE, VARIABLES_FILE];

/// Bytes of all files of a blueprint.
const MAX_TEXT: usize = 8 << 20;

/// Reads the blueprint in `directory`. All errors of all files are reported together.
pub fn load(directory: &Path) -> Result<Blueprint, LoadError> {
    match read(directory)? {
        (Some(blueprint), problems) if problems.diagnostics.is_empty() => Ok(blueprint),
        (_, problems) => Err(LoadError::Invalid(problems)),
    }
}

/// Reads as much of the blueprint in `directory` as can be read, and says what is wrong with the rest.
pub fn read(directory: &Path) -> Result<(Option<Blueprint>, Problems), LoadError> {
    let unreadable = |path: &Path, source| LoadError::Read { path: path.to_owned(), source };
    let absolute = directory.canonicalize().map_err(|error| unreadable(directory, error))?;
    if absolute.is_file() {
        return Err(LoadError::NotADirectory { path: directory.to_owned(), blueprint: around(directory) });
    }
    let files = Disk(&absolute);
    match files.read(MANIFEST_FILE) {
        Err(FileError::Missing | FileError::NotAFile) => {
            let mut names = files.names();
            names.sort();
            let meant = |name: &String| is_manifest(name);
            return Err(LoadError::NotABlueprint {
                path: directory.to_owned(),
                instead: names.into_iter().find(meant),
            });
        }
        Err(FileError::Unreadable(error)) => return Err(unreadable(&directory.join(MANIFEST_FILE), error)),
        Err(FileError::Outside) | Ok(_) => {}
    }
    let shown = directory.to_string_lossy();
    let shown = if shown == "." { "" } else { shown.trim_end_matches('/') };
    Ok(Reader::new(&files, shown).blueprint(absolute.clone()))
}

/// The directory of a file, if it is a blueprint.
fn around(file: &Path) -> Option<PathBuf> {
    let parent = file.parent()?;
    let directory = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    directory.join(MANIFEST_FILE).is_file().then(|| directory.to_owned())
}

/// True for a name that is the manifest's but for its ending and its case.
fn is_manifest(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    ["manifest.yml", "manifest.yaml", "blueprint.yml", "blueprint.yaml", "alloy.yml", "alloy.yaml"]
        .contains(&lower.as_str())
}

/// The same for files in memory, by their paths in the blueprint.
pub fn read_texts(files: &BTreeMap<String, Vec<u8>>) -> (Option<Blueprint>, Problems) {
    Reader::new(files, "").blueprint(PathBuf::new())
}

struct Reader<'a> {
    files: &'a dyn Files,
    /// The directory, as the user named it.
    shown: &'a str,
    sources: Sources,
    errors: Vec<Diagnostic>,
    trees: Budget,
    text: usize,
}

/// A file that is there and may be used.
struct Found {
    node: Node,
    /// What tells it from all others.
    real: PathBuf,
}

impl<'a> Reader<'a> {
    fn new(files: &'a dyn Files, shown: &'a str) -> Self {
        let (sources, errors) = (Sources::default(), Vec::new());
        Self { files, shown, sources, errors, trees: Budget::default(), text: MAX_TEXT }
    }

    fn blueprint(mut self, directory: PathBuf) -> (Option<Blueprint>, Problems) {
        let manifest = self.file(MANIFEST_FILE).and_then(|found| Manifest::read(&found?.node, &mut self.errors));
        // What is in a file that cannot be read would be missed everywhere: a blueprint without it is not looked into.
        let mut complete = true;
        let mut optional = |reader: &mut Self, name| match reader.file(name) {
            Some(found) => found.map(|found| found.node),
            None => {
                complete = false;
                None
            }
        };
        let given = optional(&mut self, VARIABLES_FILE);
        let lock = optional(&mut self, LOCK_FILE).map(Lockfile::new);
        let mut variables = Variables::new();
        if let Some(node) = given.filter(|node| !node.is_null()) {
            match super::manifest::variables(&node, VARIABLES_FILE, &mut self.errors) {
                Some(given) => variables = given,
                None => complete = false,
            }
        }
        let Some(manifest) = manifest else { return (None, self.problems()) };
        variables.extend(manifest.variables.clone());
        let mut files = Vec::new();
        let mut seen = HashSet::new();
        for (name, span) in &manifest.run_order {
            if self.errors.len() >= yaml::MAX_PROBLEMS {
                break;
            }
            let Some(found) = self.task_file(name, *span, &manifest.run_order) else { continue };
            if seen.insert(found.real) {
                files.extend(self.tasks(&found.node).map(|tasks| TaskFile { path: name.clone(), tasks }));
            } else {
                let error = Diagnostic::error("run-order", *span, format!("`{name}` is listed twice"));
                self.errors
                    .push(error.label("the second one").help("a task file runs once; remove one of the two lines"));
            }
        }
        let problems = self.problems();
        let sources = self.sources;
        let blueprint = Blueprint { directory, sources, manifest, variables, files, lock };
        (complete.then_some(blueprint), problems)
    }

    fn problems(&self) -> Problems {
        Problems { diagnostics: self.errors.clone(), sources: self.sources.clone() }
    }

    /// A file that the format names: `None` if it has errors, `Some(None)` if there is none.
    #[expect(clippy::option_option, reason = "both say something")]
    fn file(&mut self, name: &str) -> Option<Option<Found>> {
        match self.files.read(name) {
            Ok((bytes, real)) => self.parsed(name, bytes).map(|node| Some(Found { node, real })),
            Err(FileError::Missing) if name != MANIFEST_FILE => Some(None),
            Err(error) => {
                let file = self.add(name, "");
                let error = self.refused(name, Span::start_of(file), &error, &[]);
                self.errors.push(Diagnostic { code: "file", help: None, ..error });
                None
            }
        }
    }

    /// A file of `run_order`, named at `span`.
    fn task_file(&mut self, name: &str, span: Span, listed: &[(String, Span)]) -> Option<Found> {
        let wrong = match lead_of(name) {
            Lead::In => None,
            Lead::Nowhere => Some("a file of `run_order` has no name".to_owned()),
            Lead::Absolute => Some(format!("`{name}` is an absolute path")),
            Lead::Out => Some(format!("`{name}` leads out of the blueprint")),
        };
        if let Some(message) = wrong {
            let error = Diagnostic::error("run-order", span, message);
            self.errors.push(error.help("name a file inside the blueprint's directory"));
            return None;
        }
        match self.files.read(name) {
            Ok((bytes, real)) => self.parsed(name, bytes).map(|node| Found { node, real }),
            Err(error) => {
                let listed: Vec<&str> = listed.iter().map(|(name, _)| name.as_str()).collect();
                let error = self.refused(name, span, &error, &listed);
                self.errors.push(error);
                None
            }
        }
    }

    /// Why there is no text; of files that are `listed` none can be meant by another name.
    fn refused(&self, name: &str, span: Span, error: &FileError, listed: &[&str]) -> Diagnostic {
        let say = |message: String| Diagnostic::error("run-order", span, message);
        let inside = "name a file inside the blueprint's directory";
        let names = self.files.names();
        let other = |name: &str| [MANIFEST_FILE, VARIABLES_FILE, LOCK_FILE].contains(&name) || listed.contains(&name);
        match error {
            FileError::Missing => say(format!("there is no file `{name}`"))
                .label("not found")
                .help(inside)
                .suggest(name, names.iter().map(String::as_str).filter(|name| !other(name))),
            FileError::Outside => say(format!("`{name}` leads out of the blueprint, through a link")).help(inside),
            FileError::NotAFile => say(format!("`{name}` is not a file")).help(inside),
            FileError::Unreadable(error) => say(format!("cannot read `{name}`: {error}")),
        }
    }

    fn add(&mut self, name: &str, text: &str) -> yaml::FileId {
        let shown = if self.shown.is_empty() { name.to_owned() } else { format!("{}/{name}", self.shown) };
        self.sources.add(shown, text)
    }

    /// The tree of a file; `None` if it has errors.
    fn parsed(&mut self, name: &str, bytes: Vec<u8>) -> Option<Node> {
        let left = self.text.checked_sub(bytes.len()).filter(|_| bytes.len() as u64 <= yaml::MAX_FILE);
        let Some(left) = left else {
            let span = Span::start_of(self.add(name, ""));
            let message = match bytes.len() as u64 > yaml::MAX_FILE {
                true => format!("the file is larger than {} MiB", yaml::MAX_FILE >> 20),
                false => format!("the files of the blueprint are larger than {} MiB together", MAX_TEXT >> 20),
            };
            self.errors.push(Diagnostic::error("size", span, message).help("is this a blueprint?"));
            return None;
        };
        self.text = left;
        // Editors do not count the mark of the encoding.
        let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
        let parsed = match std::str::from_utf8(bytes) {
            Ok(text) => {
                let file = self.add(name, text);
                yaml::parse_within(file, text, &mut self.trees)
            }
            Err(error) => {
                let text = String::from_utf8_lossy(bytes);
                let (file, at) = (self.add(name, &text), error.valid_up_to());
                // What stands there in place of what is no character.
                let span = Span::of(file, &text, at, at + char::REPLACEMENT_CHARACTER.len_utf8());
                let error = Diagnostic::error("encoding", span, "the file is not UTF-8").label("no character");
                Err(error.help("save it as UTF-8"))
            }
        };
        parsed.map_err(|error| self.errors.push(error)).ok()
    }

    fn tasks(&mut self, node: &Node) -> Option<Vec<Task>> {
        if node.is_null() {
            return Some(Vec::new());
        }
        let help = "begin each task with `- name: …`; there is no wrapping key";
        let items = match node.sequence("tasks") {
            Ok(items) => items,
            Err(_) => {
                let error = Diagnostic::error("type", first_line(node), "a task file is a list of tasks");
                self.errors.push(error.help(help));
                return None;
            }
        };
        let mut tasks = Vec::new();
        for item in items {
            match item.mapping("task") {
                Ok(fields) => tasks.push(Task { span: first_line(item), fields: fields.clone() }),
                Err(_) => {
                    let message = format!("a task must be a mapping, not {}", item.kind());
                    self.errors.push(Diagnostic::error("type", item.span, message).label("no task").help(help));
                }
            }
        }
        Some(tasks)
    }
}

/// Where a relative path leads, links aside.
enum Lead {
    In,
    Out,
    Absolute,
    Nowhere,
}

fn lead_of(name: &str) -> Lead {
    let mut depth = 0_usize;
    for component in Path::new(name).components() {
        match component {
            Component::Prefix(_) | Component::RootDir => return Lead::Absolute,
            Component::CurDir => {}
            Component::Normal(_) => depth += 1,
            Component::ParentDir if depth == 0 => return Lead::Out,
            Component::ParentDir => depth -= 1,
        }
    }
    if depth == 0 { Lead::Nowhere } else { Lead::In }
}

/// A long value is shown by where it begins.
fn first_line(node: &Node) -> Span {
    let mut span = node.span;
    if let crate::yaml::Value::Mapping(mapping) = &node.value
        && let Some((key, value)) = mapping.entries.first()
        && key.span.line == span.line
        && value.span.file == key.span.file
    {
        span = key.span;
        span.end = if value.span.line == key.span.line { value.span.end.max(span.end) } else { span.end };
    }
    span
}
