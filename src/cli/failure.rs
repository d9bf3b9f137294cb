//! Errors of the parts as failures of a command: kind, text, hints.

mod catalog_clone;
mod git;
mod lock;
mod manifest;
mod named;
mod outdated;
mod pull;
mod push;
mod store;
mod task;

use layers::disk::{names_full, tells_of_full};

use super::error::{CommandError, Kind};
use super::located::Place;
use super::{report, ui};
use crate::blueprint::{LoadError, MANIFEST_FILE, Problems};
use crate::build::{BuildError, Need};
use crate::cache::RemoteError;
use crate::catalog::CatalogError;
use crate::debian::DebianError;
use crate::fetch::FetchError;
use crate::hub::HubError;
use crate::image::ImageError;
use crate::install::InstallError;
use crate::op::Secrets;
use crate::registry::RegistryError;
use crate::resolve::ResolveError;
use crate::sandbox::SandboxError;
use crate::sink::SinkError;
use crate::target::TargetError;
use crate::target::image::RequestError;

use task::{download, task};

fn with(kind: Kind, error: &dyn std::error::Error, hint: Option<String>) -> CommandError {
    let mut failure = CommandError::from_error(kind, error);
    if let Some(hint) = hint {
        failure.hints = vec![hint];
    }
    failure
}

impl From<Problems> for CommandError {
    fn from(problems: Problems) -> Self {
        let count = problems.diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count();
        let text = ui::problems(&problems, ui::color());
        // What a field holds may be quoted.
        let text = Secrets::without_markers(&text);
        let errors = if count == 1 { "1 error".to_owned() } else { format!("{count} errors") };
        let mut failure = Self::new(Kind::Blueprint, format!("the blueprint has {errors}\n\n{}", text.trim_end()));
        failure.problems = Some(report::json(&[problems]));
        failure
    }
}

impl From<LoadError> for CommandError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Invalid(problems) => problems.into(),
            LoadError::NotABlueprint { instead: Some(ref name), .. } => {
                let hint = format!("rename {name} to {MANIFEST_FILE}");
                with(Kind::Usage, &error, Some(hint))
            }
            LoadError::NotADirectory { blueprint: Some(ref directory), .. } => {
                let hint = format!("name its directory: {}", directory.display());
                with(Kind::Usage, &error, Some(hint))
            }
            LoadError::NotABlueprint { .. } | LoadError::NotADirectory { .. } => with(
                Kind::Usage,
                &error,
                Some(
                    "name a blueprint's directory: `alloy build DIR -t NAME`, `alloy install --blueprint-dir DIR`"
                        .into(),
                ),
            ),
            LoadError::Read { .. } => with(Kind::Usage, &error, None),
        }
    }
}

impl From<FetchError> for CommandError {
    fn from(error: FetchError) -> Self {
        let here = matches!(
            error,
            FetchError::Write { .. } | FetchError::Local { .. } | FetchError::Store(_) | FetchError::Ended(_)
        );
        let kind = if here { Kind::Failed } else { Kind::Network };
        with(kind, &error, error.hint())
    }
}

impl From<RegistryError> for CommandError {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Fetch(error) => error.into(),
            RegistryError::Store(error) => error.into(),
            error if error.is_of_a_file() => with(Kind::Failed, &error, error.hint()),
            RegistryError::Ended(_) => with(Kind::Failed, &error, None),
            error => with(Kind::Network, &error, error.hint()),
        }
    }
}

impl From<RemoteError> for CommandError {
    fn from(error: RemoteError) -> Self {
        match error {
            RemoteError::Registry(error) => error.into(),
            RemoteError::Directory(_) | RemoteError::Ended(_) => with(Kind::Failed, &error, None),
            RemoteError::Store(error) => error.into(),
            RemoteError::Taken => {
                let hint =
                    "keep the cache in another repository (--cache-from, --cache-to), or give that tag another name";
                with(Kind::Network, &error, Some(hint.into()))
            }
            RemoteError::Unknown(_) => {
                let hint = "nothing was deleted; `--older-than` alone goes by age, and looks at no image";
                with(Kind::Network, &error, Some(hint.into()))
            }
            _ => with(Kind::Network, &error, None),
        }
    }
}

impl From<DebianError> for CommandError {
    fn from(error: DebianError) -> Self {
        match error {
            DebianError::NoComponent { ref component, .. } => manifest::no_component(component, &error),
            DebianError::NoMirror { .. } | DebianError::Keyring { .. } | DebianError::SignedBy { .. } => {
                with(Kind::Usage, &error, error.hint())
            }
            DebianError::Store(error) => error.into(),
            error => with(Kind::Network, &error, error.hint()),
        }
    }
}

impl From<ImageError> for CommandError {
    fn from(error: ImageError) -> Self {
        if let ImageError::Store(error) = error {
            return error.into();
        }
        let kind = if error.is_usage() { Kind::Usage } else { Kind::Failed };
        with(kind, &error, error.hint())
    }
}

