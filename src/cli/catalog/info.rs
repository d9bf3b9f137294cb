//! `alloy catalog info`.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args as ClapArgs;
use serde_json::json;

use super::super::context::Global;
use super::super::error::CommandError;
use super::super::ui::{self, Format};
use super::{CatalogArg, printable};
use crate::catalog::{Artifact, CatalogError, Hints, Index, Provider, Reference, Version};
use crate::yaml::{FileId, Span};

/// Shows versions, aliases, providers and platforms of a tool
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    #[command(flatten)]
    catalog: CatalogArg,
    /// <kind>.<vendor>.<tool>, optionally with @version or @alias
    #[arg(value_name = "ID[@VERSION]")]
    reference: String,
    /// How to print the result
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    format: Format,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    let catalog = args.catalog.open(global)?;
    let reference = Reference::parse(&args.reference, Span::start_of(FileId(0)))
        .map_err(|error| CatalogError::Reference(Box::new(error)))?;
    let index = catalog.index(&reference.id)?;
    // Of a tool, what represents it; of a reference, what it stands for.
    let listed = match &reference.version {
        None => index.representative(),
        Some(asked) => Some(index.get(asked)?),
    };
    let version = listed.map(|listed| catalog.version(&reference.id, listed)).transpose()?;
    match args.format {
        Format::Human => ui::tell(&human(&index, version.as_ref())),
        Format::Json => {
            let value =
                json!({"id": index.id, "aliases": index.aliases, "versions": index.versions, "version": version});
            ui::json(value);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn human(index: &Index, version: Option<&Version>) -> String {
    let (bold, plain) = if ui::color_out() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    let mut text = format!("{bold}{}{plain}", index.id);
    if let Some(name) = version.and_then(|version| version.name.as_ref()) {
        let _ = write!(text, "  {}", printable(name));
    }
    text += "\n";
    for (label, value) in version.iter().flat_map(|version| about(version)) {
        let _ = writeln!(text, "{label:<13} {}", printable(&value));
    }
    text += "\nversions\n";
    for listed in &index.versions {
        let mut words: Vec<String> = index.aliases_of(&listed.version).map(str::to_owned).collect();
        words.extend(listed.status.clone().filter(|status| !words.contains(status)));
        words.extend(listed.replaced_by.as_ref().map(|newer| format!("use {newer}")));
        let _ = writeln!(text, "  {:<16} {}", listed.version, printable(&words.join(", ")));
    }
    if let Some(version) = version {
        let released = version.lifecycle.released_at.as_ref().map(|day| format!(", released {}", printable(day)));
        let _ = writeln!(text, "\n{bold}{}@{}{plain}{}", index.id, version.version, released.unwrap_or_default());
        version.providers.iter().for_each(|provider| text += &of_provider(provider));
        text += &of_hints(&version.install_hints);
    }
    text.lines().flat_map(|line| [line.trim_end(), "\n"]).collect()
}

fn about(version: &Version) -> Vec<(&'static str, String)> {
    let can = (!version.capabilities.is_empty()).then(|| version.capabilities.join(" "));
    let lines = [("homepage", version.homepage.clone()), ("license", version.license.clone()), ("capabilities", can)];
    lines.into_iter().filter_map(|(label, value)| Some((label, value?))).collect()
}

fn of_provider(provider: &Provider) -> String {
    let mut text = format!("  {} ({})\n", printable(&provider.id), provider.method.name());
    let listed = provider.host_platforms.iter().map(|(platform, artifact)| (platform.as_str(), artifact));
    for (platform, artifact) in listed.chain(provider.any_platform.iter().map(|artifact| ("any platform", artifact))) {
        let what = match artifact {
            Artifact::Download { url, .. } => url.clone(),
            Artifact::Package { package, version } => format!("{package} {version}"),
            Artifact::Repository { url, version } => format!("{url} at {version}"),
        };
        let _ = writeln!(text, "    {platform:<14} {}", printable(&what));
        if let Artifact::Download { sha256, .. } = artifact {
            let _ = writeln!(text, "    {:<14} {sha256}", "");
        }
    }
    text
}

fn of_hints(hints: &Hints) -> String {
    let mut lines: Vec<(&str, String)> = Vec::new();
    lines.extend(hints.creates.iter().map(|path| ("creates", path.clone())));
    lines.extend(hints.env_vars.iter().map(|(name, value)| match value.as_str() {
        "" => ("sets", name.clone()),
        value => ("sets", format!("{name}={value}")),
    }));
    lines.extend(hints.requires_tool.iter().map(|tool| ("needs", tool.clone())));
    if !hints.build_deps.is_empty() {
        lines.push(("packages", hints.build_deps.join(" ")));
    }
    lines.extend(hints.note.iter().flat_map(|note| note.lines()).map(|line| ("note", line.to_owned())));
    let line = |(label, value): (&str, String)| format!("  {label:<10} {}\n", printable(&value));
    lines.into_iter().map(line).collect()
}
