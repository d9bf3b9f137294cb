//! `alloy du`.

use std::process::ExitCode;

use clap::Args as ClapArgs;
use serde_json::json;

use super::context::{self, Global, store_path};
use super::error::CommandError;
use super::image_name::is_failed;
use super::ui::{self, Format};
use crate::context::Context;
use crate::event::Event;
use crate::image;
use crate::prune::{Found, StoreKind, children, size};

/// Shows how much space the store uses, and how much `alloy prune` would free now
///
/// Sizes are bytes on the disk. A layer counts once, however many images have it. While other commands use the store,
/// only what killed builds left behind can be deleted, and the figures take that into account.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  alloy du
  alloy du --format json")]
pub(super) struct Args {
    /// How to print the result
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    format: Format,
}

/// One row.
struct Row {
    kind: &'static str,
    what: &'static str,
    count: usize,
    bytes: u64,
    goes: u64,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    let path = store_path(global)?;
    let context = context::read_only(global, None)?;
    let at_work = context.store.is_at_work()?;
    let rows = rows(&context, at_work)?;
    let total = size(&path);
    let goes: u64 = rows.iter().map(|row| row.goes).sum();
    if at_work {
        let note = "others are at work in the store: layers, trees, downloads and caches can go once they are done";
        context.reporter().event(Event::Note(note.to_owned()));
    }
    drop(context);
    match args.format {
        Format::Json => {
            let row = |row: &Row| {
                let Row { kind, what, count, bytes, goes } = row;
                json!({"kind": kind, "what": what, "count": count, "bytes": bytes, "can_go": goes})
            };
            ui::json(json!({
                "store": path,
                "kinds": rows.iter().map(row).collect::<Vec<_>>(),
                "bytes": total,
                "can_go": goes,
                "at_work": at_work,
            }));
        }
        Format::Human => {
            let mut table = vec![["KIND", "", "COUNT", "SIZE", "CAN GO"].map(str::to_owned)];
            table.extend(rows.iter().map(|row| {
                let (kind, what, count) = (row.kind.to_owned(), row.what.to_owned(), row.count.to_string());
                [kind, what, count, ui::bytes(row.bytes), ui::bytes(row.goes)]
            }));
            table.push(["total".into(), String::new(), String::new(), ui::bytes(total), ui::bytes(goes)]);
            ui::table(&table);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn rows(context: &Context, at_work: bool) -> Result<Vec<Row>, CommandError> {
    let store = &context.store;
    let (locals, strange) = image::all(store)?;
    let kept: Vec<_> = locals.into_iter().filter(|local| at_work || !is_failed(local.name())).collect();
    let found = Found::look(store, &kept, &strange, ui::logs(store.root()))?;
    // With an image whose needs are not known, `prune` deletes nothing.
    let all = !at_work && !found.is_unknown(store)?;
    let unneeded = |kind: StoreKind| -> u64 {
        found.items.iter().filter(|item| item.kind == kind).map(|item| item.bytes).sum::<u64>()
    };
    let can_go = |kind: StoreKind| if all { unneeded(kind) } else { 0 };
    let needed = found.needed();
    let (mut json, mut shared, mut single, mut unused) = ((0, 0), (0, 0), (0, 0), (0, 0));
    for digest in store.blobs()? {
        let path = store.blob_path(&digest);
        let row = match needed.layers.get(&digest) {
            Some(1) => &mut single,
            Some(_) => &mut shared,
            None if image::is_json(&path) => &mut json,
            None => &mut unused,
        };
        *row = (row.0 + 1, row.1 + size(&path));
    }
    let below = |name: &str| {
        let found = children(&store.root().join(name));
        (found.len(), found.iter().map(|path| size(path)).sum::<u64>())
    };
    let lists = children(&store.root().join("cache")).iter().map(|path| children(path).len()).sum();
    let safe =
        |what: &str| found.sizes(false).iter().filter(|(it, _)| *it == what).map(|(_, bytes)| bytes).sum::<u64>();
    let unfinished = safe("unfinished downloads");
    let scratch = {
        let (work, tmp) = (below("work"), below("tmp"));
        (work.0 + tmp.0, work.1 + tmp.1)
    };
    let row = |kind, what, (count, bytes): (usize, u64), goes| Row { kind, what, count, bytes, goes };
    let names: usize = kept.len();
    Ok(vec![
        row("images", "with a name, manifests and documents", (names, json.1), can_go(StoreKind::Images)),
        row("layers", "of several images", shared, 0),
        row("layers", "of one image", single, 0),
        row("layers", "of no image, for builds", unused, can_go(StoreKind::Layers)),
        row("trees", "unpacked layers", below("trees"), can_go(StoreKind::Trees)),
        row("downloads", "and packages", below("downloads"), can_go(StoreKind::Downloads) + unfinished),
        row("caches", "package lists of apt", (lists, below("cache").1), can_go(StoreKind::Caches)),
        row("records", "what is known under a key", records(&store.root().join("records")), 0),
        row("logs", "--kind logs deletes them", below("logs"), 0),
        row("damaged", "put aside", below("aside"), can_go(StoreKind::Damaged)),
        row("scratch", "under way, or left by killed builds", scratch, safe("left by killed builds")),
    ])
}

fn records(place: &std::path::Path) -> (usize, u64) {
    (children(place).iter().map(|kind| children(kind).len()).sum(), size(place))
}