impl From<SinkError> for CommandError {
    fn from(error: SinkError) -> Self {
        let kind = if error.is_usage() { Kind::Usage } else { Kind::Failed };
        with(kind, &error, error.hint())
    }
}

impl From<SandboxError> for CommandError {
    fn from(error: SandboxError) -> Self {
        // A worker that was lost says nothing about what the machine gives, nor does a full disk.
        let lost = matches!(error, SandboxError::WorkerLost { .. });
        let kind = if lost || tells_of_full(&error.to_string()) { Kind::Failed } else { Kind::Sandbox };
        with(kind, &error, error.hint())
    }
}

impl From<RequestError> for CommandError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Sandbox(error) => error.into(),
            RequestError::Store(error) => error.into(),
            RequestError::Unwritten(_) => with(Kind::Failed, &error, None),
            RequestError::Failed { message, hint } => {
                let mut failure = Self::new(Kind::Failed, message);
                if let Some(hint) = hint {
                    failure.hints = vec![hint];
                }
                failure
            }
        }
    }
}

impl From<ResolveError> for CommandError {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::Base(error) => with(
                Kind::Usage,
                &error,
                Some("a base is deb:SUITE, scratch, an image of the store or of a registry, or oci:, oci-archive:, docker-archive:, rootfs: and a path".into()),
            ),
            ResolveError::Debian(error) => error.into(),
            ResolveError::Registry(error) => error.into(),
            ResolveError::Image(error) => error.into(),
            ResolveError::Fetch(error) => error.into(),
            ResolveError::Store(error) => error.into(),
            ResolveError::Target(error) => error.into(),
            ref error @ ResolveError::Owner { ref directory, .. } => with(
                Kind::Sandbox,
                error,
                Some(format!(
                    "give {directory} to root or to this user and the ranges of /etc/subuid and /etc/subgid, all of it; or \
                     have root pack it, and name the tar: rootfs:FILE.tar"
                )),
            ),
            error @ (ResolveError::Crate { .. } | ResolveError::Foreign { .. }) => with(Kind::Network, &error, None),
            error @ ResolveError::Integrity { .. } => with(
                Kind::Network,
                &error,
                Some("the registry, or a mirror of it, sends another file than it names".into()),
            ),
            ResolveError::Local { task, place, path, message } => {
                let failure = Self::new(Kind::Blueprint, format!("cannot read {path}: {message}"));
                let (file, line) = place.rsplit_once(':').unwrap_or((&place, ""));
                let place = Place::of(file, line.parse().unwrap_or_default(), &failure.message);
                place.told_of(failure, &task).hint("`alloy check` says it of all files of the blueprint at once")
            }
            ResolveError::Nowhere { name, full, error, suite } => {
                let mut failure = Self::from(error);
                let said = &failure.message;
                failure.message = format!("no image of the store is called `{name}`, and {full} cannot be had: {said}");
                if let Some(suite) = suite {
                    failure = failure.hint(format!("did you mean `deb:{suite}`, from the distribution's archive?"));
                }
                failure.hint("`alloy images` lists those of the store; of another registry, write REGISTRY/NAME")
            }
            error @ ResolveError::NotLocal { .. } => {
                with(Kind::Failed, &error, Some("`alloy images` lists those that are there, `alloy pull` brings one of a registry".into()))
            }
            error @ ResolveError::Here { .. } => {
                let hint = "push it and name it with its registry, or, if Docker Hub's is meant, write \
                            docker.io/library/NAME";
                with(Kind::Blueprint, &error, Some(hint.into()))
            }
            ResolveError::Download { task, place, error } => {
                let failure = Self::from(error);
                let (file, line) = place.rsplit_once(':').unwrap_or((&place, ""));
                Place::of(file, line.parse().unwrap_or_default(), &failure.message).told_of(failure, &task)
            }
            ResolveError::At { task, place, error } => {
                let failure = Self::from(*error);
                let (file, line) = place.rsplit_once(':').unwrap_or((&place, ""));
                Place::of(file, line.parse().unwrap_or_default(), &failure.message).told_of(failure, &task)
            }
            error @ ResolveError::Unpinned(_) => {
                with(Kind::Blueprint, &error, Some("add `sha256:` to the task, or build without --locked".into()))
            }
        }
    }
}

impl From<InstallError> for CommandError {
    fn from(error: InstallError) -> Self {
        let hint = error.hint();
        match error {
            InstallError::Task(failure) => task(*failure),
            InstallError::Download { task, file, line, error } => download(&task, &file, line, error),
            InstallError::Resolve(error) => error.into(),
            InstallError::Build(error) => error.into(),
            InstallError::Store(error) => error.into(),
            InstallError::Users { .. } => with(Kind::Blueprint, &error, hint),
            InstallError::NotRoot { .. } | InstallError::NothingInstalled { .. } => with(Kind::Usage, &error, hint),
            InstallError::Platform(_) => with(Kind::Sandbox, &error, hint),
            InstallError::Target(TargetError::Sandbox(error)) => error.into(),
            InstallError::Interrupted { .. } => with(
                Kind::Interrupted,
                &error,
                Some("what was done is recorded; the same command goes on from there".into()),
            ),
            error => with(Kind::Failed, &error, hint),
        }
    }
}

