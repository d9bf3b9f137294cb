//! `alloy prune`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args as ClapArgs;
use layers::digest::{ChainId, Digest};
use layers::store::{layer_tree, stack_tree};

use super::context::{Context, Global};
use super::error::CommandError;
use super::interrupt::{self, CtrlC};
use super::ui;
use crate::cache::{self, elsewhere};
use crate::image::{self, Documents, Image, Local, Manifest};
use crate::resolve;
use crate::target::image::ImageTarget;
use crate::target::{DEFAULT_EPOCH, Lent};

/// Deletes what no image in the store needs: layers, trees, downloads, caches
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Say what would be deleted
    #[arg(long)]
    dry_run: bool,
    /// Take names away first: images whose name is given, or all with --all
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// Take all names away first
    #[arg(long, conflicts_with = "images")]
    all: bool,
}

/// What images need.
#[derive(Default)]
struct Needed {
    blobs: BTreeSet<Digest>,
    trees: BTreeSet<String>,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    let context = Context::open_alone(global)?;
    interrupt::obey(&context.runtime, CtrlC::Ours);
    let given = args.images.iter().map(|name| super::context::image_name(name)).collect::<Result<Vec<_>, _>>()?;
    for name in &given {
        super::push::find(&context, name)?;
    }
    let store = &context.store;
    let given: BTreeSet<String> = given.iter().map(ToString::to_string).collect();
    let (dropped, kept): (Vec<_>, Vec<_>) =
        image::locals(store)?.into_iter().partition(|image| args.all || given.contains(image.name()));
    let needed = needed(&context, &kept);
    let layers: Vec<_> = cache::all(store)?
        .into_iter()
        .filter(|(_, record)| {
            record.layer.as_ref().is_none_or(|layer| !needed.blobs.contains(&layer.descriptor.digest))
        })
        .collect();
    let blobs: Vec<Digest> = store.blobs()?.into_iter().filter(|digest| !needed.blobs.contains(digest)).collect();
    let trees: Vec<PathBuf> = store
        .trees()?
        .into_iter()
        .filter(|name| !needed.trees.contains(name))
        .map(|name| store.tree_place(&name))
        .collect();
    let caches = store.root().join("cache");
    let (downloads, stale) = (store.downloads(), store.stale()?);
    let mut sizes = [
        ("layers", 0),
        ("trees", 0),
        ("downloads", size(&downloads)),
        ("caches", size(&caches)),
        ("left by killed builds", 0),
    ];
    for digest in &blobs {
        sizes[0].1 += store.blob_len(digest)?.unwrap_or_default();
    }
    sizes[1].1 = trees.iter().map(|path| size(path)).sum();
    sizes[4].1 = stale.iter().map(|path| size(path)).sum();
    if !args.dry_run {
        for image in &dropped {
            image::forget(store, image.name())?;
        }
        // Records first: one without its layer would be a lie, a layer without its record is only unused.
        for (key, _) in &layers {
            cache::forget(store, key)?;
        }
        cache::forget_portable(store, |digest| needed.blobs.contains(digest))?;
        store.forget_trusting(&cache::BELIEVED)?;
        let bases = resolve::base_layers(store)?;
        elsewhere::retain(store, |digest| needed.blobs.contains(digest) || bases.contains(digest))?;
        store.forget_diff_ids(|digest| needed.blobs.contains(digest) || bases.contains(digest))?;
        for digest in &blobs {
            store.remove_blob(digest)?;
        }
        let mut paths = trees;
        paths.extend(stale);
        paths.extend(children(&caches));
        if !paths.is_empty() {
            // Files of the image's users are not ours to delete outside of the worker.
            let mut target = ImageTarget::start(store, Lent::default(), DEFAULT_EPOCH)?;
            target.remove(paths)?;
            target.finish()?;
        }
        for path in children(&downloads) {
            let _ = std::fs::remove_file(path);
        }
    }
    drop(context);
    let rows = sizes.iter().map(|(what, size)| [(*what).to_owned(), ui::bytes(*size)]);
    ui::table(&rows.collect::<Vec<_>>());
    let total: u64 = sizes.iter().map(|(_, size)| size).sum();
    outln!("{} {}", if args.dry_run { "would free" } else { "freed" }, ui::bytes(total));
    Ok(ExitCode::SUCCESS)
}

fn needed(context: &Context, kept: &[Local]) -> Needed {
    let mut needed = Needed::default();
    needed.blobs.extend(kept.iter().map(|local| local.descriptor().digest));
    for local in kept.iter().flat_map(Local::images) {
        needed.blobs.insert(local.manifest.digest);
        needed.blobs.extend(local.documents.iter().flat_map(Documents::blobs).map(|document| document.digest));
        let read = |digest: &Digest| context.store.read_blob(digest, 16 << 20).ok();
        let manifest: Option<Manifest> =
            read(&local.manifest.digest).and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let Some(manifest) = manifest else { continue };
        needed.blobs.insert(manifest.config.digest);
        needed.blobs.extend(manifest.layers.iter().map(|layer| layer.digest));
        let config = read(&manifest.config.digest).unwrap_or_default();
        let Ok(image) = Image::new(&local.name, local.manifest.digest, &manifest, &config) else { continue };
        let mut chain: Option<ChainId> = None;
        for layer in &image.layers {
            let extended = ChainId::extend(chain, layer.diff_id);
            needed.trees.extend([layer_tree(layer.diff_id), stack_tree(extended)]);
            chain = Some(extended);
        }
    }
    needed
}

fn children(directory: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Bytes on disk below `path`, as far as they can be seen; files with several names count once.
fn size(path: &Path) -> u64 {
    fn walk(path: &Path, seen: &mut BTreeSet<(u64, u64)>) -> u64 {
        use std::os::unix::fs::MetadataExt;
        let Ok(metadata) = path.symlink_metadata() else { return 0 };
        if !seen.insert((metadata.dev(), metadata.ino())) {
            return 0;
        }
        let own = metadata.blocks() * 512;
        if metadata.is_dir() { children(path).iter().fold(own, |sum, child| sum + walk(child, seen)) } else { own }
    }
    walk(path, &mut BTreeSet::new())
}
