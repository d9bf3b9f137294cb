//! What an archive's layer depends on, seen in the world below.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use layers::diff::is_overlay_attribute;
use layers::root::{FileKind, Root};
use serde::{Deserialize, Serialize};

use super::TargetError;
use super::layer::Layer;
use super::site::Site;
use crate::op::Owner;
use crate::plan::{Ancestor, Facts, PortableStep};

/// What is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FactsRequest {
    /// The destination, absolute.
    pub dest: String,
    /// Whose all will be.
    pub owner: Option<Owner>,
    /// The path whose existence makes the step do nothing.
    pub creates: Option<String>,
    /// The archive's owner or mode goes for the destination too, and for all that is there.
    pub sets_attributes: bool,
    /// Names that the archive has directly below the destination, where they are known.
    pub tops: Option<BTreeSet<OsString>>,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum World {
    /// The step does nothing.
    Exists,
    /// An archive's layer would not come to the same as unpacking it there.
    InPlace,
    /// What the layer depends on.
    Facts(Facts),
}

impl FactsRequest {
    /// What has to be known for `step`.
    pub fn of(step: &PortableStep, tops: Option<BTreeSet<OsString>>) -> Self {
        Self {
            dest: step.dest.clone(),
            owner: step.owner.clone(),
            creates: step.creates.clone(),
            sets_attributes: step.sets_attributes(),
            tops,
        }
    }
}

/// Looks at the world in `layer`.
pub fn look(layer: &Layer, request: &FactsRequest) -> Result<World, TargetError> {
    let owner = |owner: &Owner| layer.accounts()?.owner(owner).map_err(TargetError::from);
    look_at(layer.root(), request, owner)
}

fn look_at(
    root: &Root,
    request: &FactsRequest,
    owner: impl Fn(&Owner) -> Result<(u32, Option<u32>), TargetError>,
) -> Result<World, TargetError> {
    if let Some(creates) = &request.creates
        && root.exists(Path::new(creates))?
    {
        return Ok(World::Exists);
    }
    let owner = request.owner.as_ref().map(owner);
    // Whatever is wrong here is told better by the step itself.
    let (Ok(owner), Ok(dest)) = (owner.transpose(), root.resolve(Path::new(&request.dest))) else {
        return Ok(World::InPlace);
    };
    if dest.as_os_str().is_empty() {
        return Ok(World::InPlace);
    }
    let mut ancestors = Vec::new();
    let mut paths: Vec<&Path> = dest.ancestors().filter(|path| !path.as_os_str().is_empty()).collect();
    paths.reverse();
    for path in paths {
        let Ok(found) = root.metadata(path) else { break };
        if found.kind != FileKind::Directory {
            return Ok(World::InPlace);
        }
        let mut xattrs = root.xattrs(path)?;
        xattrs.retain(|(name, _)| !is_overlay_attribute(name) && name != "security.selinux");
        if (found.mode, found.uid, found.gid) != (0o755, 0, 0) || !xattrs.is_empty() {
            let path = path.to_owned();
            ancestors.push(Ancestor { path, mode: found.mode, uid: found.uid, gid: found.gid, xattrs });
        }
    }
    let there = root.read_dir(&dest).unwrap_or_default();
    let meets = |name: &OsString| request.tops.as_ref().is_some_and(|tops| tops.contains(name));
    if !there.is_empty() && (request.sets_attributes || request.tops.is_none() || there.iter().any(meets)) {
        return Ok(World::InPlace);
    }
    Ok(World::Facts(Facts { dest, ancestors, owner }))
}

#[cfg(test)]
mod tests;
