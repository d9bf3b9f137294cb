//! Errors of the store: what helps.

use layers::store::StoreError;

use super::with;
use crate::cli::error::{CommandError, Kind};
use crate::sandbox::MORE_PROCESSES;

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        let (kind, hint) = match &error {
            StoreError::Foreign { .. } => {
                let hint = "what others write in a store is believed, and leads alloy elsewhere: name one of your own with --store";
                (Kind::Usage, Some(hint.to_owned()))
            }
            StoreError::Layout { path, .. } => {
                let version = path.join("version");
                let hint = format!(
                    "move {} away: with all parts of the store there, alloy takes it again after `printf '2\\n' > {}`; or name another with --store",
                    version.display(),
                    version.display()
                );
                (Kind::Failed, Some(hint))
            }
            StoreError::Io { source, .. } if source.kind() == std::io::ErrorKind::ReadOnlyFilesystem => {
                let hint = "a store that can only be read serves `images`, `inspect`, `sbom`, `provenance`, `plan` and \
                            `prune --dry-run`: for all else name one of your own with --store";
                (Kind::Failed, Some(hint.to_owned()))
            }
            StoreError::Io { what: "lock", source, .. } if source.kind() != std::io::ErrorKind::WouldBlock => {
                let hint = "the file system, or a filter of system calls, gives no locks (flock(2)): keep the store on a disk \
                            or a volume that has them, with --store DIR or ALLOY_HOME=DIR";
                (Kind::Sandbox, Some(hint.to_owned()))
            }
            StoreError::Io { source, .. } if source.kind() == std::io::ErrorKind::WouldBlock => {
                (Kind::Failed, Some(MORE_PROCESSES.to_owned()))
            }
            StoreError::Wrong(_) => {
                let remade =
                    "`alloy build` fetches or makes anew what is missing; `alloy store check` looks for more damage";
                (Kind::Failed, Some(remade.to_owned()))
            }
            StoreError::Strange { what, .. } => {
                let hint = format!("use the alloy that wrote it, build it again, or give it up: alloy prune {what}");
                (Kind::Failed, Some(hint))
            }
            _ => (Kind::Failed, None),
        };
        with(kind, &error, hint)
    }
}
