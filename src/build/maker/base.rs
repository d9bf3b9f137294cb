//! The base's own layer, where it is made from packages.

use std::path::PathBuf;

use layers::store::Lock;

use super::{Maker, Result, WRITING};
use crate::build::foreign::{self, Need};
use crate::build::{BuildError, layer};
use crate::cache::{self, BasePreimage, LayerRecord, MadeOf, SUITE};
use crate::debian::{BasePlan, DebianError};
use crate::event::{Event, Id, Wait};
use crate::fetch::Transfer;
use crate::plan::LayerKey;
use crate::resolve::{FromArchive, Origin, ResolveError};

impl Maker<'_> {
    /// The lock of a layer, once no other build is making it.
    pub(super) fn alone(&self, key: &LayerKey, name: &str) -> Result<Lock> {
        let (store, lock) = (self.build.resolver.store, format!("layer-{}", key.hex()));
        if let Some(lock) = store.try_lock(&lock)? {
            return Ok(lock);
        }
        let _wait = Wait::for_build(self.build.resolver.reporter(), name);
        Ok(store.lock(&lock)?)
    }

    /// Fills in the layer of a base that is made from packages, and makes it where it is missing; `found` layers of the
    /// blueprint are there.
    pub(in crate::build) fn base_layer(&mut self, found: usize) -> Result<()> {
        let Origin::Archive(from) = self.stack.base().origin.clone() else { return Ok(()) };
        if !self.stack.base().image.layers.is_empty() {
            return Ok(());
        }
        let key = LayerKey::of_base(self.stack.base().identity, self.inputs);
        let store = self.build.resolver.store;
        let mut known = cache::find(store, &key)?;
        if known.is_none() {
            // Another build may be making the same one.
            let _lock = self.alone(&key, "the base")?;
            known = cache::find(store, &key)?;
            if known.is_none() {
                self.confirm(&from)?;
                known = Some(self.assemble(&from.plan, &key, found)?);
            }
        }
        let Some(known) = known else { return Ok(()) };
        if let (Some(uploads), Some(blob)) = (&mut self.uploads, &known.layer) {
            uploads.start(&blob.descriptor);
        }
        self.stack.base_mut().image.layers.extend(known.layer.as_ref().map(layer));
        self.share(&key, &known);
        if !from.claimed {
            self.share_value(SUITE, from.releases, &from.plan, None);
        }
        Ok(())
    }

    /// Packages are installed that the signed archive names, not those that a cache names.
    fn confirm(&mut self, from: &FromArchive) -> Result<()> {
        if !from.claimed {
            return Ok(());
        }
        let confirmed = self.build.resolver.confirmed(&self.build.lowered.base)?;
        if confirmed.identity == self.stack.base().identity {
            self.stack.base_mut().origin = confirmed.origin;
            return Ok(());
        }
        self.build.resolver.team().distrust(self.stack.base().identity);
        Err(BuildError::Claim { suite: from.plan.suite.clone() })
    }

    fn assemble(&mut self, plan: &BasePlan, key: &LayerKey, found: usize) -> Result<LayerRecord> {
        let id = Id::next();
        let name = format!("deb:{}", plan.suite);
        foreign::ensure(self.build.resolver, || Need::Base { reference: name.clone() })?;
        self.build.resolver.reporter().event(Event::LayerStarted { id, name, index: 0, count: found });
        let phase = |doing| self.build.resolver.reporter().event(Event::LayerPhase { layer: id, doing });
        phase("getting packages");
        let debs = self.debs(plan)?;
        phase("installing packages");
        let target = self.stack.target()?;
        target.begin_base()?;
        target.assemble(plan, debs)?;
        phase(WRITING);
        let blob = self.stack.commit()?;
        self.written(blob.as_ref())?;
        self.ended(id, "built", blob.as_ref());
        let preimage = MadeOf::Packages(BasePreimage::new(self.stack.base().identity, self.inputs));
        let name = cache::BASE.to_owned();
        let record = LayerRecord { name, layer: blob, archive: None, way: None, preimage, output: None, chain: None };
        cache::keep(self.build.resolver.store, key, &record)?;
        Ok(record)
    }

    /// All packages, shown as one transfer.
    fn debs(&self, plan: &BasePlan) -> Result<Vec<PathBuf>> {
        let fetcher = self.build.resolver.fetcher();
        let total = plan.packages.iter().fold(0, |sum: u64, package| sum.saturating_add(package.size));
        let missing = plan.packages.iter().any(|package| !fetcher.have(&package.sha256));
        let name = format!("{} packages", plan.packages.len());
        let transfer = missing.then(|| Transfer::start(fetcher.reporter(), name, Some(total)));
        let packages = plan.packages.iter().map(|package| (package.url.clone(), package.sha256, package.size));
        let paths = self.build.resolver.pinned(packages, transfer.as_ref());
        Ok(paths.map_err(|error| match error {
            ResolveError::Fetch(error) => DebianError::from(error).into(),
            error => error,
        })?)
    }
}
