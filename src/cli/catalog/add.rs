//! `alloy catalog add`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args as ClapArgs;
use layers::regular;
use serde_json::json;

use super::super::context::{Global, open_store};
use super::super::error::{CommandError, Kind};
use super::super::ui::{self, Format};
use super::CatalogArg;
use crate::catalog::{Catalog, INDEX_FILE, Version, check_version, edited_index, new_index};
use crate::sink::Sink;
use crate::yaml;

/// Checks the file of a version, puts it into a catalog, and lists it in the tool's index
///
/// A file that is in a catalog already stays where it is, and is added to that catalog.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    #[command(flatten)]
    catalog: CatalogArg,
    /// The file of one version
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// An alias for this version, such as stable; a tool's first version becomes latest and stable
    #[arg(long, value_name = "NAME")]
    alias: Vec<String>,
    /// Replace a file of the same version
    #[arg(long)]
    replace: bool,
    /// How to print the result
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    format: Format,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    let shown = args.file.display().to_string();
    let bytes = regular::given(&args.file, yaml::MAX_FILE)
        .map_err(|error| CommandError::usage(format!("cannot read {shown}: {error}")))?;
    let version = check_version(&shown, &bytes).map_err(|problems| {
        let text = ui::problems(&problems, ui::color());
        let errors = ui::count(problems.diagnostics.len(), "error");
        CommandError::new(Kind::Blueprint, format!("{shown} has {errors}\n\n{}", text.trim_end()))
    })?;
    aliases(&args.alias)?;
    // Two who add to the same index must not overwrite each other.
    let store = open_store(global)?;
    let _lock = store.lock("catalog")?;
    let (root, standing) = place(args, global, &version)?;
    let directory = root.join(version.id.directory());
    fs::create_dir_all(&directory).map_err(|error| failed("make", &directory, &error))?;
    let name = standing.unwrap_or_else(|| format!("{}.yaml", version.version));
    let index_path = directory.join(INDEX_FILE);
    let index = new_text(&index_path, &version, &name, &args.alias)?;
    // A version that is not listed does no harm: its file is first.
    let target = directory.join(&name);
    match regular::read(&target, yaml::MAX_FILE) {
        Ok(there) if there == bytes => {}
        Ok(_) if !args.replace => {
            let message = format!("{} is there already, and differs", target.display());
            return Err(CommandError::usage(message).hint("overwrite it with --replace"));
        }
        _ => write(&target, &bytes)?,
    }
    write(&index_path, index.as_bytes())?;
    match args.format {
        Format::Human => ui::tell(&format!("{}@{} is in {}\n", version.id, version.version, index_path.display())),
        Format::Json => {
            let (id, number) = (&version.id, &version.version);
            let value = json!({"id": id, "version": number, "file": target, "index": index_path});
            ui::json(value);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn aliases(aliases: &[String]) -> Result<(), CommandError> {
    let fits = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    match aliases.iter().find(|name| !fits(name)) {
        Some(name) => Err(CommandError::usage(format!("`{name}` cannot be an alias"))),
        None => Ok(()),
    }
}

/// The catalog's directory, and the file's name if it stands there already.
fn place(args: &Args, global: &Global, version: &Version) -> Result<(PathBuf, Option<String>), CommandError> {
    let file = args.file.canonicalize().map_err(|error| failed("find", &args.file, &error))?;
    let of_tool = version.id.directory();
    let parent = file.parent().filter(|parent| parent.ends_with(&of_tool));
    let above = parent.and_then(|parent| parent.ancestors().nth(of_tool.components().count()));
    let name = file.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    if let (None, Some(root)) = (&args.catalog.catalog, above) {
        return Ok((root.to_owned(), name));
    }
    let directory = args.catalog.directory(global)?;
    // An empty directory becomes a catalog.
    let root = Catalog::open(&directory).map_or(directory, |catalog| catalog.directory().to_owned());
    let stands = above.is_some_and(|above| root.canonicalize().is_ok_and(|root| root == above));
    Ok((root, name.filter(|_| stands)))
}

/// The text of the index with the version listed.
fn new_text(path: &Path, version: &Version, name: &str, aliases: &[String]) -> Result<String, CommandError> {
    let text = match regular::text(path, yaml::MAX_FILE) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => new_index(version, name),
        text => text.map_err(|error| failed("read", path, &error))?,
    };
    edited_index(&text, version, name, aliases).ok_or_else(|| {
        let message = format!("cannot list {} in {}", version.version, path.display());
        let hint =
            format!("it has errors, lists another file for this version, or wants a human: add `{name}` by hand");
        CommandError::new(Kind::Failed, message).hint(hint)
    })
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::new(Kind::Failed, format!("cannot {what} {}: {error}", path.display()))
}

/// Writes a file, which gets its name when it is complete.
fn write(path: &Path, bytes: &[u8]) -> Result<(), CommandError> {
    Ok(Sink::at(path)?.durable().write_all(bytes)?)
}
