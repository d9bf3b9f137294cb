//! Why the sandbox could not be set up, and what would help.

use std::io;
use std::path::PathBuf;

use layers::disk;

/// A failure of the sandbox itself, never of the command that runs in it.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The kernel refused a user namespace.
    #[error("this machine does not allow a user namespace: {source}")]
    UserNamespace {
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel refused a mount namespace to root.
    #[error("this machine does not allow a mount namespace, not even to root: {source}")]
    MountNamespace {
        /// What the kernel said.
        source: io::Error,
    },
    /// A program that uses the library does not look whether it was started as a helper.
    #[error(
        "commands cannot be run: this program does not call `alloy::sandbox::dispatch` first in its `main`, and would be \
         started once more as itself"
    )]
    NotDispatched,
    /// A way to confine that there is not.
    #[error("{variable} is `{value}`: it can be `userns` or `privileged`")]
    UnknownMode {
        /// The variable.
        variable: &'static str,
        /// What it says.
        value: String,
    },
    /// No range of ids for this user.
    #[error("{file} has no range for user `{user}` (at least {needed} ids)")]
    NoRange {
        /// `/etc/subuid` or `/etc/subgid`.
        file: &'static str,
        /// The user's name, or id where it has none.
        user: String,
        /// How many ids are needed.
        needed: u32,
        /// What to do.
        hint: String,
    },
    /// `newuidmap` or `newgidmap` is not installed.
    #[error("`{program}` is not installed")]
    NoMapper {
        /// Which one.
        program: &'static str,
    },
    /// `newuidmap` or `newgidmap` refused.
    #[error("`{program}` failed: {message}")]
    Mapper {
        /// Which one.
        program: &'static str,
        /// What it printed.
        message: String,
        /// Why that may be, and what to do.
        hint: Option<String>,
    },
    /// A system call that nothing works without.
    #[error("this machine refuses {call}(2), which alloy cannot do without: {source}")]
    Call {
        /// Its name.
        call: &'static str,
        /// What the kernel, or a filter, said.
        source: io::Error,
    },
    /// The image has something where a command needs something else.
    #[error("{message}")]
    Image {
        /// What, and where.
        message: String,
    },
    /// What a command would be confined by cannot be set up.
    #[error("this machine does not let a sandbox be set up: {message}")]
    Enter {
        /// What failed.
        message: String,
    },
    /// A step of the set-up failed.
    #[error("sandbox: cannot {what}: {source}")]
    Setup {
        /// What was tried.
        what: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel takes no changes of a build where the store is.
    #[error("{path} is on {file_system}: the kernel keeps no changes of a build there")]
    Overlay {
        /// The store's place for what is under way.
        path: PathBuf,
        /// What lies there.
        file_system: String,
    },
    /// The same, as the worker tells it.
    #[error("{message}")]
    Unfit {
        /// What was wrong.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The worker ended without an answer.
    #[error("the sandbox's worker ended unexpectedly ({status})")]
    WorkerLost {
        /// How it ended.
        status: String,
        /// By SIGKILL.
        killed: bool,
    },
    /// A user or group is not known in the root.
    #[error("no {kind} `{name}` in the image")]
    Unknown {
        /// `user` or `group`.
        kind: &'static str,
        /// The name asked for.
        name: String,
    },
    /// Something to be written to, on a file system that cannot translate ids.
    #[error("cannot lend {path} for writing: its file system cannot translate ids for a user namespace")]
    Unlendable {
        /// The path on the host.
        path: PathBuf,
    },
    /// A directory to lend to a container does not exist.
    #[error("{path} does not exist on this machine")]
    NoSuchSource {
        /// The path on the host.
        path: PathBuf,
    },
}

/// What helps where a thread or a process is refused.
pub const MORE_PROCESSES: &str =
    "allow this user more processes (`ulimit -u`), or this container (`pids.max` of its cgroup)";

/// What is said of a place where a command needs a directory.
pub(super) const NO_DIRECTORY: &str = "the image has something else than a directory there";

/// What helps then.
const DIRECTORIES: &str =
    "every command needs directories at /dev, /proc, /run, /sys and /tmp, or nothing there: have the base made so";

impl SandboxError {
    /// A failed step: `what` completes "cannot …".
    pub fn setup(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Setup { what: what.into(), source: source.into() }
    }

    /// True if it is this machine that does not give what is needed, whatever is built.
    pub fn is_of_machine(&self) -> bool {
        match self {
            // A disk that is full is nothing that a machine lacks.
            Self::Enter { message } => !disk::tells_of_full(message),
            Self::Overlay { .. } | Self::Call { .. } | Self::Unfit { .. } => true,
            // What a filter says, or a kernel that knows no such call or flag.
            Self::Setup { source, .. } => {
                [libc::EPERM, libc::ENOSYS, libc::EINVAL].iter().any(|errno| source.raw_os_error() == Some(*errno))
            }
            _ => false,
        }
    }

    /// What helps where the limits of whoever runs alloy are why.
    fn limit(&self) -> Option<&'static str> {
        let (Self::UserNamespace { source } | Self::MountNamespace { source } | Self::Setup { source, .. }) = self
        else {
            return None;
        };
        match source.raw_os_error()? {
            libc::EAGAIN => Some(MORE_PROCESSES),
            libc::EMFILE | libc::ENFILE => Some("allow this process more open files (`ulimit -n`)"),
            libc::EFBIG => Some("allow this process larger files (`ulimit -f unlimited`)"),
            _ => None,
        }
    }

    /// The one command or setting that would help, if there is one.
    pub fn hint(&self) -> Option<String> {
        if let Some(limit) = self.limit() {
            return Some(limit.to_owned());
        }
        match self {
            Self::UserNamespace { .. } => Some(user_namespace_hint()),
            Self::MountNamespace { .. } => {
                Some(
                    "run alloy where it has CAP_SYS_ADMIN (docker run --cap-add SYS_ADMIN …, podman run --cap-add SYS_ADMIN …)"
                        .into(),
                )
            }
            Self::NoRange { hint, .. } => Some(hint.clone()),
            Self::Unknown { kind: "user", name } => Some(format!(
                "make it in an earlier task (`useradd --create-home {name}`); `alloy build` does with `--user {name}`, or `user: {name}` in the manifest's `image`"
            )),
            Self::Unknown { kind, name } => Some(format!("make it in an earlier task (`{kind}add {name}`)")),
            Self::Overlay { .. } => Some(
                "keep the store on a disk or a volume: --store DIR or ALLOY_HOME=DIR; in a container that is a volume of its \
                 own (`docker run -v alloy:/var/lib/alloy -e ALLOY_HOME=/var/lib/alloy …`), or a tmpfs"
                    .into(),
            ),
            Self::Unfit { hint, .. } => hint.clone(),
            Self::Call { call: "openat2", .. } => {
                Some(format!("Linux has it since 5.6, and Docker's filter since 20.10: a newer one, or {UNFILTERED}"))
            }
            Self::Call { .. } => Some(format!(
                "Docker's filter refuses it before 20.10.10, and so does an old libseccomp: a newer one, or {UNFILTERED}"
            )),
            Self::Enter { message } if disk::tells_of_full(message) => None,
            Self::Image { .. } => Some(DIRECTORIES.into()),
            Self::Setup { source, .. } if source.to_string() == NO_DIRECTORY => Some(DIRECTORIES.into()),
            Self::Enter { .. } => Some(format!("a container's filter, or its masked /proc, may be why: {UNFILTERED}")),
            Self::Setup { source, .. } if restricted_by_apparmor() && denied(source) => Some(user_namespace_hint()),
            Self::Setup { .. } if self.is_of_machine() => Some(format!("a container's filter may be why: {UNFILTERED}")),
            Self::NoMapper { .. } => Some("as root: apt-get install uidmap".into()),
            Self::Mapper { hint, .. } => hint.clone(),
            Self::WorkerLost { killed: true, .. } => Some(super::killed_hint()),
            Self::Unlendable { .. } => Some(
                "lend it read-only (`:ro`), or from another file system; ALLOY_SANDBOX=privileged does without the namespace"
                    .into(),
            ),
            _ => None,
        }
    }
}

/// How a container is started whose filter and masks are not in the way.
pub const UNFILTERED: &str = "docker run --security-opt seccomp=unconfined --security-opt systempaths=unconfined …, or \
                          podman run --security-opt seccomp=unconfined --security-opt unmask=ALL …";

fn denied(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

fn restricted_by_apparmor() -> bool {
    sysctl("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").as_deref() == Some("1")
}

fn sysctl(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn user_namespace_hint() -> String {
    if restricted_by_apparmor() {
        return "AppArmor restricts user namespaces here; as root: \
                sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
            .into();
    }
    if sysctl("/proc/sys/kernel/unprivileged_userns_clone").as_deref() == Some("0") {
        return "as root: sysctl -w kernel.unprivileged_userns_clone=1".into();
    }
    if sysctl("/proc/sys/user/max_user_namespaces").as_deref() == Some("0") {
        return "as root: sysctl -w user.max_user_namespaces=16384".into();
    }
    "inside a container, start it with a seccomp profile that allows `unshare`, or run alloy as root".into()
}
