//! Layers of the store into trees, several at once.

use std::path::{Path, PathBuf};

use layers::apply::{Applied, ApplyError, ApplyOptions, Form, Ownership, apply, idle};
use layers::at_once;
use layers::compress::{layer_decoder, read_ahead};
use layers::digest::DiffId;
use layers::root::{Root, remove_tree};
use layers::store::{Store, TreeNames};
use layers::verified::HashingReader;

use super::TargetError;
use super::request::{Unpack, Unpacked, Wrong};

/// Where the trees of these names are.
pub fn trees(store: &Store, names: &[String]) -> Result<Vec<PathBuf>, TargetError> {
    let missing = |name: &String| TargetError::Host {
        path: PathBuf::from(name),
        source: std::io::Error::from(std::io::ErrorKind::NotFound),
    };
    names.iter().map(|name| store.tree(name).ok_or_else(|| missing(name))).collect()
}

/// A directory to unpack into; deleted when it is dropped, unless it got a name by then.
pub struct Staged<'a> {
    path: PathBuf,
    store: &'a Store,
}

impl<'a> Staged<'a> {
    /// Makes one.
    pub fn new(store: &'a Store) -> Result<Self, TargetError> {
        Ok(Self { path: store.stage_tree()?, store })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its name, unless somebody was first.
    fn publish(self, name: &str) -> Result<(), TargetError> {
        self.store.publish_tree(&self.path, name)?;
        Ok(())
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        // What cannot be deleted here goes with the build's directory. Where it has its name, nothing is there.
        let _ = remove_tree(&self.path);
    }
}

/// What came of one layer.
enum One<'s> {
    /// A tree, and what came of applying the layer.
    Tree(Applied),
    /// A tree that may delete what is not there, which is to be known before it gets its name.
    Unsettled(Staged<'s>, Applied),
    /// Nothing: it leaves out directories that are to come from below.
    Incomplete,
    /// Nothing: it is not what it was claimed to be.
    Wrong(Wrong),
}

/// Unpacks `layers`, lowest first, side by side.
///
/// A layer that leaves out directories takes them from the trees below it, which are not there yet: such layers are
/// unpacked once more, one after the other.
pub fn all(store: &Store, layers: &[Unpack]) -> Result<Unpacked, TargetError> {
    let done = at_once::each(layers, |layer| one(store, layer, None));
    let mut unpacked = Unpacked::default();
    for (layer, result) in layers.iter().zip(done) {
        let parents = || {
            let named = |names: &TreeNames| names.find(store).unwrap_or(names.name(true)).to_owned();
            let parents = trees(store, &layer.parents.iter().map(named).collect::<Vec<_>>())?;
            parents.iter().map(|path| Ok(Root::open(path)?)).collect::<Result<Vec<_>, TargetError>>()
        };
        let result = match result? {
            // With a wrong one below, what it would take from there is not there.
            One::Incomplete | One::Unsettled(..) if !unpacked.wrong.is_empty() => One::Incomplete,
            One::Incomplete => one(store, layer, Some(&parents()?))?,
            One::Unsettled(staged, applied) => settle(layer, &parents()?, staged, applied)?,
            first => first,
        };
        match result {
            One::Tree(applied) => unpacked.absent.add(applied),
            One::Wrong(reason) => unpacked.wrong.push((layer.blob, reason)),
            One::Incomplete | One::Unsettled(..) => {}
        }
    }
    unpacked.absent.devices.sort_unstable();
    Ok(unpacked)
}

/// Takes the whiteouts out of a tree that hide nothing of `parents`, below it, and gives it its name.
fn settle<'s>(layer: &Unpack, parents: &[Root], staged: Staged<'s>, applied: Applied) -> Result<One<'s>, TargetError> {
    let idle = idle(parents, &applied.whiteouts)?;
    let root = Root::open(staged.path())?;
    idle.iter().try_for_each(|path| root.remove_all(path))?;
    staged.publish(layer.tree.name(!idle.is_empty()))?;
    Ok(One::Tree(applied))
}

/// Unpacks a layer. Its tree gets its name only if its content is what was claimed.
fn one<'s>(store: &'s Store, layer: &Unpack, parents: Option<&[Root]>) -> Result<One<'s>, TargetError> {
    // Below the lowest one there is nothing, and that is known.
    let parents = parents.or_else(|| layer.parents.is_empty().then_some(&[]));
    let staged = Staged::new(store)?;
    let applied = match applied(store, layer, parents, staged.path()) {
        Ok(applied) => applied,
        Err(error) => {
            // Whoever claimed it to be a layer was wrong; what this machine refuses is no fault of theirs.
            return match error {
                error @ (TargetError::Apply(ApplyError::Tar(_) | ApplyError::Link { .. }) | TargetError::Layer(_))
                    if layer.foreign && !error.disk_is_full() =>
                {
                    Ok(One::Wrong(Wrong::Content(error.to_string())))
                }
                TargetError::Apply(ApplyError::Root(source)) if layer.foreign => {
                    Err(TargetError::OfLayer { layer: layer.blob, source })
                }
                error => Err(error),
            };
        }
    };
    let (mut applied, found) = applied;
    // Before it has a name: nothing is found under one that is not its own.
    if let Some(found) = found.filter(|found| *found != layer.diff_id) {
        return Ok(One::Wrong(Wrong::DiffId(found)));
    }
    let wait = parents.is_none();
    if let Some(error) = applied.unlinked.take().filter(|_| !wait) {
        return if layer.foreign { Ok(One::Wrong(Wrong::Content(error.to_string()))) } else { Err(error.into()) };
    }
    let incomplete = applied.implied_parents && wait;
    if incomplete {
        return Ok(One::Incomplete);
    }
    if wait && !applied.whiteouts.is_empty() {
        return Ok(One::Unsettled(staged, applied));
    }
    staged.publish(layer.tree.name(applied.implied_parents))?;
    Ok(One::Tree(applied))
}

fn applied(
    store: &Store,
    layer: &Unpack,
    parents: Option<&[Root]>,
    staged: &Path,
) -> Result<(Applied, Option<DiffId>), TargetError> {
    let failed = |source: std::io::Error| {
        if layer.foreign {
            TargetError::Layer(source.to_string())
        } else {
            TargetError::Host { path: store.blob_path(&layer.blob), source }
        }
    };
    let ownership = if layer.ids.is_none() { Ownership::Archive } else { Ownership::Exchanged(layer.ids) };
    let options = ApplyOptions { form: Form::OverlayLower, parents, ownership };
    let root = Root::open(staged)?;
    store.read_whole(&layer.blob, |blob| {
        let (_, reader) = layer_decoder(blob).map_err(failed)?;
        read_ahead(reader, |reader| {
            if layer.verified {
                let applied = apply(&mut *reader, &root, &options)?;
                std::io::copy(reader, &mut std::io::sink()).map_err(failed)?;
                return Ok((applied, None));
            }
            let mut reader = HashingReader::new(reader);
            let applied = apply(&mut reader, &root, &options)?;
            let found = reader.finish().map_err(failed)?;
            Ok((applied, Some(DiffId(found))))
        })
    })
}
