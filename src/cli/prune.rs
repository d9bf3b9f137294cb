//! `alloy prune`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::builder::PossibleValue;
use clap::{Args as ClapArgs, ValueEnum};
use layers::store::{Lock, Store};

use super::amount::{Age, age, size as bytes};
use super::context::{self, Global, open_store, store_path};
use super::error::{CommandError, Kind};
use super::image_name::is_failed;
use super::interrupt::{self, CtrlC};
use super::ui;
use crate::context::{Context, now};
use crate::event::{Event, Reporter};
use crate::image::{self, Local};
use crate::prune::{Deleted, Found, Needed, StoreKind, Unknown, Wanted, size};
use crate::registry::Reference;

/// How often one looks whether the others are done.
const POLL: Duration = Duration::from_millis(100);
/// For how long nobody else begins to work while one waits, and how often: who works for a moment only is outwaited
/// so, and nobody stands before a closed door for as long as somebody else's build takes.
const CLOSED: Duration = Duration::from_secs(10);
const ROUND: Duration = Duration::from_secs(40);

/// Deletes layers, trees, downloads and caches that no image in the store needs
///
/// It works even on a full disk. While builds and other commands use the store, it deletes only what killed commands
/// left behind, and says so; with --wait, it waits until nothing else uses the store. A container of `alloy run` keeps
/// its image's trees and holds up nothing else.
///
/// With names, it removes these names and deletes what only their images needed; downloads and caches stay. An image
/// that has a name is never deleted, except for what failed builds left (`alloy-failed`).
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  alloy prune
  alloy prune --keep-storage 20GB
  alloy prune --older-than 30d --kind layers,trees
  alloy prune arm-env:1.1 --dry-run")]
pub(super) struct Args {
    /// Show what would be deleted, without waiting
    #[arg(long)]
    dry_run: bool,
    /// Wait until nothing else uses the store, at most this many seconds
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "4294967295", conflicts_with = "dry_run")]
    wait: Option<u32>,
    /// Remove the names of these images first: NAME[:TAG], a digest, or its first digits (7 or more)
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// Remove all names first, so that no image stays
    #[arg(long, conflicts_with = "images")]
    all: bool,
    /// Delete only what was not used for this long: 30d, 2w, 1y, 12h or 1h30m (y is 365 days, m is minutes)
    #[arg(long, value_name = "AGE", value_parser = age, conflicts_with_all = ["images", "all"])]
    older_than: Option<Age>,
    /// Delete only until the store uses no more than this: 20GB, 512MiB or 1.5G
    ///
    /// What was used least recently is deleted first. What named images need always stays; if that is more than SIZE,
    /// alloy says how much it is. `kB`, `MB`, `GB` and `TB` are powers of 1000; `KiB`, `MiB`, `GiB`, `TiB` and `K`,
    /// `M`, `G`, `T` alone are powers of 1024.
    #[arg(long, value_name = "SIZE", value_parser = bytes, conflicts_with_all = ["images", "all"])]
    keep_storage: Option<u64>,
    /// Delete only these kinds [default: all but logs]
    #[arg(long, value_enum, value_name = "KIND", value_delimiter = ',', conflicts_with = "images")]
    kind: Vec<StoreKind>,
}

impl ValueEnum for StoreKind {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, help) = match self {
            Self::Images => {
                let help = "Manifests, configs and documents of images without a name, and what failed builds left";
                ("images", help)
            }
            Self::Layers => ("layers", "Layers that no image needs; builds could still use them"),
            Self::Trees => ("trees", "Unpacked layers, which commands run on"),
            Self::Downloads => ("downloads", "Downloads and packages"),
            Self::Caches => ("caches", "Package lists of apt"),
            Self::Logs => ("logs", "Logs of builds; they are deleted only if this kind is named"),
            Self::Damaged => ("damaged", "Files that were found damaged and put aside"),
        };
        Some(PossibleValue::new(name).help(help))
    }
}

