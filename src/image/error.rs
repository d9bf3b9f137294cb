//! Why an image cannot be read or written.

use std::io;
use std::path::PathBuf;

use layers::digest::{DiffId, Digest};
use layers::disk;
use layers::path::shown;

use crate::registry::RegistryError;
use crate::sink::FULL;

/// What helps against too many layers.
pub const SQUASH: &str = "put the layers of the base together: a root file system is a base of one layer, `rootfs:DIR` or \
                          `rootfs:FILE`, and `umoci unpack` makes one of an image with any number of layers";

fn layers(count: usize) -> String {
    if count == 1 { "one layer".to_owned() } else { format!("{count} layers") }
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are what the messages say")]
pub enum ImageError {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
    #[error("{what}: {message}")]
    Invalid { what: String, message: String },
    #[error("{what} has no image for {platform}; it has {available}")]
    NoPlatform { what: String, platform: String, available: String },
    #[error("{path} exists and is not an OCI layout; alloy does not overwrite it")]
    Occupied { path: PathBuf },
    #[error("{path} holds files, and is no directory that alloy wrote with this store; it does not overwrite it")]
    Foreign { path: PathBuf },
    #[error("type={kind} is not for a terminal")]
    Terminal { kind: &'static str },
    #[error("{what}: it has {count} layers, and alloy can put up to {most} on top of each other")]
    TooManyLayers { what: String, count: usize, most: usize },
    #[error("{what}: its config has no diff IDs (`rootfs.diff_ids`), and its manifest has {}", layers(*count))]
    NoDiffIds { what: String, count: usize },
    #[error("layer {digest} is {}, which alloy cannot read", if media_type.is_empty() { "of no media type".to_owned() } else { shown(media_type.as_bytes()) })]
    MediaType { digest: Digest, media_type: String },
    #[error(
        "{what}: layer {number} of {count} is not what the image's config says: the config's diff ID is {claimed}, the \
         layer's content has {found}; whoever made the image has to make it again"
    )]
    DiffId { what: String, number: usize, count: usize, claimed: DiffId, found: DiffId },
    #[error("{what}: layer {number} of {count} ({digest}) cannot be used: {reason}")]
    Layer { what: String, number: usize, count: usize, digest: Digest, reason: String },
    #[error("cannot write {path}: layer {digest} cannot be unpacked there: {source}")]
    Unpack { path: PathBuf, digest: Digest, source: layers::apply::ApplyError },
    #[error(transparent)]
    Tar(#[from] layers::tar::TarError),
    #[error(transparent)]
    Root(#[from] layers::root::RootError),
    #[error(transparent)]
    Sink(#[from] crate::sink::SinkError),
    #[error(transparent)]
    Store(#[from] layers::store::StoreError),
}

impl ImageError {
    /// Something that is not what it should be.
    pub fn invalid(what: impl Into<String>, message: impl Into<String>) -> Self {
        // It may quote what somebody else wrote: that begins no line of its own, and steers no terminal.
        Self::Invalid { what: what.into(), message: shown(message.into().as_bytes()) }
    }

    /// An index in an index.
    pub fn nested(what: impl Into<String>, digest: &Digest) -> Self {
        Self::invalid(
            what,
            format!("its index lists another index, {digest}; alloy takes that by its own digest alone"),
        )
    }

    /// The error of a command that had a registry's answer to `reference` before it: what is wrong with that is the
    /// registry's.
    pub fn sent<E: From<Self> + From<RegistryError>>(self, reference: &str) -> E {
        let message = match self {
            Self::NoPlatform { platform, available, .. } => {
                return RegistryError::NoPlatform { reference: reference.to_owned(), platform, available }.into();
            }
            Self::Invalid { .. }
            | Self::TooManyLayers { .. }
            | Self::NoDiffIds { .. }
            | Self::MediaType { .. }
            | Self::DiffId { .. }
            | Self::Layer { .. } => self.to_string(),
            error => return error.into(),
        };
        // It is said once whose answer it is.
        let message = message.strip_prefix(&format!("{reference}: ")).unwrap_or(&message).to_owned();
        RegistryError::Invalid { reference: reference.to_owned(), message }.into()
    }

    /// What to do.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Sink(error) => return error.hint(),
            Self::Foreign { .. } => {
                "name a directory that is not there, or empty, or that alloy has written itself".to_owned()
            }
            Self::Occupied { .. } => "name another directory".to_owned(),
            Self::TooManyLayers { .. } => SQUASH.to_owned(),
            Self::NoDiffIds { .. } => "without them nobody can tell whether a layer is what its author made, and docker and \
                 containerd refuse it, too: whoever made the image has to make it again; its root file system in a tar is a \
                 base as well, `rootfs:FILE`"
                .to_owned(),
            Self::Terminal { .. } => "send it into a file or a pipe, or name a file with dest=".to_owned(),
            Self::Write { source, .. } if disk::is_full(source) => FULL.to_owned(),
            Self::Unpack { source, .. } if disk::tells_of_full(&source.to_string()) => FULL.to_owned(),
            _ => return None,
        })
    }

    /// True if the command line itself is wrong.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Sink(error) => error.is_usage(),
            Self::Terminal { .. } => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_begins_no_line_and_steers_no_terminal() {
        let digest = Digest::of("");
        let media_type = "x\nerror: y\u{1b}[2J".to_owned();
        for error in [ImageError::invalid("a", media_type.clone()), ImageError::MediaType { digest, media_type }] {
            let told = error.to_string();
            assert!(told.contains("error: y") && !told.contains(char::is_control), "{told:?}");
        }
    }
}
