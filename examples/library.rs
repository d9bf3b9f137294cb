//! Builds a blueprint with alloy as a library, and prints what came of it:
//!
//! ```text
//! cargo run --example library -- examples/hello STORE
//! ```
//!
//! The library waits for the network and for commands on the thread that calls it: an asynchronous program calls it from a
//! thread of its own, such as `tokio::task::spawn_blocking` gives.

#![expect(clippy::print_stdout, reason = "what is printed is for a person who looks at it")]

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use alloy::build::{Build, LookInside, NoCache, Options};
use alloy::context::{Context, Reach};
use alloy::event::{Event, Report};
use alloy::fetch::Credentials;
use alloy::plan::{Layering, Platform, Settings};
use alloy::registry::{CertificateFiles, ConfigFiles, Keychain, Registries};
use alloy::resolve::Request;
use alloy::target::DEFAULT_EPOCH;
use alloy::tasks::Runtime;
use alloy::vars::Vars;
use layers::store::Store;

/// Prints warnings, and nothing else.
struct Warnings;

impl Report for Warnings {
    fn event(&self, event: Event) {
        if let Event::Warning(warning) = event {
            eprintln!("warning: {warning}");
        }
    }
}

fn main() -> ExitCode {
    // Namespaces are entered by this program, started once more. This comes first, before any thread exists.
    if let Some(code) = alloy::sandbox::dispatch(alloy::target::serve) {
        return code;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [blueprint, store] = arguments.as_slice() else {
        eprintln!("usage: library BLUEPRINT STORE");
        return ExitCode::from(2);
    };
    match build(Path::new(blueprint), Path::new(store)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn build(directory: &Path, store: &Path) -> Result<(), Box<dyn Error>> {
    // One context for the process. The library reads no environment: it is handed over.
    let vars = Vars::new(std::env::vars_os());
    let stall = Duration::from_secs(60);
    let registries = Registries::new(alloy::registry::Settings {
        keychain: Keychain::of_this_user(|name| vars.get(name)),
        insecure: Vec::new(),
        config: ConfigFiles::default(),
        certificates: CertificateFiles::default(),
        stall,
        vars: vars.clone(),
    });
    let reach = Reach { registries, credentials: Credentials::default(), stall, vars };
    let context = Context::new(Store::open(store)?, Arc::new(Warnings), Runtime::start()?, reach);
    // Nothing is deleted from the store meanwhile.
    context.hold(context.store.enter()?);

    // What the blueprint asks for, on this platform.
    let blueprint = alloy::blueprint::load(directory)?;
    let platform = Platform::of_this_machine();
    let settings = Settings {
        platform: platform.clone(),
        given: Default::default(),
        tags: ["docker".to_owned()].into(),
        strict: false,
        ignore_supported_hosts: false,
        base: None,
        host: false,
        offline: false,
    };
    let lowered = alloy::plan::lower(&blueprint, &settings)?;

    // What its names stand for, and the image.
    let request = Request::new(&context, platform);
    let resolver = request.resolver(&context);
    let options = Options {
        compression: request.compression,
        epoch: DEFAULT_EPOCH,
        no_cache: NoCache::Nothing,
        layering: Layering::default(),
        push: Vec::new(),
        look_inside: LookInside::Never,
        whole: true,
    };
    let build = Build { resolver: &resolver, directory: &blueprint.directory, lowered: &lowered, options: &options };
    let built = build.run(build.resolve()?)?;
    println!("{}", built.manifest.digest);
    for layer in &built.layers {
        let size = layer.blob.as_ref().map_or(0, |blob| blob.descriptor.size);
        println!("{} {size} {:?}", layer.name, layer.hit);
    }
    Ok(())
}
