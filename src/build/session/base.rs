//! The base's own layer, where it is made from packages.

use std::collections::BTreeMap;
use std::path::PathBuf;

use layers::store::LayerBlob;

use super::{Result, Session, joined};
use crate::build::foreign::{self, Need};
use crate::build::layer;
use crate::cache;
use crate::debian::BasePlan;
use crate::event::{Event, Id};
use crate::fetch::{Download, Transfer};
use crate::plan::LayerKey;
use crate::resolve::Origin;

impl Session<'_> {
    /// Fills in the layer of a base that is made from packages, and makes it where it is missing.
    pub fn base_layer(&mut self) -> Result<()> {
        let Origin::Archive(plan) = self.base.origin.clone() else { return Ok(()) };
        if !self.base.image.layers.is_empty() {
            return Ok(());
        }
        let key = LayerKey::of_base(self.base.identity, self.inputs);
        let store = self.resolver.store;
        let mut known = cache::find(store, &key)?.and_then(|record| record.layer);
        if known.is_none() {
            // Another build may be making the same one.
            let _lock = store.lock(&format!("layer-{}", key.hex()))?;
            known = cache::find(store, &key)?.and_then(|record| record.layer);
            if known.is_none() {
                known = self.assemble(&plan, &key)?;
            }
        }
        if let (Some(uploads), Some(known)) = (&mut self.uploads, &known) {
            uploads.start(&known.descriptor);
        }
        self.base.image.layers.extend(known.as_ref().map(layer));
        Ok(())
    }

    fn assemble(&mut self, plan: &BasePlan, key: &LayerKey) -> Result<Option<LayerBlob>> {
        let id = Id::next();
        let name = format!("deb:{}", plan.suite);
        foreign::ensure(self.resolver, || Need::Base { reference: name.clone() })?;
        self.resolver.reporter.event(Event::LayerStarted { id, name, index: 0, count: self.found });
        let debs = self.debs(plan)?;
        let (compression, epoch) = (self.inputs.compression, self.inputs.epoch);
        let target = self.target()?;
        target.begin(Vec::new(), BTreeMap::new())?;
        target.assemble(plan, debs)?;
        let blob = target.commit(compression, epoch)?;
        let preimage = serde_json::json!({"suite": plan.suite, "date": plan.date, "identity": plan.identity()});
        let record = cache::LayerRecord { name: "base".into(), layer: blob.clone(), archive: None, preimage };
        cache::keep(self.resolver.store, key, &record)?;
        self.ended(id, "built", blob.as_ref());
        Ok(blob)
    }

    /// All packages, shown as one transfer.
    fn debs(&self, plan: &BasePlan) -> Result<Vec<PathBuf>> {
        let fetcher = self.resolver.fetcher;
        let total = plan.packages.iter().map(|package| package.size).sum();
        let missing = plan.packages.iter().any(|package| !fetcher.have(&package.sha256));
        let name = format!("{} packages", plan.packages.len());
        let transfer = missing.then(|| Transfer::start(fetcher.reporter(), name, Some(total)));
        let tasks: Vec<_> = plan
            .packages
            .iter()
            .map(|package| {
                let (url, sha256, size) = (package.url.clone(), Some(package.sha256), Some(package.size));
                let download = Download { url, sha256, size, part_of: transfer.clone() };
                let fetcher = fetcher.clone();
                self.resolver.runtime.spawn(async move { fetcher.fetch(&download).await })
            })
            .collect();
        for task in tasks {
            joined(self.resolver.runtime.block_on(task)).map_err(crate::debian::DebianError::from)?;
        }
        Ok(plan.packages.iter().map(|package| fetcher.path(&package.sha256)).collect())
    }
}
