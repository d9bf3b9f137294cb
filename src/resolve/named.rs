//! Bases that are images of the store, by their names.

use std::collections::BTreeMap;

use super::{Base, Origin, ResolveError, Resolver, Result};
use crate::debian;
use crate::event::Event;
use crate::image::{self, BaseRef, Image, JSON_LIMIT, Manifest};
use crate::registry::Reference;

/// Digits of a digest that are enough to mean one: what is shorter is a name.
const FEWEST: usize = 7;

impl Resolver<'_> {
    /// The image of the store that a base's name stands for. A name with a registry is that registry's unless `local:`
    /// stands before it. Digests, and their beginnings, are names.
    pub(super) fn named_base(&self, base: &BaseRef) -> Result<Option<Base>> {
        let Some((name, local)) = self.named(base)? else { return Ok(None) };
        let local = local.select(Some(self.platform))?;
        let digest = local.manifest.digest;
        let bytes = self.store.read_blob(&digest, JSON_LIMIT)?;
        let manifest: Manifest = serde_json::from_slice(&bytes)
            .map_err(|error| image::ImageError::invalid(&name, format!("its manifest cannot be read: {error}")))?;
        let config = self.store.read_blob(&manifest.config.digest, JSON_LIMIT)?;
        let image = Image::new(&name, digest, &manifest, &config)?;
        self.reporter().event(match self.request.base_within.as_deref() {
            // Others who build the blueprint mean another thing, or none.
            Some(_) => Event::Warning(format!(
                "the base {name} is an image of this store ({digest}); whoever builds the blueprint elsewhere has \
                 another one of that name, or none: push it, and name its registry in the manifest"
            )),
            None => Event::Note(format!("the base {name} is an image of this store ({digest})")),
        });
        Ok(Some(Base { identity: digest, origin: Origin::Store, image }))
    }

    /// The name and what it stands for in the store, if that is meant.
    fn named(&self, base: &BaseRef) -> Result<Option<(String, image::Local)>> {
        let (reference, only) = match base {
            BaseRef::Local(reference) => (reference, true),
            BaseRef::Registry(reference) if !reference.names_registry() => (reference, false),
            _ => return Ok(None),
        };
        let name = reference.to_string();
        let found = if reference.digest.is_none() { image::local(self.store, &name)? } else { None };
        let found = found.map_or_else(|| self.by_digest(reference), |found| Ok(Some(found)))?;
        match found {
            Some(local) => Ok(Some((name, local))),
            None if only => Err(ResolveError::NotLocal { name }),
            None => Ok(None),
        }
    }

    /// The image of the store whose digest `reference` has, is, or is the beginning of, if there is one.
    fn by_digest(&self, reference: &Reference) -> Result<Option<image::Local>> {
        let digits = match (reference.digest, reference.repository.as_str(), reference.tag.as_deref()) {
            (Some(digest), ..) => digest.hex(),
            (None, name, Some(tag)) if name.ends_with("sha256") && !name.contains('.') => tag.to_owned(),
            (None, name, Some("latest")) => name.rsplit('/').next().unwrap_or_default().to_owned(),
            _ => return Ok(None),
        };
        let hex = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !hex || !(FEWEST..=64).contains(&digits.len()) {
            return Ok(None);
        }
        let mut found = BTreeMap::new();
        for local in image::locals(self.store)? {
            let meant = local.with_digest(|digest| digest.hex().starts_with(&digits));
            found.extend(meant.into_iter().map(|one| (one.descriptor().digest, one)));
        }
        // The beginning of several means none of them.
        Ok(if found.len() == 1 { found.into_values().next() } else { None })
    }

    /// Fails if `base` is an image of this store, which others do not have.
    pub(super) fn not_here(&self, base: &BaseRef) -> Result<()> {
        match self.named(base)? {
            Some((name, _)) => Err(ResolveError::Here { name }),
            None => Ok(()),
        }
    }
}

/// The reference with its registry.
pub(super) fn full(reference: &Reference) -> String {
    let tag = reference.tag.iter().map(|tag| format!(":{tag}"));
    let digest = reference.digest.iter().map(|digest| format!("@{digest}"));
    format!("{}/{}{}", reference.registry, reference.repository, tag.chain(digest).collect::<String>())
}

/// What went wrong, with where a name without a registry was looked for.
pub(super) fn told(error: ResolveError, reference: &Reference) -> ResolveError {
    match error {
        ResolveError::Registry(error) if !reference.names_registry() => {
            ResolveError::Nowhere { name: reference.to_string(), full: full(reference), error, suite: None }
        }
        error => error,
    }
}

/// The same; whoever wrote the name of a distribution, or of a suite of it, may have meant that.
pub(super) fn meant(error: ResolveError, written: &str) -> ResolveError {
    match error {
        ResolveError::Nowhere { name, full, error, .. } => {
            ResolveError::Nowhere { name, full, error, suite: debian::suite_of(written) }
        }
        error => error,
    }
}
