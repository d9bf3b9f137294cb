//! What goes with an image that is pushed, as options.

use std::path::PathBuf;

use clap::Args;

use super::context::vars;
use super::error::{CommandError, Kind};
use crate::push::Attach;
use crate::sign::SigningKey;

/// Options of commands that push
#[derive(Debug, Default, Args)]
pub(super) struct AttachArgs {
    /// Attach neither an SBOM nor a provenance statement
    #[arg(help_heading = "Documents and signatures", long)]
    pub(super) no_attest: bool,
    /// Sign what is pushed, as cosign does, with a private key: PEM (ECDSA P-256), or a key of cosign's with
    /// COSIGN_PASSWORD
    #[arg(
        help_heading = "Documents and signatures",
        long,
        value_name = "FILE",
        env = "ALLOY_SIGN_KEY",
        hide_env_values = true
    )]
    sign_key: Option<PathBuf>,
}

impl AttachArgs {
    /// Reads the key: what is wrong with it is better said before a build than behind it.
    pub(super) fn read(&self) -> Result<Attach, CommandError> {
        let key = self
            .sign_key
            .as_deref()
            .filter(|path| !path.as_os_str().is_empty())
            .map(|path| SigningKey::read(path, &vars()));
        let key = key.transpose().map_err(|error| CommandError::from_error(Kind::Usage, &error).hint(error.hint()))?;
        Ok(Attach { documents: !self.no_attest, key })
    }
}
