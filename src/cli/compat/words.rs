//! A command line of the existing tools, in which one dash is as good as two.

use std::collections::BTreeSet;
use std::ffi::OsString;

use clap::CommandFactory;

use super::REACHED;
use crate::cli::Cli;

/// The flag by which the first of those tools was told the blueprint.
pub(super) const REPOSITORY: &str = "--repository";

/// A command line, taken apart.
pub(super) struct Words {
    pub(super) command: Option<String>,
    /// The blueprint that is named: the first word that is neither a flag nor its value.
    pub(super) name: Option<String>,
    /// The others in their order, flags with two dashes.
    pub(super) others: Vec<OsString>,
}

impl Words {
    pub(super) fn of(typed: &[OsString]) -> Self {
        let mut words = Self { command: None, name: None, others: Vec::new() };
        let (mut value, mut verbatim, mut names) = (false, false, false);
        let mut valued = BTreeSet::from([REPOSITORY.to_owned()]);
        let alloy = Cli::command();
        with_values(&alloy, &mut valued);
        alloy.get_subcommands().filter(|one| REACHED.contains(&one.get_name())).for_each(|one| {
            with_values(one, &mut valued);
            one.get_subcommands().for_each(|one| with_values(one, &mut valued));
        });
        for word in typed {
            let text = word.to_str().unwrap_or_default();
            if std::mem::take(&mut value) || verbatim || text == "--" {
                verbatim |= text == "--";
                if std::mem::take(&mut names) {
                    words.name = Some(text.to_owned());
                }
                words.others.push(word.clone());
            } else if text.starts_with('-') && text.len() > 1 {
                let Some(flag) = said(two_dashes(text), &valued) else { continue };
                value = valued.contains(&flag);
                names = flag == REPOSITORY;
                if let Some(name) = flag.strip_prefix(REPOSITORY).and_then(|rest| rest.strip_prefix('=')) {
                    words.name = Some(name.to_owned());
                }
                words.others.push(flag.into());
            } else if words.command.is_none() {
                words.command = Some(word.to_string_lossy().into_owned());
            } else {
                words.name.get_or_insert_with(|| word.to_string_lossy().into_owned());
                words.others.push(word.clone());
            }
        }
        words
    }

    /// True if the flag is there, with a value or without.
    pub(super) fn has(&self, flag: &str) -> bool {
        let with_value = format!("{flag}=");
        let is = |word: &OsString| word.to_str().is_some_and(|text| text == flag || text.starts_with(&with_value));
        self.others.iter().any(is)
    }

    /// What stands behind a flag.
    pub(super) fn value(&self, flag: &str) -> Option<OsString> {
        let prefix = format!("{flag}=");
        let joined = |word: &OsString| word.to_str()?.strip_prefix(&prefix).map(OsString::from);
        let behind = self.others.iter().position(|word| word == flag).and_then(|at| self.others.get(at + 1)).cloned();
        behind.or_else(|| self.others.iter().find_map(joined))
    }

    /// Takes a flag and its value away.
    pub(super) fn take(&mut self, flag: &str) -> Option<OsString> {
        let value = self.value(flag);
        if let Some(at) = self.others.iter().position(|word| word == flag) {
            self.others.drain(at..(at + 2).min(self.others.len()));
        }
        let prefix = format!("{flag}=");
        self.others.retain(|word| word.to_str().is_none_or(|text| !text.starts_with(&prefix)));
        value
    }

    /// Calls a flag by another name.
    pub(super) fn rename(&mut self, flag: &str, name: &str) {
        let prefix = format!("{flag}=");
        for word in &mut self.others {
            if word == flag {
                *word = name.into();
            } else if let Some(value) = word.to_str().and_then(|text| text.strip_prefix(&prefix)) {
                *word = format!("{name}={value}").into();
            }
        }
    }

    /// `flag VALUE` and `flag=VALUE` become the value alone.
    pub(super) fn unflag(&mut self, flag: &str) {
        let prefix = format!("{flag}=");
        self.others.retain(|word| word != flag);
        for word in &mut self.others {
            if let Some(value) = word.to_str().and_then(|text| text.strip_prefix(&prefix)) {
                *word = value.into();
            }
        }
    }
}

/// The flags of `command` that have a value behind them.
fn with_values(command: &clap::Command, flags: &mut BTreeSet<String>) {
    for option in command.get_arguments().filter(|one| one.get_action().takes_values()) {
        flags.extend(option.get_long().map(|long| format!("--{long}")));
        flags.extend(option.get_short().map(|short| format!("-{short}")));
    }
}

/// `--flag=true` as `--flag`, of one that has no value; `None` for `--flag=false`.
fn said(flag: String, valued: &BTreeSet<String>) -> Option<String> {
    let Some((name, value)) = flag.split_once('=').filter(|(name, _)| !valued.contains(*name)) else {
        return Some(flag);
    };
    match value {
        "true" | "True" | "TRUE" | "t" | "T" | "1" => Some(name.to_owned()),
        "false" | "False" | "FALSE" | "f" | "F" | "0" => None,
        _ => Some(flag),
    }
}

/// `-tag` as `--tag`; the old `-config` by its new name. `-h` and `-o` stay.
fn two_dashes(text: &str) -> String {
    let name = text.trim_start_matches('-');
    let long = name.len() > 1 && name.starts_with(|c: char| c.is_ascii_lowercase());
    match name {
        "config" => "--blueprint-dir".into(),
        _ => match name.strip_prefix("config=") {
            Some(value) => format!("--blueprint-dir={value}"),
            None if long => format!("--{name}"),
            None => text.to_owned(),
        },
    }
}
