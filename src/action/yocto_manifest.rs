//! `yocto_manifest`: Yocto layers, checked out by kas or by repo.

use std::path::Path;

use super::FieldKind::{self, Number, OneOf, Text, Url};
use super::{Action, Field, Fields, Lowered};
use crate::yaml::Diagnostic;

const TOOLS: &[&str] = &["kas", "repo"];

pub(super) static ACTION: Action = Action {
    name: "yocto_manifest",
    summary: "Yocto layers, checked out by kas, which must be there, or by repo, which is cloned and needs python3",
    fields: &[
        Field::required("url", Url, "Git repository of the kas configuration, or of repo's manifest"),
        Field::required("dest", FieldKind::Path, "The directory to check out into"),
        Field::optional("commit_hash", Text, "The commit"),
        Field::optional("version", Text, "Tag or branch, where no commit is given"),
        Field::optional("kas_file", Text, "The configuration of kas, relative to the repository"),
        Field::optional("file", Text, "The same as `kas_file`; with repo, the manifest [default: default.xml]"),
        Field::optional(
            "build_dir",
            FieldKind::Path,
            "With kas: where it makes conf/local.conf [default: that of a `creates` \
                                            which names this file, else `build` in `dest`]",
        ),
        Field::optional("tool", OneOf(TOOLS), "kas or repo [default: kas]"),
        Field::optional("groups", Text, "With repo: the groups of projects to have, as `repo init -g` takes them"),
        Field::optional("depth", Number, "With repo: how many commits of each history to have [default: all]"),
        Field::optional(
            "repo_url",
            Url,
            "With repo: the git repository of repo itself [default: the one of its authors]",
        ),
        Field::optional("repo_rev", Text, "With repo: its commit, tag or branch [default: stable]"),
    ],
    lower,
};

/// What only one of the tools knows.
const OF_KAS: [&str; 2] = ["kas_file", "build_dir"];
const OF_REPO: [&str; 4] = ["groups", "depth", "repo_url", "repo_rev"];

fn lower(fields: &mut Fields<'_>) -> Result<Lowered, Diagnostic> {
    fields.required("url")?;
    let repo = fields.node("tool").is_some() && fields.one_of("tool", TOOLS)? == "repo";
    let (tool, others): (_, &[&str]) = if repo { ("repo", &OF_KAS) } else { ("kas", &OF_REPO) };
    if let Some((name, node)) = others.iter().find_map(|name| Some((name, fields.node(name)?))) {
        let help = match *name {
            "kas_file" => "write `file`: the manifest of repo, relative to the repository",
            "build_dir" => "leave it out",
            _ => "write `tool: repo`, or leave it out",
        };
        return Err(Diagnostic::error("other-tool", node.span, format!("{tool} has no `{name}`")).help(help));
    }
    let url = fields.git_word("url")?.unwrap_or_default();
    let dest = fields.path("dest")?;
    let first = |name, other| fields.git_word(name)?.map_or_else(|| fields.git_word(other), |word| Ok(Some(word)));
    let (revision, file) = (first("commit_hash", "version")?, first("kas_file", "file")?);
    if let (Some(_), Some(node)) = (fields.node("kas_file"), fields.node("file")) {
        let warning = Diagnostic::warning("no-effect", node.span, "`file` has no effect beside `kas_file`");
        fields
            .warn(warning.help("leave one of them out: kas takes one configuration, `a.yml:b.yml` for several files"));
    }
    if repo {
        let ops = fields.git_manifest(&url, revision.as_deref(), file.as_deref(), &dest)?;
        return Ok(Lowered { ops, written: Some(dest) });
    }
    let mut ops = fields.git(&url, revision.as_deref(), &dest)?;
    if let Some(file) = file {
        let build = build_dir(fields, &dest)?;
        ops.extend(fields.git_layers(&file, &dest, build.as_deref())?);
    } else if let Some(node) = fields.node("build_dir") {
        let message = "`build_dir` is kas', which this task does not run".to_owned();
        return Err(Diagnostic::error("other-tool", node.span, message).help("add `kas_file`, or leave it out"));
    }
    ops.push(fields.git_timeless(&dest)?);
    Ok(Lowered { ops, written: Some(dest) })
}

/// The build directory that kas is to use, where the task says another one than kas' own.
fn build_dir(fields: &Fields<'_>, dest: &str) -> Result<Option<String>, Diagnostic> {
    // kas makes this directory alone, and none above it.
    let right_there = |path: &String| path == dest || Path::new(path).parent() == Some(Path::new(dest));
    let build = match fields.node("build_dir") {
        Some(node) => {
            let named = fields.path("build_dir")?;
            if !right_there(&named) || named.ends_with("/.git") {
                let message = format!("`build_dir` cannot be {named}");
                return Err(Diagnostic::error("path", node.span, message)
                    .help(format!("it is `dest`, {dest}, or a directory right in it")));
            }
            Some(named)
        }
        None => {
            let made = fields.optional_path("creates")?;
            made.and_then(|path| path.strip_suffix("/conf/local.conf").map(str::to_owned)).filter(right_there)
        }
    };
    Ok(build.filter(|build| *build != format!("{dest}/build")))
}