impl From<CatalogError> for CommandError {
    fn from(error: CatalogError) -> Self {
        let kind = match &error {
            CatalogError::Read { .. } | CatalogError::Nowhere { .. } => Kind::Failed,
            CatalogError::Broken(_) => Kind::Blueprint,
            _ => Kind::Usage,
        };
        let hint = error.hint();
        match error {
            CatalogError::Broken(problems) => {
                let text = ui::problems(&problems, ui::color());
                let failure = Self::new(kind, format!("the catalog's entry is broken\n\n{}", text.trim_end()));
                hint.into_iter().fold(failure, Self::hint)
            }
            error => with(kind, &error, hint),
        }
    }
}

impl From<HubError> for CommandError {
    fn from(error: HubError) -> Self {
        let kind = match error {
            HubError::Registry(error) => return error.into(),
            HubError::Resolve(error) => return error.into(),
            HubError::Store(error) => return error.into(),
            HubError::Name(_)
            | HubError::NoRegistry { .. }
            | HubError::Plain { .. }
            | HubError::Occupied { .. }
            | HubError::NoDirectory { .. } => Kind::Usage,
            HubError::Changed { .. }
            | HubError::Touched { .. }
            | HubError::Others { .. }
            | HubError::NotOwn { .. }
            | HubError::File { .. } => Kind::Failed,
            HubError::Contents(_) => Kind::Blueprint,
            HubError::NotABlueprint { .. }
            | HubError::NoHost { .. }
            | HubError::Refused { .. }
            | HubError::NoLatest { .. }
            | HubError::NotListed { .. } => Kind::Network,
        };
        with(kind, &error, error.hint())
    }
}

impl From<BuildError> for CommandError {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Task { failure, .. } => task(*failure),
            BuildError::Download { task, file, line, error } => download(&task, &file, line, error),
            BuildError::Package { package, task, file, line, error } => {
                let lost = matches!(error, FetchError::Status { status: 404 | 410, .. });
                let mut failure = Self::from(error);
                let place = Place::of(&file, line, &package);
                failure.message.insert_str(0, &format!("{package}, which alloy.lock.yml pins, cannot be had: "));
                let mut failure = place.told_of(failure, &task);
                if lost {
                    failure.hints = vec![
                        "pin what the archive has now: alloy lock --update=apt".into(),
                        "`alloy lock --mirror-to REF` keeps packages for the time when the archive loses them".into(),
                    ];
                }
                failure
            }
            BuildError::NoAgent { task, file, line } => {
                let place = Place::of_field(&file, line, "ssh");
                let failure =
                    Self::new(Kind::Usage, "the task wants to log in by ssh, and there is no agent to lend it");
                let hint = "lend it the keys of your agent: --ssh default; `ssh-add -l` lists them";
                place.told_of(failure, &task).hint(hint)
            }
            BuildError::Foreign { need, error } => {
                let failure = Self::new(Kind::Sandbox, format!("{error}; {need}"));
                let failure = error.hint().into_iter().fold(failure, Self::hint);
                match need {
                    Need::LoginShell => {
                        failure.hint("or do without: `env_from_profile: false` in the manifest's `image`")
                    }
                    _ => failure,
                }
            }
            BuildError::User { name, task, file, line } => {
                let hint = format!(
                    "`--user {name}` makes the user, as `image: {{user: {name}}}` in manifest.yml does; a base may have it; or \
                     name another, where the task has {{{{.Vars.DEV_USERNAME}}}}: --var DEV_USERNAME=NAME"
                );
                let message = format!("there is no user `{name}` in the image, and no task before makes one");
                let error = CommandError::new(Kind::Failed, message);
                Place::of(&file, line, &format!("`{name}`")).told_of(error, &task).hint(hint)
            }
            // Nobody has lost it: there is no room for it.
            BuildError::Lost { ref reason, .. } if names_full(reason) => with(Kind::Failed, &error, None),
            BuildError::Lost { .. } => {
                super::heal::lost();
                let hint = "where the registry only could not be reached, or wants `alloy login` first, try again; where it has \
                            deleted the layer, a build makes it again";
                with(Kind::Network, &error, Some(hint.into()))
            }
            BuildError::Claim { .. } => with(Kind::Network, &error, None),
            BuildError::TooManyLayers { .. } => with(Kind::Failed, &error, Some(crate::image::SQUASH.into())),
            BuildError::Cache { error, place } => {
                let mut failure = Self::from(error);
                failure.message = format!("the cache {place}: {}", failure.message);
                failure
            }
            BuildError::Unset { ref name, ref wanted, .. } => manifest::unset(name, wanted, &error),
            BuildError::UnknownSource(_) => with(Kind::Failed, &error, None),
            BuildError::Resolve(error) => error.into(),
            BuildError::Request(error) => error.into(),
            BuildError::Debian(error) => error.into(),
            BuildError::Registry(error) => error.into(),
            BuildError::Image(error) => error.into(),
            BuildError::Store(error) => error.into(),
        }
    }
}
