//! What registries of languages and git repositories have that is newer than what the lockfile says. Of packages, those
//! that tasks ask for: what these need moves with them.

use std::collections::BTreeMap;

use layers::digest::Digest;
use serde::Deserialize;

use super::Outdated;
use crate::context::Context;
use crate::event::Event;
use crate::fetch::{Download, FetchError, Fetcher};
use crate::git::Git;
use crate::lock::{Lock, PackagePin};
use crate::op::{Language, file_of};
use crate::resolve::{CRATES_IO, crate_entry};
use crate::target::Lent;
use crate::tasks::Task;

/// Bytes of an index's page.
const LIMIT: u64 = 64 << 20;

/// Tags and branches that are other commits today; false if one of them could not be asked for.
pub(super) fn commits(context: &Context, lock: &Lock) -> (Vec<Outdated>, bool) {
    let (mut found, mut all) = (Vec::new(), true);
    let pins = lock.git.iter().flat_map(|(url, commits)| commits.iter().map(move |(name, commit)| (url, name, commit)));
    for (url, revision, locked) in pins {
        let asked = match url.contains("{{") {
            true => Err("its URL has a variable, whose value is not given here".to_owned()),
            false => {
                let git = Git::new(url.clone(), context.stall().as_secs())
                    .with_ssh(context.ssh.as_ref())
                    .with_programs(&context.git);
                git.commit(revision).map_err(|error| error.to_string())
            }
        };
        let now = match asked {
            Ok(Some(now)) => now,
            Ok(None) => "gone".to_owned(),
            Err(why) => {
                let warning = format!("{revision} of {url} is not looked at: {why}");
                context.reporter().event(Event::Warning(warning));
                all = false;
                continue;
            }
        };
        if now != *locked {
            let short = |commit: &str| commit.get(..12).unwrap_or(commit).to_owned();
            let (name, locked, latest) = (format!("{revision} of {url}"), short(locked), short(&now));
            found.push(Outdated { kind: "git", platform: None, name, locked, latest, from: None, security: false });
        }
    }
    (found, all)
}

/// Packages of languages that have newer versions; false if one of them could not be asked for.
pub(super) fn packages(context: &Context, fetcher: &Fetcher, lock: &Lock, lent: &Lent) -> (Vec<Outdated>, bool) {
    let mut pins: BTreeMap<(Language, &str, &str), &PackagePin> = BTreeMap::new();
    for (language, _, _, pin) in lock.packages.all() {
        let asked = pin.packages.iter().filter_map(|asked| {
            let name = language.bare(asked);
            pin.files.iter().find(|file| file.name == language.normal(name))
        });
        pins.extend(asked.map(|file| ((language, file.name.as_str(), file.version.as_str()), file)));
    }
    let ask = |language: Language, file: &PackagePin| match language {
        Language::Python => lent.python_index().map(|index| format!("{}/{}/", index.trim_end_matches('/'), file.name)),
        // As every registry of npm has its files.
        Language::Npm => file
            .url
            .split_once(&format!("{}/-/", file.name))
            .map(|(registry, _)| format!("{registry}{}/latest", file.name)),
        Language::Rust => {
            let index = lent.crates_index().ok().map(|index| index.unwrap_or_else(|| CRATES_IO.to_owned()));
            index.map(|index| format!("{index}{}", crate_entry(&file.name)))
        }
    };
    let (mut found, mut all) = (Vec::new(), true);
    let tasks: Vec<_> = pins
        .into_iter()
        .map(|((language, ..), file)| {
            let url = ask(language, file);
            let fetcher = fetcher.clone();
            let task = url.map(|url| {
                let download = Download { url, sha256: None, size: None, part_of: None };
                Task::start(context.runtime.handle(), async move { fetcher.fetch(&download).await })
            });
            (language, file, task)
        })
        .collect();
    for (language, file, task) in tasks {
        let fetched = match task {
            None => Err(unknown(language).to_owned()),
            Some(task) => match task.wait().map_err(FetchError::from).and_then(|fetched| fetched) {
                Ok(fetched) => Ok(fetched),
                Err(error) => Err(error.to_string()),
            },
        };
        let latest = fetched.and_then(|fetched| {
            let text = text(fetcher, &fetched.digest);
            newest(language, &file.name, &text).ok_or_else(|| "its registry names no version".to_owned())
        });
        match latest {
            Ok(latest) if numbers(&latest) > numbers(&file.version) => found.push(Outdated {
                kind: language.name(),
                platform: None,
                name: file.name.clone(),
                locked: file.version.clone(),
                latest,
                from: None,
                security: false,
            }),
            Ok(_) => {}
            Err(why) => {
                let warning = format!("{} {} is not looked at: {why}", language.name(), file.name);
                context.reporter().event(Event::Warning(warning));
                all = false;
            }
        }
    }
    (found, all)
}