impl Args {
    fn wanted(&self) -> Wanted {
        Wanted {
            kinds: self.kind.clone(),
            older_than: self.older_than.map(|age| age.0),
            keep: self.keep_storage,
            of_images: !self.images.is_empty(),
        }
    }
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    let path = store_path(global)?;
    if args.images.is_empty() && !Store::is_there(&path)? {
        // None is made to delete something: the disk may be full.
        ui::note(&format!("there is no store in {}\n", path.display()));
        return Ok(ExitCode::SUCCESS);
    }
    let (context, mut alone) = if args.dry_run { look(global)? } else { open(args, global)? };
    let store = &context.store;
    let (locals, strange) = image::all(store)?;
    let mut given = BTreeSet::new();
    for text in &args.images {
        let name = text.parse::<Reference>().map(|name| name.to_string()).unwrap_or_default();
        if strange.iter().any(|strange| strange.is(&name)) {
            given.insert(name);
        } else {
            given.extend(image::names(store, text)?);
        }
    }
    let (wanted, total) = (args.wanted(), size(store.root()));
    let failed = |image: &Local| alone && is_failed(image.name()) && goes(image, &wanted, total);
    let (dropped, kept): (Vec<_>, Vec<_>) =
        locals.into_iter().partition(|image| args.all || given.contains(image.name()) || failed(image));
    let (given_up, strange): (Vec<_>, Vec<_>) =
        strange.into_iter().partition(|strange| args.all || given.iter().any(|name| strange.is(name)));
    let mut found = Found::look(store, &kept, &strange, ui::logs(store.root()))?;
    let theirs = if wanted.of_images { Some(Needed::by(store, &dropped)?) } else { None };
    // Of an image whose needs are not known, it is not known either what it alone needed: then layers of all others that
    // are not needed go with its own.
    let theirs = theirs.filter(|theirs| given_up.is_empty() && theirs.unknown.is_empty());
    found.choose(&wanted, theirs.as_ref(), total);
    // Nothing is missed of an image whose needs are known.
    let at_work = !alone;
    let lost = image::lost(store)?;
    let unknown = unknown(store, &found, &lost).filter(|_| !args.all);
    let told = alone && found.unknown().is_empty();
    alone &= unknown.is_none();
    let mut deleted = Deleted::new(context.reporter().clone());
    for name in dropped.iter().map(Local::name) {
        context.reporter().event(Event::Note(match (args.dry_run, is_failed(name) && !given.contains(name)) {
            (false, true) => format!("{name} goes, which a failed build left"),
            (true, true) => format!("{name} would go, which a failed build left"),
            (false, false) => format!("the name {name} is taken away"),
            (true, false) => format!("the name {name} would be taken away"),
        }));
    }
    if !args.dry_run {
        deleted.left_behind(store, &found, alone)?;
        for image in &dropped {
            image::forget(store, image.name())?;
        }
        for strange in &given_up {
            strange.forget(store)?;
        }
        if alone {
            deleted.unneeded(store, &found, wanted.is_everything())?;
        } else if told {
            // Once is enough.
            deleted.all(&lost);
        }
        deleted.out_of_reach(store, context.vars());
    }
    let reporter = context.reporter().clone();
    let all_goes = unknown.is_none() && (alone || args.dry_run);
    let (at, sizes) = (store.root().display().to_string(), found.sizes(all_goes));
    let over = found.over().filter(|_| all_goes && !at_work).map(|stays| (stays, found.in_use(store)));
    drop(context);
    let rows = sizes.iter().map(|(what, size)| [(*what).to_owned(), ui::bytes(*size)]);
    ui::table(&rows.collect::<Vec<_>>());
    let total: u64 = sizes.iter().map(|(_, size)| size).sum();
    let total = total.saturating_sub(deleted.kept_bytes());
    outln!("{} {}", if args.dry_run { "would free" } else { "freed" }, ui::bytes(total));
    if let (Some((stays, in_use)), Some(keep)) = (over, wanted.keep) {
        reporter.event(Event::Warning(more_stays(stays, keep, in_use, &wanted)));
    }
    if at_work {
        tell(&reporter, &at, args.dry_run, found.unneeded_bytes());
    }
    deleted.check().map_err(|error| {
        let hint = "files of the image's users are deleted in a user namespace, or by root; the next `alloy prune` tries again";
        CommandError::from_error(Kind::Failed, &error).hint(hint)
    })?;
    unknown.map_or(Ok(ExitCode::SUCCESS), Err)
}

/// True if what a failed build left to look into goes with what is `wanted`; `total` is all that the store has.
fn goes(image: &Local, wanted: &Wanted, total: u64) -> bool {
    let age = Duration::from_secs(u64::try_from(now() - image.tagged_at()).unwrap_or_default());
    !wanted.of_images
        && wanted.covers(StoreKind::Images)
        && wanted.older_than.is_none_or(|least| age >= least)
        && wanted.keep.is_none_or(|keep| total > keep)
}

