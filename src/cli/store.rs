//! `alloy store`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::{Args as ClapArgs, Subcommand};
use layers::at_once;
use layers::digest::{ChainId, Digest};
use layers::media_type::Descriptor;
use layers::store::{Damage, Store, StoreError, layer_tree, stack_tree};

use super::context::{self, Global, RegistryArgs};
use super::error::CommandError;
use super::interrupt::{self, CtrlC};
use super::ui;
use crate::build::ensure_blobs;
use crate::cache::{self, elsewhere};
use crate::context::Context;
use crate::event::Event;
use crate::image::{self, Image, JSON_LIMIT, LocalImage, Manifest};
use crate::plan::Platform;
use crate::resolve::Request;
use crate::target::image::ImageTarget;

/// Manages the store, where layers, images and downloads are kept
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(CheckArgs),
}

/// Reads the whole store and reports damage
///
/// It hashes blobs, downloads and records, and compares unpacked layers with their blobs, file by file. An image is
/// complete if each of its layers is in the store or known to be in a registry. Without --repair, nothing is changed.
/// The exit code is 1 if anything is wrong; with --repair, if an image is still incomplete or has lost its name.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  alloy store check
  alloy store check --repair")]
struct CheckArgs {
    /// Put damaged files aside, so that they count as missing, and download what a registry is known to have; builds
    /// make the rest again
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    registry: RegistryArgs,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    match &args.command {
        Command::Check(args) => check(args, global),
    }
}

/// What was looked at, and what is wrong with it.
#[derive(Default)]
struct Findings {
    rows: Vec<[String; 4]>,
    damaged: Vec<Damage>,
}

impl Findings {
    fn add(&mut self, what: &str, count: usize, bytes: Option<u64>, damaged: Vec<Damage>) {
        let wrong = if damaged.is_empty() { String::new() } else { format!("{} damaged", damaged.len()) };
        self.rows.push([what.to_owned(), count.to_string(), bytes.map_or_else(String::new, ui::bytes), wrong]);
        self.damaged.extend(damaged);
    }
}

fn check(args: &CheckArgs, global: &Global) -> Result<ExitCode, CommandError> {
    let context = context::open(global, Some(&args.registry))?;
    interrupt::obey(&context.runtime, CtrlC::Ours)?;
    let (store, repair) = (&context.store, args.repair);
    if !repair {
        store.leave_damage();
    }
    // Records first: what images need is known by them.
    let mut findings = Findings::default();
    let (count, damaged) = store.examine_records(repair)?;
    findings.add("records", count, None, damaged);
    let trees = trees(store)?;
    let digests = store.blobs()?;
    let looked = at_once::each(&digests, |digest| store.examine_blob(digest, repair));
    let (bytes, damaged) = sorted(looked)?;
    findings.add("blobs", digests.len(), Some(bytes), damaged);
    let digests = store.download_digests()?;
    let looked =
        at_once::each(&digests, |digest| store.examine_download(digest, repair).map(|found| found.unwrap_or(Ok(0))));
    let (bytes, damaged) = sorted(looked)?;
    findings.add("downloads", digests.len(), Some(bytes), damaged);
    let (compared, damaged) = look_at_trees(&context, trees, repair)?;
    findings.add("trees", compared.0, None, damaged);
    let incomplete = images(&context, args, &mut findings)?;
    if !repair {
        // What was put aside was told then.
        findings.damaged.iter().for_each(|damage| context.reporter().event(Event::Warning(damage.to_string())));
    }
    let (wrong, lost) =
        (findings.damaged.len(), findings.damaged.iter().filter(|damage| image::is_name(damage)).count());
    if lost > 0 {
        let names = ui::count(lost, "name");
        let warning =
            format!("{names} of images lost: `alloy images` lists those that are left; build the others again");
        context.reporter().event(Event::Warning(warning));
    }
    if compared.1 > 0 {
        let trees = ui::count(compared.1, "tree");
        let note = format!("{trees} without a layer here to compare the content with: by names, sizes and times alone");
        context.reporter().event(Event::Note(note));
    }
    ui::table(&findings.rows);
    drop(context);
    if wrong == 0 && incomplete == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    let code = if repair && incomplete == 0 && lost == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    let next = match (repair, wrong) {
        (true, 0) => "",
        (true, _) => "; what is damaged was put aside, and builds make it anew",
        (false, _) => "; `alloy store check --repair` puts what is damaged aside, and fetches what it can",
    };
    let (things, images) = (ui::count(wrong, "thing"), ui::count(incomplete, "image"));
    ui::note(&format!("{things} damaged, {images} incomplete{next}\n"));
    Ok(code)
}

type Looked = Result<Result<u64, Damage>, StoreError>;

