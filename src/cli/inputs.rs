//! What a build depends on, as options: the same for every command that builds, plans or compares.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use layers::compress::Compression;

use super::context::{self, RegistryArgs};
use super::env_file;
use super::error::CommandError;
use super::{located, ui};
use crate::blueprint::{self, Blueprint, Given, Problems};
use crate::context::Context;
use crate::debian::{BaseOptions, nearer};
use crate::event::Event;
use crate::fetch::proxy_passwords;
use crate::lock::Lock;
use crate::plan::{self, Layering, Lowered, Platform, Settings};
use crate::resolve::Request;
use crate::target::{DEFAULT_EPOCH, Lent};
use crate::yaml::Diagnostic;

mod recorded;

/// What a build depends on
#[derive(Debug, Args)]
pub(super) struct InputArgs {
    /// The blueprint: a directory with a manifest.yml
    #[arg(default_value = ".", value_name = "DIR")]
    pub(super) directory: PathBuf,
    /// The base: deb:SUITE, scratch (nothing), an image of a registry or, without one in its name, of the store
    /// (local:NAME for any of these), or oci:, oci-archive:, docker-archive:, rootfs: and a path [default: the
    /// manifest's, else deb:bookworm]
    #[arg(long, value_name = "BASE")]
    base: Option<String>,
    /// The platform to build for, os/arch[/variant]; several platforms make an index [default: this machine's]
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
    pub(super) platform: Vec<Platform>,
    /// Read variables from a file of NAME=value lines
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Set a variable of the blueprint
    #[arg(long, value_name = "NAME=VALUE")]
    var: Vec<String>,
    /// Create this user in the image and run the image as this user, whatever `image.user` says
    #[arg(long, value_name = "NAME", value_parser = user)]
    user: Option<String>,
    /// How to compress layers: zstd, gzip or none, optionally with :LEVEL
    #[arg(long, value_name = "HOW", default_value = "zstd:2")]
    pub(super) compression: Compression,
    /// How to turn task files into layers
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub(super) layers: Layering,
    /// The mirror that deb: bases come from, http://HOST/debian or http://HOST/ubuntu [default: this machine's apt
    /// sources, else the mirror that the package python-apt-common or debootstrap names]
    #[arg(long, value_name = "URL", env = "ALLOY_MIRROR", hide_env_values = true)]
    mirror: Option<String>,
    /// The keys that sign the archive of deb: bases [default: this machine's, else those of Debian and Ubuntu that come
    /// with alloy]
    #[arg(long, value_name = "FILE")]
    keyring: Option<PathBuf>,
    /// Fail if a download or a toolchain is not pinned, or if the lockfile pins something that nothing uses
    #[arg(long)]
    pub(super) locked: bool,
    /// The network that commands can reach: this machine's, or none
    #[arg(long, value_enum, default_value_t, value_name = "WHICH")]
    network: NetworkMode,
    /// Treat warnings as errors
    #[arg(long)]
    strict: bool,
    /// Build even for a platform that `supported_hosts` does not list
    #[arg(long)]
    ignore_supported_hosts: bool,
    /// Allow file: URLs
    #[arg(long)]
    allow_file_urls: bool,
    /// Switch on the tag `docker` of `exclude` (always on in image builds)
    #[arg(long)]
    docker: bool,
    /// Switch on the tag `wsl2` of `exclude`
    #[arg(long)]
    wsl2: bool,
    #[command(flatten)]
    pub(super) registry: RegistryArgs,
}

/// Which network commands reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum NetworkMode {
    /// Only a loopback interface of their own
    None,
    /// This machine's
    #[default]
    Host,
}

/// A blueprint, read and lowered for one platform.
pub(super) struct Prepared {
    pub(super) blueprint: Arc<Blueprint>,
    pub(super) lowered: Lowered,
    pub(super) platform: Platform,
    pub(super) epoch: u64,
}

impl InputArgs {
    /// Reads the blueprint, once for each platform. What is wrong on any of them is told together.
    pub(super) fn prepare(&self) -> Result<Vec<Prepared>, CommandError> {
        let epoch = epoch()?;
        let blueprint = Arc::new(self.load()?);
        let settings = self.settings()?;
        let (mut all, mut problems) = (Vec::new(), Vec::new());
        for platform in self.platforms() {
            match self.lower(&blueprint, Settings { platform: platform.clone(), ..settings.clone() }) {
                Ok(mut lowered) => {
                    self.hide_logins(&mut lowered);
                    all.push(Prepared::new(Arc::clone(&blueprint), lowered, platform, epoch));
                }
                Err(found) => {
                    for diagnostic in found {
                        if !problems.contains(&diagnostic) {
                            problems.push(diagnostic);
                        }
                    }
                }
            }
        }
        if problems.is_empty() {
            return Ok(all);
        }
        Err(Problems { diagnostics: problems, sources: blueprint.sources.clone() }.into())
    }