/// An error if it is not known of some images what they need: then layers of theirs would be deleted with the others. The
/// records of names in `lost` were put aside.
fn unknown(store: &Store, found: &Found, lost: &[PathBuf]) -> Option<CommandError> {
    let stay = "layers, trees, downloads and caches stay this time";
    if let Some(Unknown { name, why, give_up }) = found.unknown().first() {
        let message = format!("it is not known what the image {name} needs ({why}); {stay}");
        let hint = format!("build it again, or give it up: {give_up}");
        return Some(CommandError::new(Kind::Failed, message).hint(hint));
    }
    let told = store.damage().into_iter().find(image::is_name).map(|damage| damage.to_string());
    let before = || lost.first().map(|path| format!("its record was damaged, and put aside as {}", path.display()));
    let why = told.or_else(before)?;
    let message = format!("an image has lost its name, and it is not known what it needs ({why}); {stay}");
    let hint = "build it again; the next `alloy prune` deletes what no image needs that is left";
    Some(CommandError::new(Kind::Failed, message).hint(hint))
}

/// That the store takes more than it should when all that may go is gone, and why.
fn more_stays(stays: u64, keep: u64, in_use: u64, wanted: &Wanted) -> String {
    let (stays_told, keep, needed) = (ui::bytes(stays), ui::bytes(keep), ui::bytes(in_use));
    let mut text =
        format!("the store takes {stays_told}, more than the {keep} of --keep-storage: images need {needed}");
    let others = stays.saturating_sub(in_use);
    if others > 0 {
        let why = match (wanted.older_than.is_some(), wanted.kinds.is_empty()) {
            (true, true) => "was used more recently than --older-than says, or is alloy's own",
            (_, false) => "is of other kinds than --kind names, or is alloy's own",
            (false, true) => "is logs and alloy's own",
        };
        text += &format!(", and {} {why}", ui::bytes(others));
    }
    text + "; `alloy untag NAME` gives an image up"
}

/// Says what stays because others are at work.
fn tell(reporter: &Reporter, at: &str, dry: bool, bytes: u64) {
    let bytes = ui::bytes(bytes);
    reporter.event(Event::Warning(match dry {
        true => format!("others are at work in {at}: now, only what killed builds left behind would be deleted"),
        false => format!(
            "others are at work in {at}: layers, trees, downloads and caches stay ({bytes}); `alloy prune --wait` waits \
             for them"
        ),
    }));
}

/// The store as it is, and whether nobody is at work in it.
fn look(global: &Global) -> Result<(Context, bool), CommandError> {
    let store = context::read_only(global, None)?;
    let alone = !store.store.is_at_work()?;
    drop(store);
    Ok((context::reading(global, None)?, alone))
}

/// The store to delete from, and whether nobody else is at work in it.
fn open(args: &Args, global: &Global) -> Result<(Context, bool), CommandError> {
    let store = open_store(global)?;
    let context = context::with(store, global, None)?;
    interrupt::obey(&context.runtime, CtrlC::Ours)?;
    // One that was damaged, or an older alloy's, on a full disk: there is no lock, and no room for one, before
    // something is deleted that nobody can miss.
    let _ = context.store.sweep_temporaries(false);
    let lock = match args.wait {
        None => context.store.enter_alone()?,
        Some(seconds) => Some(wait(&context.store, context.reporter(), Duration::from_secs(seconds.into()))?),
    };
    let alone = lock.is_some();
    context.hold(match lock {
        Some(lock) => lock,
        None => context.store.enter()?,
    });
    Ok((context, alone))
}

/// Waits until nobody is at work in the store.
fn wait(store: &Store, reporter: &Reporter, patience: Duration) -> Result<Lock, CommandError> {
    let (start, mut door, mut told) = (Instant::now(), None, false);
    loop {
        if let Some(lock) = store.enter_alone()? {
            return Ok(lock);
        }
        let at = store.root().display();
        let waited = start.elapsed();
        if waited >= patience {
            let message = format!("others were at work in {at} for all of the {} seconds", patience.as_secs());
            let hint =
                "`alloy prune` without --wait deletes what they cannot need; it waits longer with a larger number";
            return Err(CommandError::new(Kind::Failed, message).hint(hint));
        }
        if !std::mem::replace(&mut told, true) {
            reporter.event(Event::Note(format!("waiting until nobody is at work in {at}")));
        }
        let closed = waited.as_millis() % ROUND.as_millis() < CLOSED.as_millis();
        door = match door {
            Some(door) if closed => Some(door),
            None if closed => store.close_door()?,
            _ => None,
        };
        sleep(POLL.min(patience.saturating_sub(waited)));
    }
}
