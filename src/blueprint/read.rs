//! Reading a blueprint's files: only those that are named, and none from outside its directory.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::manifest::Manifest;
use super::{Blueprint, LoadError, Problems, Task, TaskFile, Variables};
use crate::yaml::{self, Diagnostic, Node, Sources, Span};

/// The entry point of a blueprint.
pub const MANIFEST_FILE: &str = "manifest.yml";
/// Pins.
pub const LOCK_FILE: &str = "alloy.lock.yml";
const VARIABLES_FILE: &str = "variables.yml";

/// Reads the blueprint in `directory`. All errors of all files are reported together.
pub fn load(directory: &Path) -> Result<Blueprint, LoadError> {
    match read(directory)? {
        (Some(blueprint), problems) if problems.diagnostics.is_empty() => Ok(blueprint),
        (_, problems) => Err(LoadError::Invalid(problems)),
    }
}

/// Reads as much of the blueprint in `directory` as can be read, and says what is wrong with the rest.
pub fn read(directory: &Path) -> Result<(Option<Blueprint>, Problems), LoadError> {
    let absolute = directory.canonicalize().map_err(read_error(directory))?;
    if !absolute.join(MANIFEST_FILE).is_file() {
        return Err(LoadError::NotABlueprint { path: directory.to_owned() });
    }
    let mut reader = Reader { directory: absolute, shown: directory, sources: Sources::default(), errors: Vec::new() };
    let manifest_node = reader.file(MANIFEST_FILE)?;
    let variables_node = reader.optional(VARIABLES_FILE)?;
    let lock = reader.optional(LOCK_FILE)?;
    let manifest = manifest_node.and_then(|node| Manifest::read(&node, &mut reader.errors));
    let mut variables = Variables::new();
    if let Some(node) = variables_node.filter(|node| !node.is_null()) {
        variables = super::manifest::variables(&node, VARIABLES_FILE, &mut reader.errors);
    }
    let Some(manifest) = manifest else { return Ok((None, reader.problems())) };
    variables.extend(manifest.variables.clone());
    let mut files = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for (name, span) in &manifest.run_order {
        if seen.contains(&name.as_str()) {
            let error = Diagnostic::error("run-order", *span, format!("`{name}` is listed twice"));
            reader.errors.push(error.help("a task file runs once; remove one of the two lines"));
            continue;
        }
        seen.push(name);
        if let Some(tasks) = reader.task_file(name, *span)? {
            files.push(TaskFile { path: name.clone(), tasks });
        }
    }
    let problems = reader.problems();
    let (directory, sources) = (reader.directory, reader.sources);
    Ok((Some(Blueprint { directory, sources, manifest, variables, files, lock }), problems))
}

fn read_error(path: &Path) -> impl FnOnce(io::Error) -> LoadError {
    move |source| LoadError::Read { path: path.to_owned(), source }
}

struct Reader<'a> {
    directory: PathBuf,
    shown: &'a Path,
    sources: Sources,
    errors: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn problems(&self) -> Problems {
        Problems { diagnostics: self.errors.clone(), sources: self.sources.clone() }
    }

    /// A file as it is shown: under the directory as the user named it.
    fn shown(&self, name: &str) -> String {
        match self.shown.to_str() {
            Some("." | "") | None => name.to_owned(),
            Some(directory) => format!("{}/{name}", directory.trim_end_matches('/')),
        }
    }

    fn optional(&mut self, name: &str) -> Result<Option<Node>, LoadError> {
        if self.directory.join(name).exists() { self.file(name) } else { Ok(None) }
    }

    /// Reads and parses a file; `None` if it has errors.
    fn file(&mut self, name: &str) -> Result<Option<Node>, LoadError> {
        let path = self.directory.join(name);
        let file = File::open(&path).map_err(read_error(&path))?;
        let mut bytes = Vec::new();
        file.take(yaml::MAX_FILE + 1).read_to_end(&mut bytes).map_err(read_error(&path))?;
        let (text, encoding) = match String::from_utf8(bytes) {
            Ok(text) => (text, None),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                (String::from_utf8_lossy(error.as_bytes()).into_owned(), Some(valid))
            }
        };
        let id = self.sources.add(self.shown(name), text.as_str());
        if let Some(valid) = encoding {
            let line = text[..valid].matches('\n').count() + 1;
            let column = text[..valid].rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
            let span = Span { file: id, start: valid, end: valid, line, column };
            self.errors.push(Diagnostic::error("encoding", span, "the file is not UTF-8").help("save it as UTF-8"));
            return Ok(None);
        }
        match yaml::parse(id, text.trim_start_matches('\u{feff}')) {
            Ok(node) => Ok(Some(node)),
            Err(error) => {
                self.errors.push(error);
                Ok(None)
            }
        }
    }

    fn task_file(&mut self, name: &str, span: Span) -> Result<Option<Vec<Task>>, LoadError> {
        let outside = |message: String| {
            Diagnostic::error("run-order", span, message).help("name a file inside the blueprint's directory")
        };
        let path = Path::new(name);
        if path.is_absolute() {
            self.errors.push(outside(format!("`{name}` is an absolute path")));
            return Ok(None);
        }
        let real = match self.directory.join(path).canonicalize() {
            Ok(real) => real,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let names = self.yaml_files();
                let error = Diagnostic::error("run-order", span, format!("there is no file `{name}`"));
                self.errors.push(error.label("not found").suggest(name, names.iter().map(String::as_str)));
                return Ok(None);
            }
            Err(error) => return Err(read_error(&self.directory.join(path))(error)),
        };
        if !real.starts_with(&self.directory) {
            self.errors.push(outside(format!("`{name}` is outside the blueprint")));
            return Ok(None);
        }
        if !real.is_file() {
            self.errors.push(outside(format!("`{name}` is not a file")));
            return Ok(None);
        }
        Ok(self.file(name)?.and_then(|node| self.tasks(&node)))
    }

    fn yaml_files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| name.ends_with(".yml") || name.ends_with(".yaml")).collect()
    }

    fn tasks(&mut self, node: &Node) -> Option<Vec<Task>> {
        if node.is_null() {
            return Some(Vec::new());
        }
        let items = match node.sequence("tasks") {
            Ok(items) => items,
            Err(_) => {
                let message = "a task file is a list of tasks";
                let error = Diagnostic::error("type", first_line(node), message);
                self.errors.push(error.help("begin each task with `- name: …`; there is no wrapping key"));
                return None;
            }
        };
        let mut tasks = Vec::new();
        for item in items {
            match item.mapping("task") {
                Ok(fields) => tasks.push(Task { span: first_line(item), fields: fields.clone() }),
                Err(error) => self.errors.push(error),
            }
        }
        Some(tasks)
    }
}

/// A long value is shown by where it begins.
fn first_line(node: &Node) -> Span {
    let mut span = node.span;
    if let crate::yaml::Value::Mapping(mapping) = &node.value
        && let Some((key, value)) = mapping.entries.first()
    {
        span = key.span;
        span.end = if value.span.line == key.span.line { value.span.end.max(span.end) } else { span.end };
    }
    span
}