    /// The blueprint, with the user that the image is to have.
    pub(super) fn load(&self) -> Result<Blueprint, CommandError> {
        let mut blueprint = blueprint::load(&self.directory)?;
        if let Some(user) = &self.user {
            blueprint.manifest.image.user = Some(user.clone());
        }
        Ok(blueprint)
    }

    /// Reads `blueprint` with another lockfile than its own.
    pub(super) fn prepare_with(
        &self,
        blueprint: &Arc<Blueprint>,
        settings: &Settings,
        epoch: u64,
        lock: &Lock,
    ) -> Result<Prepared, Problems> {
        let mut lowered = plan::lower_with(blueprint, settings, lock)?;
        if let Some(diagnostic) = base_outside(blueprint, settings) {
            return Err(Problems { diagnostics: vec![diagnostic], sources: blueprint.sources.clone() });
        }
        hide_passwords(&mut lowered);
        self.hide_logins(&mut lowered);
        Ok(Prepared::new(Arc::clone(blueprint), lowered, settings.platform.clone(), epoch))
    }

    /// True where the author names no base, and packages may be looked for elsewhere.
    pub(super) fn may_mean_another_base(&self, blueprint: &Blueprint) -> bool {
        (self.base.is_some() || blueprint.manifest.base().is_none()) && self.network != NetworkMode::None
    }

    /// Masks the passwords of mirrors.
    fn hide_logins(&self, lowered: &mut Lowered) {
        let logins = BaseOptions { mirror: self.mirror.clone(), ..BaseOptions::default() }.logins();
        for login in &logins {
            // A user without a password is a token.
            lowered.secrets.hide(if login.password.is_empty() { &login.user } else { &login.password });
        }
    }

    /// Each platform once, in the order asked.
    fn platforms(&self) -> Vec<Platform> {
        let mut platforms = Vec::new();
        for platform in &self.platform {
            if !platforms.contains(platform) {
                platforms.push(platform.clone());
            }
        }
        if platforms.is_empty() { vec![Platform::of_this_machine()] } else { platforms }
    }

    fn lower(&self, blueprint: &Blueprint, settings: Settings) -> Result<Lowered, Vec<Diagnostic>> {
        lower(blueprint, &settings, self.locked)
    }

    /// The request that `prepared` is resolved with.
    pub(super) fn request(&self, context: &Context, prepared: &Prepared) -> Request {
        let mut request = Request::new(context, prepared.platform.clone());
        request.archive.mirror.clone_from(&self.mirror);
        request.archive.keyring.clone_from(&self.keyring);
        // One that cannot be read was told of when the blueprint was.
        let lock = prepared.blueprint.pins();
        request.fetcher = request
            .fetcher
            .with_secrets(prepared.lowered.secrets.clone())
            .with_file_urls(self.allow_file_urls)
            .nearer(nearer(lock, &request.archive))
            .with_logins([request.archive.logins(), Lent::logins(|name| std::env::var(name).ok())].concat())
            .doubting(prepared.lowered.authored.clone())
            .with_pins(lock.downloads.iter().map(|(url, pin)| (url.clone(), pin.sha256)).collect());
        request.compression = self.compression;
        request.locked = self.locked;
        request.pin.clone_from(&prepared.lowered.archive);
        request.mirror.clone_from(&prepared.lowered.mirror);
        request.base_within = self.base.is_none().then(|| prepared.blueprint.directory.clone());
        request
    }

    /// For this machine.
    pub(super) fn settings(&self) -> Result<Settings, CommandError> {
        let user = self.user.as_deref().and_then(|user| user.split(':').next()).map(str::to_owned);
        let given = Given { user, ..given(&self.var, of_files(&self.env_file)?)? };
        let on = |name: &str| given.is_on(name);
        // An image build is what the tag stands for.
        let mut tags = BTreeSet::from(["docker".to_owned()]);
        tags.extend((self.wsl2 || on("ALLOY_ENV_WSL2")).then(|| "wsl2".to_owned()));
        Ok(Settings {
            platform: Platform::of_this_machine(),
            given,
            tags,
            strict: self.strict,
            ignore_supported_hosts: self.ignore_supported_hosts,
            base: self.base.clone(),
            host: false,
            offline: self.network == NetworkMode::None,
        })
    }
}

