//! Who this user is to servers of downloads: `--header`, `ALLOY_HEADERS`, the configuration file and `~/.netrc`.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use layers::regular;

use super::error::{CommandError, Kind};
use super::ui;
use crate::event::{Event, Reporter};
use crate::fetch::{Credentials, Header, Machine, Missing, expanded, machines};
use crate::target::Lent;
use crate::yaml::{self, Diagnostic, Node, Sources, Value};

/// Bytes of a file that is read.
const LIMIT: u64 = 1 << 20;
const HEADERS: &str = "ALLOY_HEADERS";

/// All that the user says; `given` are the `--header` options. What is wrong with a netrc file is a warning.
pub(super) fn read(given: &[String], reporter: &Reporter) -> Result<Credentials, CommandError> {
    let var = |name: &str| std::env::var(name).ok();
    let mut headers = Vec::new();
    for text in given {
        headers.push(header("--header", text)?);
    }
    for line in var(HEADERS).unwrap_or_default().lines().filter(|line| !line.trim().is_empty()) {
        headers.push(header(HEADERS, line)?);
    }
    let path = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = path("HOME");
    let config = path("XDG_CONFIG_HOME").or_else(|| home.as_ref().map(|home| home.join(".config")));
    let mut missing = Vec::new();
    if let Some(config) = config {
        for found in configured(&config.join("alloy/config.yml"), reporter)? {
            match found {
                Configured::Header(header) => headers.push(header),
                Configured::Missing(one) => missing.push(one),
            }
        }
    }
    // What is pinned of npm's registries, alloy fetches itself.
    headers.extend(Lent::npm_tokens(var).iter().filter_map(|(url, value)| Header::below(url, value)));
    let named = path("NETRC");
    let asked = named.is_some();
    let netrc = named.or_else(|| home.map(|home| home.join(".netrc")));
    let found = netrc.map_or_else(Vec::new, |netrc| {
        of_netrc(&netrc, asked).unwrap_or_else(|told| {
            reporter.event(Event::Warning(told));
            Vec::new()
        })
    });
    Ok(Credentials::new(headers, found).without(missing))
}

/// A header of the configuration file.
enum Configured {
    Header(Header),
    Missing(Missing),
}

fn header(place: &str, text: &str) -> Result<Header, CommandError> {
    Header::read(text, |name| std::env::var(name).ok()).map_err(|wrong| {
        CommandError::usage(format!("{place}: {wrong}"))
            .hint("write 'HOST: NAME: $VARIABLE', between single quotes: the value is then on no command line")
    })
}

/// Machines of a netrc file; none, with what to tell, where others may read it.
fn of_netrc(path: &Path, asked: bool) -> Result<Vec<Machine>, String> {
    let told = |why: String| format!("{} is not used: {why}", path.display());
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !asked => return Ok(Vec::new()),
        Err(error) => return Err(told(error.to_string())),
    };
    if metadata.mode() & 0o077 != 0 {
        return Err(told(format!("others may read it; chmod 600 {} makes it yours alone", path.display())));
    }
    let text = regular::given_text(path, LIMIT).map_err(|error| told(error.to_string()))?;
    machines(&text).map_err(|(line, wrong)| told(format!("line {line} has {wrong}")))
}

/// Headers of the configuration file, if there is one.
fn configured(path: &Path, reporter: &Reporter) -> Result<Vec<Configured>, CommandError> {
    let text = match regular::given_text(path, LIMIT) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            let message = format!("cannot read {}: {error}", path.display());
            return Err(CommandError::new(Kind::Usage, message));
        }
    };
    let mut sources = Sources::default();
    let file = sources.add(path.display().to_string(), text.as_str());
    let read = yaml::parse(file, &text).and_then(|node| Ok((headers(&node)?, has_values(&node))));
    let (headers, has_values) = read.map_err(|wrong| {
        let shown = yaml::render(&[wrong], &sources, ui::color());
        CommandError::usage(format!("the configuration has an error\n\n{}", shown.trim_end()))
    })?;
    if has_values && std::fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o077 != 0) {
        let why = format!("others may read it, and it has values; chmod 600 {} makes it yours alone", path.display());
        reporter.event(Event::Warning(format!("{} is not used: {why}", path.display())));
        return Ok(Vec::new());
    }
    Ok(headers)
}

