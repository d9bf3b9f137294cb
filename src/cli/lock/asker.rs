//! The blueprint as the options of `alloy lock` have it read.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::blueprint::{Blueprint, Problems};
use crate::build::{Lacking, LookInside, NoCache, Options};
use crate::cli::error::CommandError;
use crate::cli::inputs::{InputArgs, epoch};
use crate::cli::meant;
use crate::context::Context;
use crate::lock::Lock;
use crate::locker::Asker;
use crate::plan::{Lowered, Platform, Settings};
use crate::resolve::Request;

/// Reads the blueprint as the options say.
pub(super) struct Reader<'a> {
    context: &'a Context,
    inputs: &'a InputArgs,
    blueprint: &'a Arc<Blueprint>,
    settings: Settings,
    epoch: u64,
    /// What was said of packages for another platform already.
    told: RefCell<BTreeSet<String>>,
}

impl<'a> Reader<'a> {
    /// Nothing is read yet.
    pub(super) fn new(
        context: &'a Context,
        inputs: &'a InputArgs,
        blueprint: &'a Arc<Blueprint>,
    ) -> Result<Self, CommandError> {
        let (settings, epoch) = (inputs.settings()?, epoch()?);
        Ok(Self { context, inputs, blueprint, settings, epoch, told: RefCell::default() })
    }

    /// How tasks run whose packages are found out.
    pub(super) fn options(&self) -> Options {
        Options {
            compression: self.inputs.compression,
            epoch: self.epoch,
            no_cache: NoCache::Nothing,
            layering: self.inputs.layers,
            push: Vec::new(),
            whole: false,
            look_inside: LookInside::Never,
        }
    }
}

impl Asker for Reader<'_> {
    fn read(&self, platform: &Platform, lock: &Lock) -> Result<(Lowered, Request), Problems> {
        let settings = Settings { platform: platform.clone(), ..self.settings.clone() };
        let prepared = self.inputs.prepare_with(self.blueprint, &settings, self.epoch, lock)?;
        let request = self.inputs.request(self.context, &prepared);
        Ok((prepared.lowered, request))
    }

    fn lacking(&self, base: &str, lacking: &[Lacking]) {
        meant::warn(self.context.reporter(), base, lacking, &mut self.told.borrow_mut());
    }
}