/// A user that an image can have.
fn user(text: &str) -> Result<String, String> {
    blueprint::check_user(text).map(|()| text.to_owned()).map_err(str::to_owned)
}

/// Reads the blueprint in `directory`; with `locked`, it must need nothing that its lockfile does not pin.
pub(super) fn prepare(directory: &Path, settings: &Settings, locked: bool) -> Result<Prepared, CommandError> {
    let blueprint = Arc::new(blueprint::load(directory)?);
    match lower(&blueprint, settings, locked) {
        Ok(lowered) => Ok(Prepared::new(blueprint, lowered, settings.platform.clone(), DEFAULT_EPOCH)),
        Err(diagnostics) => Err(Problems { diagnostics, sources: blueprint.sources.clone() }.into()),
    }
}

fn lower(blueprint: &Blueprint, settings: &Settings, locked: bool) -> Result<Lowered, Vec<Diagnostic>> {
    let mut lowered = plan::lower(blueprint, settings).map_err(|problems| problems.diagnostics)?;
    if let Some(diagnostic) = base_outside(blueprint, settings) {
        return Err(vec![diagnostic]);
    }
    if locked {
        let diagnostics = plan::not_locked(blueprint, &lowered, &settings.platform);
        if !diagnostics.is_empty() {
            return Err(diagnostics);
        }
        let free = plan::not_covered(blueprint, &lowered, settings.strict);
        if free.iter().any(Diagnostic::is_error) {
            return Err(free);
        }
        lowered.warnings.extend(free);
    }
    hide_passwords(&mut lowered);
    Ok(lowered)
}

/// Masks the passwords of proxies and of what is lent: tasks have them too, and may show them.
fn hide_passwords(lowered: &mut Lowered) {
    let lent = Lent::passwords(|name| std::env::var(name).ok());
    proxy_passwords(|name| std::env::var(name).ok())
        .iter()
        .chain(&lent)
        .for_each(|password| lowered.secrets.hide(password));
}

/// What is wrong with the base, if it is the manifest's and links lead from it out of the blueprint.
fn base_outside(blueprint: &Blueprint, settings: &Settings) -> Option<Diagnostic> {
    if settings.base.is_some() || settings.host { None } else { plan::base_leads_out(blueprint) }
}

/// What `--var`, files of variables and the environment give.
pub(super) fn given(pairs: &[String], env_file: BTreeMap<String, String>) -> Result<Given, CommandError> {
    let mut vars = BTreeMap::new();
    for pair in pairs {
        let Some((name, value)) = pair.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(CommandError::usage(format!("--var {pair}: not NAME=VALUE")));
        };
        vars.insert(name.to_owned(), value.to_owned());
    }
    Ok(Given { vars, env_file, process: context::vars().texts(), ..Given::default() })
}

/// What `--env-file` gives: the last of several files counts. A pipe can be read once.
pub(super) fn of_files(env_files: &[PathBuf]) -> Result<BTreeMap<String, String>, CommandError> {
    let mut values = BTreeMap::new();
    for file in env_files {
        values.extend(env_file::read(file)?);
    }
    Ok(values)
}

impl Prepared {
    /// From here on nothing that is printed holds its secrets, and failures of its tasks are shown in its files.
    fn new(blueprint: Arc<Blueprint>, lowered: Lowered, platform: Platform, epoch: u64) -> Self {
        ui::hide(&lowered.secrets);
        located::show_in(&blueprint);
        Self { blueprint, lowered, platform, epoch }
    }

    /// Says what is worth saying before anything is done; what holds for several platforms once.
    pub(super) fn warn(all: &[Self], context: &Context) {
        let (mut warnings, mut notes) = (BTreeSet::new(), BTreeSet::new());
        for Self { blueprint, lowered, .. } in all {
            for warning in &lowered.warnings {
                let help = warning.help.as_ref().map_or(String::new(), |help| format!("; {help}"));
                let text = format!("{}: {}{help}", blueprint.sources.place(warning.span), warning.message);
                if warnings.insert(text.clone()) {
                    context.reporter().event(Event::Warning(text));
                }
            }
            for note in lowered.notes.iter().filter(|note| notes.insert((*note).clone())) {
                context.reporter().event(Event::Note(note.clone()));
            }
        }
    }
}

/// `SOURCE_DATE_EPOCH`.
pub(super) fn epoch() -> Result<u64, CommandError> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) if !text.is_empty() => text
            .parse()
            .map_err(|_| CommandError::usage(format!("SOURCE_DATE_EPOCH={text}: not a number of seconds since 1970"))),
        _ => Ok(DEFAULT_EPOCH),
    }
}
