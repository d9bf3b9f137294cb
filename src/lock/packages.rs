//! Pins of packages from the registries of languages: one shape for all of them.

use std::collections::BTreeMap;

use super::pin::{PackagePin, PackagesPin};
use crate::op::Language;

/// Platform to task to what it installs.
pub type OfLanguage = BTreeMap<String, BTreeMap<String, PackagesPin>>;

/// By language.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packages(BTreeMap<Language, OfLanguage>);

impl Packages {
    /// Those of a language; there are none where it has no entry.
    pub fn of(&self, language: Language) -> impl Iterator<Item = (&String, &BTreeMap<String, PackagesPin>)> {
        self.0.get(&language).into_iter().flatten()
    }

    /// The pin of a task.
    pub fn get(&self, language: Language, platform: &str, task: &str) -> Option<&PackagesPin> {
        self.0.get(&language)?.get(platform)?.get(task)
    }

    /// Pins a task.
    pub fn insert(&mut self, language: Language, platform: &str, task: String, pin: PackagesPin) {
        let platforms = self.0.entry(language).or_default();
        platforms.entry(platform.to_owned()).or_default().insert(task, pin);
    }

    /// Takes out what is pinned for a platform.
    pub fn take(&mut self, platform: &str) -> BTreeMap<(Language, String), PackagesPin> {
        let mut taken = BTreeMap::new();
        for (language, platforms) in &mut self.0 {
            let tasks = platforms.remove(platform).unwrap_or_default();
            taken.extend(tasks.into_iter().map(|(task, pin)| ((*language, task), pin)));
        }
        self.0.retain(|_, platforms| !platforms.is_empty());
        taken
    }

    /// Forgets platforms.
    pub fn retain(&mut self, keeps: impl Fn(&String) -> bool) {
        self.0.values_mut().for_each(|platforms| platforms.retain(|platform, _| keeps(platform)));
        self.0.retain(|_, platforms| !platforms.is_empty());
    }

    /// All pins.
    pub fn all(&self) -> impl Iterator<Item = (Language, &String, &String, &PackagesPin)> {
        self.0.iter().flat_map(|(language, platforms)| {
            platforms.iter().flat_map(move |(platform, tasks)| {
                tasks.iter().map(move |(task, pin)| (*language, platform, task, pin))
            })
        })
    }

    /// All files.
    pub fn files(&self) -> impl Iterator<Item = &PackagePin> {
        self.all().flat_map(|(_, _, _, pin)| &pin.files)
    }
}