/// True if a value stands in the file itself that lets somebody in: `Accept` does not.
fn has_values(node: &Node) -> bool {
    let says =
        |node: &Node, fits: &dyn Fn(&str) -> bool| matches!(&node.value, Value::Scalar { text, .. } if fits(text));
    match &node.value {
        Value::Mapping(mapping) => {
            let accept = |node| says(node, &|text| text.eq_ignore_ascii_case("accept"));
            let own = mapping.get("value").is_some_and(|node| says(node, &|text| !text.contains('$')));
            own && !mapping.get("name").is_some_and(accept) || mapping.entries.iter().any(|(_, node)| has_values(node))
        }
        Value::Sequence(items) => items.iter().any(has_values),
        Value::Scalar { .. } => false,
    }
}

fn headers(node: &Node) -> Result<Vec<Configured>, Diagnostic> {
    if node.is_null() {
        return Ok(Vec::new());
    }
    only(node, "the configuration", &["downloads"])?;
    let Some(downloads) = node.mapping("the configuration")?.get("downloads").filter(|node| !node.is_null()) else {
        return Ok(Vec::new());
    };
    only(downloads, "downloads", &["headers"])?;
    let list = downloads.mapping("downloads")?.get("headers").filter(|node| !node.is_null());
    let list = list.map_or(Ok(&[][..]), |list| list.sequence("headers"))?;
    list.iter().map(one).collect()
}

/// An error where `node` is no mapping, or has other keys than `known`.
fn only(node: &Node, what: &str, known: &[&str]) -> Result<(), Diagnostic> {
    let mapping = node.mapping(what)?;
    let Some((key, _)) = mapping.entries.iter().find(|(key, _)| !known.contains(&key.text.as_str())) else {
        return Ok(());
    };
    let message = format!("`{}` is no key of {what}", key.text);
    let error = Diagnostic::error("unknown-field", key.span, message);
    Err(error.help(format!("known are {}", known.join(", "))).suggest(&key.text, known.iter().copied()))
}

fn one(node: &Node) -> Result<Configured, Diagnostic> {
    const VALUES: [&str; 3] = ["value", "value_env", "value_file"];
    only(node, "a header", &["host", "name", VALUES[0], VALUES[1], VALUES[2]])?;
    let mapping = node.mapping("a header")?;
    let wrong = |span, message: String| Diagnostic::error("header", span, message);
    let text = |name: &str| {
        let value = mapping.get(name).ok_or_else(|| wrong(node.span, format!("a header needs `{name}`")))?;
        value.text(name)
    };
    let given: Vec<&str> = VALUES.into_iter().filter(|name| mapping.get(name).is_some()).collect();
    let [given] = given[..] else {
        let help = "`value_env: NAME` and `value_file: PATH` keep it elsewhere; `value` may hold `$NAME`";
        return Err(wrong(node.span, "a header has one of `value_env`, `value_file` and `value`".into()).help(help));
    };
    let (said, var) = (text(given)?, |name: &str| std::env::var(name).ok());
    let span = mapping.get(given).map_or(node.span, |value| value.span);
    let value = match given {
        "value_env" => match var(said).filter(|value| !value.is_empty()) {
            Some(value) => Ok(value),
            // It may be that of a job of CI, and the file that of every machine.
            None => {
                let (host, why) = (text("host")?, format!("`{}` has no value, as {said} is not set", text("name")?));
                let missing = Missing::new(host, why).ok_or_else(|| wrong(span, format!("`{host}` is no server")));
                return missing.map(Configured::Missing);
            }
        },
        "value_file" => {
            let read = regular::given_text(Path::new(said), LIMIT);
            read.map_err(|error| format!("cannot read {said}: {error}"))
        }
        _ => expanded(said, var),
    };
    let value = value.map_err(|message| wrong(span, message))?;
    let header = Header::new(text("host")?, text("name")?, &value).map_err(|message| wrong(node.span, message));
    header.map(Configured::Header)
}