/// All bytes of what is right, and what is damaged.
fn sorted(looked: Vec<Looked>) -> Result<(u64, Vec<Damage>), StoreError> {
    let (mut bytes, mut damaged) = (0, Vec::new());
    for found in looked {
        match found {
            Ok(Ok(size)) => bytes += size,
            Ok(Err(damage)) => damaged.push(damage),
            // A build beside this one, or a prune before, has deleted it.
            Err(StoreError::Missing(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok((bytes, damaged))
}

/// Every tree, with the layer that it was unpacked from where that is known.
fn trees(store: &Store) -> Result<Vec<(String, Option<Digest>)>, CommandError> {
    let mut layers: BTreeMap<String, Digest> = BTreeMap::new();
    for local in image::locals(store)? {
        for image in local.images().iter().filter_map(|local| read(store, local)) {
            let mut chain: Option<ChainId> = None;
            for layer in &image.layers {
                let extended = ChainId::extend(chain, layer.diff_id);
                layers.insert(layer_tree(layer.diff_id), layer.descriptor.digest);
                layers.insert(stack_tree(extended), layer.descriptor.digest);
                chain = Some(extended);
            }
        }
    }
    for layer in cache::all(store)?.into_iter().filter_map(|(_, record)| record.layer) {
        layers.insert(layer_tree(layer.diff_id), layer.descriptor.digest);
    }
    let known = |name: &String| layers.get(name).copied();
    Ok(store.trees()?.into_iter().map(|name| (name.clone(), known(&name))).collect())
}

/// Files of images' users are not everybody's to read: a worker looks at the trees. Gives how many there are and of how
/// many the content could not be compared, and what is damaged.
fn look_at_trees(
    context: &Context,
    trees: Vec<(String, Option<Digest>)>,
    repair: bool,
) -> Result<((usize, usize), Vec<Damage>), CommandError> {
    if trees.is_empty() {
        return Ok(((0, 0), Vec::new()));
    }
    // A layer that is damaged itself says nothing.
    let here = |layer: &Digest| {
        context.store.contains(layer) && context.store.examine_blob(layer, false).is_ok_and(|it| it.is_ok())
    };
    let trees: Vec<_> = trees.into_iter().map(|(name, layer)| (name, layer.filter(here))).collect();
    let counts = (trees.len(), trees.iter().filter(|(_, layer)| layer.is_none()).count());
    let mut target = ImageTarget::start(&context.store, context.vars())?;
    let damaged = target.examine_trees(trees, repair)?;
    target.finish()?;
    Ok((counts, damaged))
}

/// The image, if its manifest and its config are here and can be read.
fn read(store: &Store, local: &LocalImage) -> Option<Image> {
    // What is damaged is told in its place: nothing is put aside here.
    let bytes = |digest: &Digest| {
        store.examine_blob(digest, false).ok()?.ok()?;
        store.read_blob(digest, JSON_LIMIT).ok()
    };
    let manifest: Manifest = serde_json::from_slice(&bytes(&local.manifest.digest)?).ok()?;
    let config = bytes(&manifest.config.digest)?;
    Image::new(&local.name, local.manifest.digest, &manifest, &config).ok()
}

/// Looks whether all images are complete; fetches what can be, to repair them. Gives how many are not.
fn images(context: &Context, args: &CheckArgs, findings: &mut Findings) -> Result<usize, CommandError> {
    let (locals, strange) = image::all(&context.store)?;
    let (mut count, mut incomplete) = (strange.len(), strange.len());
    for strange in strange {
        let (name, why, give_up) = (strange.name(), &strange.why, strange.give_up());
        context.reporter().event(Event::Warning(format!(
            "it is not known what the image {name} needs ({why}); build it again, or give it up: {give_up}"
        )));
    }
    for local in locals.iter().flat_map(|local| local.images()) {
        count += 1;
        let lost = lost(context, local, args)?;
        if lost.is_empty() {
            continue;
        }
        incomplete += 1;
        let shown: Vec<String> = lost.iter().map(Digest::to_string).collect();
        context.reporter().event(Event::Warning(format!(
            "the image {} ({}) is incomplete: {} is not here, and no registry is known to have it; build it again",
            local.name,
            local.platform,
            shown.join(", ")
        )));
    }
    let wrong = if incomplete == 0 { String::new() } else { format!("{incomplete} incomplete") };
    findings.rows.push(["images".into(), count.to_string(), String::new(), wrong]);
    Ok(incomplete)
}

/// What an image lacks, and nobody is known to have.
fn lost(context: &Context, local: &LocalImage, args: &CheckArgs) -> Result<Vec<Digest>, CommandError> {
    let store = &context.store;
    // Without its manifest or its config nothing is known of it.
    let Some(image) = read(store, local) else { return Ok(vec![local.manifest.digest]) };
    let missing: Vec<Descriptor> = image
        .layers
        .iter()
        .map(|layer| layer.descriptor.clone())
        .filter(|blob| !store.contains(&blob.digest))
        .collect();
    let (there, lost): (Vec<_>, Vec<_>) =
        missing.into_iter().partition(|blob| elsewhere::reachable(store, &blob.digest));
    let mut lost: Vec<Digest> = lost.into_iter().map(|blob| blob.digest).collect();
    if args.repair && !there.is_empty() {
        let platform: Platform = local.platform.clone();
        let request = Request::new(context, platform);
        for blob in there {
            if let Err(error) = ensure_blobs(&request.resolver(context), std::slice::from_ref(&blob)) {
                context.reporter().event(Event::Warning(error.to_string()));
                lost.push(blob.digest);
            }
        }
    }
    Ok(lost)
}
