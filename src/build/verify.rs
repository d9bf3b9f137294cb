//! The proof that a build is reproducible: everything is built once more, in a store that has nothing of it, and
//! compared with what is there.
//!
//! Shared are downloads, which have digests, and what the base is, with its blobs where it is not made here. The real
//! store stays as it is.

use layers::at_once;
use layers::compare::{Comparison, Unlisted};
use layers::digest::Digest;
use layers::media_type::Descriptor;
use layers::tree::Difference;

use super::{Build, BuildError, NoCache, Options, Resolved, ensure_blobs};
use crate::event::Event;
use crate::image::Layer;
use crate::plan::PlannedLayer;
use crate::resolve::{Origin, Resolver};

mod cause;
mod changed;
mod document;
mod scratch;
mod side;

use scratch::Scratch;
use side::{Side, differences};

/// What a comparison came to.
#[derive(Debug)]
pub struct Verdict {
    /// Manifests: of the image, and of what was built anew.
    pub manifests: [Digest; 2],
    /// Every layer, the base's first.
    pub layers: Vec<LayerVerdict>,
    /// Fields of config and manifest that differ, but for those that only name layers.
    pub documents: Vec<Difference>,
}

/// What became of one layer.
#[derive(Debug)]
pub struct LayerVerdict {
    /// Its name.
    pub name: String,
    /// The task files that wrote it; none wrote the base.
    pub files: Vec<String>,
    /// The task and its place, where it was one task.
    pub task: Option<(String, String)>,
    /// The blobs; `None` where the tasks changed nothing.
    pub blobs: [Option<Digest>; 2],
    /// The content is the same, and only compressed in another way.
    pub compression_only: bool,
    /// How they differ, with what is likely behind it.
    pub differences: Vec<(Difference, Option<&'static str>)>,
    /// Differences beyond those, by directory.
    pub unlisted: Vec<Unlisted>,
}

impl LayerVerdict {
    /// True if both blobs are the same.
    pub fn is_identical(&self) -> bool {
        self.blobs[0] == self.blobs[1]
    }
}

impl Verdict {
    /// True if both images are the same.
    pub fn is_identical(&self) -> bool {
        self.manifests[0] == self.manifests[1]
    }
}

impl Build<'_> {
    /// Builds everything anew and compares it with the image that the store has as `manifest`. Of each layer, at most
    /// `limit` differences are told.
    pub fn verify(&self, resolved: &Resolved, manifest: Digest, limit: usize) -> Result<Verdict, BuildError> {
        let scratch = Scratch::new(self.resolver.store)?;
        let verdict = self.compared(resolved, manifest, limit, &scratch);
        // Whatever came of it; but what went wrong first is what is told.
        let removed = scratch.remove(self.resolver.store, self.resolver.context.vars());
        let verdict = verdict?;
        removed?;
        Ok(verdict)
    }

    fn compared(
        &self,
        resolved: &Resolved,
        manifest: Digest,
        limit: usize,
        scratch: &Scratch,
    ) -> Result<Verdict, BuildError> {
        let resolver = self.resolver;
        let base = &resolved.base;
        if !matches!(base.origin, Origin::Archive(_)) {
            let blobs: Vec<Descriptor> = base.image.layers.iter().map(|layer| layer.descriptor.clone()).collect();
            let here: Vec<&Descriptor> = blobs.iter().filter(|blob| resolver.store.holds(blob)).collect();
            let checked = at_once::each(&here, |blob| resolver.store.check_blob(&blob.digest));
            // What is damaged is fetched anew, where it can be.
            ensure_blobs(resolver, &blobs).or_else(|lost| {
                checked.into_iter().try_for_each(|done| done.map(drop))?;
                Err(lost)
            })?;
            scratch.share(resolver.store, &blobs)?;
        }
        resolver.reporter().event(Event::Note("building everything anew, to compare".to_owned()));
        let anew = Resolver { store: &scratch.store, ..*resolver };
        let options = Options { no_cache: NoCache::Nothing, ..self.options.clone() };
        let secrets = &self.lowered.secrets;
        let built = Build { resolver: &anew, options: &options, ..*self }.attempt(resolved, None)?;
        let sides = [Side::read(resolver.store, manifest)?, Side::read(&scratch.store, built.manifest.digest)?];
        let mut layers = Vec::new();
        for index in 0..sides[0].layers.len().max(sides[1].layers.len()) {
            let name = sides.iter().find_map(|side| side.layers.get(index)).map(|(name, _)| name.clone());
            let name = name.unwrap_or_default();
            let pair = [0, 1].map(|side| sides[side].layers.get(index).and_then(|(_, layer)| layer.as_ref()));
            let above = index.checked_sub(sides[0].base(&built.plan.layers));
            let planned = above.and_then(|index| built.plan.layers.get(index));
            let mut verdict = LayerVerdict::new(name, planned, pair);
            if !verdict.is_identical() {
                ensure_blobs(resolver, &pair[0].map(|layer| layer.descriptor.clone()).into_iter().collect::<Vec<_>>())?;
                let Comparison { differences: found, unlisted } =
                    differences([&sides[0], &sides[1]], pair, limit, &scratch.spill)?;
                verdict.compression_only = pair[0].map(|layer| layer.diff_id) == pair[1].map(|layer| layer.diff_id);
                verdict.unlisted = unlisted;
                let told = found.into_iter().map(|found| (cause::likely(&found), found));
                verdict.differences = told
                    .map(|(likely, found)| {
                        let (left, right) = (secrets.mask(&found.left), secrets.mask(&found.right));
                        (Difference { left, right, ..found }, likely)
                    })
                    .collect();
            }
            layers.push(verdict);
        }
        let mut documents = document::compare("config", &sides[0].config, &sides[1].config);
        documents.extend(document::compare("manifest", &sides[0].manifest, &sides[1].manifest));
        Ok(Verdict { manifests: [manifest, built.manifest.digest], layers, documents })
    }
}

impl LayerVerdict {
    fn new(name: String, planned: Option<&PlannedLayer>, pair: [Option<&Layer>; 2]) -> Self {
        let task = planned.and_then(|planned| match planned.steps.as_slice() {
            [step] => Some((step.name.clone(), format!("{}:{}", step.file, step.line))),
            _ => None,
        });
        Self {
            name,
            files: planned.map(|planned| planned.files.clone()).unwrap_or_default(),
            task,
            blobs: pair.map(|layer| layer.map(|layer| layer.descriptor.digest)),
            compression_only: false,
            differences: Vec::new(),
            unlisted: Vec::new(),
        }
    }
}
