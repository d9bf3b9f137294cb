//! Downloads without a digest, pinned to what they are.

use std::collections::BTreeMap;

use super::{LockError, Locker};
use crate::op::{Secrets, Source, Step};
use crate::plan::Lowered;
use crate::resolve::{ResolveError, Resolver};

impl Locker<'_> {
    /// Pins downloads; all that cannot be had are told at once, and the others are pinned.
    pub(super) fn downloads(&mut self, bare: &Lowered, resolver: &Resolver<'_>) -> Result<(), LockError> {
        let mut wanted: BTreeMap<String, (&String, &Step)> = BTreeMap::new();
        let steps = bare.layers.iter().flat_map(|layer| &layer.steps);
        for (step, source) in steps.flat_map(|step| step.sources().map(move |source| (step, source))) {
            let Source::Url { url, sha256: None } = source else { continue };
            let name = Secrets::as_written(url);
            let has = self.lock.downloads.contains_key(&name) && !self.asked.update.covers(&name);
            if has || self.anew.contains(&name) {
                continue;
            }
            if !self.asked.ask {
                self.missing.push(format!("{name} is not pinned"));
                continue;
            }
            let first = *wanted.entry(name.clone()).or_insert((url, step));
            if first.0 != url {
                return Err(LockError::SameName { name });
            }
        }
        let urls: Vec<String> = wanted.values().map(|(url, _)| (*url).clone()).collect();
        let mut failed = Vec::new();
        for ((name, (_, step)), pin) in wanted.into_iter().zip(resolver.pin_downloads(&urls)) {
            match pin {
                Ok(pin) => {
                    self.anew.insert(name.clone());
                    self.lock.downloads.insert(name, pin);
                }
                Err(error) => failed.push(ResolveError::from(error).of_step(step)),
            }
        }
        if failed.is_empty() { Ok(()) } else { Err(LockError::Downloads(failed)) }
    }
}
