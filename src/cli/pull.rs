//! `alloy pull`.

use std::process::ExitCode;
use std::time::Instant;

use clap::Args as ClapArgs;

use super::context::{self, Global, RegistryArgs};
use super::error::{CommandError, Kind};
use super::image_name::not_reserved;
use super::interrupt::{self, CtrlC};
use super::ui;
use crate::event::Event;
use crate::image;
use crate::plan::Platform;
use crate::pull::{Found, Pull, Wanted};
use crate::registry::Reference;
use crate::resolve::Request;

/// Downloads an image from a registry into the store, under the same name
///
/// Layers that are in the store already are not downloaded again. Every layer is verified against the image's config
/// before the image gets its name. Layers are unpacked only when a command needs them. Documents that are attached to
/// the image in the registry, such as an SBOM, stay there; `alloy sbom` finds them. With -q, only the image's digest is
/// printed.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  alloy pull registry.example/team/arm-env:1.2
  alloy pull registry.example/team/arm-env@sha256:…
  alloy pull --platform linux/amd64,linux/arm64 registry.example/team/arm-env:1.2")]
pub(super) struct Args {
    /// The image, [REGISTRY/]NAME[:TAG] or [REGISTRY/]NAME@DIGEST; without a registry, Docker Hub's
    #[arg(value_name = "REF")]
    image: String,
    /// Which images of an index, os/arch[/variant]; several stay an index [default: this machine's]
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
    platform: Vec<Platform>,
    /// Download all images of an index that are for Linux
    #[arg(long, conflicts_with = "platform")]
    all_platforms: bool,
    #[command(flatten)]
    registry: RegistryArgs,
}

impl Args {
    fn wanted(&self) -> Wanted<'_> {
        match self.platform.as_slice() {
            [] if self.all_platforms => Wanted::All,
            [] => Wanted::OfThisMachine,
            platforms => Wanted::For(platforms),
        }
    }
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CommandError> {
    let reference: Reference = args.image.parse().map_err(|error| CommandError::from_error(Kind::Usage, &error))?;
    not_reserved(&reference)?;
    let context = context::open(global, Some(&args.registry))?;
    interrupt::obey(&context.runtime, CtrlC::Ours)?;
    let request = Request::new(&context, Platform::of_this_machine());
    let resolver = request.resolver(&context);
    let (start, name) = (Instant::now(), reference.to_string());
    let before = image::local(&context.store, &name).ok().flatten();
    let pull = Pull::new(&resolver, &reference)?;
    let Found { local, whole } = pull.find(args.wanted())?;
    let got = pull.layers(&local)?;
    drop(pull);
    let digest = local.descriptor().digest;
    let same = before.as_ref().is_some_and(|before| before.descriptor().digest == digest);
    if !same {
        image::tag(&context.store, &local)?;
    }
    let platforms: Vec<String> = local.images().iter().map(|image| image.platform.to_string()).collect();
    let (platforms, from) = (platforms.join(", "), format!("{}/{}", reference.registry, reference.repository));
    let count = ui::count(got.count, "layer");
    let note = match (same, got.came) {
        (true, 0) => format!("{name} ({platforms}) is there already"),
        _ => {
            let (bytes, time) = (ui::bytes(got.bytes), ui::duration(start.elapsed()));
            let there = got.count - got.came;
            format!("pulled {name} ({platforms}) from {from}: {count}, {there} of them here; {bytes} came in {time}")
        }
    };
    context.reporter().event(Event::Note(note));
    if let Some(before) = before.filter(|_| !same) {
        let was = before.descriptor().digest;
        context.reporter().event(Event::Note(format!("{name} was {was} before")));
    }
    if !whole {
        let all = "of an index that lists more; --platform names others, --all-platforms takes all";
        context.reporter().event(Event::Note(format!("{name}: {platforms} {all}")));
    }
    drop(request);
    drop(context);
    if global.quiet {
        outln!("{digest}");
    } else if reference.digest.is_some() {
        outln!("{name}");
    } else {
        outln!("{name}@{digest}");
    }
    Ok(ExitCode::SUCCESS)
}