/// Why a language's registry is not asked.
fn unknown(language: Language) -> &'static str {
    match language {
        Language::Python => "no index is set here: name one by PIP_INDEX_URL, or by `index-url` in pip.conf",
        Language::Npm | Language::Rust => "its registry is not known",
    }
}

fn text(fetcher: &Fetcher, digest: &Digest) -> String {
    layers::regular::text(&fetcher.path(digest), LIMIT).unwrap_or_default()
}

/// The newest version that a registry's answer names, pre-releases left out.
fn newest(language: Language, name: &str, text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Latest {
        version: String,
    }
    #[derive(Deserialize)]
    struct Entry {
        vers: String,
        #[serde(default)]
        yanked: bool,
    }
    let versions: Vec<String> = match language {
        Language::Npm => return serde_json::from_str::<Latest>(text).ok().map(|latest| latest.version),
        Language::Rust => {
            let entries = text.lines().filter_map(|line| serde_json::from_str::<Entry>(line).ok());
            entries.filter(|entry| !entry.yanked).map(|entry| entry.vers).collect()
        }
        Language::Python => {
            // PEP 503: a link for each file, of which PEP 592 marks those that nobody should take.
            let links = text
                .split("<a ")
                .skip(1)
                .filter(|link| !link.split('>').next().is_some_and(|attributes| attributes.contains("data-yanked")));
            let file = |link: &str| {
                let address = link.split_once("href=\"")?.1.split('"').next()?;
                let file = file_of(address);
                let wheel = file.strip_suffix(".whl").and_then(|wheel| wheel.split('-').nth(1));
                let source = file.strip_suffix(".tar.gz").and_then(|bare| bare.rsplit_once('-'));
                let source = source.filter(|(of, _)| language.normal(of) == name).map(|(_, version)| version);
                wheel.or(source).map(str::to_owned)
            };
            links.filter_map(file).collect()
        }
    };
    versions.into_iter().filter(|version| numbers(version).is_some()).max_by_key(|version| numbers(version))
}

/// The numbers of a version that is no pre-release; trailing zeros make no difference.
fn numbers(version: &str) -> Option<Vec<u64>> {
    let core = version.split('+').next().unwrap_or_default();
    let mut numbers = core.split('.').map(|part| part.parse().ok()).collect::<Option<Vec<u64>>>()?;
    while numbers.last() == Some(&0) {
        numbers.pop();
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_name_what_is_newest() {
        let page = "<a href=\"../x/west-1.10.0-py3-none-any.whl#sha256=a\">w</a><a href=\"west-1.9.0.tar.gz\">\n\
                    <a href=\"west-1.11.0rc1-py3-none-any.whl\">w</a><a href=\"west-2.0.0.tar.gz\" data-yanked=\"\">w</a>\
                    <a href=\"other-9.0.tar.gz\">";
        assert_eq!(newest(Language::Python, "west", page).as_deref(), Some("1.10.0"));
        let entry = "{\"vers\":\"1.2.0\"}\n{\"vers\":\"1.10.0\"}\n{\"vers\":\"2.0.0\",\"yanked\":true}\n{\"vers\":\"2.0.0-rc.1\"}\n";
        assert_eq!(newest(Language::Rust, "x", entry).as_deref(), Some("1.10.0"));
        assert_eq!(newest(Language::Npm, "x", "{\"version\": \"3.0.0\"}").as_deref(), Some("3.0.0"));
        assert_eq!(newest(Language::Npm, "x", "<html>"), None);
        assert!(numbers("1.0") == numbers("1.0.0+local") && numbers("1.10") > numbers("1.9.9"));
    }
}
